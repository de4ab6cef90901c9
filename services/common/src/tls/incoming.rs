//! Taking connections in, with their handshakes, for a gRPC server. (The gateway's server takes its own in.)

use std::{collections::VecDeque, io, panic::resume_unwind, sync::Arc, time::Duration};

use futures_util::{Stream, stream};
use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{AbortHandle, JoinError, JoinSet},
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, TlsStream};

use super::{
    metrics::{Failed, Metrics},
    transport::Transport,
};

/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// The most handshakes at once. When there are more, the oldest is broken off: whoever is slow makes room.
const MAX_HANDSHAKES: usize = 1024;
/// How long to wait when connections cannot be accepted, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What does the handshakes of a listener, each with what its files had last; cheap to clone.
#[derive(Clone, Debug)]
pub struct Acceptor {
    config: watch::Receiver<Arc<ServerConfig>>,
    metrics: Metrics,
}

impl Acceptor {
    pub(super) fn new(config: watch::Receiver<Arc<ServerConfig>>, metrics: &Metrics) -> Self {
        Self { config, metrics: metrics.clone() }
    }

    /// Does the handshake of a connection, however long it takes. What came to nothing is counted.
    pub async fn accept(&self, tcp: TcpStream) -> io::Result<Transport> {
        let config = Arc::clone(&self.config.borrow());
        match TlsAcceptor::from(config).accept(tcp).await {
            Ok(tls) => Ok(Transport::Tls(Box::new(TlsStream::Server(tls)))),
            Err(error) => {
                self.metrics.handshake(Failed::Refused);
                Err(error)
            }
        }
    }

    /// What it has now, and will have.
    #[cfg(test)]
    pub(super) fn config(&self) -> watch::Receiver<Arc<ServerConfig>> {
        self.config.clone()
    }

    /// Where handshakes that come to nothing are counted.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }
}

/// The connections that come to `listener`, with TLS if there is an `acceptor`. Handshakes are done beside each other, and
/// keep nobody waiting.
pub fn incoming(
    listener: TcpListener,
    acceptor: Option<Acceptor>,
) -> impl Stream<Item = io::Result<Transport>> + Send {
    let incoming = Incoming { listener, acceptor, handshakes: JoinSet::new(), by_age: VecDeque::new() };
    stream::unfold(incoming, async |mut incoming| Some((Ok(incoming.next().await), incoming)))
}

struct Incoming {
    listener: TcpListener,
    acceptor: Option<Acceptor>,
    handshakes: JoinSet<Option<Transport>>,
    /// Those that began first come first; some may have ended.
    by_age: VecDeque<AbortHandle>,
}

impl Incoming {
    async fn next(&mut self) -> Transport {
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((tcp, _)) => {
                        // Answers are written whole: to wait for more would only delay them.
                        let _ = tcp.set_nodelay(true);
                        match self.acceptor.clone() {
                            Some(acceptor) => self.begin(acceptor, tcp),
                            None => return Transport::Plain(tcp),
                        }
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(ended) = self.handshakes.join_next() => {
                    if let Some(transport) = result(ended) {
                        return transport;
                    }
                }
            }
        }
    }

    fn begin(&mut self, acceptor: Acceptor, tcp: TcpStream) {
        if self.by_age.len() >= MAX_HANDSHAKES {
            self.by_age.retain(|handshake| !handshake.is_finished());
        }
        if self.by_age.len() >= MAX_HANDSHAKES
            && let Some(oldest) = self.by_age.pop_front()
        {
            acceptor.metrics.handshake(Failed::PushedOut);
            oldest.abort();
        }
        self.by_age.push_back(self.handshakes.spawn(handshake(acceptor, tcp)));
    }
}

async fn handshake(acceptor: Acceptor, tcp: TcpStream) -> Option<Transport> {
    let peer = tcp.peer_addr().ok();
    match timeout(HANDSHAKE_TIMEOUT, acceptor.accept(tcp)).await {
        Ok(Ok(transport)) => Some(transport),
        Ok(Err(error)) => {
            tracing::debug!(?peer, %error, "a handshake failed");
            None
        }
        Err(_) => {
            acceptor.metrics.handshake(Failed::Late);
            tracing::debug!(?peer, limit = ?HANDSHAKE_TIMEOUT, "a handshake took too long");
            None
        }
    }
}

/// What a handshake came to. One that was broken off came to nothing; one that panicked is a bug, and the server's end.
fn result(ended: Result<Option<Transport>, JoinError>) -> Option<Transport> {
    match ended {
        Ok(transport) => transport,
        Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
        Err(_) => None,
    }
}
