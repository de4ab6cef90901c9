//! Organization, projects, API keys and a signed-in admin, put into the database by SQL.

use anyhow::Context as _;
use mesher_common::secret::{API_KEY_SHOWN, Secret};
use sqlx::PgConnection;
use tonic::metadata::{Ascii, MetadataValue};
use uuid::Uuid;

/// A project that events are sent to.
#[derive(Clone, Debug)]
pub(crate) struct Project {
    pub(crate) id: Uuid,
    /// What it is called in DSNs.
    pub(crate) number: i64,
    /// The value of `x-mesher-key`.
    pub(crate) key: MetadataValue<Ascii>,
}

/// Projects of one organization, and its admin's session.
#[derive(Clone, Debug)]
pub(crate) struct Projects {
    pub(crate) all: Vec<Project>,
    /// The organization.
    pub(crate) org: Uuid,
    /// The value of `authorization`.
    pub(crate) session: MetadataValue<Ascii>,
}

impl Projects {
    /// Makes so many projects.
    pub(crate) async fn create(connection: &mut PgConnection, count: usize) -> anyhow::Result<Self> {
        let (org, user) = (Uuid::now_v7(), Uuid::now_v7());
        let token = Secret::new_session_token()?;
        sqlx::query(
            "INSERT INTO orgs (id, name, slug, created_at) VALUES ($1, 'Benchmark', $1::text, now())",
        )
        .bind(org)
        .execute(&mut *connection)
        .await?;
        sqlx::query(
            "INSERT INTO users (id, email, name, password_hash, created_at)
             VALUES ($1, $1::text || '@example.com', 'Benchmark', '', now())",
        )
        .bind(user)
        .execute(&mut *connection)
        .await?;
        sqlx::query(
            "INSERT INTO org_members (org_id, user_id, role, created_at) VALUES ($1, $2, 'owner', now())",
        )
        .bind(org)
        .bind(user)
        .execute(&mut *connection)
        .await?;
        sqlx::query(
            "INSERT INTO sessions (token_sha256, user_id, created_at, expires_at)
             VALUES ($1, $2, now(), now() + interval '1 day')",
        )
        .bind(token.sha256().as_bytes())
        .bind(user)
        .execute(&mut *connection)
        .await?;
        let session = format!("Bearer {}", token.expose()).parse().context("a token is no header")?;
        Ok(Self { all: create_projects(connection, org, count).await?, org, session })
    }
}

async fn create_projects(
    connection: &mut PgConnection,
    org: Uuid,
    count: usize,
) -> anyhow::Result<Vec<Project>> {
    let (mut ids, mut prefixes, mut hashes) = (Vec::new(), Vec::new(), Vec::new());
    let mut projects = Vec::with_capacity(count);
    for _ in 0..count {
        let key = Secret::new_api_key()?;
        let id = Uuid::now_v7();
        ids.push(id);
        prefixes.push(key.expose().chars().take(API_KEY_SHOWN).collect::<String>());
        hashes.push(key.sha256().as_bytes().to_vec());
        projects.push(Project { id, number: 0, key: key.expose().parse().context("a key is no header")? });
    }
    sqlx::query(
        "INSERT INTO projects (id, org_id, name, slug, created_at)
         SELECT id, $1, 'Benchmark', id::text, now() FROM unnest($2::uuid[]) AS new (id)",
    )
    .bind(org)
    .bind(&ids)
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "INSERT INTO api_keys (id, project_id, name, prefix, key_sha256, created_at)
         SELECT gen_random_uuid(), project_id, 'Benchmark', prefix, hash, now()
         FROM unnest($1::uuid[], $2::text[], $3::bytea[]) AS new (project_id, prefix, hash)",
    )
    .bind(&ids)
    .bind(&prefixes)
    .bind(&hashes)
    .execute(&mut *connection)
    .await?;
    let numbers: Vec<i64> = sqlx::query_scalar(
        "SELECT number FROM unnest($1::uuid[]) WITH ORDINALITY AS new (id, position) JOIN projects USING (id)
         ORDER BY position",
    )
    .bind(&ids)
    .fetch_all(&mut *connection)
    .await?;
    for (project, number) in projects.iter_mut().zip(numbers) {
        project.number = number;
    }
    // What a planner that was told nothing would guess is not what an installation of that size has.
    sqlx::query("ANALYZE projects, api_keys").execute(&mut *connection).await?;
    Ok(projects)
}
