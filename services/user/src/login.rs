//! Signing in, and changing the password: an attempt is charged, the password checked, and a session begun or the new password
//! kept.

use std::time::Duration;

use chrono::{DateTime, Utc};
use mesher_common::{
    access::SignedIn,
    audit::Entry,
    id::{SessionId, UserId},
    origin::Origin,
    secret::Secret,
};

use crate::{
    config::{GuessingArgs, SessionArgs},
    email::Address,
    error::UserError,
    guessing::Attempt,
    metrics::{Metrics, Outcome},
    password::{Hasher, Password, PasswordError, Verdict},
    sessions::{NewSession, Proof},
    store::Store,
    user::{Session, User},
};

/// How often a password is checked against a hash that changes meanwhile: two logins at once may both make it stronger.
const TRIES: usize = 3;

/// Checks passwords, begins sessions, and changes passwords.
#[derive(Clone, Debug)]
pub(crate) struct Logins {
    pub(crate) store: Store,
    pub(crate) hasher: Hasher,
    pub(crate) metrics: Metrics,
    pub(crate) guessing: GuessingArgs,
    pub(crate) sessions: SessionArgs,
}

impl Logins {
    /// Begins a session of the user with these credentials.
    pub(crate) async fn login(
        &self,
        address: &Address,
        password: Password,
        origin: Origin,
        now: DateTime<Utc>,
    ) -> Result<(Secret, Session, User), UserError> {
        let result = self.try_login(address, password, origin, now).await;
        match &result {
            Ok(_) => self.metrics.login(Outcome::succeeded),
            Err(UserError::LoginFailed) => self.metrics.login(Outcome::failed),
            Err(UserError::TooManyFailures(_)) => self.metrics.login(Outcome::slowed),
            Err(UserError::Password(PasswordError::Overloaded)) => self.metrics.login(Outcome::overloaded),
            Err(_) => {}
        }
        result
    }

    async fn try_login(
        &self,
        address: &Address,
        password: Password,
        origin: Origin,
        now: DateTime<Utc>,
    ) -> Result<(Secret, Session, User), UserError> {
        let attempt = self.store.charge(address, origin.subscriber(), &self.guessing).await?;
        for _ in 0..TRIES {
            let (user, hash) = self.store.for_login(address).await?.unzip();
            let verdict = self.check(password.clone(), hash.clone(), &attempt).await?;
            let (Some(user), Some(hash), Verdict::Right | Verdict::Outdated) = (user, hash, verdict) else {
                return Err(UserError::LoginFailed);
            };
            let new_hash = match verdict {
                Verdict::Outdated => self.stronger(&password).await,
                Verdict::Right | Verdict::Wrong => None,
            };
            let token = Secret::new_session_token()?;
            let new = self.new_session(user.id, &token, &origin, now);
            let proof = Proof { hash, new_hash };
            if self.store.begin_session(&new, &proof, &attempt, Entry::new(origin.clone())).await? {
                return Ok((token, new.session, user));
            }
        }
        Err(UserError::LoginFailed)
    }

    /// Gives `user`, who is the caller and whose password has this hash, another password in the place of the current one; how
    /// many other sessions ended.
    pub(crate) async fn change_password(
        &self,
        caller: &SignedIn,
        user: &User,
        hash: &str,
        (current, new): (Password, Password),
        now: DateTime<Utc>,
    ) -> Result<u64, UserError> {
        // Whoever has found a session open must not be able to try passwords in it.
        let client = caller.origin.subscriber();
        let attempt = self.store.charge(&Address::from(&user.email), client, &self.guessing).await?;
        if self.check(current, Some(hash.to_owned()), &attempt).await? == Verdict::Wrong {
            return Err(UserError::CurrentPasswordWrong);
        }
        let new_hash = match self.hasher.hash(new).await {
            Ok(hash) => hash,
            Err(error) => {
                self.store.refund(&attempt).await?;
                return Err(error.into());
            }
        };
        let done = (now, caller.does());
        self.store.change_password(user.id, (hash, &new_hash), caller.session, (&attempt, client), done).await
    }

    /// What a password is to a hash. An attempt that could not be looked at is not a failure.
    async fn check(
        &self,
        password: Password,
        hash: Option<String>,
        attempt: &Attempt,
    ) -> Result<Verdict, UserError> {
        match self.hasher.verify(password, hash).await {
            Ok(verdict) => Ok(verdict),
            Err(error) => {
                self.store.refund(attempt).await?;
                Err(error.into())
            }
        }
    }

    /// A hash as strong as new ones are. Who signs in is not kept out because there is none.
    async fn stronger(&self, password: &Password) -> Option<String> {
        match self.hasher.hash(password.clone()).await {
            Ok(hash) => Some(hash),
            Err(error) => {
                tracing::warn!(%error, "a password keeps its weaker hash");
                None
            }
        }
    }

    fn new_session(
        &self,
        user_id: UserId,
        token: &Secret,
        origin: &Origin,
        now: DateTime<Utc>,
    ) -> NewSession {
        let after = |time: Duration| now + time;
        let session = Session {
            id: SessionId::new(),
            user_id,
            created_at: now,
            expires_at: after(self.sessions.session_lifetime),
            last_used_at: now,
            idle_expires_at: after(self.sessions.session_idle_timeout),
            client_address: origin.client.map(|client| client.to_string()),
            user_agent: origin.user_agent.clone(),
        };
        NewSession {
            session,
            idle_timeout: self.sessions.session_idle_timeout,
            client_network: origin.subscriber(),
            token: token.sha256(),
        }
    }
}
