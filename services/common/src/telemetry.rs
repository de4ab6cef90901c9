//! Logs and traces: `tracing` to standard error, and to an OTLP receiver where one is configured. Also what
//! carries a trace from one process to the next (W3C Trace Context).

use std::{
    io::IsTerminal as _,
    sync::atomic::{AtomicBool, Ordering},
};

use anyhow::Context as _;
use http::HeaderMap;
use opentelemetry::{
    Context, global,
    propagation::{Extractor, Injector},
    trace::{TraceContextExt as _, TracerProvider as _},
};
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::{Resource, propagation::TraceContextPropagator, trace::SdkTracerProvider};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::config::{ConfigError, LogFormat, ProcessArgs};

/// The header that carries a trace.
const TRACE_PARENT: &str = "traceparent";

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
        let provider = args.otlp_endpoint.as_deref().map(|endpoint| provider(name, endpoint)).transpose()?;
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
                .with_filter(filter)
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
            .with(log.with_filter(filter))
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

fn provider(name: &'static str, endpoint: &str) -> anyhow::Result<SdkTracerProvider> {
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()
        .map_err(|error| ConfigError { flag: "--otlp-endpoint", reason: error.to_string() })?;
    let resource = Resource::builder().with_service_name(name).build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}

/// Whether this process records traces: what only they show of a span need not be made otherwise.
pub fn records_traces() -> bool {
    RECORDS.load(Ordering::Relaxed)
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
