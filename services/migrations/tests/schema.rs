//! The schema's history and its version.

use mesher_migrations::{SchemaError, check, migrate, version};
use mesher_testing::TestDatabase;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

#[tokio::test]
async fn migrating_again_or_at_once_changes_nothing() {
    let database = TestDatabase::empty().await;
    let options = database.connect_options();
    let (one, two) = tokio::join!(migrate(&options), migrate(&options));
    one.and(two).unwrap();
    let mut connection = PgConnection::connect_with(&options).await.unwrap();
    check(&mut connection).await.unwrap();
    let history = "SELECT array_agg(ROW(version, installed_on)::text ORDER BY version) FROM _sqlx_migrations";
    let before: Vec<String> = sqlx::query_scalar(history).fetch_one(&mut connection).await.unwrap();
    assert!(before.last().unwrap().starts_with(&format!("({},", version())), "{before:?}");
    migrate(&options).await.unwrap();
    let after: Vec<String> = sqlx::query_scalar(history).fetch_one(&mut connection).await.unwrap();
    assert_eq!(after, before, "nothing was applied again");
}

#[tokio::test]
async fn a_schema_that_is_not_this_versions_is_refused() {
    let database = TestDatabase::empty().await;
    let mut connection = PgConnection::connect_with(&database.connect_options()).await.unwrap();
    assert!(matches!(check(&mut connection).await, Err(SchemaError::Older { found: 0, .. })));

    migrate(&database.connect_options()).await.unwrap();
    let newest = "UPDATE _sqlx_migrations SET version = version + 1 WHERE version = $1";
    sqlx::query(newest).bind(version()).execute(&mut connection).await.unwrap();
    let error = check(&mut connection).await.unwrap_err();
    assert!(matches!(error, SchemaError::Newer { .. }), "{error}");
    assert!(error.to_string().contains("upgrade Mesher"), "{error}");

    sqlx::query("DELETE FROM _sqlx_migrations WHERE version > 2").execute(&mut connection).await.unwrap();
    let error = check(&mut connection).await.unwrap_err();
    assert!(error.to_string().contains("mesher migrate"), "{error}");
}

#[tokio::test]
async fn a_server_that_is_too_old_is_refused_before_anything_is_done() {
    for (number, version, is_refused) in
        [(140_013, "14.13 (Debian 14.13-1)", true), (90_624, "9.6.24", true), (150_000, "15.0", false)]
    {
        let database = TestDatabase::empty().await;
        // In the place of PostgreSQL's own, for connections that look there first.
        let pretend = format!(
            "CREATE FUNCTION public.current_setting(name text) RETURNS text LANGUAGE sql AS
             $$ SELECT CASE name WHEN 'server_version_num' THEN '{number}' ELSE '{version}' END $$"
        );
        sqlx::raw_sql(AssertSqlSafe(pretend)).execute(database.pool()).await.unwrap();
        let options = database.connect_options().options([("search_path", "public,pg_catalog")]);
        let migrated = migrate(&options).await;
        let mut connection = PgConnection::connect_with(&options).await.unwrap();
        let checked = check(&mut connection).await;
        if is_refused {
            for error in [migrated.unwrap_err(), checked.unwrap_err()] {
                let told = error.to_string();
                assert!(matches!(error, SchemaError::OldServer { .. }), "{told}");
                assert!(told.contains(version) && told.contains("15 or newer"), "{told}");
            }
            let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
            assert_eq!(sqlx::query_scalar::<_, i64>(tables).fetch_one(database.pool()).await.unwrap(), 0);
        } else {
            migrated.and(checked).unwrap();
        }
    }
}

#[tokio::test]
async fn every_table_has_a_comment() {
    let database = TestDatabase::new().await;
    let bare: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class
         WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
             AND relname <> '_sqlx_migrations' AND obj_description(oid) IS NULL",
    )
    .fetch_all(database.pool())
    .await
    .unwrap();
    assert_eq!(bare, [""; 0]);
}

#[tokio::test]
async fn accounts_that_only_differ_in_the_form_of_their_addresses_survive_the_migration() {
    let database = TestDatabase::empty().await;
    let mut connection = PgConnection::connect_with(&database.connect_options()).await.unwrap();
    let all = sqlx::migrate!("./sql");
    all.run_to(4, &mut connection).await.unwrap();
    let users = [
        ("fiona@example.com", 0),
        ("\u{fb01}ona@example.com", 1),
        ("FIONA\u{ff20}example.com", 2),
        ("ada@b", 0),
    ];
    for (age, (email, _)) in users.iter().enumerate() {
        sqlx::query(
            "INSERT INTO users (id, email, name, password_hash, created_at)
             VALUES (gen_random_uuid(), $1, '', '', now() + make_interval(secs => $2))",
        )
        .bind(email)
        .bind(f64::from(u32::try_from(age).unwrap()))
        .execute(&mut connection)
        .await
        .unwrap();
    }
    migrate(&database.connect_options()).await.unwrap();
    let variants: Vec<(String, i32)> =
        sqlx::query_as("SELECT email, email_variant FROM users ORDER BY created_at")
            .fetch_all(&mut connection)
            .await
            .unwrap();
    assert_eq!(variants, users.map(|(email, variant)| (email.to_owned(), variant)));
}
