//! Where a call comes from: the address and the program of whoever made it. The gateway says so of the calls that it
//! makes for others; it is believed, and nobody else is.

use std::net::{IpAddr, SocketAddr};

use clap::Args;
use tonic::metadata::{MetadataMap, MetadataValue};

use crate::{
    network::{self, Network},
    rpc::REQUEST_ID,
};

/// The metadata in which the gateway says which address a call is from.
pub const FORWARDED_FOR: &str = "x-forwarded-for";

/// The metadata in which the gateway says what the client calls itself.
pub const FORWARDED_USER_AGENT: &str = "x-forwarded-user-agent";

/// The most characters that are kept of a client's name, and of a request's id.
const MAX_TEXT: usize = 200;

/// Who is believed to say whom a call is from.
#[derive(Args, Clone, Debug, Default)]
pub struct PeerArgs {
    /// Who is believed to say which address a call is from: the gateways' addresses or networks, such as 10.0.0.0/8,
    /// divided by commas. The calls of all others are from whoever connects.
    #[arg(long, env = "MESHER_TRUSTED_PEERS", value_delimiter = ',', default_value = "127.0.0.0/8,::1")]
    pub trusted_peers: Vec<Network>,
}

/// Where a call comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The RPC that is called: `/package.Service/Method`.
    pub rpc: &'static str,
    /// The client's address; none where the connection has none.
    pub client: Option<IpAddr>,
    /// What the client calls itself; empty where it does not.
    pub user_agent: String,
    /// The id of the request, as it is in the log.
    pub request_id: String,
}

impl Origin {
    /// The origin of a call of `rpc` that came from `peer` with `metadata`.
    pub fn of(
        rpc: &'static str,
        peer: Option<SocketAddr>,
        metadata: &MetadataMap,
        believed: &PeerArgs,
    ) -> Self {
        let peer = peer.map(|peer| peer.ip().to_canonical());
        let trusted =
            peer.is_some_and(|peer| believed.trusted_peers.iter().any(|network| network.contains(peer)));
        // The gateway names one address: that which it made out of whatever it was sent.
        let named = trusted
            .then(|| text(metadata, FORWARDED_FOR).parse::<IpAddr>().ok())
            .flatten()
            .map(|named| named.to_canonical());
        let forwarded = trusted && metadata.contains_key(FORWARDED_USER_AGENT);
        let user_agent = if forwarded { FORWARDED_USER_AGENT } else { "user-agent" };
        Self {
            rpc,
            client: named.or(peer),
            user_agent: text(metadata, user_agent),
            request_id: text(metadata, REQUEST_ID),
        }
    }

    /// The client as something that failures are counted for: an IPv4 address, or the network that an IPv6 address is
    /// in, of which whoever has one address has all.
    pub fn subscriber(&self) -> Option<IpAddr> {
        self.client.map(network::subscriber)
    }
}

/// A text of the metadata, cut off where it is too long; empty where there is none.
fn text(metadata: &MetadataMap, name: &str) -> String {
    let text = metadata.get(name).map(MetadataValue::as_encoded_bytes).unwrap_or_default();
    let text = String::from_utf8_lossy(text);
    // A header has no control characters but the tab.
    text.chars().filter(|c| !c.is_control()).take(MAX_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(peer: &str, metadata: &[(&'static str, &'static str)]) -> Origin {
        let mut map = MetadataMap::new();
        for (name, value) in metadata {
            map.insert(*name, value.parse().unwrap());
        }
        let believed = PeerArgs { trusted_peers: vec!["127.0.0.0/8".parse().unwrap()] };
        Origin::of("/a.B/C", Some(peer.parse().unwrap()), &map, &believed)
    }

    #[test]
    fn only_the_gateway_is_believed_to_speak_for_others() {
        let said = [(FORWARDED_FOR, "203.0.113.9"), (FORWARDED_USER_AGENT, "curl"), ("user-agent", "tonic")];
        let by_gateway = origin("127.0.0.1:5", &said);
        assert_eq!((by_gateway.client, by_gateway.user_agent.as_str()), ("203.0.113.9".parse().ok(), "curl"));
        let mapped = origin("[::ffff:127.0.0.1]:5", &said);
        assert_eq!(mapped.client, by_gateway.client);
        let by_another = origin("192.0.2.1:5", &said);
        assert_eq!((by_another.client, by_another.user_agent.as_str()), ("192.0.2.1".parse().ok(), "tonic"));
        let unreadable = origin("127.0.0.1:5", &[(FORWARDED_FOR, "203.0.113.9, 10.0.0.1")]);
        assert_eq!(unreadable.client, "127.0.0.1".parse().ok());
    }

    #[test]
    fn the_addresses_of_one_subscriber_are_one() {
        let of = |address: &str| origin(address, &[]).subscriber().unwrap().to_string();
        assert_eq!(of("[2001:db8:1:2:3:4:5:6]:1"), "2001:db8:1:2::");
        assert_eq!(of("[::ffff:192.0.2.1]:1"), "192.0.2.1");
    }
}
