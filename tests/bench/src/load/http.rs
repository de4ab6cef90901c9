//! HTTP/1.1 over connections that are kept, one request after the other on each.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::{net::TcpStream, task::JoinSet, time::sleep};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::{RETRY_DELAY, TRIES, Tally};

/// One connection.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: HeaderValue,
    _driver: AbortOnDropHandle<Result<(), hyper::Error>>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.context("the gateway cannot be reached")?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        let driver = AbortOnDropHandle::new(tokio::spawn(connection));
        Ok(Self { sender, host: address.to_string().parse()?, _driver: driver })
    }

    /// The answer to a request.
    pub(crate) async fn ask(
        &mut self,
        mut request: Request<Full<Bytes>>,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        request.headers_mut().insert(header::HOST, self.host.clone());
        self.sender.ready().await?;
        let answer = self.sender.send_request(request).await?;
        let status = answer.status();
        Ok((status, answer.into_body().collect().await?.to_bytes()))
    }
}

/// An event in an envelope, as an SDK sends it.
#[derive(Clone, Debug)]
pub(crate) struct Envelope {
    pub(crate) id: Uuid,
    /// Where it is sent.
    pub(crate) uri: Uri,
    /// Who sends it: the value of `X-Sentry-Auth`.
    pub(crate) auth: HeaderValue,
    /// Compressed by gzip.
    pub(crate) body: Bytes,
}

#[derive(Deserialize)]
struct Accepted {
    id: Uuid,
}

impl Envelope {
    fn request(&self) -> anyhow::Result<Request<Full<Bytes>>> {
        Ok(Request::post(self.uri.clone())
            .header("x-sentry-auth", self.auth.clone())
            .header(header::CONTENT_TYPE, "application/x-sentry-envelope")
            .header(header::CONTENT_ENCODING, "gzip")
            .body(Full::new(self.body.clone()))?)
    }
}

/// Sends all, over so many connections, each until it is acknowledged.
pub(crate) async fn send(
    address: SocketAddr,
    envelopes: Arc<[Envelope]>,
    connections: usize,
) -> anyhow::Result<Tally> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut senders = JoinSet::new();
    for _ in 0..connections {
        let (next, envelopes) = (Arc::clone(&next), Arc::clone(&envelopes));
        let mut connection = Connection::open(address).await?;
        senders.spawn(async move {
            let mut tally = Tally::default();
            while let Some(envelope) = envelopes.get(next.fetch_add(1, Ordering::Relaxed)) {
                until_accepted(&mut connection, envelope, &mut tally).await?;
            }
            Ok::<_, anyhow::Error>(tally)
        });
    }
    let mut tally = Tally::default();
    while let Some(sent) = senders.join_next().await {
        tally.add(sent??);
    }
    Ok(tally)
}

async fn until_accepted(
    connection: &mut Connection,
    envelope: &Envelope,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    for _ in 0..TRIES {
        let (status, body) = connection.ask(envelope.request()?).await?;
        match status {
            StatusCode::OK => {
                let Accepted { id } = serde_json::from_slice(&body)?;
                ensure!(id == envelope.id, "another id was acknowledged than was sent");
                tally.acknowledged.push(id);
                return Ok(());
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                tally.refuse_for(format!("{status}: {}", String::from_utf8_lossy(&body)));
                sleep(RETRY_DELAY).await;
            }
            _ => bail!("{status}: {}", String::from_utf8_lossy(&body)),
        }
    }
    bail!("an envelope was refused {TRIES} times: {:?}", tally.refusals)
}
