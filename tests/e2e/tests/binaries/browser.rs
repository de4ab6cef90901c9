//! An unmodified SDK in a real browser, on a page of another origin.

use std::{
    path::Path,
    process::{Output, Stdio},
    sync::Arc,
};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    routing::{get, post},
};
use mesher_testing::{ScratchDir, tool};
use serde_json::{Value, json};
use tokio::{net::TcpListener, process::Command, sync::watch};

use crate::{
    running::PATIENCE,
    sdks::{Shop, expect_whole},
};

const PAGE: &str = include_str!("../../sdks/with_sentry_browser.html");

/// What the page's server knows.
struct Site {
    script: String,
    /// What the page says became of its events.
    sent: watch::Sender<Option<String>>,
}

/// Serves the page; where.
async fn serve(site: Arc<Site>) -> String {
    let script = |State(site): State<Arc<Site>>| async move {
        ([(header::CONTENT_TYPE, "text/javascript")], site.script.clone())
    };
    let sent = |State(site): State<Arc<Site>>, body: String| async move {
        site.sent.send_replace(Some(body));
    };
    let wait = |State(site): State<Arc<Site>>| async move {
        let _ = site.sent.subscribe().wait_for(Option::is_some).await;
        StatusCode::NO_CONTENT
    };
    let page = || async { ([(header::CONTENT_TYPE, "text/html")], PAGE) };
    let router = Router::new()
        .route("/", get(page))
        .route("/sentry.js", get(script))
        .route("/sent", post(sent))
        .route("/sent.png", get(wait))
        .with_state(site);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, router).await });
    format!("http://{address}")
}

/// Shows a page in Chromium: what became of it is on standard output, and the console on standard error.
pub(crate) async fn show(chromium: &Path, profile: &ScratchDir, url: &str) -> Output {
    let ran = Command::new(chromium)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--disable-dev-shm-usage", "--no-proxy-server", "--enable-logging=stderr"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(["--dump-dom", url])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    tokio::time::timeout(PATIENCE, ran).await.unwrap().unwrap()
}

#[tokio::test]
async fn the_sdk_for_browsers_sends_from_another_origin_and_heeds_the_rate_limit() {
    let Some(browser) = tool("chromium", "an unmodified SDK in a browser") else { return };
    let Some(sdk) = tool("sentry-for-browsers", "an unmodified SDK in a browser") else { return };
    let script = Command::new(sdk).output().await.unwrap().stdout;
    let script = String::from_utf8(script).unwrap();
    let shop = Shop::open_with(r#"{"rateLimit": {"events": 1, "periodSeconds": 86400}}"#).await;
    let (sent, _) = watch::channel(None);
    let site = Arc::new(Site { script, sent });
    let origin = serve(Arc::clone(&site)).await;

    let scratch = ScratchDir::new();
    let ran = show(&browser, &scratch, &format!("{origin}/?{}", shop.dsn)).await;
    let log = String::from_utf8_lossy(&ran.stderr);
    let told = site.sent.borrow().clone().unwrap_or_else(|| panic!("the page told nothing: {log}"));
    assert!(!log.contains("CORS"), "{log}");
    let sent: Value = serde_json::from_str(&told).unwrap();

    // The page may read the answer, and so the SDK heeds it: the third was not sent.
    assert_eq!(
        (&sent[0]["answer"]["statusCode"], &sent[1]["answer"]["statusCode"]),
        (&json!(200), &json!(429))
    );
    let limits = sent[1]["answer"]["headers"]["x-sentry-rate-limits"].as_str().unwrap();
    assert!(limits.ends_with(":error:key:rate_limited"), "{limits}");
    assert_eq!(sent[2]["answer"], json!({}));
    let event = shop.event(sent[0]["id"].as_str().unwrap()).await;
    expect_whole(&event, "TypeError", "sentry.javascript.browser");
    assert_eq!(event.body.pointer("/payload/request/url"), Some(&json!(format!("{origin}/?{}", shop.dsn))));
    let stats = shop.running.get(&format!("/v1/projects/{}/writer-stats", shop.project), &shop.token).await;
    assert_eq!(stats.text("/stats/acceptedCount"), "1");
    assert_eq!(
        stats.body["stats"]["refusals"],
        json!([{ "reason": "ERROR_REASON_RATE_LIMITED", "count": "1" }])
    );
}
