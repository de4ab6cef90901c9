//! An API from the text of a `.proto` file, a gRPC server that answers for it, and a gateway in front.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, extract::State, response::Response};
use bytes::Bytes;
use clap::Parser as _;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt as _, Full};
use mesher_common::handle::Handle;
use mesher_gateway::{Addresses, Config, Upstream, Upstreams, spawn_api};
use mesher_testing::{Process, eventually};
use prost_reflect::DescriptorPool;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver, IncludeFileResolver};
use serde_json::Value;
use tokio::{net::TcpListener, sync::Notify};
use tonic::Status;

const FILE: &str = "test.proto";

/// What the text of every test's `.proto` file begins with.
const HEAD: &str = r#"
    syntax = "proto3";
    package test.v1;
    import "google/api/annotations.proto";
    import "google/protobuf/any.proto";
    import "google/protobuf/duration.proto";
    import "google/protobuf/empty.proto";
    import "google/protobuf/field_mask.proto";
    import "google/protobuf/struct.proto";
    import "google/protobuf/timestamp.proto";
    import "google/protobuf/wrappers.proto";
"#;

struct Source(String);

impl FileResolver for Source {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        if name == FILE { File::from_source(FILE, &self.0) } else { Err(protox::Error::file_not_found(name)) }
    }
}

/// The descriptors of what `proto` says after the usual head.
pub(crate) fn pool(proto: &str) -> DescriptorPool {
    compiled(proto).descriptor_pool()
}

/// As [`pool`], as the bytes of a file, with comments.
pub(crate) fn encoded(proto: &str) -> Vec<u8> {
    compiled(proto).encode_file_descriptor_set()
}

fn compiled(proto: &str) -> protox::Compiler {
    let mut resolver = ChainFileResolver::new();
    resolver.add(Source(format!("{HEAD}{proto}")));
    resolver.add(IncludeFileResolver::new("../proto/googleapis".into()));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler.include_imports(true).include_source_info(true);
    compiler.open_file(FILE).unwrap_or_else(|error| panic!("{error:?}"));
    compiler
}

/// How the gRPC server answers the RPC of that name.
pub(crate) type Behaviour = fn(&str) -> Answer;

/// An answer to an RPC.
pub(crate) enum Answer {
    /// The request message, byte for byte, as the response message.
    Echo,
    /// An error.
    Error(Box<Status>),
    /// None, ever.
    Never,
    /// [`Answer::Echo`], when the test lets it through.
    Gated(&'static Gate),
    /// One that is not gRPC.
    Garbage,
    /// None: the call is broken off.
    Broken,
    /// What this makes of the request's body.
    Made(fn(Bytes) -> Response),
}

/// Where a call waits until a test lets it through.
pub(crate) struct Gate {
    pub(crate) arrived: Notify,
    pub(crate) open: Notify,
}

impl Gate {
    /// A closed gate.
    pub(crate) const fn new() -> Self {
        Self { arrived: Notify::const_new(), open: Notify::const_new() }
    }
}

/// A gRPC server that knows no messages.
#[derive(Clone)]
pub(crate) struct Backend {
    behaviour: Behaviour,
    last: Arc<Mutex<HeaderMap>>,
    /// How often it was called.
    pub(crate) calls: Arc<AtomicUsize>,
}

impl Backend {
    /// A server that behaves so.
    pub(crate) fn new(behaviour: Behaviour) -> Self {
        Self { behaviour, last: Arc::default(), calls: Arc::default() }
    }

    /// What it serves.
    pub(crate) fn router(&self) -> Router {
        Router::new().fallback(answer).with_state(self.clone())
    }

    /// A server that runs, and where.
    pub(crate) async fn start(behaviour: Behaviour) -> (Self, Addresses) {
        let backend = Self::new(behaviour);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let router = backend.router();
        tokio::spawn(async { axum::serve(listener, router).await });
        (backend, address)
    }

    /// The headers of the last call.
    pub(crate) fn last(&self) -> HeaderMap {
        self.last.lock().unwrap().clone()
    }
}

async fn answer(State(backend): State<Backend>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    // The gateway asks again and again; what a test looks at is its own calls.
    if parts.uri.path() == "/grpc.health.v1.Health/Check" {
        return Status::unimplemented("no health").into_http();
    }
    let name = parts.uri.path().rsplit('/').next().unwrap_or_default();
    *backend.last.lock().unwrap() = parts.headers.clone();
    backend.calls.fetch_add(1, Ordering::SeqCst);
    match (backend.behaviour)(name) {
        Answer::Echo => echoed(body).await,
        Answer::Gated(gate) => {
            gate.arrived.notify_one();
            gate.open.notified().await;
            echoed(body).await
        }
        Answer::Error(status) => status.into_http(),
        Answer::Never => std::future::pending().await,
        Answer::Broken => panic!("this breaks the call off"),
        Answer::Garbage => Response::new(Body::from("hello")),
        Answer::Made(make) => make(body.collect().await.unwrap().to_bytes()),
    }
}

/// A gRPC body is the message behind its length, in both directions.
async fn echoed(body: Body) -> Response {
    let message = body.collect().await.unwrap().to_bytes();
    grpc(Full::new(message), &Status::ok(""))
}

/// A gRPC answer with `body` that ends with `status`.
pub(crate) fn grpc<B>(body: B, status: &Status) -> Response
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    let mut trailers = HeaderMap::new();
    status.add_header(&mut trailers).unwrap();
    let trailers = std::future::ready(Some(Ok(trailers)));
    let body = Body::new(body.with_trailers(trailers));
    Response::builder().header("content-type", "application/grpc").body(body).unwrap()
}

/// A gateway in front of a [`Backend`].
pub(crate) struct Gateway {
    pub(crate) handle: Handle,
    pub(crate) backend: Backend,
    pub(crate) client: reqwest::Client,
    base: String,
}

/// How long what should happen is waited for: long enough for a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// Flags that give free ports.
const FREE_PORTS: [&str; 4] = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];

/// A gateway of `proto`'s API whose RPCs give back what they are sent.
pub(crate) async fn echo(proto: &str) -> Gateway {
    start(proto, |_| Answer::Echo, &[]).await
}

/// A gateway of `proto`'s API with a server that behaves so, and with these flags besides.
pub(crate) async fn start(proto: &str, behaviour: Behaviour, flags: &[&str]) -> Gateway {
    let (backend, address) = Backend::start(behaviour).await;
    let upstreams = Upstreams::from_iter([("test.v1", Upstream::new("test", address))]);
    let config = config(flags);
    let handle = spawn_api(pool(proto), &upstreams, config).await.unwrap_or_else(|error| panic!("{error:#}"));
    Gateway::of(handle, backend)
}

/// The configuration that flags give.
pub(crate) fn config(flags: &[&str]) -> Config {
    let flags = FREE_PORTS.iter().chain(flags);
    Config::try_parse_from(["mesher-gateway"].iter().chain(flags)).unwrap_or_else(|error| panic!("{error}"))
}

/// The real binary, with these flags besides.
pub(crate) fn binary(flags: &[&str]) -> Process {
    binary_under(&[], flags)
}

/// The same by another program, which becomes it.
pub(crate) fn binary_under(program: &[&str], flags: &[&str]) -> Process {
    Process::start_under(program, "mesher-gateway", &[&FREE_PORTS, flags].concat(), &[])
}

/// A client that goes through no proxy, whatever the environment says.
pub(crate) fn client() -> reqwest::Client {
    mesher_testing::http_client().build().unwrap()
}

/// What a request was answered.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) json: Value,
}

impl Gateway {
    /// A gateway that runs, in front of `backend`.
    pub(crate) fn of(handle: Handle, backend: Backend) -> Self {
        let base = format!("http://{}", handle.address("http").unwrap());
        Self { handle, backend, client: client(), base }
    }

    /// The URL of `path`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// The metrics.
    pub(crate) async fn metrics(&self) -> String {
        let url = format!("http://{}/metrics", self.handle.address("admin").unwrap());
        self.client.get(url).send().await.unwrap().text().await.unwrap()
    }

    /// Waits until the metrics have this line.
    pub(crate) async fn expect_metric(&self, line: &str) {
        eventually(line, PATIENCE, async || self.metrics().await.lines().any(|found| found == line)).await;
    }

    /// Sends a request with a JSON body, if there is one.
    pub(crate) async fn send(&self, method: &str, path: &str, json: Option<&str>) -> Answered {
        let mut request = self.client.request(method.parse().unwrap(), self.url(path));
        if let Some(json) = json {
            request = request.header("content-type", "application/json").body(json.to_owned());
        }
        answered(request).await
    }

    /// The answer to a request without a body.
    pub(crate) async fn get(&self, path: &str) -> Answered {
        self.send("GET", path, None).await
    }

    /// The answer to a POST of JSON.
    pub(crate) async fn post(&self, path: &str, json: &str) -> Answered {
        self.send("POST", path, Some(json)).await
    }
}

/// Sends a request.
pub(crate) async fn answered(request: reqwest::RequestBuilder) -> Answered {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = response.bytes().await.unwrap();
    let json = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
    Answered { status, headers, json }
}

impl Answered {
    /// The answer of a call that went well.
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{}", self.json);
        assert_eq!(self.headers["content-type"], "application/json");
        self.json
    }

    /// The one detail of the type `google.rpc.NAME`.
    #[track_caller]
    pub(crate) fn detail(&self, name: &str) -> &Value {
        let type_url = format!("type.googleapis.com/google.rpc.{name}");
        let mut details = self.json["error"]["details"].as_array().unwrap().iter();
        details.find(|detail| detail["@type"] == type_url.as_str()).unwrap_or_else(|| panic!("{}", self.json))
    }

    /// Checks that this is an error with that status and reason, in the usual form.
    #[track_caller]
    pub(crate) fn expect(&self, status: u16, reason: &str) -> &str {
        assert_eq!(self.status, status, "{}", self.json);
        assert_eq!(self.json["error"]["code"], status, "{}", self.json);
        assert_eq!(self.headers["content-type"], "application/json");
        let info = self.detail("ErrorInfo");
        assert_eq!(
            (info["reason"].as_str(), info["domain"].as_str()),
            (Some(reason), Some("mesher")),
            "{}",
            self.json
        );
        self.json["error"]["message"].as_str().unwrap()
    }

    /// Checks that this is the refusal of a field, and gives the description.
    #[track_caller]
    pub(crate) fn refuses(&self, field: &str) -> &str {
        self.expect(400, "INVALID_FIELD");
        let violation = &self.detail("BadRequest")["fieldViolations"][0];
        assert_eq!(violation["field"], field, "{}", self.json);
        violation["description"].as_str().unwrap()
    }
}
