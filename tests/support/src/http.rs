//! The HTTP client of the tests.

use std::sync::Once;

/// Begins to make a client that goes straight to the servers of the tests, whatever proxy the environment names.
pub fn http_client() -> reqwest::ClientBuilder {
    // In a build of the whole workspace reqwest has TLS, for fetching PostgreSQL, but no cryptography of its own; no
    // client is made without, even if it never speaks TLS.
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // Fails only if there is one already.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    reqwest::Client::builder().no_proxy()
}
