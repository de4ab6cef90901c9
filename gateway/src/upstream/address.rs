//! Where a service is: the addresses that the configuration names, and the replicas that they stand for.

use std::{
    collections::BTreeSet,
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
    time::Duration,
};

use http::Uri;

/// The most addresses that can be named, and the most that a name is taken to stand for.
const MAX_PLACES: usize = 64;
/// How long a name server may take.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);

/// The addresses of a service's replicas: `https://HOST:PORT` with TLS or `http://HOST:PORT` without, several divided by
/// commas. Each address that a host's name stands for is a replica; if it has some of both families, those of IPv4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses(Vec<Address>);

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Address {
    uri: Uri,
    host: Host,
    port: u16,
    is_tls: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Ip(IpAddr),
    Name(String),
}

/// A text is not the addresses of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// One of them is of another form.
    #[error("an address has the form http://HOST:PORT or https://HOST:PORT; several are divided by commas")]
    Form,
    /// One of them is named twice.
    #[error("an address is named twice")]
    Twice,
    /// There are too many.
    #[error("there are more than {MAX_PLACES} addresses")]
    Many,
}

/// Where one replica is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// What it is known by to every gateway: its name, where that is its alone, or its address.
    pub(super) identity: String,
    /// Its address.
    pub(super) address: SocketAddr,
    /// What it is called by.
    pub(super) authority: String,
    /// The host of that, without brackets, which it has to prove to be, where it is called with TLS.
    pub(super) tls_name: Option<String>,
}

impl FromStr for Addresses {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let addresses: Vec<Address> =
            text.split(',').map(|part| part.trim().parse()).collect::<Result<_, _>>()?;
        let different: BTreeSet<String> = addresses.iter().map(|address| address.uri.to_string()).collect();
        if addresses.len() > MAX_PLACES {
            return Err(AddressError::Many);
        }
        if different.len() < addresses.len() { Err(AddressError::Twice) } else { Ok(Self(addresses)) }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let uri: Uri = text.parse().map_err(|_| AddressError::Form)?;
        let is_tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(AddressError::Form),
        };
        let is_bare = uri.path() == "/" && uri.query().is_none();
        let (Some(host), Some(port), true) = (uri.host(), uri.port_u16(), is_bare) else {
            return Err(AddressError::Form);
        };
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let host = bare.parse().map_or_else(|_| Host::Name(host.to_owned()), Host::Ip);
        Ok(Self { uri, host, port, is_tls })
    }
}

impl fmt::Display for Addresses {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, address) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(formatter, "{comma}{}", address.uri)?;
        }
        Ok(())
    }
}

impl Address {
    fn authority(&self) -> String {
        self.uri.authority().map_or_else(String::new, ToString::to_string)
    }

    fn tls_name(&self) -> Option<String> {
        self.is_tls.then(|| match &self.host {
            Host::Ip(ip) => ip.to_string(),
            Host::Name(name) => name.clone(),
        })
    }

    /// Whether it is this machine, as far as can be said without asking a name server.
    fn is_local(&self) -> bool {
        match &self.host {
            Host::Ip(ip) => ip.to_canonical().is_loopback(),
            Host::Name(name) => name == "localhost",
        }
    }

    fn place(&self, identity: String, address: SocketAddr) -> Place {
        Place { identity, address, authority: self.authority(), tls_name: self.tls_name() }
    }
}

impl Addresses {
    /// Whether any is called with TLS.
    pub(crate) fn have_tls(&self) -> bool {
        self.0.iter().any(|address| address.is_tls)
    }

    /// The first that is called without TLS, and is on another machine.
    pub(crate) fn exposed(&self) -> Option<impl fmt::Display> {
        self.0.iter().find(|address| !address.is_tls && !address.is_local()).map(|address| &address.uri)
    }

    /// Whether a name server has to be asked, again and again.
    pub(super) fn have_names(&self) -> bool {
        self.0.iter().any(|address| matches!(address.host, Host::Name(_)))
    }

    /// Where the replicas are now. What a name stands for that cannot be found out is what it was in `known`.
    pub(super) async fn resolve(&self, service: &str, known: &[Place]) -> Vec<Place> {
        let mut places = BTreeSet::new();
        for address in &self.0 {
            let name = match &address.host {
                Host::Ip(ip) => {
                    let at = SocketAddr::new(*ip, address.port);
                    places.insert(address.place(at.to_string(), at));
                    continue;
                }
                Host::Name(name) => name,
            };
            match look_up(name, address.port).await {
                Ok(found) => places.extend(named(address, &found)),
                Err(error) => {
                    tracing::warn!(service, name, %error, "the addresses of a service cannot be found");
                    let authority = address.authority();
                    places.extend(known.iter().filter(|place| place.authority == authority).cloned());
                }
            }
        }
        places.into_iter().collect()
    }
}

async fn look_up(name: &str, port: u16) -> std::io::Result<BTreeSet<SocketAddr>> {
    let found = tokio::time::timeout(RESOLVE_TIMEOUT, tokio::net::lookup_host((name, port))).await??;
    Ok(one_family(found.collect()))
}

/// Of addresses of both families only those of IPv4: they may be the same replicas, which are not to be taken for twice as
/// many.
fn one_family(mut found: BTreeSet<SocketAddr>) -> BTreeSet<SocketAddr> {
    if found.iter().any(SocketAddr::is_ipv4) {
        found.retain(SocketAddr::is_ipv4);
    }
    found.into_iter().take(MAX_PLACES).collect()
}

fn named(address: &Address, found: &BTreeSet<SocketAddr>) -> Vec<Place> {
    let identity = |at: &SocketAddr| if found.len() == 1 { address.authority() } else { at.to_string() };
    found.iter().map(|at| address.place(identity(at), *at)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_list_of_addresses_is_refused() {
        for right in ["http://a:1", "http://127.0.0.1:1,http://[::1]:2, https://a.b:3/"] {
            assert!(right.parse::<Addresses>().is_ok(), "{right}");
        }
        for wrong in ["", "a:1", "http://a", "grpc://a:1", "https://a:1/x", "http://a:1?x", "http://a:1,"] {
            assert_eq!(wrong.parse::<Addresses>(), Err(AddressError::Form), "{wrong}");
        }
        assert_eq!("http://a:1,http://a:1".parse::<Addresses>(), Err(AddressError::Twice));
        let many: Vec<String> = (1..=65).map(|port| format!("http://a:{port}")).collect();
        assert_eq!(many.join(",").parse::<Addresses>(), Err(AddressError::Many));
    }

    #[tokio::test]
    async fn a_replica_is_known_by_its_name_where_that_is_its_alone() {
        let addresses: Addresses = "http://127.0.0.9:5,http://[::1]:6".parse().unwrap();
        let identities =
            |places: &[Place]| -> Vec<String> { places.iter().map(|place| place.identity.clone()).collect() };
        assert!(!addresses.have_names());
        assert_eq!(identities(&addresses.resolve("x", &[]).await), ["127.0.0.9:5", "[::1]:6"]);
        let [one, two] = ["10.0.0.1:7", "10.0.0.2:7"].map(|address| address.parse().unwrap());
        let writer = "http://writer:7".parse().unwrap();
        assert_eq!(identities(&named(&writer, &BTreeSet::from([one]))), ["writer:7"]);
        assert_eq!(identities(&named(&writer, &BTreeSet::from([one, two]))), ["10.0.0.1:7", "10.0.0.2:7"]);
    }

    #[tokio::test]
    async fn a_server_with_tls_has_to_be_the_host_that_was_named() {
        let addresses: Addresses = "https://[::1]:5,http://127.0.0.1:6".parse().unwrap();
        let names: Vec<_> =
            addresses.resolve("x", &[]).await.into_iter().map(|place| place.tls_name).collect();
        assert_eq!(names, [None, Some("::1".to_owned())]);
    }

    #[test]
    fn plain_text_to_other_machines_is_known_by_its_address() {
        let exposed = |text: &str| text.parse::<Addresses>().unwrap().exposed().map(|uri| uri.to_string());
        assert_eq!(exposed("http://127.0.0.1:1,http://[::1]:1,http://localhost:1,https://10.0.0.1:1"), None);
        assert_eq!(exposed("https://a:1,http://b:1"), Some("http://b:1/".to_owned()));
        assert_eq!(exposed("http://10.0.0.1:1"), Some("http://10.0.0.1:1/".to_owned()));
    }

    #[test]
    fn a_replica_with_two_addresses_is_one() {
        let found = |addresses: &[&str]| -> Vec<String> {
            let found = addresses.iter().map(|address| address.parse().unwrap()).collect();
            one_family(found).iter().map(ToString::to_string).collect()
        };
        assert_eq!(found(&["[::1]:7", "127.0.0.1:7"]), ["127.0.0.1:7"]);
        assert_eq!(found(&["[::1]:7", "[::2]:7"]), ["[::1]:7", "[::2]:7"]);
    }

    #[tokio::test]
    async fn what_was_known_stays_while_a_name_cannot_be_resolved() {
        let addresses: Addresses = "http://no-such-host.invalid:7".parse().unwrap();
        assert!(addresses.have_names());
        assert_eq!(addresses.resolve("x", &[]).await, []);
        let known = named(&addresses.0[0], &BTreeSet::from(["10.0.0.1:7".parse().unwrap()]));
        assert_eq!(addresses.resolve("x", &known).await, known);
    }
}
