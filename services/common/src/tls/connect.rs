//! The connections of a gRPC client, with TLS.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig,
    pki_types::{InvalidDnsNameError, ServerName},
};
use tokio::{net::TcpStream, sync::watch};
use tokio_rustls::{TlsConnector, TlsStream};
use tower::Service;

use super::transport::Transport;

/// Whom a client trusts, and its own certificate; cheap to clone. Each connection is made with what the files had last.
#[derive(Clone, Debug)]
pub struct UpstreamTls(watch::Receiver<Arc<ClientConfig>>);

impl UpstreamTls {
    pub(super) fn new(config: watch::Receiver<Arc<ClientConfig>>) -> Self {
        Self(config)
    }

    /// What makes connections to `address`, HOST:PORT, where a server has to prove that it is `name`: the name of a host, or
    /// an IP address without brackets.
    pub fn connector(&self, address: String, name: &str) -> Result<Connector, InvalidDnsNameError> {
        Ok(Connector { tls: self.clone(), address, name: ServerName::try_from(name)?.to_owned() })
    }
}

/// What makes connections to one server, for a [`tonic::transport::Endpoint`]; the URI that it is called with does not matter.
#[derive(Clone, Debug)]
pub struct Connector {
    tls: UpstreamTls,
    address: String,
    name: ServerName<'static>,
}

impl Connector {
    async fn connect(self) -> io::Result<TokioIo<Transport>> {
        let tcp = TcpStream::connect(&self.address).await?;
        // Calls are written whole: to wait for more would only delay them.
        tcp.set_nodelay(true)?;
        let config = Arc::clone(&self.tls.0.borrow());
        let tls = TlsConnector::from(config).connect(self.name, tcp).await?;
        Ok(TokioIo::new(Transport::Tls(Box::new(TlsStream::Client(tls)))))
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Transport>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<TokioIo<Transport>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        Box::pin(self.clone().connect())
    }
}
