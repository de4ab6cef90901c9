//! Sessions: listed, ended one by one or all at once, and by themselves.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use mesher_proto::mesher::{
    org::v1::ListOrgsRequest,
    user::v1::{
        ChangePasswordRequest, ListSessionsRequest, LoginRequest, LogoutRequest, RevokeAllSessionsRequest,
        RevokeSessionRequest, Session, ValidateSessionRequest,
    },
};
use mesher_suite::{Suite, User, reason, signed, violated_field};
use tonic::{Code, Request};

const PASSWORD: &str = "correct horse";

/// Signs a user in once more, from an address, by a program.
async fn login(suite: &Suite, user: &User, address: &str, agent: &str) -> User {
    let mut request = Request::new(LoginRequest { email: user.email.clone(), password: PASSWORD.to_owned() });
    request.metadata_mut().insert("x-forwarded-for", address.parse().unwrap());
    request.metadata_mut().insert("x-forwarded-user-agent", agent.parse().unwrap());
    let answer = suite.users().login(request).await.unwrap().into_inner();
    User { token: answer.token, ..user.clone() }
}

async fn list(suite: &Suite, user: &User) -> Vec<Session> {
    let request = signed(user, ListSessionsRequest::default());
    suite.users().list_sessions(request).await.unwrap().into_inner().sessions
}

async fn is_valid(suite: &Suite, user: &User) -> bool {
    match suite.users().validate_session(signed(user, ValidateSessionRequest {})).await {
        Ok(_) => true,
        Err(status) => {
            assert_eq!((status.code(), reason(&status).as_str()), (Code::Unauthenticated, "SESSION_INVALID"));
            false
        }
    }
}

#[tokio::test]
async fn sessions_are_listed_with_where_they_began_and_ended_one_by_one() {
    let suite = Suite::start().await;
    let (first, stranger) = (suite.user().await, suite.user().await);
    let second = login(&suite, &first, "203.0.113.7", "curl/8.5.0").await;
    let sessions = list(&suite, &second).await;
    let shown: Vec<_> = sessions
        .iter()
        .map(|session| (session.client_address.as_str(), session.user_agent.as_str(), session.current))
        .collect();
    assert_eq!(shown[0], ("203.0.113.7", "curl/8.5.0", true), "the last one first");
    assert!(shown[1].0 == "127.0.0.1" && shown[1].1.starts_with("tonic") && !shown[1].2, "{shown:?}");
    assert_eq!(sessions.len(), 2, "nobody else's");
    for session in &sessions {
        let seconds = |time: &Option<prost_types::Timestamp>| time.unwrap().seconds;
        let began = seconds(&session.create_time);
        assert_eq!(seconds(&session.expire_time) - began, 7 * 24 * 60 * 60);
        assert_eq!(seconds(&session.idle_expire_time) - began, 24 * 60 * 60);
        assert_eq!(session.user_id, first.id);
    }

    let revoke = RevokeSessionRequest { session_id: sessions[1].session_id.clone() };
    let refused = suite.users().revoke_session(signed(&stranger, revoke.clone())).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound, "another's session");
    assert!(is_valid(&suite, &first).await);
    suite.users().revoke_session(signed(&second, revoke.clone())).await.unwrap();
    assert!(!is_valid(&suite, &first).await && is_valid(&suite, &second).await);
    let again = suite.users().revoke_session(signed(&second, revoke)).await.unwrap_err();
    assert_eq!(again.code(), Code::NotFound);
    assert_eq!(list(&suite, &second).await.len(), 1);
}

#[tokio::test]
async fn all_sessions_end_at_once_everywhere() {
    let suite = Suite::start().await;
    let (first, stranger) = (suite.user().await, suite.user().await);
    let second = login(&suite, &first, "203.0.113.7", "").await;
    let everywhere = signed(&second, RevokeAllSessionsRequest {});
    let ended = suite.users().revoke_all_sessions(everywhere).await.unwrap().into_inner();
    assert_eq!(ended.ended_session_count, 2);
    assert!(!is_valid(&suite, &first).await && !is_valid(&suite, &second).await);
    assert!(is_valid(&suite, &stranger).await);
}

#[tokio::test]
async fn a_session_is_no_good_for_another_service_from_the_moment_it_ends() {
    let suite = Suite::start().await;
    let user = suite.user().await;
    for _ in 0..20 {
        let user = login(&suite, &user, "203.0.113.7", "").await;
        let orgs = || signed(&user, ListOrgsRequest::default());
        // Nothing that was found out before the logout may be remembered after it.
        suite.orgs().list_orgs(orgs()).await.unwrap();
        suite.users().logout(signed(&user, LogoutRequest {})).await.unwrap();
        assert_eq!(reason(&suite.orgs().list_orgs(orgs()).await.unwrap_err()), "SESSION_INVALID");
    }
}

#[tokio::test]
async fn a_session_ends_when_it_is_not_used_and_use_is_noted_now_and_then() {
    let suite = Suite::start().await;
    let user = suite.user().await;
    let pool = suite.database.pool();
    let age = async |age: &str| {
        let sql = "UPDATE sessions SET last_used_at = last_used_at - $1::interval, idle_expires_at = idle_expires_at - $1::interval";
        sqlx::query(sql).bind(age).execute(pool).await.unwrap();
    };
    let last_used = async || list(&suite, &user).await[0].last_use_time.unwrap();
    let began = last_used().await;
    age("30 seconds").await;
    let unchanged = last_used().await;
    assert_eq!(last_used().await, unchanged, "no write for each call");
    assert!(unchanged.seconds < began.seconds);
    age("23 hours").await;
    assert!(is_valid(&suite, &user).await);
    assert!(last_used().await.seconds >= began.seconds, "used, and good for another day");
    age("25 hours").await;
    assert!(!is_valid(&suite, &user).await);
    let orgs = suite.orgs().list_orgs(signed(&user, ListOrgsRequest::default())).await.unwrap_err();
    assert_eq!(reason(&orgs), "SESSION_INVALID");
    let other = login(&suite, &user, "203.0.113.7", "").await;
    assert_eq!(list(&suite, &other).await.len(), 1, "one that ended is not shown");
}

#[tokio::test]
async fn a_session_of_a_version_that_knew_no_idle_end_is_one_like_others() {
    let suite = Suite::start().await;
    let user = suite.user().await;
    let older = "INSERT INTO sessions (token_sha256, user_id, created_at, expires_at)
                 SELECT sha256('older'), user_id, now(), now() + interval '7 days' FROM sessions LIMIT 1";
    sqlx::query(older).execute(suite.database.pool()).await.unwrap();
    let sessions = list(&suite, &user).await;
    assert_eq!(sessions.len(), 2);
    assert!(sessions.iter().all(|session| session.idle_expire_time.is_some()));
}

#[tokio::test]
async fn a_new_password_ends_all_other_sessions() {
    let suite = Suite::start().await;
    let first = suite.user().await;
    let second = login(&suite, &first, "203.0.113.7", "").await;
    let change = |current: &str, new: &str| {
        let request =
            ChangePasswordRequest { current_password: current.to_owned(), new_password: new.to_owned() };
        signed(&second, request)
    };
    for (current, new, field) in [
        ("wrong horse", "battery staple", "current_password"),
        (PASSWORD, "short", "new_password"),
        (PASSWORD, &first.email, "new_password"),
    ] {
        let refused = suite.users().change_password(change(current, new)).await.unwrap_err();
        assert_eq!((refused.code(), violated_field(&refused).as_str()), (Code::InvalidArgument, field));
    }
    assert!(is_valid(&suite, &first).await);
    let changed = suite.users().change_password(change(PASSWORD, "battery staple")).await.unwrap();
    assert_eq!(changed.into_inner().ended_session_count, 1);
    assert!(!is_valid(&suite, &first).await && is_valid(&suite, &second).await);
    let old = LoginRequest { email: first.email.clone(), password: PASSWORD.to_owned() };
    assert_eq!(reason(&suite.users().login(old).await.unwrap_err()), "LOGIN_FAILED");
    let new = LoginRequest { email: first.email.clone(), password: "battery staple".to_owned() };
    suite.users().login(new).await.unwrap();
}

#[tokio::test]
async fn a_login_with_the_old_password_does_not_outlive_its_change() {
    let suite = Suite::start().await;
    for _ in 0..5 {
        let user = suite.user().await;
        let request = ChangePasswordRequest {
            current_password: PASSWORD.to_owned(),
            new_password: "battery staple".to_owned(),
        };
        let (mut changing, mut signing_in) = (suite.users(), suite.users());
        let old = LoginRequest { email: user.email.clone(), password: PASSWORD.to_owned() };
        let (changed, begun) =
            tokio::join!(changing.change_password(signed(&user, request)), signing_in.login(old));
        changed.unwrap();
        if let Ok(begun) = begun {
            let token = begun.into_inner().token;
            assert!(!is_valid(&suite, &User { token, ..user.clone() }).await);
        }
        assert!(is_valid(&suite, &user).await);
    }
}

#[tokio::test]
async fn of_more_sessions_than_there_may_be_those_end_that_were_not_used_for_the_longest() {
    let suite = Suite::start().await;
    let user = suite.user().await;
    let in_use = login(&suite, &user, "203.0.113.7", "in use").await;
    sqlx::query(
        "INSERT INTO sessions (token_sha256, user_id, created_at, expires_at, last_used_at, user_agent)
         SELECT sha256(n::text::bytea), $1::uuid, now(), now() + interval '1 day', now() - make_interval(hours => n), n::text
         FROM generate_series(1, 150) AS n",
    )
    .bind(&user.id)
    .execute(suite.database.pool())
    .await
    .unwrap();
    let last = login(&suite, &user, "203.0.113.8", "the last").await;
    let left: Vec<String> = sqlx::query_scalar("SELECT user_agent FROM sessions WHERE user_id = $1::uuid")
        .bind(&user.id)
        .fetch_all(suite.database.pool())
        .await
        .unwrap();
    assert_eq!(left.len(), 100);
    assert!(left.contains(&"97".to_owned()) && !left.contains(&"98".to_owned()), "{left:?}");
    assert!(
        is_valid(&suite, &last).await && is_valid(&suite, &in_use).await && is_valid(&suite, &user).await
    );
}
