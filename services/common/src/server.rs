//! Building a gRPC service's server: its listeners, health, reflection, metrics, background tasks and shutdown.

use std::{convert::Infallible, future::Future, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use anyhow::Context as _;
use http::Request;
use prometheus_client::registry::Registry;
use sqlx::PgPool;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tonic::{
    body::Body,
    server::NamedService,
    service::{Routes, RoutesBuilder},
};
use tonic_health::{ServingStatus, server::HealthReporter};
use tower::Service;

use crate::{
    admin::{self, Check, Readiness},
    handle::Handle,
    rpc::RpcLayer,
    supervise::supervise,
    tls::{self, Acceptor, HTTP_2, ListenerTlsArgs},
};

/// How often an idle connection is probed, so that peers that vanished do not hold on to resources.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// The largest frame of HTTP/2 that callers may send: batches of events come in fewer pieces.
const MAX_FRAME: u32 = 64 * 1024;
/// How often it is looked whether the health status still holds: well within the pauses of those who ask for it.
const HEALTH_INTERVAL: Duration = Duration::from_millis(100);
/// How much may be on its way to the server on one connection: several times what may be on one stream, which is 1 MiB, so that
/// streams that are not read on for a while leave the others, and health checks, some of it.
const CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;
/// The most calls at once on one connection.
const MAX_STREAMS: u32 = 256;

/// A gRPC server that is being put together. Its ports are bound already, so that a port in use is found before
/// anything else is done.
pub struct ServerBuilder {
    name: &'static str,
    listener: TcpListener,
    acceptor: Option<Acceptor>,
    admin_listener: TcpListener,
    registry: Registry,
    routes: RoutesBuilder,
    service_names: Vec<&'static str>,
    checks: Vec<Check>,
    health_checks: Vec<Check>,
    tasks: JoinSet<anyhow::Result<()>>,
    drain: Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>,
    shutdown: CancellationToken,
    background: CancellationToken,
}

impl ServerBuilder {
    /// Binds the server named `name` to its addresses. Port 0 takes any free one. Fails if it would serve gRPC in plain text
    /// where it may not, or with certificates that cannot be used.
    pub async fn bind(
        name: &'static str,
        listen: SocketAddr,
        admin_listen: SocketAddr,
        tls: &ListenerTlsArgs,
    ) -> anyhow::Result<Self> {
        tls.check("--listen", listen)?;
        let (mut registry, mut tasks) = (Registry::default(), JoinSet::new());
        let background = CancellationToken::new();
        let acceptor = tls.open(&[HTTP_2], &tls::Metrics::new(&mut registry))?.map(|(acceptor, reloader)| {
            tasks.spawn(reloader.keep(background.clone()));
            acceptor
        });
        Ok(Self {
            name,
            listener: self::bind(name, "gRPC", listen).await?,
            acceptor,
            admin_listener: self::bind(name, "admin", admin_listen).await?,
            registry,
            routes: Routes::builder(),
            service_names: Vec::new(),
            checks: Vec::new(),
            health_checks: Vec::new(),
            tasks,
            drain: Box::pin(async { Ok(()) }),
            shutdown: CancellationToken::new(),
            background,
        })
    }

    /// Where the service's own metrics are registered.
    pub fn registry(&mut self) -> &mut Registry {
        &mut self.registry
    }

    /// Cancelled when the shutdown begins: streams that would stay open for long end then.
    pub fn shutdown_token(&self) -> CancellationToken {
        self.shutdown.clone()
    }

    /// Serves `service`, and answers for its health.
    #[must_use]
    pub fn service<S>(mut self, service: S) -> Self
    where
        S: Service<Request<Body>, Error = Infallible> + NamedService + Clone + Send + Sync + 'static,
        S::Response: axum::response::IntoResponse,
        S::Future: Send + 'static,
    {
        self.service_names.push(S::NAME);
        self.routes.add_service(service);
        self
    }

    /// Is ready only while the database answers.
    #[must_use]
    pub fn needs_database(self, pool: &PgPool) -> Self {
        let pool = pool.clone();
        self.check(move || {
            let pool = pool.clone();
            async move {
                sqlx::query("SELECT 1").execute(&pool).await.map_err(|error| {
                    tracing::warn!(%error, "not ready: the database does not answer");
                    "the database does not answer".to_owned()
                })?;
                Ok(())
            }
        })
    }

    /// Is ready only while `check` passes; its error is shown to whoever asks.
    #[must_use]
    pub fn check<F: Future<Output = Result<(), String>> + Send + 'static>(
        mut self,
        check: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self {
        self.checks.push(Arc::new(move || Box::pin(check())));
        self
    }

    /// Is ready only while `check` passes, and is well only then: callers with another replica go there while this one cannot
    /// do its work, for a reason that is its own alone. It is asked all the time, so it is to be cheap.
    ///
    /// Only the status of the server as a whole follows it. That of its services by name says what is offered here, which is what
    /// the gateway's readiness rests on: it is not to stop serving everything because of this.
    #[must_use]
    pub fn health_check<F: Future<Output = Result<(), String>> + Send + 'static>(
        mut self,
        check: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self {
        let check: Check = Arc::new(move || Box::pin(check()));
        self.checks.push(Arc::clone(&check));
        self.health_checks.push(check);
        self
    }

    /// Runs a task beside the server, until the token that it is given is cancelled: after the drain. If it ends
    /// before, the service fails.
    #[must_use]
    pub fn background<F: Future<Output = anyhow::Result<()>> + Send + 'static>(
        mut self,
        task: impl FnOnce(CancellationToken) -> F,
    ) -> Self {
        self.tasks.spawn(task(self.background.clone()));
        self
    }

    /// What is to be done at the shutdown when the last call is answered.
    #[must_use]
    pub fn drain(mut self, drain: impl Future<Output = anyhow::Result<()>> + Send + 'static) -> Self {
        self.drain = Box::pin(drain);
        self
    }

    /// Starts to serve.
    pub async fn start(mut self) -> anyhow::Result<Handle> {
        let grpc = self.listener.local_addr()?;
        let admin = self.admin_listener.local_addr()?;

        let (health, health_service) = tonic_health::server::health_reporter();
        for name in &self.service_names {
            health.set_service_status(name, ServingStatus::Serving).await;
        }
        self.routes.add_service(health_service);
        for reflection in [Reflection::V1, Reflection::V1Alpha] {
            reflection.add(&mut self.routes, &self.service_names)?;
        }

        let layer = RpcLayer::new(&mut self.registry, self.shutdown.clone());
        let drained = self.shutdown.clone();
        let names = self.service_names.clone();
        let health_checks = self.health_checks;
        let stop = async move {
            // In the same future as what follows: nothing says that it serves once the shutdown has begun.
            drained.run_until_cancelled(follow(&health, &health_checks)).await;
            health.set_service_status("", ServingStatus::NotServing).await;
            for name in names {
                health.set_service_status(name, ServingStatus::NotServing).await;
            }
        };
        let server = tonic::transport::Server::builder()
            .http2_keepalive_interval(Some(KEEPALIVE))
            .http2_keepalive_timeout(Some(KEEPALIVE))
            .max_concurrent_streams(MAX_STREAMS)
            .max_frame_size(Some(MAX_FRAME))
            .initial_connection_window_size(CONNECTION_WINDOW)
            .layer(layer)
            .add_routes(self.routes.routes())
            .serve_with_incoming_shutdown(tls::incoming(self.listener, self.acceptor), stop);

        let name = self.name;
        let mut servers = JoinSet::new();
        servers
            .spawn(async move { server.await.with_context(|| format!("the gRPC server of {name} failed")) });
        let readiness = Readiness::new(self.checks, self.shutdown.clone());
        self.tasks.spawn(admin::serve(
            self.admin_listener,
            readiness,
            self.registry,
            self.background.clone(),
        ));
        let task = supervise(servers, self.tasks, self.drain, self.shutdown.clone(), self.background);
        let task = tokio::spawn(task);
        tracing::info!(name, %grpc, %admin, "serving");
        Ok(Handle::new(self.name, vec![("grpc", grpc), ("admin", admin)], self.shutdown, task))
    }
}

/// Has the health status of the server as a whole say whether all of `checks` pass.
async fn follow(health: &HealthReporter, checks: &[Check]) {
    if checks.is_empty() {
        std::future::pending::<()>().await;
    }
    let mut was_well = true;
    loop {
        let outcomes = futures_util::future::join_all(checks.iter().map(|check| check())).await;
        let is_well = outcomes.iter().all(Result::is_ok);
        if is_well != was_well {
            let status = if is_well { ServingStatus::Serving } else { ServingStatus::NotServing };
            health.set_service_status("", status).await;
            was_well = is_well;
        }
        tokio::time::sleep(HEALTH_INTERVAL).await;
    }
}

/// Binds `address`, or says which address of which server is taken.
pub async fn bind(name: &str, kind: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}, the {kind} address of {name}"))
}

/// The two versions of server reflection; the real grpcurl of Debian's age speaks only the older.
#[derive(Clone, Copy)]
enum Reflection {
    V1,
    V1Alpha,
}

impl Reflection {
    fn add(self, routes: &mut RoutesBuilder, names: &[&'static str]) -> anyhow::Result<()> {
        let mut builder = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(mesher_proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .with_service_name("grpc.health.v1.Health");
        for name in names {
            builder = builder.with_service_name(*name);
        }
        match self {
            Self::V1 => routes.add_service(builder.build_v1()?),
            Self::V1Alpha => routes.add_service(builder.build_v1alpha()?),
        };
        Ok(())
    }
}
