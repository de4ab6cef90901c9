//! The admin server of every process that serves.
//!
//! | route | answer |
//! |---|---|
//! | `GET /healthz` | 200 while the process runs |
//! | `GET /readyz` | 200 while it can do its work; 503 with the reason otherwise, and during the shutdown |
//! | `GET /metrics` | its metrics, in the OpenMetrics text format |

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use anyhow::Context as _;
use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use prometheus_client::{encoding::text::encode, registry::Registry};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How long a readiness check may take: less than the second that Kubernetes waits for a probe by default.
const CHECK_TIMEOUT: Duration = Duration::from_millis(900);

/// A readiness check: why the service cannot do its work, or that it can.
pub type Check =
    Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync + 'static>;

/// Whether a service is ready: no check objects, and no shutdown has begun.
#[derive(Clone)]
pub struct Readiness {
    checks: Arc<[Check]>,
    shutdown: CancellationToken,
}

impl Readiness {
    /// A service that is ready when all of `checks` pass, until `shutdown` is cancelled.
    pub fn new(checks: Vec<Check>, shutdown: CancellationToken) -> Self {
        Self { checks: checks.into(), shutdown }
    }

    /// The reasons why the service is not ready; none when it is.
    pub async fn objections(&self) -> Vec<String> {
        if self.shutdown.is_cancelled() {
            return vec!["the service is stopping".to_owned()];
        }
        let checks = self.checks.iter().map(|check| async {
            tokio::time::timeout(CHECK_TIMEOUT, check())
                .await
                .unwrap_or_else(|_| Err("a check did not end in time".to_owned()))
                .err()
        });
        futures_util::future::join_all(checks).await.into_iter().flatten().collect()
    }

    /// The answer to `GET /readyz`.
    pub async fn response(&self) -> Response {
        let objections = self.objections().await;
        if objections.is_empty() {
            (StatusCode::OK, "ready\n").into_response()
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, objections.join("\n") + "\n").into_response()
        }
    }
}

/// Serves until `stop` is cancelled.
pub async fn serve(
    listener: TcpListener,
    readiness: Readiness,
    registry: Registry,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let router = Router::new()
        .route("/healthz", get(async || "alive\n"))
        .route("/readyz", get(async |State(readiness): State<Readiness>| readiness.response().await))
        .with_state(readiness)
        .route("/metrics", get(metrics).with_state(Arc::new(registry)));
    axum::serve(listener, router)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
        .context("the admin server failed")
}

async fn metrics(State(registry): State<Arc<Registry>>) -> Response {
    let mut text = String::new();
    match encode(&mut text, &registry) {
        Ok(()) => {
            ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
                .into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
