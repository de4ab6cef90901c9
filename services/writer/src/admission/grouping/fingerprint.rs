//! What tells the events of one issue.

use sha2::{Digest as _, Sha256};

/// The version of the rules that make fingerprints.
pub const VERSION: u8 = 2;

/// What the events of an issue have in common, and no others of their project: the version of the rules that it was made
/// by, and 16 bytes of a SHA-256 of what they look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; Self::LENGTH]);

impl Fingerprint {
    /// How many bytes it has.
    pub const LENGTH: usize = 17;

    /// The fingerprint with these bytes.
    pub fn from_bytes(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }

    /// Its bytes: the version, and the hash.
    pub fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }
}

/// Makes a fingerprint of a list of texts.
#[derive(Debug)]
pub(super) struct Digest(Sha256);

impl Digest {
    pub(super) fn new() -> Self {
        Self(Sha256::new())
    }

    /// Adds a text. Its length goes first, so that no two lists look the same.
    pub(super) fn add(&mut self, text: &str) {
        self.0.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_le_bytes());
        self.0.update(text);
    }

    pub(super) fn finish(self) -> Fingerprint {
        let mut bytes = [0; Fingerprint::LENGTH];
        bytes[0] = VERSION;
        let hash = self.0.finalize();
        for (byte, hash) in bytes[1..].iter_mut().zip(hash) {
            *byte = hash;
        }
        Fingerprint(bytes)
    }
}
