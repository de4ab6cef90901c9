//! Who sent a request: the address at the other end of the connection, or, behind proxies that are trusted to say it,
//! the one that they name.

use std::net::IpAddr;

use clap::{Args, ValueEnum};
use http::{HeaderMap, HeaderName, HeaderValue, header};
pub use mesher_common::network::{Network, NetworkError};
use mesher_common::origin::FORWARDED_FOR;

/// The most addresses that are looked at: a chain of proxies is short.
const MAX_HOPS: usize = 32;

/// Which proxies are believed, and where they say whom they speak for.
#[derive(Args, Clone, Debug, Default)]
pub struct ProxyArgs {
    /// The proxies that are trusted to name the client's address: addresses or networks, such as 10.0.0.0/8,
    /// divided by commas. Without any, the client is whoever connects.
    #[arg(long, env = "MESHER_TRUSTED_PROXIES", value_delimiter = ',')]
    pub trusted_proxies: Vec<Network>,
    /// The header in which they name it. They must append to it, or overwrite it; another header is not looked at,
    /// for anyone could send it through them.
    #[arg(long, env = "MESHER_CLIENT_ADDRESS_HEADER", default_value = "x-forwarded-for")]
    pub client_address_header: ClientHeader,
}

/// A header that names clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ClientHeader {
    /// `X-Forwarded-For`: addresses, the last one from the nearest proxy.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

impl ProxyArgs {
    /// Who sent a request with `headers` that came from `peer`: the nearest address that is no trusted proxy's.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        let named = match self.client_address_header {
            ClientHeader::XForwardedFor => elements(headers, &HeaderName::from_static(FORWARDED_FOR)),
            ClientHeader::Forwarded => elements(headers, &header::FORWARDED),
        };
        for element in named.iter().rev().take(MAX_HOPS) {
            if !self.trusted_proxies.iter().any(|network| network.contains(client)) {
                break;
            }
            let address = match self.client_address_header {
                ClientHeader::XForwardedFor => Some(*element),
                ClientHeader::Forwarded => parameter_for(element),
            };
            // What a proxy did not say is not known: the proxy is the last one who is.
            let Some(address) = address.and_then(address_in) else { break };
            client = address.to_canonical();
        }
        client
    }
}

/// The elements of a header that is a list, from all of its lines.
fn elements<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Vec<&'h str> {
    let lines = headers.get_all(name).iter().map(HeaderValue::to_str);
    lines.flat_map(|line| line.unwrap_or_default().split(',')).map(str::trim).collect()
}

/// The parameter `for` of an element of `Forwarded`.
fn parameter_for(element: &str) -> Option<&str> {
    let mut parameters = element.split(';').filter_map(|parameter| parameter.trim().split_once('='));
    parameters.find(|(name, _)| name.eq_ignore_ascii_case("for")).map(|(_, value)| value.trim_matches('"'))
}

/// The address in a text that may have a port besides.
fn address_in(text: &str) -> Option<IpAddr> {
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(address, _)| address);
    text.parse().ok().or_else(|| bracketed?.parse().ok()).or_else(|| text.split_once(':')?.0.parse().ok())
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::{ClientHeader, Network, ProxyArgs};

    fn client(header: ClientHeader, peer: &str, headers: &[(&'static str, &'static str)]) -> String {
        let trusted = ["127.0.0.0/8", "10.1.0.0/16", "fd00::/8", "192.0.2.7"];
        let proxies = ProxyArgs {
            trusted_proxies: trusted.map(|network| network.parse().unwrap()).into(),
            client_address_header: header,
        };
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        proxies.client(peer.parse().unwrap(), &map).to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let name = "x-forwarded-for";
        for (peer, headers, expected) in [
            ("8.8.8.8", &[][..], "8.8.8.8"),
            ("8.8.8.8", &[(name, "1.1.1.1")], "8.8.8.8"),
            ("127.0.0.1", &[], "127.0.0.1"),
            ("127.0.0.1", &[(name, "1.1.1.1")], "1.1.1.1"),
            ("::ffff:127.0.0.1", &[(name, "1.1.1.1")], "1.1.1.1"),
            ("127.0.0.1", &[(name, "6.6.6.6, 1.1.1.1, 10.1.2.3")], "1.1.1.1"),
            ("127.0.0.1", &[(name, "6.6.6.6"), (name, "1.1.1.1"), (name, "10.1.2.3")], "1.1.1.1"),
            ("127.0.0.1", &[(name, "1.1.1.1:4711")], "1.1.1.1"),
            ("127.0.0.1", &[(name, "[2001:db8::1]:4711")], "2001:db8::1"),
            ("fd12::1", &[(name, "2001:db8::1")], "2001:db8::1"),
            ("127.0.0.1", &[(name, "1.1.1.1, nonsense")], "127.0.0.1"),
            ("127.0.0.1", &[("forwarded", "for=1.1.1.1")], "127.0.0.1"),
            ("192.0.2.7", &[(name, "1.1.1.1")], "1.1.1.1"),
            ("192.0.2.8", &[(name, "1.1.1.1")], "192.0.2.8"),
        ] {
            assert_eq!(client(ClientHeader::XForwardedFor, peer, headers), expected, "{peer} {headers:?}");
        }
        for (value, expected) in [
            ("for=1.1.1.1", "1.1.1.1"),
            ("proto=https;For=\"[2001:db8::1]:80\";by=_x", "2001:db8::1"),
            ("for=6.6.6.6, for=1.1.1.1;proto=http, for=10.1.0.9", "1.1.1.1"),
            ("for=unknown", "127.0.0.1"),
            ("", "127.0.0.1"),
        ] {
            let headers = [("forwarded", value), ("x-forwarded-for", "6.6.6.6")];
            assert_eq!(client(ClientHeader::Forwarded, "127.0.0.1", &headers), expected, "{value}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for wrong in ["", "a", "1.1.1.1/33", "1.1.1.1/-1", "::/129", "1.1.1/8", "1.1.1.1/"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong:?}");
        }
        assert!("0.0.0.0/0".parse::<Network>().unwrap().contains("8.8.8.8".parse().unwrap()));
        assert!("::/0".parse::<Network>().unwrap().contains("2001:db8::1".parse().unwrap()));
    }
}
