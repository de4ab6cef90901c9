//! The HTTP server: versions 1.1 and 2 on one port, with TLS or without, a bounded number of connections that are bounded in what
//! they take, and an end in order.
//!
//! Nobody holds a place for doing nothing: a connection that sends no request, or does not take its answer, is closed in
//! time; and at once when somebody comes for whom there is no place, and it is idle. Where all are busy, whoever comes is
//! answered with status 503, and does not wait in a queue.

mod metrics;
mod places;
mod stream;
mod watch;

use std::{convert::Infallible, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use http::Request;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use mesher_common::tls::{Acceptor, Failed, Transport};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

pub(crate) use self::metrics::Metrics;
use self::{
    metrics::Closed,
    places::{Place, Places},
    stream::Stream,
    watch::{Answer, Outstayed, Times, Watch},
};
use crate::{config::LimitArgs, gateway::Gateway};

/// The most bytes of headers, the request line included.
const MAX_HEADERS: usize = 32 << 10;
/// The most headers of HTTP/1.1.
const MAX_HEADER_COUNT: usize = 100;
/// How often an HTTP/2 connection is probed, so that peers that vanished do not hold on to resources.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// The most requests at once on one HTTP/2 connection.
const MAX_STREAMS: u32 = 256;
/// The most requests that an HTTP/2 client may have taken back before they were looked at, and the most that were broken
/// off for its faults, before the connection is: work that is asked for in vain is an attack.
const MAX_RESETS: usize = 20;
const MAX_FAULTS: usize = 100;
/// How long a client may take to take its answer, beyond the time that its request may take.
const ANSWER_TIME: Duration = Duration::from_mins(1);
/// How long a connection without requests stays that is told to go, so that it hears of it.
const FAREWELL: Duration = Duration::from_secs(1);
/// The same for one whose place is wanted, which is long enough to tell it.
const WORD: Duration = Duration::from_millis(20);
/// The most connections without a place, which are told so; more are closed without a word.
const MAX_AT_DOOR: usize = 64;
/// How long one of them waits for the place of another that was told to go.
const DOOR_TIME: Duration = Duration::from_secs(1);
/// How long it may take to ask for something, and to take the answer that there is no room.
const ASK_TIME: Duration = Duration::from_secs(5);
/// How long to wait when connections cannot be accepted, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where connections come from, with what does their handshakes if they are to have TLS.
pub(crate) struct Listener {
    pub(crate) tcp: TcpListener,
    pub(crate) acceptor: Option<Acceptor>,
}

/// What serves connections.
struct Server {
    acceptor: Option<Acceptor>,
    gateway: Arc<Gateway>,
    places: Places,
    door: Arc<Semaphore>,
    times: Times,
    metrics: Metrics,
    builder: Builder<TokioExecutor>,
    stop: CancellationToken,
}

/// Serves until `stop` is cancelled, and then until the requests in hand are answered.
pub(crate) async fn serve(
    Listener { tcp: listener, acceptor }: Listener,
    gateway: Arc<Gateway>,
    limits: LimitArgs,
    metrics: Metrics,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let times = Times {
        head: limits.header_timeout,
        idle: limits.idle_timeout,
        request: limits.request_timeout + ANSWER_TIME,
    };
    let server = Arc::new(Server {
        acceptor,
        gateway,
        places: Places::new(usize::try_from(limits.max_connections)?),
        door: Arc::new(Semaphore::new(MAX_AT_DOOR)),
        times,
        metrics,
        builder: builder(&times),
        stop: stop.clone(),
    });
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((tcp, peer)) => server.receive(tcp, peer, &mut connections),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
    Ok(())
}

fn builder(times: &Times) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // The watch is more exact, unless requests come in one piece.
        .header_read_timeout(times.idle.max(times.head))
        .max_headers(MAX_HEADER_COUNT)
        .max_buf_size(MAX_HEADERS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE)
        .max_concurrent_streams(MAX_STREAMS)
        .max_pending_accept_reset_streams(MAX_RESETS)
        .max_local_error_reset_streams(MAX_FAULTS)
        .max_header_list_size(u32::try_from(MAX_HEADERS).unwrap_or(u32::MAX));
    builder
}

impl Server {
    /// Serves a connection, or turns it away.
    fn receive(self: &Arc<Self>, tcp: TcpStream, peer: SocketAddr, connections: &mut JoinSet<()>) {
        // Answers are written whole: to wait for more would only delay them.
        let _ = tcp.set_nodelay(true);
        let server = Arc::clone(self);
        if let Some(place) = self.places.take() {
            connections.spawn(async move { server.serve(tcp, peer, place).await });
        } else if let Ok(at_door) = Arc::clone(&self.door).try_acquire_owned() {
            connections.spawn(async move {
                let place = if server.places.close_one() {
                    timeout(DOOR_TIME, server.places.wait()).await.ok().flatten()
                } else {
                    None
                };
                if let Some(place) = place {
                    drop(at_door);
                    server.serve(tcp, peer, place).await;
                } else {
                    server.metrics.close(Closed::NoRoom);
                    server.turn_away(tcp).await;
                }
            });
        } else {
            self.metrics.close(Closed::NoRoom);
        }
    }

    async fn serve(&self, tcp: TcpStream, peer: SocketAddr, place: Place) {
        self.metrics.open.inc();
        if let Some(reason) = self.watched(tcp, peer, place).await {
            tracing::debug!(%peer, ?reason, "a connection was closed");
            self.metrics.close(reason);
        }
        self.metrics.open.dec();
    }

    /// Serves a connection until it ends, or has outstayed something.
    async fn watched(&self, tcp: TcpStream, peer: SocketAddr, place: Place) -> Option<Closed> {
        let watch = Watch::new(place, self.times);
        let transport = match self.shaken(tcp, peer, &watch).await {
            Ok(transport) => transport,
            Err(reason) => return reason,
        };
        let is_tls = transport.is_tls();
        let service = service_fn(|request: Request<Incoming>| {
            let in_hand = watch.begin();
            let gateway = Arc::clone(&self.gateway);
            async move {
                let answer = gateway.handle(request, peer, is_tls).await;
                Ok::<_, Infallible>(answer.map(|body| Answer::new(body, in_hand)))
            }
        });
        let stream = TokioIo::new(Stream { transport, watch: Arc::clone(&watch) });
        let mut connection = pin!(self.builder.serve_connection(stream, service));
        // Why it was told to go, and how long it may stay then without a request.
        let mut told: Option<(Option<Closed>, Instant)> = None;
        loop {
            let (mut until, outstayed) = watch.until();
            if let Some((_, farewell)) = told
                && outstayed != Outstayed::Request
            {
                until = farewell;
            }
            let now = Instant::now();
            let (why, farewell) = if now < until {
                tokio::select! {
                    biased;
                    ended = connection.as_mut() => {
                        if let Err(error) = ended {
                            tracing::debug!(%peer, %error, "a connection broke");
                        }
                        return told.and_then(|(why, _)| why);
                    }
                    () = watch.place().wanted().cancelled(), if told.is_none() => (Some(Closed::Wanted), WORD),
                    () = self.stop.cancelled(), if told.is_none() => (None, FAREWELL),
                    // What it does may change before that is over.
                    () = sleep_until(until.min(now + self.times.shortest())) => continue,
                }
            } else {
                let reason = Some(Closed::Outstayed(outstayed));
                match told {
                    Some((why, _)) if outstayed != Outstayed::Request => return why,
                    None if outstayed == Outstayed::Idle => (reason, FAREWELL),
                    _ => return reason,
                }
            };
            connection.as_mut().graceful_shutdown();
            told = Some((why, Instant::now() + farewell));
        }
    }

    /// The connection after its handshake, if it is to have one: within the time until the first byte of a request, and while
    /// nobody wants its place. Otherwise why there is none, where that was not the client's doing.
    async fn shaken(
        &self,
        tcp: TcpStream,
        peer: SocketAddr,
        watch: &Watch,
    ) -> Result<Transport, Option<Closed>> {
        let Some(acceptor) = &self.acceptor else { return Ok(Transport::Plain(tcp)) };
        let (until, outstayed) = watch.until();
        tokio::select! {
            biased;
            shaken = acceptor.accept(tcp) => shaken.map_err(|error| {
                tracing::debug!(%peer, %error, "a handshake failed");
                None
            }),
            () = watch.place().wanted().cancelled() => Err(Some(Closed::Wanted)),
            () = self.stop.cancelled() => Err(None),
            () = sleep_until(until) => {
                acceptor.metrics().handshake(Failed::Late);
                Err(Some(Closed::Outstayed(outstayed)))
            }
        }
    }

    /// Tells a client that there is no room for it.
    async fn turn_away(&self, tcp: TcpStream) {
        let service = service_fn(|_: Request<Incoming>| {
            std::future::ready(Ok::<_, Infallible>(self.gateway.no_room()))
        });
        let mut builder = self.builder.clone();
        builder.http1().keep_alive(false);
        let transport = match &self.acceptor {
            // It takes a few ways there and back before a client can ask.
            Some(acceptor) => match timeout(self.times.head, acceptor.accept(tcp)).await {
                Ok(Ok(transport)) => transport,
                _ => return,
            },
            None => Transport::Plain(tcp),
        };
        // Whoever asks for nothing meanwhile need not be told.
        let _ = timeout(ASK_TIME, builder.serve_connection(TokioIo::new(transport), service)).await;
    }
}
