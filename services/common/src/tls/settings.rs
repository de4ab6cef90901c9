//! What rustls is told, made of what is in the files.

use std::{
    path::Path,
    sync::{Arc, LazyLock},
};

use rustls::{
    ClientConfig, ServerConfig,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer},
    server::{NoServerSessionStorage, WebPkiClientVerifier},
};

use super::files::{Contents, Files, Pair, TlsError, authorities, certificates, key, system_authorities};

/// HTTP/2, by its name in ALPN: what gRPC is spoken over.
pub const HTTP_2: &[u8] = b"h2";
/// HTTP/1.1, by its name in ALPN.
pub const HTTP_1_1: &[u8] = b"http/1.1";

/// What files are for, which is how their flags begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Listener,
    Upstream,
}

impl Role {
    pub(super) fn cert_flag(self) -> &'static str {
        match self {
            Self::Listener => "--tls-cert",
            Self::Upstream => "--upstream-tls-cert",
        }
    }

    pub(super) fn key_flag(self) -> &'static str {
        match self {
            Self::Listener => "--tls-key",
            Self::Upstream => "--upstream-tls-key",
        }
    }

    pub(super) fn authorities_flag(self) -> &'static str {
        match self {
            Self::Listener => "--tls-client-ca",
            Self::Upstream => "--upstream-tls-ca",
        }
    }

    /// The flag whose file an error is about.
    pub(super) fn flag_of(self, error: &TlsError, files: &Files) -> &'static str {
        match error {
            TlsError::Mismatch { .. } => self.key_flag(),
            TlsError::NoAuthorities | TlsError::Provider(_) => self.authorities_flag(),
            TlsError::Read { path, .. } | TlsError::Large { path } | TlsError::Content { path, .. } => {
                match &files.pair {
                    Some(pair) if pair.cert == *path => self.cert_flag(),
                    Some(pair) if pair.key == *path => self.key_flag(),
                    _ => self.authorities_flag(),
                }
            }
        }
    }

    /// What it is called in the log and in the metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Listener => "listener",
            Self::Upstream => "upstream",
        }
    }
}

/// The one provider of cryptography: it is passed, so that none has to be installed in the process.
fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(rustls::crypto::ring::default_provider()));
    Arc::clone(&PROVIDER)
}

/// A listener's settings: its certificate, whose clients' it demands, and what is spoken.
pub(super) fn server_config(
    pair: &Pair,
    clients: Option<&Path>,
    contents: &Contents,
    protocols: &[&[u8]],
) -> Result<ServerConfig, TlsError> {
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let builder = builder.map_err(TlsError::Provider)?;
    let demands_certificates = clients.is_some();
    let builder = match clients {
        Some(path) => {
            let roots = Arc::new(authorities(path, &contents.authorities)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build();
            builder.with_client_cert_verifier(verifier.map_err(|error| TlsError::Content {
                path: path.to_owned(),
                what: "authority's certificate",
                why: error.to_string(),
            })?)
        }
        None => builder.with_no_client_auth(),
    };
    let (chain, key) = read_pair(pair, contents)?;
    let mut config = builder.with_single_cert(chain, key).map_err(|error| unfit(pair, &error))?;
    if demands_certificates {
        // A connection that goes on where another ended does not look at the client's certificate again.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(config)
}

/// A gRPC client's settings: whom it trusts, and its own certificate.
pub(super) fn client_config(
    pair: Option<&Pair>,
    trusted: Option<&Path>,
    contents: &Contents,
) -> Result<ClientConfig, TlsError> {
    let roots = match trusted {
        Some(path) => authorities(path, &contents.authorities)?,
        None => system_authorities()?,
    };
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let builder = builder.map_err(TlsError::Provider)?.with_root_certificates(roots);
    let mut config = match pair {
        Some(pair) => {
            let (chain, key) = read_pair(pair, contents)?;
            builder.with_client_auth_cert(chain, key).map_err(|error| unfit(pair, &error))?
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![HTTP_2.to_vec()];
    Ok(config)
}

fn read_pair(
    pair: &Pair,
    contents: &Contents,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
    Ok((certificates(&pair.cert, &contents.cert)?, key(&pair.key, &contents.key)?))
}

/// What rustls has against a certificate and its key.
fn unfit(pair: &Pair, error: &rustls::Error) -> TlsError {
    let content =
        |path: &Path, what| TlsError::Content { path: path.to_owned(), what, why: error.to_string() };
    match error {
        rustls::Error::InconsistentKeys(_) => {
            TlsError::Mismatch { cert: pair.cert.clone(), key: pair.key.clone() }
        }
        rustls::Error::InvalidCertificate(_) => content(&pair.cert, "certificate"),
        // What is left is said of a key that is of no kind that could be used.
        _ => content(&pair.key, "private key"),
    }
}
