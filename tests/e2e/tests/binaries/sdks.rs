//! Unmodified SDKs of Sentry, which know nothing of Mesher but the DSN that it gives out.

use std::{
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use mesher_testing::{http_client, tool};
use sentry::transports::ReqwestHttpTransportOptions;
use serde_json::{Value, json};

use crate::running::{Answer, PATIENCE, Running};

/// A project with people's means to look at it.
pub(crate) struct Shop {
    pub(crate) running: Running,
    pub(crate) token: String,
    pub(crate) project: String,
    pub(crate) dsn: String,
}

impl Shop {
    async fn open() -> Self {
        Self::open_with("{}").await
    }

    /// Opens it with a key that was made by this request.
    pub(crate) async fn open_with(key: &str) -> Self {
        let running = Running::start().await;
        let token = running.token("ada@example.com").await;
        let (_, project, _) = running.project(&token).await;
        let created = running.post(&format!("/v1/projects/{project}/api-keys"), &token, key).await;
        let dsn = created.text("/dsn");
        Self { running, token, project, dsn }
    }

    /// Stores what was sent, and reads an event back.
    pub(crate) async fn event(&self, id: &str) -> Answer {
        let path = format!("/v1/projects/{}/events", self.project);
        self.running.post(&format!("{path}:flush"), &self.token, "{}").await;
        let event = self.running.get(&format!("{path}/{id}"), &self.token).await;
        assert_eq!(event.status, 200, "{id} was not stored: {event:?}");
        event
    }
}

/// Runs a program that sends an event and prints its id.
async fn send(tool: &Path, script: &str, dsn: &str) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("sdks").join(script);
    let mut command = Command::new(tool);
    command.arg(script).arg(dsn).stdin(Stdio::null());
    // SDKs would go through them, and they lead nowhere from here.
    for variable in ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        command.env_remove(variable);
    }
    let ran = tokio::task::spawn_blocking(move || command.output());
    let ran = tokio::time::timeout(PATIENCE, ran).await.unwrap().unwrap().unwrap();
    let (id, errors) = (String::from_utf8(ran.stdout).unwrap(), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success() && !id.trim().is_empty(), "{id} {errors}");
    id.trim().to_owned()
}

/// The functions of all stack traces in an event.
fn functions(value: &Value) -> Vec<&str> {
    match value {
        Value::Array(values) => values.iter().flat_map(functions).collect(),
        Value::Object(fields) => {
            let own = fields.get("function").and_then(Value::as_str);
            own.into_iter().chain(fields.values().flat_map(functions)).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

/// Fails unless the event has all that the program said.
#[track_caller]
pub(crate) fn expect_whole(event: &Answer, exception: &str, sdk: &str) {
    let payload = |pointer: &str| event.body.pointer(&format!("/payload{pointer}")).unwrap_or(&Value::Null);
    let values = payload("/exception/values").as_array().or(payload("/exception").as_array());
    let thrown =
        values.and_then(|values| values.last()).unwrap_or_else(|| panic!("no exception in {event:?}"));
    assert_eq!((&thrown["type"], &thrown["value"]), (&json!(exception), &json!("cannot charge 12")));
    // Some have the stack trace with the exception, some with the thread.
    let functions = functions(&event.body["payload"]);
    assert!(functions.iter().any(|function| function.rsplit("::").next() == Some("charge")), "{event:?}");
    assert_eq!(payload("/release"), "shop@1.2.3");
    assert_eq!(payload("/environment"), "test");
    assert_eq!((payload("/user/id"), payload("/user/email")), (&json!("7"), &json!("ada@example.com")));
    let breadcrumbs = payload("/breadcrumbs/values").as_array().or(payload("/breadcrumbs").as_array());
    let breadcrumb = breadcrumbs.into_iter().flatten().find(|breadcrumb| breadcrumb["category"] == "cart");
    assert_eq!(breadcrumb.unwrap()["message"], "put a book into the cart");

    // And as columns, by which events are found.
    for (pointer, expected) in [
        ("/event/exceptionType", exception),
        ("/event/exceptionValue", "cannot charge 12"),
        ("/event/release", "shop@1.2.3"),
        ("/event/environment", "test"),
        ("/event/tags/payment", "card"),
        ("/event/level", "LEVEL_ERROR"),
    ] {
        assert_eq!(event.text(pointer), expected, "{pointer}");
    }
    assert!(event.text("/event/sdkName").starts_with(sdk), "{event:?}");
}

#[tokio::test]
async fn sdks_for_python_send_events_by_dsn_alone() {
    let mut shop = None;
    for (command, script, sdk) in [
        ("python-with-sentry", "with_sentry_sdk.py", "sentry.python"),
        ("python-with-old-sentry", "with_sentry_sdk.py", "sentry.python"),
        ("python-with-raven", "with_raven.py", "raven-python"),
    ] {
        let Some(tool) = tool(command, "an unmodified SDK") else { continue };
        if shop.is_none() {
            shop = Some(Shop::open().await);
        }
        let Some(shop) = &shop else { continue };
        let id = send(&tool, script, &shop.dsn).await;
        expect_whole(&shop.event(&id).await, "ValueError", sdk);
    }
}

#[tokio::test]
async fn the_sdk_for_node_sends_events_by_dsn_alone() {
    let Some(tool) = tool("node-with-sentry", "an unmodified SDK") else { return };
    let shop = Shop::open().await;
    let id = send(&tool, "with_sentry_node.cjs", &shop.dsn).await;
    expect_whole(&shop.event(&id).await, "TypeError", "sentry.javascript.node");
}

#[derive(Debug)]
struct CannotCharge(u32);

impl std::fmt::Display for CannotCharge {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "cannot charge {}", self.0)
    }
}

impl std::error::Error for CannotCharge {}

/// The SDK's own way to send, but for the proxy that the environment may name.
struct PastProxies;

impl sentry::TransportFactory for PastProxies {
    fn create_transport_with_options(&self, options: sentry::TransportOptions) -> Arc<dyn sentry::Transport> {
        let client = http_client().build().unwrap();
        Arc::new(ReqwestHttpTransportOptions::from(options).with_client(client).build())
    }
}

/// What an application with the crate does; the id of the event.
#[inline(never)]
fn charge(dsn: &str) -> String {
    let options = sentry::ClientOptions::new()
        .release("shop@1.2.3")
        .environment("test")
        .attach_stacktrace(true)
        .transport(PastProxies);
    let guard = sentry::init((dsn, options));
    sentry::configure_scope(|scope| {
        scope.set_user(Some(sentry::User {
            id: Some("7".to_owned()),
            email: Some("ada@example.com".to_owned()),
            ..Default::default()
        }));
        scope.set_tag("payment", "card");
    });
    sentry::add_breadcrumb(sentry::Breadcrumb {
        category: Some("cart".to_owned()),
        message: Some("put a book into the cart".to_owned()),
        ..Default::default()
    });
    let id = sentry::capture_error(&CannotCharge(12));
    assert!(guard.flush(Some(PATIENCE)));
    id.to_string()
}

#[tokio::test]
async fn the_sdk_for_rust_sends_events_by_dsn_alone() {
    let shop = Shop::open().await;
    let dsn = shop.dsn.clone();
    let id = tokio::task::spawn_blocking(move || charge(&dsn)).await.unwrap();
    expect_whole(&shop.event(&id).await, "CannotCharge", "sentry.rust");
}
