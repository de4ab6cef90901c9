//! Passwords: argon2id with the parameters that OWASP recommends (19 MiB, 2 passes, 1 lane) or stronger ones, on the
//! blocking pool, with a bound on how many are hashed at once and on how many wait.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use argon2::{
    Algorithm, Argon2, KeyId, Params, ParamsBuilder, Version,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};
use mesher_common::status::Violation;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::{
    config::PasswordArgs,
    email::Email,
    pepper::{Pepper, Peppers},
};

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

impl From<argon2::password_hash::Error> for PasswordError {
    fn from(error: argon2::password_hash::Error) -> Self {
        Self::Hash(error)
    }
}

impl From<argon2::Error> for PasswordError {
    fn from(error: argon2::Error) -> Self {
        Self::Hash(error.into())
    }
}

/// A password in plain: wiped when dropped, never shown by `Debug`.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Checks the password that somebody chose, in `field` of a request. Any characters will do (NIST SP
    /// 800-63B, 5.1.1.2: no composition rules), but not those of the user's e-mail address.
    pub fn parse_new(field: &'static str, text: String, email: &Email) -> Result<Self, Violation> {
        let password = Self(Zeroizing::new(text));
        let length = password.0.chars().count();
        if !(MIN_PASSWORD..=MAX_PASSWORD).contains(&length) {
            let description =
                format!("has {length} characters; {MIN_PASSWORD} to {MAX_PASSWORD} are allowed");
            return Err(Violation::new(field, description));
        }
        if email.is_same(&password.0) {
            return Err(Violation::new(field, "is the e-mail address: choose another"));
        }
        Ok(password)
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

/// What a password is to a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not its password.
    Wrong,
    /// Its password.
    Right,
    /// Its password, and the hash is weaker than new ones are.
    Outdated,
}

/// Hashes and checks passwords.
#[derive(Clone, Debug)]
pub struct Hasher {
    running: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    scheme: Scheme,
    nobodys: Arc<str>,
    /// The work of the costliest hash that is known, or that new ones are: what every check costs.
    most: Arc<AtomicU64>,
}

impl Hasher {
    /// A hasher by these settings.
    pub async fn new(args: &PasswordArgs, peppers: Peppers) -> Result<Self, PasswordError> {
        let concurrency = usize::from(args.concurrent_password_hashes);
        let scheme = Scheme::new(args.password_memory, args.password_passes, peppers)?;
        let mut hasher = Self {
            most: Arc::new(AtomicU64::new(cost(&scheme.params))),
            running: Arc::new(Semaphore::new(concurrency)),
            waiting: Arc::new(Semaphore::new(concurrency * (1 + WAITING_PER_HASH))),
            scheme,
            nobodys: "".into(),
        };
        let nobodys = Password(Zeroizing::new("nobody's password".to_owned()));
        hasher.nobodys = hasher.hash(nobodys).await?.into();
        Ok(hasher)
    }

    /// Takes note of a hash that so many accounts have the like of: checks cost what the costliest costs from now on. Says
    /// in the log when none of them can sign in.
    pub fn note(&self, hash: &str, accounts: i64) {
        let Some(params) = PasswordHash::new(hash).ok().and_then(|hash| Params::try_from(&hash).ok()) else {
            tracing::error!(accounts, "their passwords have hashes that cannot be read: they cannot sign in");
            return;
        };
        self.most.fetch_max(cost(&params), Ordering::Relaxed);
        if self.scheme.lacks_pepper(&params) {
            tracing::error!(
                accounts,
                "their passwords were hashed with a pepper that --password-pepper-file does not name: they cannot sign in \
                 until it is named again"
            );
        }
    }

    /// The PHC string of a password, with a new salt.
    pub async fn hash(&self, password: Password) -> Result<String, PasswordError> {
        let scheme = self.scheme.clone();
        self.run(move || scheme.hash(&password)).await
    }

    /// What a password is to a PHC string. Without a string, or with one whose pepper is missing, the same work is done in
    /// vain, so that the time does not tell whether there is such a user.
    pub async fn verify(&self, password: Password, hash: Option<String>) -> Result<Verdict, PasswordError> {
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.nobodys.as_ref().to_owned());
        let (scheme, most) = (self.scheme.clone(), Arc::clone(&self.most));
        let verdict = self.run(move || scheme.verify(&password, &hash, &most)).await?;
        Ok(if known { verdict } else { Verdict::Wrong })
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

/// How passwords are hashed.
#[derive(Clone, Debug)]
struct Scheme {
    params: Params,
    peppers: Peppers,
}

impl Scheme {
    fn new(memory: u32, passes: u32, peppers: Peppers) -> Result<Self, PasswordError> {
        let mut params = ParamsBuilder::new();
        params.m_cost(memory).t_cost(passes);
        if let Some(pepper) = peppers.current() {
            params.keyid(KeyId::new(pepper.id())?);
        }
        Ok(Self { params: params.build()?, peppers })
    }

    fn hash(&self, password: &Password) -> Result<String, PasswordError> {
        let argon2 = Self::argon2(self.params.clone(), self.peppers.current())?;
        Ok(argon2.hash_password(password.0.as_bytes())?.to_string())
    }

    /// What a password is to a hash, by as much work as `most` hashes cost.
    fn verify(&self, password: &Password, hash: &str, most: &AtomicU64) -> Result<Verdict, PasswordError> {
        let hash = PasswordHash::new(hash).map_err(argon2::password_hash::Error::from)?;
        let params = Params::try_from(&hash)?;
        let most = most.fetch_max(cost(&params), Ordering::Relaxed);
        let pepper = self.peppers.named(params.keyid());
        let verified = Self::argon2(params.clone(), pepper)?.verify_password(password.0.as_bytes(), &hash);
        self.make_up_for(&params, most)?;
        if self.lacks_pepper(&params) {
            tracing::error!("a hash was made with a pepper that --password-pepper-file does not name");
            return Ok(Verdict::Wrong);
        }
        match verified {
            Ok(()) if self.is_outdated(&params) => Ok(Verdict::Outdated),
            Ok(()) => Ok(Verdict::Right),
            Err(argon2::password_hash::Error::PasswordInvalid) => Ok(Verdict::Wrong),
            Err(error) => Err(error.into()),
        }
    }

    /// argon2id, with a pepper if there is one.
    fn argon2(params: Params, pepper: Option<&Pepper>) -> Result<Argon2<'_>, PasswordError> {
        Ok(match pepper {
            Some(pepper) => {
                Argon2::new_with_secret(pepper.secret(), Algorithm::Argon2id, Version::V0x13, params)?
            }
            None => Argon2::new(Algorithm::Argon2id, Version::V0x13, params),
        })
    }

    /// Whether a hash with `params` can be checked by nobody here.
    fn lacks_pepper(&self, params: &Params) -> bool {
        !params.keyid().is_empty() && self.peppers.named(params.keyid()).is_none()
    }

    fn is_outdated(&self, params: &Params) -> bool {
        cost(params) < cost(&self.params) || params.keyid() != self.params.keyid()
    }

    /// Does the work that a hash with `params` lacks to `most`: neither a hash of before nor one that is nobody's may tell by
    /// its time which it is.
    fn make_up_for(&self, params: &Params, most: u64) -> Result<(), PasswordError> {
        let missing = most.saturating_sub(cost(params));
        // In no more memory than a hash takes.
        let passes = missing.div_ceil(u64::from(self.params.m_cost())).max(1);
        let (Ok(memory), Ok(passes)) = (u32::try_from(missing / passes), u32::try_from(passes)) else {
            return Ok(());
        };
        if memory < Params::MIN_M_COST {
            return Ok(());
        }
        let filler = Params::new(memory, passes, 1, None)?;
        let mut output = [0; Params::DEFAULT_OUTPUT_LEN];
        Argon2::new(Algorithm::Argon2id, Version::V0x13, filler).hash_password_into(
            b"nobody's password",
            b"nobody's salt",
            &mut output,
        )?;
        Ok(())
    }
}

/// About how much work a hash is, in KiB that are passed over.
fn cost(params: &Params) -> u64 {
    u64::from(params.m_cost()) * u64::from(params.t_cost())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEPPER: &str = "a secret that is in no database";

    fn password(text: &str) -> Password {
        Password::parse_attempt("password", text.to_owned()).unwrap()
    }

    fn args(memory: u32) -> PasswordArgs {
        PasswordArgs {
            concurrent_password_hashes: 1,
            password_memory: memory,
            password_passes: 2,
            password_pepper_file: Vec::new(),
        }
    }

    async fn hasher(memory: u32, peppers: &[&str]) -> Hasher {
        Hasher::new(&args(memory), Peppers::of(peppers)).await.unwrap()
    }

    #[tokio::test]
    async fn a_password_is_known_by_its_hash_and_nobody_has_the_stand_in() {
        let hasher = hasher(19_456, &[]).await;
        let hash = hasher.hash(password("correct horse")).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert_ne!(hasher.hash(password("correct horse")).await.unwrap(), hash, "the salt is new");
        let verdict =
            async |text: &str, hash: Option<String>| hasher.verify(password(text), hash).await.unwrap();
        assert_eq!(verdict("correct horse", Some(hash.clone())).await, Verdict::Right);
        assert_eq!(verdict("wrong", Some(hash)).await, Verdict::Wrong);
        assert_eq!(verdict("nobody's password", None).await, Verdict::Wrong);
    }

    #[tokio::test]
    async fn a_hash_that_is_weaker_than_new_ones_is_outdated() {
        let (old, new) = (hasher(19_456, &[]).await, hasher(38_912, &[PEPPER]).await);
        let hash = old.hash(password("correct horse")).await.unwrap();
        let verify = async |hasher: &Hasher, text: &str, hash: &String| {
            hasher.verify(password(text), Some(hash.clone())).await.unwrap()
        };
        assert_eq!(verify(&new, "correct horse", &hash).await, Verdict::Outdated);
        assert_eq!(verify(&new, "wrong", &hash).await, Verdict::Wrong);
        let hash = new.hash(password("correct horse")).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=38912,t=2,p=1,keyid="), "{hash}");
        assert_eq!(verify(&new, "correct horse", &hash).await, Verdict::Right);
        // Less is asked for, and nothing is made weaker.
        assert_eq!(verify(&hasher(19_456, &[PEPPER]).await, "correct horse", &hash).await, Verdict::Right);
    }

    #[tokio::test]
    async fn a_hash_is_worth_nothing_without_its_pepper_and_gets_a_new_one() {
        let peppered = hasher(19_456, &[PEPPER]).await;
        let hash = peppered.hash(password("correct horse")).await.unwrap();
        let without = hasher(19_456, &[]).await.verify(password("correct horse"), Some(hash.clone())).await;
        assert_eq!(without.unwrap(), Verdict::Wrong, "as if there were no such account");
        let plain = hash.split(",keyid=").next().unwrap().to_owned()
            + "$"
            + hash.split_once("keyid=").unwrap().1.split_once('$').unwrap().1;
        let unpeppered = peppered.verify(password("correct horse"), Some(plain)).await.unwrap();
        assert_eq!(unpeppered, Verdict::Wrong, "the pepper is in the hash, not only its name");
        let rotated = hasher(19_456, &["another secret than before", PEPPER]).await;
        assert_eq!(rotated.verify(password("correct horse"), Some(hash)).await.unwrap(), Verdict::Outdated);
    }

    #[tokio::test]
    async fn a_check_costs_what_the_costliest_hash_costs() {
        let (weak, strong) = (hasher(19_456, &[]).await, hasher(38_912, &[PEPPER]).await);
        let most = |hasher: &Hasher| hasher.most.load(Ordering::Relaxed);
        let own = most(&weak);
        let hash = strong.hash(password("correct horse")).await.unwrap();
        weak.note(&hash, 1);
        assert_eq!((most(&weak), most(&strong)), (2 * own, 2 * own));
        // Also if it was not known at the start.
        let weak = hasher(19_456, &[PEPPER]).await;
        weak.verify(password("wrong"), Some(hash)).await.unwrap();
        assert_eq!(most(&weak), 2 * own);
        weak.note("no hash", 1);
    }

    #[test]
    fn what_is_lacking_is_made_up_for_whatever_it_is() {
        let scheme = Scheme::new(19_456, 2, Peppers::default()).unwrap();
        let params = Params::new(19_456, 2, 1, None).unwrap();
        for most in [0, cost(&params), cost(&params) + 1, cost(&params) + 9, 3 * cost(&params) + 7] {
            scheme.make_up_for(&params, most).unwrap();
        }
    }

    #[tokio::test]
    async fn more_than_can_be_worked_off_is_refused() {
        let hasher = hasher(19_456, &[]).await;
        let _running = Arc::clone(&hasher.running).acquire_owned().await.unwrap();
        let waiting = u32::try_from(WAITING_PER_HASH + 1).unwrap();
        let _waiting = Arc::clone(&hasher.waiting).acquire_many_owned(waiting).await.unwrap();
        let refused = hasher.hash(password("correct horse")).await.unwrap_err();
        assert!(matches!(refused, PasswordError::Overloaded));
    }

    #[test]
    fn lengths_are_counted_in_characters_and_the_address_is_no_password() {
        let email = Email::parse("email", "Ada@example.com").unwrap();
        let new = |text: &str| Password::parse_new("password", text.to_owned(), &email);
        assert!(new("üüüüüüüü").is_ok());
        assert!(new(&"x".repeat(128)).is_ok());
        for wrong in ["abc", &"x".repeat(129), "ada@EXAMPLE.com", " Ada@example.com"] {
            assert!(new(wrong).is_err(), "{wrong}");
        }
        assert!(Password::parse_attempt("password", "x".repeat(129)).is_err());
        assert_eq!(format!("{:?}", password("secret")), "[redacted]");
    }
}
