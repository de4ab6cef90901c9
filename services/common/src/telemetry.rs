//! Logs and traces: `tracing` to standard error, and to an OTLP receiver where one is configured. Also what
//! carries a trace from one process to the next (W3C Trace Context).

use std::{
    io::IsTerminal as _,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use anyhow::Context as _;
use http::{HeaderMap, Uri, uri::Scheme};
use opentelemetry::{
    Context, global,
    propagation::{Extractor, Injector},
    trace::{TraceContextExt as _, TracerProvider as _},
};
use opentelemetry_otlp::{WithExportConfig as _, WithTonicConfig as _};
use opentelemetry_sdk::{Resource, propagation::TraceContextPropagator, trace::SdkTracerProvider};
use tonic::transport::{Channel, Endpoint};
use tracing::{Metadata, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::{
    EnvFilter, Layer as _,
    filter::{FilterExt as _, FilterFn, LevelFilter},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use crate::{
    config::{ConfigError, LogFormat, ProcessArgs},
    tls::{self, UpstreamTlsArgs},
};

/// How long it may take to send some spans, as the specification has it; with TLS, which the exporter itself does not speak.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);

const HTTPS_PORT: u16 = 443;

/// The header that carries a trace.
pub const TRACE_PARENT: &str = "traceparent";

/// Whether this process records traces. (What receives spans is one for the whole process, too.)
static RECORDS: AtomicBool = AtomicBool::new(false);

/// Sends what is still unsent when the process ends.
#[derive(Debug)]
pub struct Telemetry {
    provider: Option<SdkTracerProvider>,
}

impl Telemetry {
    /// Sets up logging and tracing for the process, which goes by `name` in the traces. Once a process, inside a
    /// tokio runtime.
    pub fn init(name: &'static str, args: &ProcessArgs) -> anyhow::Result<Self> {
        let filter = EnvFilter::try_new(&args.log)
            .map_err(|error| ConfigError { flag: "--log", reason: error.to_string() })?;
        let provider =
            args.otlp_endpoint.as_deref().map(|to| provider(name, to, args.otlp_ca.clone())).transpose()?;
        let traces = provider.as_ref().map(|provider| {
            // The exporter's own calls must not be traced, or each export would cause the next.
            // Calls that the gateway makes are spans for traces alone; in the log they would say what their request's says.
            let filter = EnvFilter::new(
                "info,mesher_gateway::call=debug,h2=off,hyper=off,tonic=off,tower=off,opentelemetry=off",
            );
            tracing_opentelemetry::layer()
                .with_tracer(provider.tracer("mesher"))
                .with_location(false)
                .with_threads(false)
                .with_tracked_inactivity(false)
                .with_filter(filter.and(discreet()))
        });
        let log = match args.log_format {
            LogFormat::Pretty => tracing_subscriber::fmt::layer()
                .with_ansi(std::io::stderr().is_terminal())
                .with_writer(std::io::stderr)
                .boxed(),
            LogFormat::Json => tracing_subscriber::fmt::layer()
                .json()
                .flatten_event(true)
                .with_span_list(false)
                .with_writer(std::io::stderr)
                .boxed(),
        };
        tracing_subscriber::registry()
            .with(traces)
            .with(log.with_filter(filter.and(discreet())))
            .try_init()
            .context("the log cannot be set up twice in one process")?;
        global::set_text_map_propagator(TraceContextPropagator::new());
        RECORDS.store(provider.is_some(), Ordering::Relaxed);
        Ok(Self { provider })
    }

    /// Sends the spans that wait. Blocks for some seconds at the most.
    pub fn flush(&self) {
        if let Some(provider) = &self.provider
            && let Err(error) = provider.shutdown()
        {
            tracing::warn!(%error, "some traces could not be sent");
        }
    }
}

/// All but what sqlx says of a line of `~/.pgpass` that it cannot read, or of a URL's parameter: it quotes it, and there may
/// be a password in it.
fn discreet() -> FilterFn {
    let is_discreet = |metadata: &Metadata<'_>| {
        !metadata.target().starts_with("sqlx_postgres::options")
            || ["line", "value"].iter().all(|quoted| metadata.fields().field(quoted).is_none())
    };
    // Without a hint, what another filter has switched off would be looked at each time.
    FilterFn::new(is_discreet as fn(&Metadata<'_>) -> bool).with_max_level_hint(LevelFilter::TRACE)
}

fn provider(name: &'static str, endpoint: &str, ca: Option<PathBuf>) -> anyhow::Result<SdkTracerProvider> {
    let mut exporter = opentelemetry_otlp::SpanExporter::builder().with_tonic().with_endpoint(endpoint);
    let invalid = |reason: String| ConfigError { flag: "--otlp-endpoint", reason };
    let uri = endpoint.parse::<Uri>().ok().filter(|uri| uri.host().is_some_and(|host| !host.is_empty()));
    let scheme = uri.as_ref().and_then(Uri::scheme);
    match &uri {
        Some(uri) if scheme == Some(&Scheme::HTTPS) => {
            exporter = exporter.with_channel(secured(uri, ca)?);
        }
        Some(_) if scheme == Some(&Scheme::HTTP) => {
            if ca.is_some() {
                let reason = "--otlp-endpoint is no https:// address: it would have no effect".to_owned();
                return Err(ConfigError { flag: "--otlp-ca", reason }.into());
            }
        }
        // The exporter takes other schemes for plain text, and says of none that a feature of it is missing.
        Some(_) | None => {
            return Err(invalid("it has the form http://HOST:4317 or https://HOST:PORT".to_owned()).into());
        }
    }
    let exporter = exporter.build().map_err(|error| invalid(error.to_string()))?;
    let resource = Resource::builder().with_service_name(name).build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}

/// Whether this process records traces: what only they show of a span need not be made otherwise.
pub fn records_traces() -> bool {
    RECORDS.load(Ordering::Relaxed)
}

/// A channel with TLS to `endpoint`, which `ca` vouches for, or the authorities of this machine.
fn secured(endpoint: &Uri, ca: Option<PathBuf>) -> Result<Channel, ConfigError> {
    let invalid = |reason: String| ConfigError { flag: "--otlp-endpoint", reason };
    let args = UpstreamTlsArgs { upstream_tls_ca: ca, ..UpstreamTlsArgs::default() };
    let opened = args.open(&tls::Metrics::default());
    let (tls, _) = opened.map_err(|error| ConfigError { flag: "--otlp-ca", ..error })?;
    let host = endpoint.host().ok_or_else(|| invalid("it has no host".to_owned()))?;
    let authority = format!("{host}:{}", endpoint.port_u16().unwrap_or(HTTPS_PORT));
    let connector = tls.connector(authority.clone(), host.trim_matches(['[', ']']));
    let connector = connector.map_err(|error| invalid(format!("{host}: {error}")))?;
    let channel = Endpoint::from_shared(format!("http://{authority}"));
    let channel = channel.map_err(|error| invalid(error.to_string()))?.origin(endpoint.clone());
    Ok(channel.connect_timeout(EXPORT_TIMEOUT).timeout(EXPORT_TIMEOUT).connect_with_connector_lazy(connector))
}

/// Makes `span` a child of the span that the sender of `headers` was in, if it said so.
pub fn continue_trace(span: &Span, headers: &HeaderMap) {
    if !records_traces() || !headers.contains_key(TRACE_PARENT) {
        return;
    }
    let parent = global::get_text_map_propagator(|propagator| propagator.extract(&HeaderReader(headers)));
    if parent.span().span_context().is_valid() {
        // Fails only when the span is not recorded, and then there is nothing to continue.
        let _ = span.set_parent(parent);
    }
}

/// Adds to `headers` the current span, for the receiver to continue.
pub fn propagate_trace(headers: &mut HeaderMap) {
    if !records_traces() {
        return;
    }
    let context = Span::current().context();
    global::get_text_map_propagator(|propagator| {
        propagator.inject_context(&context, &mut HeaderWriter(headers));
    });
}

/// The id of the current trace as 32 hex digits; `None` where traces are not recorded.
pub fn trace_id() -> Option<String> {
    let context: Context = Span::current().context();
    let span = context.span();
    let context = span.span_context();
    context.is_valid().then(|| context.trace_id().to_string())
}

struct HeaderReader<'a>(&'a HeaderMap);

impl Extractor for HeaderReader<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

struct HeaderWriter<'a>(&'a mut HeaderMap);

impl Injector for HeaderWriter<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(name), Ok(value)) = (key.parse::<http::HeaderName>(), value.parse()) {
            self.0.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use mesher_testing::Authority;
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

    use super::*;
    use crate::{server::ServerBuilder, tls::ListenerTlsArgs};

    #[tokio::test]
    async fn a_receiver_with_tls_has_to_be_vouched_for() {
        let (authority, foreign) = (Authority::new("ours"), Authority::new("another's"));
        authority.issue("receiver", "127.0.0.1", 3000);
        let tls = ListenerTlsArgs {
            tls_cert: Some(authority.file("receiver.crt")),
            tls_key: Some(authority.file("receiver.key")),
            ..ListenerTlsArgs::default()
        };
        let any = "127.0.0.1:0".parse().unwrap();
        let receiver = ServerBuilder::bind("receiver", any, any, &tls).await.unwrap().start().await.unwrap();
        let endpoint = format!("https://{}", receiver.address("grpc").unwrap()).parse().unwrap();
        for (of, is_trusted) in [(&authority, true), (&foreign, false)] {
            let channel = secured(&endpoint, Some(of.file("ca.pem"))).unwrap();
            let answer = HealthClient::new(channel).check(HealthCheckRequest::default()).await;
            assert_eq!(answer.is_ok(), is_trusted, "{answer:?}");
        }
        receiver.shutdown().await.unwrap();
    }

    #[tokio::test]
    async fn what_is_no_address_of_a_receiver_is_refused() {
        for endpoint in ["localhost:4317", "ftp://x", "https://", "http://:4317", "/traces", ""] {
            let error = provider("test", endpoint, None).unwrap_err();
            let error = error.downcast::<ConfigError>().unwrap().to_string();
            assert!(
                error.contains("--otlp-endpoint") && error.contains("http://HOST:4317"),
                "{endpoint}: {error}"
            );
        }
        for endpoint in ["http://localhost:4317", "http://[::1]:4317/"] {
            provider("test", endpoint, None).unwrap();
        }
    }

    #[tokio::test]
    async fn authorities_that_cannot_be_used_are_named() {
        let missing = || Some(PathBuf::from("/nowhere/ca.pem"));
        for (endpoint, told) in [
            ("https://127.0.0.1:4317", "/nowhere/ca.pem cannot be read"),
            ("http://127.0.0.1:4317", "it would have no effect"),
        ] {
            let error = provider("test", endpoint, missing()).unwrap_err().to_string();
            assert!(error.contains("--otlp-ca") && error.contains(told), "{error}");
        }
    }
}
