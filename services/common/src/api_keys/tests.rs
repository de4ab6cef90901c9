mod silence;

use std::sync::Mutex;

use super::*;
use crate::secret::Secret;

const FRESH: Duration = Duration::from_secs(5);

/// A database that says what it is told to, or is away.
#[derive(Clone, Debug, Default)]
struct Scripted(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    valid: HashMap<SecretHash, ApiKey>,
    away: bool,
    queries: Vec<usize>,
}

impl Scripted {
    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.lock().unwrap());
    }

    fn queries(&self) -> Vec<usize> {
        std::mem::take(&mut self.0.lock().unwrap().queries)
    }
}

impl Lookup for Scripted {
    async fn look_up(&self, keys: &[SecretHash]) -> Result<HashMap<SecretHash, ApiKey>, DatabaseError> {
        // So that others can ask meanwhile.
        tokio::time::sleep(Duration::from_millis(1)).await;
        let mut state = self.0.lock().unwrap();
        state.queries.push(keys.len());
        if state.away {
            return Err(DatabaseError::Unavailable(sqlx::Error::PoolTimedOut));
        }
        Ok(keys.iter().filter_map(|key| Some((*key, *state.valid.get(key)?))).collect())
    }
}

fn key() -> SecretHash {
    Secret::new_api_key().unwrap().sha256()
}

fn api_key() -> ApiKey {
    let project_id = ProjectId::new();
    ApiKey {
        project_id,
        project_number: 7,
        revoked: false,
        expires_at: None,
        project_limit: None,
        key_limit: None,
    }
}

fn start(fresh_for: Duration) -> (ApiKeys, Scripted) {
    let database = Scripted::default();
    let (keys, resolver) = ApiKeys::new(database.clone(), fresh_for);
    tokio::spawn(resolver.run(CancellationToken::new()));
    (keys, database)
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_remembered_and_a_revoked_key_stops_working_when_it_is_old() {
    let (keys, database) = start(FRESH);
    let (key, project) = (key(), api_key());
    assert_eq!(keys.get(key).await.unwrap(), None);
    database.set(|state| {
        state.valid.insert(key, project);
    });
    assert_eq!(keys.get(key).await.unwrap(), None, "unknown keys are remembered, too");
    tokio::time::advance(FRESH).await;
    assert_eq!(keys.get(key).await.unwrap(), Some(project));
    database.set(|state| state.valid.clear());
    assert_eq!(keys.get(key).await.unwrap(), Some(project));
    assert_eq!(database.queries(), [1, 1]);
    tokio::time::advance(FRESH).await;
    assert_eq!(keys.get(key).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_key_in_use_is_asked_for_ahead_and_nobody_waits() {
    let (keys, database) = start(FRESH);
    let (key, project) = (key(), api_key());
    database.set(|state| {
        state.valid.insert(key, project);
    });
    keys.get(key).await.unwrap();
    for _ in 0..100 {
        tokio::time::sleep(FRESH / 10).await;
        let asked = Instant::now();
        assert_eq!(keys.get(key).await.unwrap(), Some(project));
        assert_eq!(asked.elapsed(), Duration::ZERO, "it was there");
    }
    let queries = database.queries().len();
    assert!((10..30).contains(&queries), "{queries}");
}

#[tokio::test(start_paused = true)]
async fn many_keys_are_asked_for_at_once() {
    let (keys, database) = start(FRESH);
    let wanted: Vec<SecretHash> = (0..3 * BATCH).map(|_| key()).collect();
    let asked = wanted.iter().chain(&wanted).map(|key| keys.get(*key));
    for answer in futures_util::future::join_all(asked).await {
        assert_eq!(answer.unwrap(), None);
    }
    let queries = database.queries();
    assert!(queries.len() < 10, "{queries:?}");
}

#[tokio::test(start_paused = true)]
async fn while_the_database_is_away_a_key_stays_what_it_was() {
    let (keys, database) = start(FRESH);
    let (valid, unknown, project) = (key(), key(), api_key());
    database.set(|state| {
        state.valid.insert(valid, project);
    });
    keys.get(valid).await.unwrap();
    keys.get(unknown).await.unwrap();
    database.set(|state| state.away = true);
    for minute in 0..60 {
        tokio::time::advance(Duration::from_mins(1)).await;
        let asked = Instant::now();
        assert_eq!(keys.get(valid).await.unwrap(), Some(project));
        let patience = if minute == 0 { PATIENCE_WITH_AN_OLD_ANSWER } else { Duration::ZERO };
        assert!(asked.elapsed() <= patience, "nobody waits for a database that is away");
        keys.get(unknown).await.unwrap_err();
        keys.get(key()).await.unwrap_err();
    }
    database.set(|state| {
        state.away = false;
        state.valid.clear();
    });
    tokio::time::sleep(RETRY).await;
    keys.get(valid).await.unwrap();
    tokio::time::sleep(RETRY).await;
    assert_eq!(keys.get(valid).await.unwrap(), None, "it was revoked, as the database says when it is back");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_fresh_when_nothing_is_to_be_remembered() {
    let (keys, database) = start(Duration::ZERO);
    let (key, project) = (key(), api_key());
    database.set(|state| {
        state.valid.insert(key, project);
    });
    assert_eq!(keys.get(key).await.unwrap(), Some(project));
    database.set(|state| state.valid.clear());
    assert_eq!(keys.get(key).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_key_expires_by_itself_also_while_the_database_is_away() {
    let (keys, database) = start(FRESH);
    let key = key();
    let expires_at = Instant::now() + Duration::from_mins(1);
    database.set(|state| {
        state.valid.insert(key, ApiKey { expires_at: Some(expires_at), ..api_key() });
    });
    let is_revoked = async || keys.get(key).await.map(|found| found.unwrap().revoked);
    assert!(!is_revoked().await.unwrap());
    database.set(|state| state.away = true);
    tokio::time::sleep_until(expires_at - 2 * PATIENCE_WITH_AN_OLD_ANSWER).await;
    assert!(!is_revoked().await.unwrap());
    tokio::time::sleep_until(expires_at).await;
    assert!(is_revoked().await.unwrap());
    database.set(|state| state.away = false);
    tokio::time::sleep(RETRY).await;
    assert!(is_revoked().await.unwrap(), "an old answer of the database is not believed either");
}
