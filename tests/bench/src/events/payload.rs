//! An event as Sentry's SDKs send it.

use serde::{Serialize, Serializer};

/// Names and values, an object in JSON.
pub(super) struct Pairs(pub(super) Vec<(&'static str, String)>);

impl Serialize for Pairs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

#[derive(Serialize)]
pub(super) struct Values<T> {
    pub(super) values: Vec<T>,
}

#[derive(Serialize)]
pub(super) struct Payload<'a> {
    pub(super) event_id: String,
    pub(super) timestamp: String,
    pub(super) platform: &'static str,
    pub(super) level: &'static str,
    pub(super) logger: &'static str,
    pub(super) transaction: &'a str,
    pub(super) server_name: String,
    pub(super) release: String,
    pub(super) environment: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) logentry: Option<LogEntry>,
    pub(super) exception: Values<Exception<'a>>,
    pub(super) breadcrumbs: Values<Crumb>,
    pub(super) tags: Pairs,
    pub(super) user: Pairs,
    pub(super) request: Request,
    pub(super) contexts: Contexts,
    pub(super) sdk: Sdk,
}

#[derive(Serialize)]
pub(super) struct LogEntry {
    pub(super) message: &'static str,
    pub(super) formatted: String,
    pub(super) params: [String; 1],
}

#[derive(Serialize)]
pub(super) struct Exception<'a> {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) value: String,
    pub(super) mechanism: Mechanism,
    pub(super) stacktrace: StackTrace<'a>,
}

#[derive(Serialize)]
pub(super) struct Mechanism {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) handled: bool,
}

#[derive(Serialize)]
pub(super) struct StackTrace<'a> {
    pub(super) frames: Vec<Frame<'a>>,
}

#[derive(Serialize)]
pub(super) struct Frame<'a> {
    pub(super) function: &'static str,
    pub(super) module: &'a str,
    pub(super) filename: &'a str,
    pub(super) lineno: u32,
    pub(super) in_app: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) abs_path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) context_line: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pre_context: Option<[&'static str; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) post_context: Option<[&'static str; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) vars: Option<Pairs>,
}

#[derive(Serialize)]
pub(super) struct Crumb {
    pub(super) timestamp: String,
    pub(super) category: &'static str,
    pub(super) level: &'static str,
    pub(super) message: String,
}

#[derive(Serialize)]
pub(super) struct Request {
    pub(super) method: &'static str,
    pub(super) url: String,
    pub(super) headers: Pairs,
}

#[derive(Serialize)]
pub(super) struct Contexts {
    pub(super) runtime: Named,
    pub(super) os: Named,
    pub(super) device: Device,
}

#[derive(Serialize)]
pub(super) struct Named {
    pub(super) name: &'static str,
    pub(super) version: &'static str,
}

#[derive(Serialize)]
pub(super) struct Device {
    pub(super) arch: &'static str,
    pub(super) processor_count: u32,
    pub(super) memory_size: u64,
}

#[derive(Serialize)]
pub(super) struct Sdk {
    pub(super) name: &'static str,
    pub(super) version: &'static str,
    pub(super) integrations: &'static [&'static str],
}
