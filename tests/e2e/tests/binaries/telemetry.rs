//! One trace from the HTTP request through the gateway and the service to its SQL, and metrics that count.

use std::{
    fmt::Write as _,
    sync::{Arc, Mutex},
};

use mesher_testing::{eventually, http_client};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    trace::v1::Span,
};
use tokio::{net::TcpListener, task::JoinHandle};
use tonic::{Request, Response, Status, transport::server::TcpIncoming};

use crate::running::{PATIENCE, Running, SERVICES, gateway};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A receiver of OTLP that keeps the spans, with the service that sent each; it stops when it is dropped.
pub(crate) struct Receiver {
    /// Where it receives.
    pub(crate) endpoint: String,
    spans: Arc<Mutex<Vec<(String, Span)>>>,
    server: JoinHandle<Result<(), tonic::transport::Error>>,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let spans = Arc::default();
        let service = TraceServiceServer::new(Keeper { spans: Arc::clone(&spans) });
        let server = tonic::transport::Server::builder().add_service(service);
        let server = tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        Self { endpoint, spans, server }
    }

    /// All that the spans have in them.
    pub(crate) fn text(&self) -> String {
        format!("{:?}", self.spans.lock().unwrap())
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

struct Keeper {
    spans: Arc<Mutex<Vec<(String, Span)>>>,
}

#[tonic::async_trait]
impl TraceService for Keeper {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for resource in request.into_inner().resource_spans {
            let attributes = resource.resource.unwrap_or_default().attributes;
            let name = attributes.iter().find(|attribute| attribute.key == "service.name");
            let name = format!("{:?}", name.and_then(|attribute| attribute.value.clone()));
            let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            self.spans.lock().unwrap().extend(spans.map(|span| (name.clone(), span)));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tokio::test]
async fn one_trace_leads_from_the_http_request_to_the_sql() {
    let receiver = Receiver::start().await;
    let running = Running::start_with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver.endpoint)]).await;
    let token = running.token("ada@example.com").await;
    let trace_id = "0af7651916cd43dd8448eb211c80319c";
    let answer = http_client()
        .build()
        .unwrap()
        .get(running.url() + "/v1/orgs")
        .bearer_auth(&token)
        .header("traceparent", format!("00-{trace_id}-b7ad6b7169203331-01"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);

    let path = eventually("the whole trace was received", PATIENCE, async || {
        let spans = receiver.spans.lock().unwrap();
        let ours: Vec<_> = spans.iter().filter(|(_, span)| hex(&span.trace_id) == trace_id).collect();
        // From the SQL up to the caller: each span, and who sent it.
        let mut path = Vec::new();
        let mut next = ours.iter().find(|(_, span)| span.name == "db.org.list");
        while let Some((sender, span)) = next {
            path.push((sender.clone(), span.name.clone(), hex(&span.parent_span_id)));
            next = ours.iter().find(|(_, parent)| parent.span_id == span.parent_span_id);
        }
        let complete = path.last().is_some_and(|(_, _, parent)| parent == "b7ad6b7169203331");
        if complete { Ok(path) } else { Err(format!("{path:?}")) }
    })
    .await;
    let names: Vec<&str> = path.iter().map(|(_, name, _)| name.as_str()).collect();
    assert_eq!(names[..2], ["db.org.list", "mesher.org.v1.OrgService/ListOrgs"], "{path:?}");
    assert!(
        path[1].0.contains("mesher-org") && path.last().unwrap().0.contains("mesher-gateway"),
        "{path:?}"
    );
}

/// An organization service whose calls fail for a reason that only the gateway knows.
async fn broken_service() -> (String, JoinHandle<()>) {
    let status = |code: &'static str| [("content-type", "application/grpc"), ("grpc-status", code)];
    let router = axum::Router::new()
        .route("/mesher.org.v1.OrgService/ListOrgs", axum::routing::post(async move || status("2")))
        .fallback(async move || status("12"));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    (address, tokio::spawn(async { axum::serve(listener, router).await.unwrap() }))
}

#[tokio::test]
async fn an_internal_error_is_traced_to_its_cause_also_where_only_warnings_are_logged() {
    let variables = [("MESHER_LOG", "warn")];
    let running = Running::start_with(&variables).await;
    let token = running.token("ada@example.com").await;
    let (_, _, key) = running.project(&token).await;
    let (address, broken) = broken_service().await;
    let at = SERVICES.map(|name| (name, format!("http://{}", running.address(name, "grpc"))));
    let at = at.map(|(name, own)| (name, if name == "org" { address.clone() } else { own }));
    let (gateway, ready) = gateway(&at, &variables).await;
    let beside = format!("http://{}", ready["http"]);
    sqlx::raw_sql(
        "REVOKE SELECT ON orgs FROM mesher_org;
         REVOKE EXECUTE ON FUNCTION resolve_api_keys FROM mesher_writer",
    )
    .execute(running.database.pool())
    .await
    .unwrap();
    let client = http_client().build().unwrap();
    let events = client.post(running.url() + "/v1/events").header("x-mesher-key", key);
    for (request, id, process) in [
        (client.get(running.url() + "/v1/orgs").bearer_auth(&token), "of-a-call", &running.processes["org"]),
        (events.body(r#"{"message": "m"}"#), "of-an-event", &running.writer.process),
        (client.get(beside + "/v1/orgs").bearer_auth(&token), "of-a-request", &gateway),
    ] {
        let answer = request.header("x-request-id", id).send().await.unwrap();
        assert_eq!(answer.status(), 500, "{id}: {}", answer.text().await.unwrap());
        eventually("the cause was told with the id", PATIENCE, async || {
            let log = process.output();
            let told = log.lines().any(|line| line.contains("internal error cause=") && line.contains(id));
            if told { Ok(()) } else { Err(log) }
        })
        .await;
    }
    broken.abort();
}

#[tokio::test]
async fn every_binary_has_health_readiness_and_metrics_on_its_admin_address() {
    let running = Running::start().await;
    let token = running.token("ada@example.com").await;
    let (_, project, key) = running.project(&token).await;
    running.post("/v1/events", &key, r#"{"message": "boom"}"#).await;
    running.get(&format!("/v1/projects/{project}/events"), &token).await;
    let client = http_client().build().unwrap();
    for (name, expected) in [
        ("org", r#"mesher_rpc_calls_total{rpc="/mesher.org.v1.OrgService/CreateOrg",code="OK"} 1"#),
        (
            "project",
            r#"mesher_rpc_calls_total{rpc="/mesher.project.v1.ProjectService/CreateApiKey",code="OK"} 1"#,
        ),
        ("user", r#"mesher_rpc_calls_total{rpc="/mesher.user.v1.UserService/Login",code="OK"} 1"#),
        ("writer", "mesher_writer_accepted_total 1"),
        ("issue", r#"mesher_rpc_calls_total{rpc="/mesher.issue.v1.IssueService/ListEvents",code="OK"} 1"#),
        ("gateway", "/v1/events"),
    ] {
        let admin = format!("http://{}", running.address(name, "admin"));
        for path in ["/healthz", "/readyz"] {
            assert_eq!(
                client.get(format!("{admin}{path}")).send().await.unwrap().status(),
                200,
                "{name}{path}"
            );
        }
        let metrics = client.get(format!("{admin}/metrics")).send().await.unwrap().text().await.unwrap();
        assert!(metrics.contains(expected), "{name}: {metrics}");
        assert!(!metrics.contains(&key) && !metrics.contains(&token), "{name} shows a secret");
    }
}
