//! The HTTP server: versions 1.1 and 2 in plain text on one port, a bounded number of connections, and an end in
//! order.

use std::{convert::Infallible, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, Semaphore},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::gateway::Gateway;

/// How long a client may take to send the headers of a request, and how long it may keep an idle connection.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// The most bytes of headers, the request line included.
const MAX_HEADERS: usize = 32 << 10;
/// How often an HTTP/2 connection is probed, so that peers that vanished do not hold on to resources.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// The most requests at once on one HTTP/2 connection.
const MAX_STREAMS: u32 = 256;
/// How long to wait when connections cannot be accepted, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stop` is cancelled, and then until the requests in hand are answered.
pub(crate) async fn serve(
    listener: TcpListener,
    gateway: Arc<Gateway>,
    max_connections: usize,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let room = Arc::new(Semaphore::new(max_connections));
    let mut connections = JoinSet::new();
    loop {
        let accept = async {
            let place = Arc::clone(&room).acquire_owned().await;
            (place, listener.accept().await)
        };
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = accept => match accepted {
                (place, Ok((stream, peer))) => {
                    let served = connection(stream, peer, Arc::clone(&gateway), stop.clone());
                    connections.spawn(async move {
                        served.await;
                        drop(place);
                    });
                }
                (_, Err(error)) => {
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

async fn connection(stream: TcpStream, peer: SocketAddr, gateway: Arc<Gateway>, stop: CancellationToken) {
    // Answers are written whole: to wait for more would only delay them.
    let _ = stream.set_nodelay(true);
    let spoken = Notify::new();
    let service = service_fn(|request: http::Request<Incoming>| {
        spoken.notify_one();
        let gateway = Arc::clone(&gateway);
        async move { Ok::<_, Infallible>(gateway.handle(request, peer).await) }
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(MAX_HEADERS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(MAX_HEADERS).unwrap_or(u32::MAX));
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    // The header timeout of HTTP/1.1 only runs once the version is known.
    let silent = async {
        if tokio::time::timeout(HEADER_TIMEOUT, spoken.notified()).await.is_ok() {
            std::future::pending::<()>().await;
        }
    };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = silent => return,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}
