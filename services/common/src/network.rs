//! Networks: addresses that are meant together.

use std::{
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

/// The leading bits of an IPv6 address that one subscriber has.
const SUBSCRIBER_BITS: u32 = 64;

/// The addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u32,
}

/// A text is no network.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a network has the form ADDRESS or ADDRESS/BITS")]
pub struct NetworkError;

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, bits) =
            text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address = address.parse().map_err(|_| NetworkError)?;
        let all = width(address);
        let bits = bits.map_or(Ok(all), str::parse).map_err(|_| NetworkError)?;
        if bits <= all { Ok(Self { address, bits }) } else { Err(NetworkError) }
    }
}

impl Network {
    /// Whether `address` is one of them.
    pub fn contains(self, address: IpAddr) -> bool {
        let differing = 128 - self.bits.min(128);
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (own.to_bits() ^ other.to_bits()).checked_shr(32 - self.bits.min(32)).unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                (own.to_bits() ^ other.to_bits()).checked_shr(differing).unwrap_or(0) == 0
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// Whoever has an address as one who is counted: the IPv4 address, or the network that the IPv6 address is in, of which who has
/// one address has all.
pub fn subscriber(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << (128 - SUBSCRIBER_BITS))).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

fn width(address: IpAddr) -> u32 {
    if address.is_ipv4() { 32 } else { 128 }
}
