//! Every test has a database of its own.

use std::str::FromStr as _;

use mesher_testing::{KillablePostgres, TestDatabase};
use sqlx::{Connection as _, PgConnection, postgres::PgConnectOptions};

#[tokio::test]
async fn two_databases_are_independent() {
    let (one, two) = tokio::join!(TestDatabase::new(), TestDatabase::new());
    assert_ne!(one.name(), two.name());
    sqlx::query("CREATE TABLE mine (id int)").execute(one.pool()).await.unwrap();
    let there: bool =
        sqlx::query_scalar("SELECT to_regclass('mine') IS NOT NULL").fetch_one(two.pool()).await.unwrap();
    assert!(!there);
}

#[tokio::test]
async fn a_database_has_the_newest_schema() {
    let database = TestDatabase::new().await;
    let mut connection = PgConnection::connect_with(&database.connect_options()).await.unwrap();
    mesher_migrations::check(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn an_empty_database_has_none_and_can_be_migrated() {
    let database = TestDatabase::empty().await;
    let mut connection = database.pool().acquire().await.unwrap();
    mesher_migrations::check(&mut connection).await.unwrap_err();
    mesher_migrations::migrate(&database.connect_options()).await.unwrap();
    mesher_migrations::check(&mut connection).await.unwrap();
}

#[tokio::test]
async fn the_url_is_that_of_the_same_database() {
    let database = TestDatabase::new().await;
    let options = PgConnectOptions::from_str(database.url()).unwrap();
    let mut connection = PgConnection::connect_with(&options).await.unwrap();
    let name: String =
        sqlx::query_scalar("SELECT current_database()").fetch_one(&mut connection).await.unwrap();
    assert_eq!(name, database.name());
    connection.close().await.unwrap();
}

#[test]
fn the_server_outlives_the_runtime_of_the_test_that_started_it() {
    for _ in 0..2 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let database = TestDatabase::new().await;
            sqlx::query("SELECT 1").execute(database.pool()).await.unwrap();
        });
    }
}

#[tokio::test]
async fn many_tests_at_once_get_a_database_each() {
    let all: Vec<_> = (0..20).map(|_| tokio::spawn(TestDatabase::new())).collect();
    let mut names = Vec::new();
    for database in all {
        let database = database.await.unwrap();
        sqlx::query("CREATE TABLE mine (id int)").execute(database.pool()).await.unwrap();
        names.push(database.name().to_owned());
    }
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 20);
}

#[tokio::test]
async fn a_server_that_is_killed_comes_back_at_the_same_place_with_what_was_committed() {
    let mut postgres = KillablePostgres::start().await;
    let mut connection = PgConnection::connect_with(&postgres.database().connect_options()).await.unwrap();
    sqlx::query("CREATE TABLE mine (id int)").execute(&mut connection).await.unwrap();
    sqlx::query("SELECT 1 / 0").execute(&mut connection).await.unwrap_err();
    for _ in 0..3 {
        postgres.kill().await;
        sqlx::query("SELECT 1").execute(&mut connection).await.unwrap_err();
        PgConnection::connect(postgres.database().url()).await.unwrap_err();
        postgres.start_again().await;
        connection = PgConnection::connect(postgres.database().url()).await.unwrap();
        sqlx::query("INSERT INTO mine VALUES (1)").execute(&mut connection).await.unwrap();
    }
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM mine").fetch_one(&mut connection).await.unwrap();
    assert_eq!(rows, 3);
    let errors = postgres.errors();
    assert!(errors.len() == 1 && errors["22012"].contains("division by zero"), "{errors:?}");
}
