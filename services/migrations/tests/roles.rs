//! What each service's database role may do, and no more.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use mesher_testing::TestDatabase;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

const TABLES: [&str; 8] =
    ["users", "sessions", "orgs", "org_members", "projects", "api_keys", "events", "dead_letters"];

/// What each role may do with which table, as the grants of the migrations are meant: `SELECT`, `INSERT`, `UPDATE` and
/// `DELETE` by their first letters, a small letter where only some columns are allowed. What is not listed is refused.
const ALLOWED: [(&str, &[(&str, &str)]); 5] = [
    ("mesher_org", &[("orgs", "SI"), ("org_members", "SI")]),
    ("mesher_project", &[("projects", "SIuD"), ("api_keys", "SIu")]),
    ("mesher_user", &[("users", "SIU"), ("sessions", "SIUD"), ("org_members", "SIUD")]),
    ("mesher_writer", &[("events", "sI"), ("dead_letters", "I"), ("projects", "s")]),
    ("mesher_issue", &[("events", "S")]),
];

#[tokio::test]
async fn a_role_has_the_rights_of_its_service_and_no_others() {
    let database = TestDatabase::new().await;
    for (role, allowed) in ALLOWED {
        for table in TABLES {
            let expected = allowed.iter().find(|(of, _)| *of == table).map_or("", |(_, rights)| *rights);
            let mut found = String::new();
            for right in ["SELECT", "INSERT", "UPDATE", "DELETE"] {
                let whole: bool = has(&database, "has_table_privilege", role, table, right).await;
                let part =
                    right != "DELETE" && has(&database, "has_any_column_privilege", role, table, right).await;
                let letter = right.chars().next().unwrap();
                match (whole, part) {
                    (true, _) => found.push(letter),
                    (false, true) => found.push(letter.to_ascii_lowercase()),
                    (false, false) => {}
                }
            }
            assert_eq!(found, expected, "{role} on {table}");
        }
    }
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
async fn the_writer_reads_no_secrets_and_no_role_owns_or_makes_anything() {
    let database = TestDatabase::new().await;
    for (role, _) in ALLOWED {
        let options = database.connect_options().options([("role", role)]);
        let mut connection = PgConnection::connect_with(&options).await.unwrap();
        for statement in [
            "CREATE TABLE mine (id int)",
            "ALTER TABLE events ADD COLUMN mine int",
            "DROP TABLE dead_letters",
            "TRUNCATE events",
            "UPDATE _sqlx_migrations SET version = 0",
            "CREATE ROLE mine",
        ] {
            refused(&mut connection, role, statement).await;
        }
        if role == "mesher_writer" {
            for statement in [
                "SELECT password_hash FROM users",
                "SELECT token_sha256 FROM sessions",
                "SELECT key_sha256 FROM api_keys",
                "SELECT payload FROM events",
                "DELETE FROM events",
            ] {
                refused(&mut connection, role, statement).await;
            }
        }
    }
}

async fn refused(connection: &mut PgConnection, role: &str, statement: &str) {
    let result = sqlx::query(AssertSqlSafe(statement.to_owned())).execute(connection).await;
    let code = match &result {
        Err(sqlx::Error::Database(error)) => error.code(),
        _ => None,
    };
    assert_eq!(code.as_deref(), Some("42501"), "{role} and {statement:?}: {result:?}");
}
