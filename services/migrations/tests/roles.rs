//! What each service's database role may do, and no more.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use mesher_testing::TestDatabase;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

/// What each role may do with which table, as the grants of the migrations are meant: `SELECT`, `INSERT`, `UPDATE` and
/// `DELETE` by their first letters, a small letter where only some columns are allowed. What is not listed is refused.
const ALLOWED: [(&str, &[(&str, &str)]); 5] = [
    ("mesher_org", &[("orgs", "SI"), ("org_members", "SI"), ("audit_events", "I")]),
    (
        "mesher_project",
        &[
            ("projects", "SIuD"),
            ("api_keys", "SIu"),
            ("events", "sD"),
            ("issues", "sD"),
            ("audit_events", "I"),
        ],
    ),
    (
        "mesher_user",
        &[
            ("users", "SIu"),
            ("sessions", "SID"),
            ("login_failures", "SIUD"),
            ("login_networks", "SIUD"),
            ("org_members", "SIUD"),
            ("audit_events", "SI"),
        ],
    ),
    ("mesher_writer", &[("events", "sI"), ("issues", "SIu"), ("dead_letters", "I"), ("projects", "s")]),
    ("mesher_issue", &[("events", "S"), ("issues", "S")]),
];

/// Which roles may call which of the functions that have the rights of the schema's owner.
const CALLABLE: [(&str, &[&str]); 5] = [
    ("session_access", &["mesher_org", "mesher_project", "mesher_user", "mesher_writer", "mesher_issue"]),
    ("resolve_api_keys", &["mesher_project", "mesher_writer"]),
    ("ensure_event_partitions", &["mesher_writer"]),
    ("delete_expired_events", &["mesher_writer"]),
    ("delete_old_audit_events", &["mesher_user"]),
];

/// What every role reads: the schema's version.
const HISTORY: &str = "_sqlx_migrations";

#[tokio::test]
async fn a_role_has_the_rights_of_its_service_and_no_others() {
    let database = TestDatabase::new().await;
    // Whatever has columns to read; a partition has no grants of its own, but might be given some.
    let tables: Vec<(String, bool)> = sqlx::query_as(
        "SELECT relname::text, relispartition FROM pg_class
         WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f')",
    )
    .fetch_all(database.pool())
    .await
    .unwrap();
    for (role, allowed) in ALLOWED {
        for (table, _) in allowed {
            assert!(tables.iter().any(|(name, _)| name == table), "there is no table {table}");
        }
        for (table, is_partition) in &tables {
            let listed = allowed.iter().find(|(of, _)| of == table).map(|(_, rights)| *rights);
            let expected = if table == HISTORY { "S" } else { listed.unwrap_or_default() };
            assert!(!is_partition || listed.is_none(), "{table} is reached by its parent");
            assert_eq!(rights(&database, role, table).await, expected, "{role} on {table}");
        }
    }
}

/// What a role may do with a table, as [`ALLOWED`] has it. A right that it does not speak of is a letter too many.
async fn rights(database: &TestDatabase, role: &str, table: &str) -> String {
    let mut found = String::new();
    for right in ["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"] {
        let of_columns = ["SELECT", "INSERT", "UPDATE", "REFERENCES"].contains(&right);
        let whole = has(database, "has_table_privilege", role, table, right).await;
        let part = of_columns && has(database, "has_any_column_privilege", role, table, right).await;
        let letter = right.chars().next().unwrap();
        match (whole, part) {
            (true, _) => found.push(letter),
            (false, true) => found.push(letter.to_ascii_lowercase()),
            (false, false) => {}
        }
    }
    found
}

async fn has(database: &TestDatabase, function: &str, role: &str, table: &str, right: &str) -> bool {
    let query = format!("SELECT {function}($1, $2, $3)");
    sqlx::query_scalar(AssertSqlSafe(query))
        .bind(role)
        .bind(table)
        .bind(right)
        .fetch_one(database.pool())
        .await
        .unwrap()
}

#[tokio::test]
async fn a_role_calls_the_functions_of_its_service_and_no_others() {
    let database = TestDatabase::new().await;
    let functions: Vec<(String, i64)> = sqlx::query_as(
        "SELECT proname::text, oid::bigint FROM pg_proc
         WHERE pronamespace = 'public'::regnamespace AND prosecdef ORDER BY proname",
    )
    .fetch_all(database.pool())
    .await
    .unwrap();
    let mut listed = CALLABLE.map(|(name, _)| name);
    listed.sort_unstable();
    let names: Vec<&str> = functions.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, listed, "a function that has its owner's rights is listed here");
    for (name, oid) in &functions {
        let (_, callers) = CALLABLE.iter().find(|(of, _)| of == name).unwrap();
        for role in ALLOWED.map(|(role, _)| role).into_iter().chain(["public"]) {
            let may: bool = sqlx::query_scalar("SELECT has_function_privilege($1, $2::oid, 'EXECUTE')")
                .bind(role)
                .bind(oid)
                .fetch_one(database.pool())
                .await
                .unwrap();
            assert_eq!(may, callers.contains(&role), "{role} and {name}");
        }
    }
}

/// What every role is refused.
const NOBODY_MAY: [&str; 12] = [
    "CREATE TABLE mine (id int)",
    "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "ALTER TABLE events ADD COLUMN mine int",
    "DROP TABLE dead_letters",
    "TRUNCATE events",
    "UPDATE _sqlx_migrations SET version = 0",
    "CREATE ROLE mine",
    "SET ROLE mesher",
    "UPDATE audit_events SET method = ''",
    "DELETE FROM audit_events",
    "TRUNCATE audit_events",
    "ALTER TABLE audit_events DISABLE TRIGGER ALL",
];

/// What each role is refused besides: the secrets of others before all.
const REFUSED: [(&str, &[&str]); 5] = [
    (
        "mesher_org",
        &[
            "SELECT password_hash FROM users",
            "SELECT token_sha256 FROM sessions",
            "SELECT key_sha256 FROM api_keys",
            "UPDATE org_members SET role = 'owner'",
            "SELECT * FROM audit_events",
            "SELECT * FROM events",
        ],
    ),
    (
        "mesher_project",
        &[
            "SELECT password_hash FROM users",
            "SELECT token_sha256 FROM sessions",
            "SELECT * FROM org_members",
            "UPDATE api_keys SET key_sha256 = ''",
            "UPDATE projects SET org_id = id",
            "SELECT * FROM audit_events",
            "SELECT payload FROM events",
        ],
    ),
    (
        "mesher_user",
        &[
            "DELETE FROM users",
            "UPDATE users SET email = ''",
            "SELECT key_sha256 FROM api_keys",
            "SELECT * FROM projects",
            "SELECT * FROM events",
        ],
    ),
    (
        "mesher_writer",
        &[
            "SELECT * FROM users",
            "SELECT password_hash FROM users",
            "SELECT * FROM sessions",
            "SELECT token_sha256 FROM sessions",
            "SELECT key_sha256 FROM api_keys",
            "SELECT * FROM org_members",
            "SELECT * FROM audit_events",
            "INSERT INTO audit_events DEFAULT VALUES",
            "SELECT payload FROM events",
            "DELETE FROM events",
        ],
    ),
    (
        "mesher_issue",
        &[
            "SELECT password_hash FROM users",
            "SELECT token_sha256 FROM sessions",
            "SELECT key_sha256 FROM api_keys",
            "SELECT * FROM audit_events",
            "INSERT INTO audit_events DEFAULT VALUES",
            "DELETE FROM events",
        ],
    ),
];

#[tokio::test]
async fn who_signs_in_as_a_service_is_refused_what_is_not_the_services_and_owns_nothing() {
    let database = TestDatabase::new().await;
    for (role, besides) in REFUSED {
        let password = format!("ALTER ROLE {role} PASSWORD 'of {role}'");
        sqlx::query(AssertSqlSafe(password)).execute(database.pool()).await.unwrap();
        // A login of its own: there is nobody to become again.
        let options = database.connect_options().username(role).password(&format!("of {role}"));
        let mut connection = PgConnection::connect_with(&options).await.unwrap();
        for statement in NOBODY_MAY.iter().chain(besides) {
            refused(&mut connection, role, statement).await;
        }
        for (other, _) in REFUSED.iter().filter(|(other, _)| *other != role) {
            refused(&mut connection, role, &format!("SET ROLE {other}")).await;
        }
        let owned: i64 = sqlx::query_scalar(
            "SELECT (SELECT count(*) FROM pg_class WHERE relowner = $1::regrole)
                 + (SELECT count(*) FROM pg_proc WHERE proowner = $1::regrole)",
        )
        .bind(role)
        .fetch_one(database.pool())
        .await
        .unwrap();
        assert_eq!(owned, 0, "{role} owns something");
        let (superuser, creates): (bool, bool) =
            sqlx::query_as("SELECT rolsuper, rolcreaterole OR rolcreatedb FROM pg_roles WHERE rolname = $1")
                .bind(role)
                .fetch_one(database.pool())
                .await
                .unwrap();
        assert!(!superuser && !creates, "{role} may do too much");
    }
}

#[tokio::test]
async fn not_even_the_owner_changes_an_entry_of_the_audit_log() {
    let database = TestDatabase::new().await;
    sqlx::query(
        "INSERT INTO audit_events (id, created_at, method, resource_kind, resource_id, details, user_agent, request_id)
         VALUES (gen_random_uuid(), now(), 'm', 'user', gen_random_uuid(), '{}', '', '')",
    )
    .execute(database.pool())
    .await
    .unwrap();
    let mut connection = PgConnection::connect_with(&database.connect_options()).await.unwrap();
    refused(&mut connection, "the owner", "UPDATE audit_events SET method = ''").await;
}

#[tokio::test]
async fn only_what_is_old_goes_from_the_audit_log() {
    let database = TestDatabase::new().await;
    sqlx::query(
        "INSERT INTO audit_events (id, created_at, method, resource_kind, resource_id, details, user_agent, request_id)
         SELECT gen_random_uuid(), now() - make_interval(days => days), days::text, 'user', gen_random_uuid(), '{}', '', ''
         FROM unnest(ARRAY[0, 29, 31, 99, 101, 102]) AS days",
    )
    .execute(database.pool())
    .await
    .unwrap();
    let mut connection = PgConnection::connect_with(&database.connect_options()).await.unwrap();
    sqlx::query("SET ROLE mesher_user").execute(&mut connection).await.unwrap();
    for days in ["29", "0", "-1", "NULL"] {
        let statement = format!("SELECT delete_old_audit_events({days}, 10)");
        refused(&mut connection, "mesher_user", &statement).await;
    }
    for expected in [1_i64, 1, 0] {
        let deleted: i64 = sqlx::query_scalar("SELECT delete_old_audit_events(100, 1)")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!(deleted, expected);
    }
    let left: Vec<String> = sqlx::query_scalar("SELECT method FROM audit_events ORDER BY method::integer")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    assert_eq!(left, ["0", "29", "31", "99"]);
}

async fn refused(connection: &mut PgConnection, role: &str, statement: &str) {
    let result = sqlx::query(AssertSqlSafe(statement.to_owned())).execute(connection).await;
    let code = match &result {
        Err(sqlx::Error::Database(error)) => error.code(),
        _ => None,
    };
    assert_eq!(code.as_deref(), Some("42501"), "{role} and {statement:?}: {result:?}");
}
