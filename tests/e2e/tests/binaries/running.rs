//! The six binaries, running.

use std::{collections::BTreeMap, time::Duration};

use mesher_testing::{Authority, Process, TestDatabase, eventually, http_client};
use serde_json::Value;

use crate::{
    load::way::{Kind, Way},
    writer::Writer,
};

/// Long enough for a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) const SERVICES: [&str; 5] = ["org", "project", "user", "writer", "issue"];

/// The services and the gateway, each a process, on a database of their own.
pub(crate) struct Running {
    pub(crate) database: TestDatabase,
    /// All but the writer.
    pub(crate) processes: BTreeMap<&'static str, Process>,
    pub(crate) writer: Writer,
    addresses: BTreeMap<&'static str, BTreeMap<String, String>>,
    scheme: &'static str,
    pub(crate) client: reqwest::Client,
}

/// Starts a gateway, to which services are at these addresses: it, and where it serves.
pub(crate) async fn gateway(
    at: &[(&str, String)],
    variables: &[(&str, &str)],
) -> (Process, BTreeMap<String, String>) {
    let flags: Vec<(String, &str)> =
        at.iter().map(|(service, address)| (format!("--{service}-address"), address.as_str())).collect();
    let peers = flags.iter().flat_map(|(flag, address)| [flag.as_str(), address]);
    let listen = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    let arguments: Vec<&str> = listen.into_iter().chain(peers).collect();
    let mut gateway = Process::start("mesher-gateway", &arguments, variables);
    let ready = gateway.ready().await;
    (gateway, ready.into_iter().map(|(kind, at)| (kind, at.to_string())).collect())
}

/// What an HTTP request was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Answer {
    /// A text in the answer.
    pub(crate) fn text(&self, pointer: &str) -> String {
        let text = self.body.pointer(pointer).and_then(Value::as_str);
        text.unwrap_or_else(|| panic!("no text at {pointer} of {self:?}")).to_owned()
    }

    /// The reason of an error.
    pub(crate) fn reason(&self) -> String {
        let details = self.body.pointer("/error/details").and_then(Value::as_array);
        let mut reasons = details.into_iter().flatten().filter_map(|detail| detail["reason"].as_str());
        reasons.next().unwrap_or_else(|| panic!("no reason in {self:?}")).to_owned()
    }
}

impl Running {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts all, with these variables besides. No event is flushed for its age: a test that looks at what is buffered
    /// must not have to be faster than a timer.
    pub(crate) async fn start_with(variables: &[(&str, &str)]) -> Self {
        Self::start_on(TestDatabase::new().await, &["--flush-interval", "1h"], variables).await
    }

    /// Starts all on this database, the writer with these flags.
    pub(crate) async fn start_on(
        database: TestDatabase,
        writer: &[&str],
        variables: &[(&str, &str)],
    ) -> Self {
        let client = http_client().build().unwrap();
        Self::start_each(database, writer, [variables; 2], ("http", client)).await
    }

    /// Starts all with TLS: the services with the certificate `service`, for calls by whoever has one of `authority`'s, and the
    /// gateway with the certificate `gateway`.
    pub(crate) async fn start_with_tls(authority: &Authority) -> Self {
        authority.issue("service", "127.0.0.1", 3000);
        authority.issue("gateway", "127.0.0.1", 3000);
        let file = |name: &str| authority.file(name).display().to_string();
        let (ca, client) = (file("ca.pem"), authority.client().build().unwrap());
        let [cert, key] = ["service.crt", "service.key"].map(file);
        let services =
            [("MESHER_TLS_CERT", &*cert), ("MESHER_TLS_KEY", &*key), ("MESHER_TLS_CLIENT_CA", &*ca)];
        let [cert, key] = ["gateway.crt", "gateway.key"].map(file);
        let gateway = [
            ("MESHER_TLS_CERT", &*cert),
            ("MESHER_TLS_KEY", &*key),
            ("MESHER_UPSTREAM_TLS_CA", &*ca),
            ("MESHER_UPSTREAM_TLS_CERT", &*cert),
            ("MESHER_UPSTREAM_TLS_KEY", &*key),
        ];
        let database = TestDatabase::new().await;
        let flags = ["--flush-interval", "1h"];
        Self::start_each(database, &flags, [&services, &gateway], ("https", client)).await
    }

    async fn start_each(
        database: TestDatabase,
        writer: &[&str],
        [variables, of_gateway]: [&[(&str, &str)]; 2],
        (scheme, client): (&'static str, reqwest::Client),
    ) -> Self {
        let listen = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
        let arguments = [&listen[..], &["--database-url", database.url()]].concat();
        let mut processes = BTreeMap::new();
        for service in SERVICES.into_iter().filter(|service| *service != "writer") {
            processes.insert(service, Process::start(&format!("mesher-{service}"), &arguments, variables));
        }
        let writer = Writer::start(database.url(), writer, variables).await;
        let mut addresses = BTreeMap::new();
        for (service, process) in &mut processes {
            let ready = process.ready().await;
            addresses.insert(*service, ready.into_iter().map(|(kind, at)| (kind, at.to_string())).collect());
        }
        let of_writer = ["grpc", "admin"].map(|kind| (kind.to_owned(), writer.address(kind).to_owned()));
        addresses.insert("writer", BTreeMap::from(of_writer));
        let at = SERVICES.map(|service| (service, format!("{scheme}://{}", addresses[service]["grpc"])));
        let (gateway, ready) = gateway(&at, of_gateway).await;
        addresses.insert("gateway", ready);
        processes.insert("gateway", gateway);
        let running = Self { database, processes, writer, addresses, scheme, client };
        eventually("the gateway was ready", PATIENCE, async || {
            running.get("/readyz", "").await.status == 200
        })
        .await;
        running
    }

    /// Puts another gateway in the place of the one that runs, to which a service is at these addresses.
    pub(crate) async fn replace_gateway(&mut self, service: &str, addresses: &[&str]) {
        let at = SERVICES.map(|name| {
            let own = [self.addresses[name]["grpc"].as_str()];
            let addresses = if name == service { addresses } else { &own };
            let addresses: Vec<String> =
                addresses.iter().map(|address| format!("http://{address}")).collect();
            (name, addresses.join(","))
        });
        let (gateway, ready) = gateway(&at, &[]).await;
        self.addresses.insert("gateway", ready);
        self.processes.insert("gateway", gateway);
        eventually("the new gateway was ready", PATIENCE, async || {
            self.get("/readyz", "").await.status == 200
        })
        .await;
    }

    /// Where a process serves `grpc`, `http` or `admin`.
    pub(crate) fn address(&self, process: &str, kind: &str) -> String {
        self.addresses[process][kind].clone()
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address("gateway", "http"))
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> Answer {
        self.send("GET", path, token, None).await
    }

    pub(crate) async fn post(&self, path: &str, token: &str, body: &str) -> Answer {
        self.send("POST", path, token, Some(body.to_owned())).await
    }

    /// Sends a request with a session's token, or with an API key.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        credentials: &str,
        body: Option<String>,
    ) -> Answer {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.client.request(method, self.url() + path);
        if credentials.starts_with("mshr_") {
            request = request.header("x-mesher-key", credentials);
        } else if !credentials.is_empty() {
            request = request.bearer_auth(credentials);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let body = response.bytes().await.unwrap();
        Answer { status, body: serde_json::from_slice(&body).unwrap_or(Value::Null) }
    }

    /// Registers a user and signs the user in: the token.
    pub(crate) async fn token(&self, email: &str) -> String {
        let body = format!(r#"{{"email": "{email}", "password": "correct horse"}}"#);
        assert_eq!(self.post("/v1/users", "", &body).await.status, 200);
        self.post("/v1/sessions", "", &body).await.text("/token")
    }

    /// Creates an organization, a project and a key: the ids of the first two, and the key.
    pub(crate) async fn project(&self, token: &str) -> (String, String, String) {
        let (org, mut projects) = self.projects(token, &["Shop"]).await;
        let (project, key) = projects.remove(0);
        (org, project, key)
    }

    /// Creates an organization with projects of these names: its id, and the id and a key of each project.
    pub(crate) async fn projects(&self, token: &str, names: &[&str]) -> (String, Vec<(String, String)>) {
        let org = self.post("/v1/orgs", token, r#"{"name": "Acme"}"#).await.text("/org/orgId");
        let mut projects = Vec::new();
        for name in names {
            let path = format!("/v1/orgs/{org}/projects");
            let body = format!(r#"{{"name": "{name}"}}"#);
            let project = self.post(&path, token, &body).await.text("/project/projectId");
            let keys = format!("/v1/projects/{project}/api-keys");
            let key = self.post(&keys, token, "{}").await.text("/secret");
            projects.push((project, key));
        }
        (org, projects)
    }

    /// Every way at once for the events of three projects, and each project's by several of them.
    pub(crate) fn ways(&self, projects: &[(String, String)]) -> Vec<Way> {
        let (http, url, grpc) = (&self.client, self.url(), self.writer.client());
        let way = |project: usize, parcel, kind| {
            let (project, key) = projects[project].clone();
            Way { project, key, kind, parcel }
        };
        vec![
            way(0, 1, Kind::Rest(http.clone(), url.clone())),
            way(1, 10, Kind::RestBatch(http.clone(), url)),
            way(1, 1, Kind::Store(grpc.clone())),
            way(0, 20, Kind::StoreBatch(grpc.clone())),
            way(0, 24, Kind::StoreStream(grpc.clone())),
            way(2, 24, Kind::StoreStream(grpc)),
        ]
    }
}
