//! A name that stands for several replicas, as that of a headless service of Kubernetes does: the real binary asks a real name
//! server by the system's resolver.

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr},
    process::Command,
    sync::{Arc, Mutex, atomic::Ordering},
    time::Instant,
};

use mesher_testing::skipped;
use tokio::net::{TcpListener, UdpSocket};

use crate::support::{Answer, Backend, PATIENCE, binary_under, client};

/// Where the name server is: a resolver asks no other port than this.
const SERVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(127, 53, 53, 53)), 53);

/// The name, as queries have it.
const NAME: &[u8] = b"\x03org\x04test\x00";

/// The addresses that the name stands for.
type Addresses = Arc<Mutex<Vec<Ipv4Addr>>>;

/// The answer to a query (RFC 1035, 4): the addresses to one for them, none to others.
fn answer(query: &[u8], addresses: &[Ipv4Addr]) -> Vec<u8> {
    let name_end = 12 + query[12..].iter().position(|byte| *byte == 0).unwrap() + 1;
    let question = &query[12..name_end + 4];
    let is_ours = question.starts_with(NAME);
    let addresses = if is_ours && question.ends_with(&[0, 1, 0, 1]) { addresses } else { &[] };
    let flags: [u8; 2] = if is_ours { [0x85, 0x80] } else { [0x85, 0x83] };
    let count = u16::try_from(addresses.len()).unwrap();
    let mut answer = [&query[..2], &flags, &[0, 1], &count.to_be_bytes(), &[0; 4], question].concat();
    for address in addresses {
        // The name in the question, an address of the Internet, for no seconds.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
        answer.extend(address.octets());
    }
    answer
}

async fn serve(server: UdpSocket, addresses: Addresses) {
    let mut query = [0; 512];
    loop {
        let (length, client) = server.recv_from(&mut query).await.unwrap();
        let answer = answer(&query[..length], &addresses.lock().unwrap().clone());
        server.send_to(&answer, client).await.unwrap();
    }
}

/// Servers at one port of as many addresses.
async fn backends(addresses: &[Ipv4Addr]) -> (u16, Vec<Backend>) {
    let (mut backends, mut port) = (Vec::new(), 0);
    for address in addresses {
        let listener = TcpListener::bind((*address, port)).await.unwrap();
        port = listener.local_addr().unwrap().port();
        let backend = Backend::new(|_| Answer::Echo);
        let router = backend.router();
        tokio::spawn(async { axum::serve(listener, router).await });
        backends.push(backend);
    }
    (port, backends)
}

#[tokio::test]
async fn the_replicas_of_a_name_are_found_as_they_come_and_go() {
    let server = match UdpSocket::bind(SERVER).await {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            return skipped("only root may be a name server: names of several replicas are not tested");
        }
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            return skipped(
                "there is a name server at all addresses: names of several replicas are not tested",
            );
        }
        bound => bound.unwrap(),
    };
    if !Command::new("unshare").args(["--mount", "true"]).status().unwrap().success() {
        return skipped("mounts cannot be made: names of several replicas are not tested");
    }
    let all = [11, 12, 13].map(|last| Ipv4Addr::new(127, 53, 53, last));
    let (port, backends) = backends(&all).await;
    let addresses: Addresses = Arc::new(Mutex::new(all[..2].to_vec()));
    tokio::spawn(serve(server, Arc::clone(&addresses)));

    // Its own view of the system's configuration, in which this is the name server.
    let directory = tempfile::tempdir().unwrap();
    let resolver = directory.path().join("resolv.conf");
    std::fs::write(&resolver, format!("nameserver {}\n", SERVER.ip())).unwrap();
    let script = r#"mount --bind "$1" "$(readlink -f /etc/resolv.conf)" && shift && exec "$@""#;
    let unshare = ["unshare", "--mount", "--propagation", "private"];
    let mount = ["sh", "-c", script, "sh", resolver.to_str().unwrap()];
    // A name may be anybody's.
    let flags = ["--insecure", &format!("--org-address=http://org.test:{port}")];
    let mut gateway = binary_under(&[&unshare[..], &mount].concat(), &flags);
    let url = format!("http://{}/v1/orgs", gateway.ready().await["http"]);

    let client = client();
    let began = Instant::now();
    for now in [&[0, 1][..], &[1, 2], &[2]] {
        *addresses.lock().unwrap() = now.iter().map(|index| all[*index]).collect();
        // Those that it stands for now are called, and no other.
        loop {
            assert!(began.elapsed() < PATIENCE, "{now:?} are not those that are called");
            let before: Vec<usize> =
                backends.iter().map(|backend| backend.calls.load(Ordering::SeqCst)).collect();
            for _ in 0..4 {
                let answer = client.get(&url).bearer_auth("token").send().await.unwrap();
                assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
            }
            let called = |index: &usize| backends[*index].calls.load(Ordering::SeqCst) > before[*index];
            if (0..backends.len()).filter(called).eq(now.iter().copied()) {
                break;
            }
        }
    }
}
