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

/// The addresses of a service's replicas, without TLS, which the gateway does not speak to its services:
/// `http://HOST:PORT`, several divided by commas. Each address that a host's name stands for is a replica; if it has some of
/// both families, those of IPv4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses(Vec<Address>);

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Address {
    uri: Uri,
    host: Host,
    port: u16,
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
    #[error("an address has the form http://HOST:PORT; several are divided by commas")]
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
        let plain = uri.scheme_str() == Some("http") && uri.path() == "/" && uri.query().is_none();
        let (Some(host), Some(port), true) = (uri.host(), uri.port_u16(), plain) else {
            return Err(AddressError::Form);
        };
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let host = bare.parse().map_or_else(|_| Host::Name(host.to_owned()), Host::Ip);
        Ok(Self { uri, host, port })
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

impl Addresses {
    /// Whether a name server has to be asked, again and again.
    pub(super) fn have_names(&self) -> bool {
        self.0.iter().any(|address| matches!(address.host, Host::Name(_)))
    }

    /// Where the replicas are now. What a name stands for that cannot be found out is what it was in `known`.
    pub(super) async fn resolve(&self, service: &str, known: &[Place]) -> Vec<Place> {
        let mut places = BTreeSet::new();
        for address in &self.0 {
            let authority = address.uri.authority().map_or_else(String::new, ToString::to_string);
            let name = match &address.host {
                Host::Ip(ip) => {
                    let address = SocketAddr::new(*ip, address.port);
                    places.insert(Place { identity: address.to_string(), address, authority });
                    continue;
                }
                Host::Name(name) => name,
            };
            match look_up(name, address.port).await {
                Ok(found) => places.extend(named(&authority, &found)),
                Err(error) => {
                    tracing::warn!(service, name, %error, "the addresses of a service cannot be found");
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

fn named(authority: &str, found: &BTreeSet<SocketAddr>) -> Vec<Place> {
    let place = |address: &SocketAddr| Place {
        identity: if found.len() == 1 { authority.to_owned() } else { address.to_string() },
        address: *address,
        authority: authority.to_owned(),
    };
    found.iter().map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_list_of_addresses_is_refused() {
        for right in ["http://a:1", "http://127.0.0.1:1,http://[::1]:2, http://a.b:3/"] {
            assert!(right.parse::<Addresses>().is_ok(), "{right}");
        }
        for wrong in ["", "a:1", "http://a", "https://a:1", "http://a:1/x", "http://a:1?x", "http://a:1,"] {
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
        assert_eq!(identities(&named("writer:7", &BTreeSet::from([one]))), ["writer:7"]);
        assert_eq!(identities(&named("writer:7", &BTreeSet::from([one, two]))), ["10.0.0.1:7", "10.0.0.2:7"]);
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
        let known = named("no-such-host.invalid:7", &BTreeSet::from(["10.0.0.1:7".parse().unwrap()]));
        assert_eq!(addresses.resolve("x", &known).await, known);
    }
}
