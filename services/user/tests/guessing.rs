//! Whoever guesses passwords is slowed down, and the rightful owner is not locked out.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::time::{Duration, Instant};

use mesher_proto::mesher::user::v1::{ChangePasswordRequest, LoginRequest, RevokeAllSessionsRequest};
use mesher_suite::{Suite, User, reason, signed};
use sqlx::AssertSqlSafe;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

const PASSWORD: &str = "correct horse";

/// The longest wait.
const MAX_WAIT: Duration = Duration::from_mins(2);

/// How much later than it came a failure counts as having come: no test has to be faster than the first waits, which are of
/// seconds.
const LATER: Duration = Duration::from_secs(30);

/// A login from an address; the delay that is asked for, where it comes too soon.
async fn login(suite: &Suite, email: &str, password: &str, address: &str) -> Result<(), Status> {
    let mut request = Request::new(LoginRequest { email: email.to_owned(), password: password.to_owned() });
    request.metadata_mut().insert("x-forwarded-for", address.parse().unwrap());
    suite.users().login(request).await.map(drop)
}

fn slowed(refused: &Status) -> Option<Duration> {
    if reason(refused) != "TOO_MANY_FAILURES" {
        assert_eq!((refused.code(), reason(refused).as_str()), (Code::Unauthenticated, "LOGIN_FAILED"));
        return None;
    }
    assert_eq!(refused.code(), Code::ResourceExhausted);
    Some(refused.get_details_retry_info().unwrap().retry_delay.unwrap())
}

async fn wrong(suite: &Suite, email: &str, address: &str) -> Option<Duration> {
    slowed(&login(suite, email, "wrong horse", address).await.unwrap_err())
}

/// Fails unless somebody was told to wait until `seconds` after a failure that came after `since`.
#[track_caller]
fn expect_wait(told: Duration, seconds: u64, since: Instant) {
    let whole = LATER + Duration::from_secs(seconds);
    let waits = whole.saturating_sub(since.elapsed()).min(MAX_WAIT)..=whole.min(MAX_WAIT);
    assert!(waits.contains(&told), "told to wait for {told:?}, which is not in {waits:?}");
}

/// Lets the time since the last failures pass.
async fn pass(suite: &Suite, time: &str) {
    sqlx::query("UPDATE login_failures SET last_failed_at = last_failed_at - $1::interval - $2")
        .bind(time)
        .bind(LATER)
        .execute(suite.database.pool())
        .await
        .unwrap();
}

async fn start() -> (Suite, User) {
    let suite = Suite::start_with(&["--login-failures", "3", "--login-max-delay", "2min"], &[]).await;
    let later = format!(
        "CREATE FUNCTION later() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             NEW.last_failed_at = NEW.last_failed_at + interval '{} seconds';
             RETURN NEW;
         END $$;
         CREATE TRIGGER later BEFORE INSERT OR UPDATE ON login_failures
             FOR EACH ROW WHEN (NEW.last_failed_at = now()) EXECUTE FUNCTION later();",
        LATER.as_secs()
    );
    sqlx::raw_sql(AssertSqlSafe(later)).execute(suite.database.pool()).await.unwrap();
    let user = suite.user().await;
    (suite, user)
}

#[tokio::test]
async fn after_failures_of_an_account_the_next_attempt_waits_twice_as_long_each_time_up_to_a_bound() {
    let (suite, user) = start().await;
    for email in [user.email.as_str(), "nobody@example.com"] {
        let mut failed = Instant::now();
        for n in 0..3 {
            failed = Instant::now();
            assert_eq!(wrong(&suite, email, &format!("198.51.100.{n}")).await, None, "some are free");
        }
        for seconds in [1, 2, 4, 8, 16, 32, 64, 120, 120] {
            for _ in 0..2 {
                // Not looked at, and not counted.
                expect_wait(wrong(&suite, email, "203.0.113.9").await.unwrap(), seconds, failed);
            }
            pass(&suite, &format!("{seconds} seconds")).await;
            failed = Instant::now();
            let address = format!("192.0.2.{seconds}");
            assert_eq!(wrong(&suite, email, &address).await, None, "whether it is a user's or not");
        }
    }
}

#[tokio::test]
async fn a_success_resets_and_the_right_password_waits_like_any() {
    let (suite, user) = start().await;
    for _ in 0..3 {
        assert_eq!(wrong(&suite, &user.email, "203.0.113.9").await, None);
    }
    let refused = login(&suite, &user.email.to_uppercase(), PASSWORD, "203.0.113.9").await.unwrap_err();
    assert!(slowed(&refused).is_some(), "the right one is not told from the others");
    pass(&suite, "2 seconds").await;
    login(&suite, &user.email, PASSWORD, "203.0.113.9").await.unwrap();
    for _ in 0..3 {
        assert_eq!(wrong(&suite, &user.email, "198.51.100.1").await, None, "from the start");
    }
}

#[tokio::test]
async fn strangers_keep_nobody_out_where_the_account_is_signed_in() {
    let (suite, user) = start().await;
    login(&suite, &user.email, PASSWORD, "203.0.113.9").await.unwrap();
    login(&suite, &user.email, PASSWORD, "2001:db8:1:2::3").await.unwrap();
    while wrong(&suite, &user.email, "198.51.100.1").await.is_none() {}
    login(&suite, &user.email, PASSWORD, "203.0.113.9").await.unwrap();
    login(&suite, &user.email, PASSWORD, "2001:db8:1:2:ffff::").await.unwrap();
    assert!(wrong(&suite, &user.email, "198.51.100.1").await.is_some(), "strangers wait as before");
    // Whoever guesses there waits, too.
    while wrong(&suite, &user.email, "203.0.113.9").await.is_none() {}
}

#[tokio::test]
async fn the_owner_of_an_address_like_anothers_clears_nothing_with_it() {
    let (suite, user) = start().await;
    // As an earlier version let them be registered.
    for (email, variant) in [("fiona@example.com", 0), ("\u{fb01}ona@example.com", 1)] {
        suite.user_of_before(email, variant, &user).await;
    }
    let mut tried = 0;
    while wrong(&suite, "fiona@example.com", "203.0.113.9").await.is_none() {
        tried += 1;
        login(&suite, "\u{fb01}ona@example.com", PASSWORD, "203.0.113.9").await.unwrap();
    }
    assert_eq!(tried, 3);
    assert_eq!(wrong(&suite, "\u{fb01}ona@example.com", "203.0.113.9").await, None, "it is another's");
}

#[tokio::test]
async fn an_address_that_tries_many_accounts_waits_and_cannot_clear_itself() {
    let (suite, user) = start().await;
    let mut tried = 0;
    let mut failed = Instant::now();
    let delay = loop {
        let email = format!("nobody{tried}@example.com");
        let began = Instant::now();
        if let Some(delay) = wrong(&suite, &email, "2001:db8::1").await {
            break delay;
        }
        failed = began;
        tried += 1;
        // With an account of one's own the others' failures do not go away.
        if tried % 10 == 0 && tried < 30 {
            login(&suite, &user.email, PASSWORD, "2001:db8::1").await.unwrap();
        }
    };
    assert_eq!(tried, 30);
    expect_wait(delay, 1, failed);
    assert!(wrong(&suite, "another@example.com", "2001:db8::2").await.is_some(), "the same subscriber's");
    login(&suite, &user.email, PASSWORD, "2001:db8:0:1::1").await.unwrap();
    login(&suite, &user.email, PASSWORD, "2001:db8::1")
        .await
        .expect("who is signed in there does not wait for others");
    pass(&suite, "1 hour").await;
    assert_eq!(wrong(&suite, "another@example.com", "2001:db8::1").await, None, "half is forgotten");
}

#[tokio::test]
async fn attempts_at_once_are_counted_before_they_are_looked_at() {
    let (suite, user) = start().await;
    let attempts = (0..20).map(|_| wrong(&suite, &user.email, "203.0.113.9"));
    let slowed = futures_util::future::join_all(attempts).await;
    assert_eq!(slowed.iter().filter(|delay| delay.is_none()).count(), 3, "{slowed:?}");
}

#[tokio::test]
async fn an_open_session_is_no_place_to_guess_the_password_in() {
    let (suite, user) = start().await;
    let change = || ChangePasswordRequest {
        current_password: "wrong horse".to_owned(),
        new_password: "battery staple".to_owned(),
    };
    for _ in 0..3 {
        let refused = suite.users().change_password(signed(&user, change())).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
    }
    let refused = suite.users().change_password(signed(&user, change())).await.unwrap_err();
    assert_eq!(reason(&refused), "TOO_MANY_FAILURES");
}

#[tokio::test]
async fn where_an_account_was_signed_in_of_late_its_owner_is_not_kept_out_either() {
    let (suite, user) = start().await;
    login(&suite, &user.email, PASSWORD, "203.0.113.9").await.unwrap();
    login(&suite, &user.email, PASSWORD, "203.0.113.8").await.unwrap();
    let revoke = signed(&user, RevokeAllSessionsRequest {});
    suite.users().revoke_all_sessions(revoke).await.unwrap();
    while wrong(&suite, &user.email, "198.51.100.1").await.is_none() {}
    login(&suite, &user.email, PASSWORD, "203.0.113.9").await.expect("no session is there, and it is known");
    let age = "UPDATE login_networks SET last_login_at = last_login_at - interval '31 days' WHERE network = '203.0.113.8'";
    sqlx::query(age).execute(suite.database.pool()).await.unwrap();
    let refused = login(&suite, &user.email, PASSWORD, "203.0.113.8").await.unwrap_err();
    assert!(slowed(&refused).is_some(), "it is long ago");

    // Who had the old password, and was somewhere with it, is a stranger there now.
    pass(&suite, "2 days").await;
    let email = user.email.clone();
    let mut signed_in = Request::new(LoginRequest { email: email.clone(), password: PASSWORD.to_owned() });
    signed_in.metadata_mut().insert("x-forwarded-for", "203.0.113.7".parse().unwrap());
    let token = suite.users().login(signed_in).await.unwrap().into_inner().token;
    let change = ChangePasswordRequest {
        current_password: PASSWORD.to_owned(),
        new_password: "battery staple".to_owned(),
    };
    let mut request = signed(&User { token, ..user }, change);
    request.metadata_mut().insert("x-forwarded-for", "203.0.113.7".parse().unwrap());
    suite.users().change_password(request).await.unwrap();
    let networks: Vec<String> = sqlx::query_scalar("SELECT network FROM login_networks")
        .fetch_all(suite.database.pool())
        .await
        .unwrap();
    assert_eq!(networks, ["203.0.113.7"]);
}
