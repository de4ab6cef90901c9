//! Passwords: argon2id with the parameters that OWASP recommends (19 MiB, 2 passes, 1 lane), on the blocking pool,
//! with a bound on how many are hashed at once and on how many wait.

use std::{fmt, sync::Arc};

use argon2::{
    Argon2,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};
use mesher_common::status::Violation;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

/// The fewest characters in a password (NIST SP 800-63B, 5.1.1.1).
pub const MIN_PASSWORD: usize = 8;
/// The most characters in a password.
pub const MAX_PASSWORD: usize = 128;

/// How many may wait for each one that is being hashed: some seconds of work.
const WAITING_PER_HASH: usize = 16;

/// Why a password was neither hashed nor checked.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// Too many wait already.
    #[error("too many passwords are waiting to be checked")]
    Overloaded,
    /// The hash could not be computed, or the one in the database cannot be read.
    #[error("argon2: {0}")]
    Hash(argon2::password_hash::Error),
    /// The task that computed it ended early.
    #[error("the hashing task failed")]
    Task(#[from] tokio::task::JoinError),
}

/// A password in plain: wiped when dropped, never shown by `Debug`.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Checks the password that somebody chose, in `field` of a request. Any characters will do (NIST SP
    /// 800-63B, 5.1.1.2: no composition rules).
    pub fn parse_new(field: &'static str, text: String) -> Result<Self, Violation> {
        let password = Self(Zeroizing::new(text));
        let length = password.0.chars().count();
        if (MIN_PASSWORD..=MAX_PASSWORD).contains(&length) {
            Ok(password)
        } else {
            let description =
                format!("has {length} characters; {MIN_PASSWORD} to {MAX_PASSWORD} are allowed");
            Err(Violation::new(field, description))
        }
    }

    /// Takes the password that somebody signs in with, in `field` of a request. It may be wrong; only one that
    /// is too long to be anyone's is refused before it costs anything.
    pub fn parse_attempt(field: &'static str, text: String) -> Result<Self, Violation> {
        let password = Self(Zeroizing::new(text));
        if password.0.chars().nth(MAX_PASSWORD).is_some() {
            return Err(Violation::new(field, format!("has more than {MAX_PASSWORD} characters")));
        }
        Ok(password)
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[redacted]")
    }
}

/// Hashes and checks passwords.
#[derive(Clone, Debug)]
pub struct Hasher {
    running: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    nobodys: Arc<str>,
}

impl Hasher {
    /// A hasher of `concurrency` passwords at once.
    pub async fn new(concurrency: usize) -> Result<Self, PasswordError> {
        let mut hasher = Self {
            running: Arc::new(Semaphore::new(concurrency)),
            waiting: Arc::new(Semaphore::new(concurrency * (1 + WAITING_PER_HASH))),
            nobodys: "".into(),
        };
        let nobodys = Password(Zeroizing::new("nobody's password".to_owned()));
        hasher.nobodys = hasher.hash(nobodys).await?.into();
        Ok(hasher)
    }

    /// The PHC string of a password, with a new salt.
    pub async fn hash(&self, password: Password) -> Result<String, PasswordError> {
        self.run(move || {
            let hash = argon2id().hash_password(password.0.as_bytes()).map_err(PasswordError::Hash)?;
            Ok(hash.to_string())
        })
        .await
    }

    /// Whether a password is the one of a PHC string. Without a string, the same work is done in vain, so that
    /// the time does not tell whether there is such a user.
    pub async fn verify(&self, password: Password, hash: Option<String>) -> Result<bool, PasswordError> {
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.nobodys.as_ref().to_owned());
        let right = self
            .run(move || {
                let hash = PasswordHash::new(&hash).map_err(|error| PasswordError::Hash(error.into()))?;
                match argon2id().verify_password(password.0.as_bytes(), &hash) {
                    Ok(()) => Ok(true),
                    Err(argon2::password_hash::Error::PasswordInvalid) => Ok(false),
                    Err(error) => Err(PasswordError::Hash(error)),
                }
            })
            .await?;
        Ok(known && right)
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let place = Arc::clone(&self.waiting).try_acquire_owned().map_err(|_| PasswordError::Overloaded)?;
        // Never closed: it cannot fail.
        let turn = Arc::clone(&self.running).acquire_owned().await.map_err(|_| PasswordError::Overloaded)?;
        tokio::task::spawn_blocking(move || {
            // Held to the end of the work even when the caller goes away before.
            let _held = (place, turn);
            work()
        })
        .await?
    }
}

/// argon2id with OWASP's parameters, which are the library's defaults; a test holds it to them.
fn argon2id() -> Argon2<'static> {
    Argon2::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Password {
        Password::parse_attempt("password", text.to_owned()).unwrap()
    }

    #[tokio::test]
    async fn a_password_is_known_by_its_hash_and_nobody_has_the_stand_in() {
        let hasher = Hasher::new(1).await.unwrap();
        let hash = hasher.hash(password("correct horse")).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert_ne!(hasher.hash(password("correct horse")).await.unwrap(), hash, "the salt is new");
        assert!(hasher.verify(password("correct horse"), Some(hash.clone())).await.unwrap());
        assert!(!hasher.verify(password("wrong"), Some(hash)).await.unwrap());
        assert!(!hasher.verify(password("nobody's password"), None).await.unwrap());
    }

    #[tokio::test]
    async fn more_than_can_be_worked_off_is_refused() {
        let hasher = Hasher::new(1).await.unwrap();
        let _running = Arc::clone(&hasher.running).acquire_owned().await.unwrap();
        let waiting = u32::try_from(WAITING_PER_HASH + 1).unwrap();
        let _waiting = Arc::clone(&hasher.waiting).acquire_many_owned(waiting).await.unwrap();
        let refused = hasher.hash(password("correct horse")).await.unwrap_err();
        assert!(matches!(refused, PasswordError::Overloaded));
    }

    #[test]
    fn lengths_are_counted_in_characters() {
        let new = |text: &str| Password::parse_new("password", text.to_owned());
        assert!(new("üüüüüüüü").is_ok());
        assert!(new(&"x".repeat(128)).is_ok());
        assert!(new("abc").is_err());
        assert!(new(&"x".repeat(129)).is_err());
        assert!(Password::parse_attempt("password", "x".repeat(129)).is_err());
        assert_eq!(format!("{:?}", password("secret")), "[redacted]");
    }
}
