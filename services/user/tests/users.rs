//! Users and sessions, over gRPC, on PostgreSQL.

use std::time::Duration;

use clap::Parser as _;
use mesher_proto::mesher::user::v1::{
    GetUserRequest, LoginRequest, LogoutRequest, RegisterRequest, Role, ValidateSessionRequest,
};
use mesher_suite::{Suite, error_info, reason, signed, violated_field};
use mesher_testing::{TestDatabase, eventually};
use mesher_user::{Config, store::Store};
use sqlx::AssertSqlSafe;
use tonic::{Code, Request};

/// Long enough for a loaded machine.
const PATIENCE: Duration = Duration::from_secs(30);

fn register(email: &str, password: &str) -> RegisterRequest {
    RegisterRequest { email: email.to_owned(), password: password.to_owned(), name: String::new() }
}

fn login(email: &str, password: &str) -> LoginRequest {
    LoginRequest { email: email.to_owned(), password: password.to_owned() }
}

#[tokio::test]
async fn a_user_registers_signs_in_and_out() {
    let suite = Suite::start().await;
    let mut users = suite.users();
    let user = users
        .register(register("Ada@Example.com", "correct horse"))
        .await
        .unwrap()
        .into_inner()
        .user
        .unwrap();
    assert_eq!((user.email.as_str(), user.name.as_str()), ("Ada@Example.com", "Ada"));

    let answer = users.login(login("ada@example.COM", "correct horse")).await.unwrap().into_inner();
    assert_eq!(answer.token.len(), 64);
    assert_eq!(answer.user, Some(user.clone()), "upper and lower case are the same");
    let session = answer.session.unwrap();
    let lifetime = session.expire_time.unwrap().seconds - session.create_time.unwrap().seconds;
    assert_eq!(lifetime, 7 * 24 * 60 * 60);

    let me = mesher_suite::User {
        id: user.user_id.clone(),
        email: user.email.clone(),
        token: answer.token.clone(),
    };
    let valid = users.validate_session(signed(&me, ValidateSessionRequest {})).await.unwrap().into_inner();
    assert_eq!((valid.session, valid.user), (Some(session), Some(user)));

    let plain: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM sessions s, users u WHERE s::text LIKE '%' || $1 || '%' OR u::text LIKE '%correct horse%'",
    )
    .bind(&answer.token)
    .fetch_one(suite.database.pool())
    .await
    .unwrap();
    assert_eq!(plain, 0, "neither the token nor the password is kept in plain");

    users.logout(signed(&me, LogoutRequest {})).await.unwrap();
    let ended = users.validate_session(signed(&me, ValidateSessionRequest {})).await.unwrap_err();
    assert_eq!((ended.code(), reason(&ended).as_str()), (Code::Unauthenticated, "SESSION_INVALID"));
}

#[tokio::test]
async fn a_long_address_gives_a_name_that_is_cut() {
    let suite = Suite::start().await;
    let email = format!("{}@example.com", "ü".repeat(200));
    let answer = suite.users().register(register(&email, "correct horse")).await.unwrap().into_inner();
    let user = answer.user.unwrap();
    assert_eq!((user.email, user.name), (email, "ü".repeat(100)));
}

#[tokio::test]
async fn an_expired_session_is_no_session() {
    let suite = Suite::start().await;
    let user = suite.user().await;
    let expire = "UPDATE sessions SET expires_at = now() - interval '1 second'";
    sqlx::query(expire).execute(suite.database.pool()).await.unwrap();
    let expired = suite.users().validate_session(signed(&user, ValidateSessionRequest {})).await.unwrap_err();
    assert_eq!(reason(&expired), "SESSION_INVALID");
}

#[tokio::test]
async fn expired_sessions_are_deleted_some_at_a_time_and_others_stay() {
    let suite = Suite::start().await;
    let pool = suite.database.pool();
    suite.user().await;
    let (store, live) = (Store::new(pool.clone()), "interval '1 hour'");
    assert_eq!(store.delete_expired(10).await.unwrap(), 0);
    for (n, absolute, idle) in [(1, "interval '-1 second'", live), (2, live, "interval '-1 second'")] {
        let expired = format!(
            "INSERT INTO sessions (token_sha256, user_id, created_at, expires_at, idle_expires_at)
             SELECT sha256((n || ' {n}')::bytea), users.id, now(), now() + {absolute}, now() + {idle}
             FROM users, generate_series(1, 1250) n"
        );
        sqlx::query(AssertSqlSafe(expired)).execute(pool).await.unwrap();
    }
    sqlx::query(
        "INSERT INTO login_failures SELECT sha256(n::text::bytea), 1, now() - interval '2 days'
         FROM generate_series(1, 2500) n",
    )
    .execute(pool)
    .await
    .unwrap();
    assert_eq!(store.delete_expired(10).await.unwrap(), 10);
    assert_eq!(store.forget_failures(10).await.unwrap(), 10);

    let count = async || {
        let count: i64 = sqlx::query_scalar(
            "SELECT (SELECT count(*) FROM sessions) + (SELECT count(*) FROM login_failures)",
        )
        .fetch_one(pool)
        .await
        .unwrap();
        count
    };
    assert_eq!(count().await, 1 + 2490 + 2490);
    // As the service does by itself when it starts, with its role's rights.
    let listen = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    let arguments = ["mesher-user", "--database-url", suite.database.url()].into_iter().chain(listen);
    let service = mesher_user::spawn(Config::try_parse_from(arguments).unwrap()).await.unwrap();
    eventually("the expired ones were gone", PATIENCE, async || count().await == 1).await;
    service.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_unknown_e_mail_and_a_wrong_password_get_the_same_answer() {
    let suite = Suite::start().await;
    let mut users = suite.users();
    users.register(register("ada@example.com", "correct horse")).await.unwrap();
    let wrong = users.login(login("ada@example.com", "wrong horse")).await.unwrap_err();
    let unknown = users.login(login("bob@example.com", "wrong horse")).await.unwrap_err();
    assert_eq!((wrong.code(), reason(&wrong).as_str()), (Code::Unauthenticated, "LOGIN_FAILED"));
    assert_eq!(
        (wrong.code(), wrong.message(), wrong.details()),
        (unknown.code(), unknown.message(), unknown.details())
    );
}

#[tokio::test]
async fn an_e_mail_is_taken_whatever_its_case_and_the_form_of_its_characters() {
    let suite = Suite::start().await;
    suite.users().register(register("ada@example.com", "correct horse")).await.unwrap();
    suite.users().register(register("ünal@example.com", "correct horse")).await.unwrap();
    for same in ["ADA@example.com", "ａｄａ＠example.com", "ada@EXAMPLE.com ", "U\u{308}NAL@example.com"]
    {
        let taken = suite.users().register(register(same, "another horse")).await.unwrap_err();
        assert_eq!(taken.code(), Code::AlreadyExists, "{same}");
        assert_eq!(error_info(&taken).1["field"], "email");
        suite.users().login(login(same, "correct horse")).await.unwrap();
    }
}

#[tokio::test]
async fn the_e_mail_address_is_no_password() {
    let suite = Suite::start().await;
    let refused = suite.users().register(register("ada@example.com", "Ada@Example.com")).await.unwrap_err();
    assert_eq!((refused.code(), violated_field(&refused).as_str()), (Code::InvalidArgument, "password"));
}

#[tokio::test]
async fn an_old_hash_is_made_stronger_by_the_next_login_also_when_two_do_it_at_once() {
    let suite = Suite::start_with(&["--password-memory", "20480"], &[]).await;
    let user = suite.user().await;
    let hash = async || {
        let hash: String = sqlx::query_scalar("SELECT password_hash FROM users WHERE email = $1")
            .bind(&user.email)
            .fetch_one(suite.database.pool())
            .await
            .unwrap();
        hash
    };
    assert!(hash().await.contains("m=20480,"));
    // As it was made before the configuration asked for more.
    let weak = mesher_user::password::Hasher::new(
        &Config::try_parse_from(["mesher-user", "--database-url", "postgres://"]).unwrap().users.passwords,
        mesher_user::pepper::Peppers::default(),
    )
    .await
    .unwrap();
    let password = mesher_user::password::Password::parse_attempt("p", "correct horse".to_owned()).unwrap();
    let weak = weak.hash(password).await.unwrap();
    sqlx::query("UPDATE users SET password_hash = $1 WHERE email = $2")
        .bind(&weak)
        .bind(&user.email)
        .execute(suite.database.pool())
        .await
        .unwrap();
    suite.users().login(login(&user.email, "wrong horse")).await.unwrap_err();
    assert_eq!(hash().await, weak, "a wrong password changes nothing");
    let (mut one, mut two) = (suite.users(), suite.users());
    let request = login(&user.email, "correct horse");
    let (one, two) = tokio::join!(one.login(request.clone()), two.login(request.clone()));
    one.and(two).unwrap();
    assert!(hash().await.contains("m=20480,"));
    suite.users().login(request).await.unwrap();
}

#[tokio::test]
async fn a_flood_of_logins_is_refused_beyond_a_bound_and_other_calls_are_answered() {
    const FLOOD: usize = 200;
    // One at a time, and each slow; and no failures are too many.
    let flags =
        ["--concurrent-password-hashes", "1", "--password-memory", "65536", "--login-failures", "100"];
    let suite = Suite::start_with(&flags, &[]).await;
    let user = suite.user().await;
    let mut flood = tokio::task::JoinSet::new();
    for n in 0..FLOOD {
        let mut users = suite.users();
        flood
            .spawn(async move { users.login(login(&format!("nobody{n}@example.com"), "wrong horse")).await });
    }
    let mut reasons = std::collections::HashMap::new();
    let mut answered = 0;
    while !flood.is_empty() {
        tokio::select! {
            refused = flood.join_next() => {
                let refused = refused.unwrap().unwrap().unwrap_err();
                *reasons.entry((refused.code(), reason(&refused))).or_insert(0) += 1;
            }
            valid = async { suite.users().validate_session(signed(&user, ValidateSessionRequest {})).await } => {
                valid.unwrap();
                answered += 1;
            }
        }
    }
    let (failed, overloaded) = (
        reasons[&(Code::Unauthenticated, "LOGIN_FAILED".to_owned())],
        reasons[&(Code::ResourceExhausted, "OVERLOADED".to_owned())],
    );
    assert_eq!(failed + overloaded, FLOOD, "{reasons:?}");
    // One is hashed and sixteen wait; who comes later finds room again.
    assert!(failed >= 17, "{reasons:?}");
    assert!(answered > 0, "while they waited, others were answered");
    let failures: i64 = sqlx::query_scalar("SELECT sum(failures) FROM login_failures WHERE failures < 100")
        .fetch_one(suite.database.pool())
        .await
        .unwrap();
    assert!(failures >= i64::try_from(failed).unwrap(), "what was not looked at is no failure");
}

#[tokio::test]
async fn bad_input_is_refused_by_the_fields_name() {
    let suite = Suite::start().await;
    let long = "x".repeat(3_000_000);
    for (email, password, field) in [
        ("", "correct horse", "email"),
        ("nobody", "correct horse", "email"),
        ("a b@example.com", "correct horse", "email"),
        ("ada@example.com", "abc", "password"),
        ("ada@example.com", long.as_str(), "password"),
    ] {
        let refused = suite.users().register(register(email, password)).await.unwrap_err();
        assert_eq!((refused.code(), violated_field(&refused).as_str()), (Code::InvalidArgument, field));
    }
    let refused = suite.users().login(login("ada@example.com", &long)).await.unwrap_err();
    assert_eq!(violated_field(&refused), "password");
    // Beyond the server's limit for a message, no field is looked at.
    let refused = suite.users().login(login("ada@example.com", &"x".repeat(10_000_000))).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "TOO_LARGE"));
    let users: i64 =
        sqlx::query_scalar("SELECT count(*) FROM users").fetch_one(suite.database.pool()).await.unwrap();
    assert_eq!(users, 0, "nothing was stored");
}

#[tokio::test]
async fn a_closed_registration_takes_nobody_in() {
    let suite = Suite::start_with(&["--registration", "closed"], &[]).await;
    let refused = suite.users().register(register("ada@example.com", "correct horse")).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::PermissionDenied, "REGISTRATION_CLOSED"));
}

#[tokio::test]
async fn users_are_seen_by_themselves_and_by_those_they_share_an_organization_with() {
    let suite = Suite::start().await;
    let org = suite.org().await;
    let (member, stranger) = (suite.member(&org, Role::Member).await, suite.user().await);
    let get = GetUserRequest { user_id: org.owner.id.clone() };
    for viewer in [&org.owner, &member] {
        let found = suite.users().get_user(signed(viewer, get.clone())).await.unwrap().into_inner();
        assert_eq!(found.user.unwrap().email, org.owner.email);
    }
    assert_eq!(suite.users().get_user(signed(&stranger, get)).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn credentials_that_cannot_be_read_are_refused() {
    let suite = Suite::start().await;
    let user = suite.user().await;
    let call = async |values: &[String]| {
        let mut request = Request::new(ValidateSessionRequest {});
        for value in values {
            request.metadata_mut().append("authorization", value.parse().unwrap());
        }
        reason(&suite.users().validate_session(request).await.unwrap_err())
    };
    let bearer = format!("Bearer {}", user.token);
    assert_eq!(call(&[]).await, "CREDENTIALS_MISSING");
    assert_eq!(call(&["Basic YTpi".to_owned()]).await, "CREDENTIALS_MISSING");
    assert_eq!(call(std::slice::from_ref(&user.token)).await, "CREDENTIALS_MISSING");
    assert_eq!(call(&[bearer.clone(), bearer.clone()]).await, "CREDENTIALS_MISSING", "two are one too many");
    assert_eq!(call(&["Bearer garbage".to_owned()]).await, "SESSION_INVALID");
    assert_eq!(call(&[format!("Bearer {}", "0".repeat(64))]).await, "SESSION_INVALID");
    assert_eq!(call(&[format!("{bearer} ")]).await, "SESSION_INVALID");
}

#[tokio::test]
async fn accounts_of_before_are_signed_in_to_by_the_addresses_they_have() {
    let suite = Suite::start().await;
    let user = suite.user().await;
    // As an earlier version let them be registered: one with a character that cannot be seen, and two that differ in the
    // form of theirs alone.
    let before = ["ada\u{200b}@example.com", "fiona@example.com", "\u{fb01}ona@example.com"];
    for (email, variant) in before.iter().zip([0, 0, 1]) {
        suite.user_of_before(email, variant, &user).await;
    }
    for (written, meant) in
        before.iter().map(|email| (*email, *email)).chain([("FIONA@example.com", before[1])])
    {
        let request = LoginRequest { email: written.to_owned(), password: "correct horse".to_owned() };
        let signed_in = suite.users().login(request).await.unwrap().into_inner();
        assert_eq!(signed_in.user.unwrap().email, meant, "{written}");
    }
    let email = before[2].to_owned();
    let again = RegisterRequest { email, password: "correct horse".to_owned(), name: String::new() };
    let refused = suite.users().register(again).await.unwrap_err();
    assert_eq!(refused.code(), Code::AlreadyExists, "there are no new ones like that");
}

#[tokio::test]
async fn old_audit_events_are_deleted_at_the_start() {
    let database = TestDatabase::new().await;
    sqlx::query(
        "INSERT INTO audit_events (id, created_at, method, resource_kind, resource_id, details, user_agent, request_id)
         SELECT gen_random_uuid(), now() - make_interval(days => n % 60), '', 'user', gen_random_uuid(), '{}', '', ''
         FROM generate_series(0, 5999) AS n",
    )
    .execute(database.pool())
    .await
    .unwrap();
    let config = Config::try_parse_from([
        "mesher-user",
        "--listen",
        "127.0.0.1:0",
        "--admin-listen",
        "127.0.0.1:0",
        "--database-url",
        database.url(),
        "--audit-retention-days",
        "30",
    ]);
    let service = mesher_user::spawn(config.unwrap()).await.unwrap();
    eventually("what was old is gone", PATIENCE, async || {
        let left: i64 =
            sqlx::query_scalar("SELECT count(*) FROM audit_events").fetch_one(database.pool()).await.unwrap();
        if left == 3000 { Ok(()) } else { Err(left) }
    })
    .await;
    service.shutdown().await.unwrap();
}
