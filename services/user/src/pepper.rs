//! Peppers: secrets that are not in the database, and without which a stolen one cannot be guessed against.

use std::{fmt, fs, path::Path, sync::Arc};

use argon2::{Algorithm, Argon2, Params, Version};
use mesher_common::config::ConfigError;
use zeroize::Zeroizing;

/// The fewest and the most bytes of a pepper.
const SIZE: std::ops::RangeInclusive<usize> = 16..=1024;
/// How many bytes name a pepper in a hash; argon2 has room for these.
const ID_BYTES: usize = 8;
const FLAG: &str = "--password-pepper-file";
/// The least work that the hash of a password is.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
/// What the name of a pepper is told apart by from whatever else is made of it.
const ID_SALT: &[u8] = b"mesher pepper id";

/// A pepper: wiped when dropped, never shown by `Debug`.
pub struct Pepper {
    secret: Zeroizing<Vec<u8>>,
    id: [u8; ID_BYTES],
}

impl Pepper {
    /// Reads a pepper from a file; white space at its end does not count.
    fn read(path: &Path) -> Result<Self, ConfigError> {
        let invalid = |reason: String| ConfigError { flag: FLAG, reason };
        let mut secret = Zeroizing::new(
            fs::read(path).map_err(|error| invalid(format!("cannot read {}: {error}", path.display())))?,
        );
        let length = secret.trim_ascii_end().len();
        secret.truncate(length);
        if !SIZE.contains(&length) {
            let reason = format!(
                "{} has {length} bytes; {} to {} are allowed",
                path.display(),
                SIZE.start(),
                SIZE.end()
            );
            return Err(invalid(reason));
        }
        Self::new(secret).map_err(|error| invalid(format!("{} cannot be used: {error}", path.display())))
    }

    /// The name is made by as much work as the hash of a password, so that a pepper which is not random enough is no easier
    /// to guess by its name than by the passwords that are hashed with it.
    fn new(secret: Zeroizing<Vec<u8>>) -> Result<Self, argon2::Error> {
        let mut id = [0; ID_BYTES];
        let params = Params::new(MEMORY_KIB, PASSES, 1, Some(ID_BYTES))?;
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(&secret, ID_SALT, &mut id)?;
        Ok(Self { secret, id })
    }

    /// The pepper itself.
    pub(crate) fn secret(&self) -> &[u8] {
        &self.secret
    }

    /// What it is called by in a hash.
    pub(crate) fn id(&self) -> &[u8] {
        &self.id
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[redacted]")
    }
}

/// The peppers that hashes may have: new ones the first.
#[derive(Clone, Debug, Default)]
pub struct Peppers(Arc<[Pepper]>);

impl Peppers {
    /// Reads each from its file.
    pub fn read(files: &[impl AsRef<Path>]) -> Result<Self, ConfigError> {
        files.iter().map(|file| Pepper::read(file.as_ref())).collect::<Result<Arc<[_]>, _>>().map(Self)
    }

    /// The one of new hashes.
    pub(crate) fn current(&self) -> Option<&Pepper> {
        self.0.first()
    }

    /// The one that a hash names.
    pub(crate) fn named(&self, id: &[u8]) -> Option<&Pepper> {
        self.0.iter().find(|pepper| pepper.id == id)
    }

    #[cfg(test)]
    pub(crate) fn of(secrets: &[&str]) -> Self {
        let pepper = |secret: &&str| Pepper::new(Zeroizing::new(secret.as_bytes().to_vec())).unwrap();
        Self(secrets.iter().map(pepper).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::Peppers;

    #[test]
    fn a_pepper_is_read_without_its_line_feed_and_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let (plain, with_line_feed) = (file("a", "sixteen bytes it"), file("b", "sixteen bytes it\n"));
        let peppers = Peppers::read(&[&plain, &with_line_feed]).unwrap();
        assert_eq!(peppers.0[0].secret(), b"sixteen bytes it");
        assert_eq!(peppers.0[0].id(), peppers.0[1].id());
        assert!(!format!("{peppers:?}").contains("sixteen"), "{peppers:?}");
        for (name, text) in [("c", "fifteen bytes!!\n"), ("d", &"x".repeat(1025))] {
            let error = Peppers::read(&[file(name, text)]).unwrap_err().to_string();
            assert!(error.contains("--password-pepper-file") && !error.contains(text.trim()), "{error}");
        }
        assert!(Peppers::read(&[dir.path().join("missing")]).unwrap_err().to_string().contains("missing"));
    }
}
