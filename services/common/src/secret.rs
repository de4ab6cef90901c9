//! Tokens and keys: made from the system's randomness, shown once, kept as their SHA-256.

use std::fmt;

use rand::{TryRng as _, rngs::SysRng};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// How an API key begins.
pub const API_KEY_PREFIX: &str = "mshr_";
/// How many characters of an API key are kept to recognise it by.
pub const API_KEY_SHOWN: usize = API_KEY_PREFIX.len() + 6;
const API_KEY_BYTES: usize = 24;
const TOKEN_BYTES: usize = 32;

/// The system gave no randomness, without which no secret can be made.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no randomness: {0}")]
pub struct NoRandomness(String);

/// A session's token or an API key, in plain: wiped when dropped, never shown by `Debug`.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// A new session token: 64 hex digits.
    pub fn new_session_token() -> Result<Self, NoRandomness> {
        Ok(Self(Zeroizing::new(hex::encode(random::<TOKEN_BYTES>()?))))
    }

    /// A new API key: [`API_KEY_PREFIX`] and 48 hex digits.
    pub fn new_api_key() -> Result<Self, NoRandomness> {
        Ok(Self(Zeroizing::new(format!("{API_KEY_PREFIX}{}", hex::encode(random::<API_KEY_BYTES>()?)))))
    }

    /// Reads what a caller holds out as a session's token; `None` if it cannot be one.
    pub fn parse_session_token(text: &str) -> Option<Self> {
        let hex = text.len() == 2 * TOKEN_BYTES && text.bytes().all(lower_hex);
        hex.then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// Reads what a caller holds out as an API key; `None` if it cannot be one.
    pub fn parse_api_key(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(API_KEY_PREFIX)?;
        let hex = digits.len() == 2 * API_KEY_BYTES && digits.bytes().all(lower_hex);
        hex.then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// What is kept of it. A secret has so much randomness that a plain hash cannot be reversed.
    pub fn sha256(&self) -> SecretHash {
        SecretHash(Sha256::digest(self.0.as_bytes()).into())
    }

    /// The secret itself: for the one answer that shows it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[redacted]")
    }
}

/// The SHA-256 of a secret. It is looked up by equality in an index: what the time of that could tell is a hash,
/// which says nothing about the secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[redacted]")
    }
}

fn lower_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

fn random<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    SysRng.try_fill_bytes(&mut bytes).map_err(|error| NoRandomness(error.to_string()))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn secrets_are_read_back_differ_and_do_not_show_themselves() {
        let (token, key) = (Secret::new_session_token().unwrap(), Secret::new_api_key().unwrap());
        assert_eq!(Secret::parse_session_token(token.expose()).unwrap().sha256(), token.sha256());
        assert_eq!(Secret::parse_api_key(key.expose()).unwrap().sha256(), key.sha256());
        assert_eq!((token.expose().len(), key.expose().len()), (64, 53));
        assert_ne!(Secret::new_api_key().unwrap().expose(), key.expose());
        assert_eq!(format!("{token:?} {:?}", token.sha256()), "[redacted] [redacted]");
    }

    #[test]
    fn what_cannot_be_a_secret_is_not_looked_up() {
        let key = Secret::new_api_key().unwrap();
        for wrong in
            ["", "mshr_", &key.expose()[1..], &key.expose().to_uppercase(), &format!("{} ", key.expose())]
        {
            assert!(Secret::parse_api_key(wrong).is_none(), "{wrong:?}");
            assert!(Secret::parse_session_token(wrong).is_none(), "{wrong:?}");
        }
    }
}
