//! The settings of TLS.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, builder::BoolishValueParser};

use super::{
    connect::UpstreamTls,
    files::{Contents, Files, Pair},
    incoming::Acceptor,
    metrics::Metrics,
    reload::Reloader,
    settings::{Role, client_config, server_config},
};
use crate::config::ConfigError;

/// How a listener proves who it is, and whether clients have to.
#[derive(Args, Clone, Debug, Default)]
pub struct ListenerTlsArgs {
    /// A file with the certificate to serve TLS with, in PEM, followed by those between it and its authority's. It is read
    /// again when it changes, here and below. Without one, plain text is served.
    #[arg(long, env = "MESHER_TLS_CERT", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// A file with the certificate's private key, in PEM.
    #[arg(long, env = "MESHER_TLS_KEY", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// A file with certificates of authorities, in PEM. Clients are refused that have no certificate of one of them.
    #[arg(long, env = "MESHER_TLS_CLIENT_CA", requires = "tls_cert")]
    pub tls_client_ca: Option<PathBuf>,
    /// Allow plain text on addresses that other machines reach. Whoever is on the way can read and change it: passwords,
    /// sessions, keys, events.
    #[arg(long, env = "MESHER_INSECURE", value_parser = BoolishValueParser::new())]
    pub insecure: bool,
}

impl ListenerTlsArgs {
    /// Plain text, which is allowed anywhere if `insecure` is.
    pub fn plain_text(insecure: bool) -> Self {
        Self { insecure, ..Self::default() }
    }

    /// Refuses to serve `address`, which `flag` names, in plain text where other machines could reach it.
    pub fn check(&self, flag: &'static str, address: SocketAddr) -> Result<(), ConfigError> {
        if self.tls_cert.is_some() || self.insecure || address.ip().to_canonical().is_loopback() {
            return Ok(());
        }
        Err(ConfigError {
            flag,
            reason: format!(
                "{address} is within reach of other machines, and without TLS whoever is on the way reads along: \
                 give a certificate with --tls-cert and --tls-key, or listen on 127.0.0.1:{}, or, where the network \
                 itself is safe, say --insecure (MESHER_INSECURE=true)",
                address.port()
            ),
        })
    }

    /// Reads the files, with what reads them again; nothing where plain text is served. `protocols` are what is spoken, by
    /// their names in ALPN, the preferred one first.
    pub fn open(
        &self,
        protocols: &'static [&'static [u8]],
        metrics: &Metrics,
    ) -> Result<Option<(Acceptor, Reloader)>, ConfigError> {
        let (Some(cert), Some(key)) = (self.tls_cert.clone(), self.tls_key.clone()) else { return Ok(None) };
        let pair = Pair { cert, key };
        let clients = self.tls_client_ca.clone();
        let files = Files { pair: Some(pair.clone()), authorities: clients.clone() };
        let make = move |contents: &Contents| server_config(&pair, clients.as_deref(), contents, protocols);
        let (config, reloader) = Reloader::open(Role::Listener, files, make, metrics)?;
        Ok(Some((Acceptor::new(config, metrics), reloader)))
    }
}

/// Whom the client of other services trusts, and how it proves who it is.
#[derive(Args, Clone, Debug, Default)]
pub struct UpstreamTlsArgs {
    /// A file with the certificates of the authorities that vouch for services at https:// addresses, in PEM. It is read
    /// again when it changes, here and below. [default: the authorities that this machine trusts]
    #[arg(long, env = "MESHER_UPSTREAM_TLS_CA")]
    pub upstream_tls_ca: Option<PathBuf>,
    /// A file with the certificate by which services know who calls, in PEM: for those that demand one.
    #[arg(long, env = "MESHER_UPSTREAM_TLS_CERT", requires = "upstream_tls_key")]
    pub upstream_tls_cert: Option<PathBuf>,
    /// A file with that certificate's private key, in PEM.
    #[arg(long, env = "MESHER_UPSTREAM_TLS_KEY", requires = "upstream_tls_cert")]
    pub upstream_tls_key: Option<PathBuf>,
}

impl UpstreamTlsArgs {
    /// The first of the flags that is given.
    pub fn given(&self) -> Option<&'static str> {
        match self {
            Self { upstream_tls_ca: Some(_), .. } => Some(Role::Upstream.authorities_flag()),
            Self { upstream_tls_cert: Some(_), .. } => Some(Role::Upstream.cert_flag()),
            Self { .. } => None,
        }
    }

    /// Reads the files, with what reads them again.
    pub fn open(&self, metrics: &Metrics) -> Result<(UpstreamTls, Reloader), ConfigError> {
        let pair = self.upstream_tls_cert.clone().zip(self.upstream_tls_key.clone());
        let pair = pair.map(|(cert, key)| Pair { cert, key });
        let trusted = self.upstream_tls_ca.clone();
        let files = Files { pair: pair.clone(), authorities: trusted.clone() };
        let make = move |contents: &Contents| client_config(pair.as_ref(), trusted.as_deref(), contents);
        let (config, reloader) = Reloader::open(Role::Upstream, files, make, metrics)?;
        Ok((UpstreamTls::new(config), reloader))
    }
}
