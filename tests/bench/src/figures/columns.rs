//! The columns of the table of events, as the database has them: the references store the same ones.

use sqlx::{AssertSqlSafe, PgConnection};

/// A column.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct Column {
    /// Quoted where SQL needs it.
    pub(super) name: String,
    /// Its type, as SQL has it.
    pub(super) kind: String,
}

/// All of them, in their order.
pub(super) async fn columns(connection: &mut PgConnection) -> anyhow::Result<Vec<Column>> {
    let columns = sqlx::query_as(
        "SELECT quote_ident(attname) AS name, format_type(atttypid, atttypmod) AS kind
         FROM pg_attribute
         WHERE attrelid = 'events'::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
         ORDER BY attnum",
    );
    Ok(columns.fetch_all(connection).await?)
}

/// Their names, for a statement.
pub(super) fn names<'a>(columns: impl IntoIterator<Item = &'a Column>) -> String {
    columns.into_iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ")
}

/// How many events the table has.
pub(super) async fn count(connection: &mut PgConnection) -> anyhow::Result<usize> {
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM events").fetch_one(connection).await?;
    Ok(usize::try_from(count)?)
}

/// Does what has no parameters.
pub(super) async fn execute(connection: &mut PgConnection, statement: String) -> anyhow::Result<u64> {
    // Made of the names of columns, quoted by the database, and of constants.
    Ok(sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection).await?.rows_affected())
}
