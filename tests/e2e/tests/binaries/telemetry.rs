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

use crate::running::{PATIENCE, Running};

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
