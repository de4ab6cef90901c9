//! The project service, over gRPC, on PostgreSQL.

use std::time::Duration;

use clap::Parser as _;
use mesher_common::{audit::Entry, clock::Clock, id::ProjectId, origin::Origin};
use mesher_project::{error::ProjectError, store::Store};
use mesher_proto::{
    access::Guarded as _,
    mesher::project::v1::{
        CreateApiKeyRequest, CreateProjectRequest, DeleteProjectRequest, GetProjectByApiKeyRequest,
        GetProjectRequest, ListApiKeysRequest, ListProjectsRequest, RateLimit, RevokeApiKeyRequest,
        UpdateApiKeyRequest, UpdateProjectRequest, project_service_client::ProjectServiceClient,
    },
};
use mesher_suite::{Key, Suite, error_info, reason, signed, violated_field, with_key};
use sqlx::{AssertSqlSafe, postgres::PgPoolOptions};
use tonic::{Code, Request, Status};

fn create(org_id: &str, name: &str, slug: &str) -> CreateProjectRequest {
    CreateProjectRequest { org_id: org_id.to_owned(), name: name.to_owned(), slug: slug.to_owned() }
}

#[tokio::test]
async fn a_project_is_created_changed_and_deleted() {
    let suite = Suite::start().await;
    let org = suite.org().await;
    let mut projects = suite.projects();
    let created = projects.create_project(signed(&org.owner, create(&org.id, "Web", ""))).await.unwrap();
    let project = created.into_inner().project.unwrap();
    assert_eq!((project.org_id.as_str(), project.slug.as_str()), (org.id.as_str(), "web"));
    assert!(project.number > 0);

    let project_id = project.project_id.clone();
    let change = UpdateProjectRequest {
        project_id: project_id.clone(),
        name: Some("Shop".to_owned()),
        ..Default::default()
    };
    let changed =
        projects.update_project(signed(&org.owner, change)).await.unwrap().into_inner().project.unwrap();
    assert_eq!((changed.name.as_str(), changed.slug.as_str()), ("Shop", "web"), "what is not set stays");

    let get = GetProjectRequest { project_id: project_id.clone() };
    let found = projects.get_project(signed(&org.owner, get.clone())).await.unwrap().into_inner();
    assert_eq!(found.project, Some(changed));

    let delete = DeleteProjectRequest { project_id };
    projects.delete_project(signed(&org.owner, delete.clone())).await.unwrap();
    let gone = projects.get_project(signed(&org.owner, get)).await.unwrap_err();
    assert_eq!((gone.code(), reason(&gone).as_str()), (Code::NotFound, "NOT_FOUND"));
    assert_eq!(projects.delete_project(signed(&org.owner, delete)).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn slugs_are_unique_in_their_organization_and_numbers_everywhere() {
    let suite = Suite::start().await;
    let (one, two) = (suite.org().await, suite.org().await);
    let mut numbers = Vec::new();
    for org in [&one, &two] {
        let created =
            suite.projects().create_project(signed(&org.owner, create(&org.id, "Web", "web"))).await;
        numbers.push(created.unwrap().into_inner().project.unwrap().number);
    }
    assert_ne!(numbers[0], numbers[1]);
    let taken = suite.projects().create_project(signed(&one.owner, create(&one.id, "Other", "web"))).await;
    let (_, metadata) = error_info(&taken.unwrap_err());
    assert_eq!(metadata["field"], "slug");

    let other = suite.projects().create_project(signed(&one.owner, create(&one.id, "Other", "other"))).await;
    let project_id = other.unwrap().into_inner().project.unwrap().project_id;
    let change = UpdateProjectRequest { project_id, slug: Some("web".to_owned()), ..Default::default() };
    let taken = suite.projects().update_project(signed(&one.owner, change)).await.unwrap_err();
    assert_eq!(taken.code(), Code::AlreadyExists);

    let list = ListProjectsRequest { org_id: one.id.clone(), page_size: 1, page_token: String::new() };
    let page = suite.projects().list_projects(signed(&one.owner, list.clone())).await.unwrap().into_inner();
    assert_eq!(page.projects[0].slug, "other");
    let list = ListProjectsRequest { page_token: page.next_page_token, ..list };
    let page = suite.projects().list_projects(signed(&one.owner, list)).await.unwrap().into_inner();
    assert_eq!((page.projects[0].slug.as_str(), page.next_page_token.as_str()), ("web", ""));
}

#[tokio::test]
async fn a_dsn_leads_to_where_the_gateway_is_known_to_be_and_is_empty_where_that_is_not_known() {
    let suite = Suite::start().await;
    let project = suite.project().await;
    let owner = &project.org.owner;
    let get = GetProjectRequest { project_id: project.id.clone() };
    let found = suite.projects().get_project(signed(owner, get)).await.unwrap().into_inner();
    let number = found.project.unwrap().number;
    let flags = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    let flags = [&["mesher-project", "--database-url", suite.database.url()], &flags[..]].concat();
    let [nothing, public] = [&[][..], &["--public-url", "https://errors.example.com"]]
        .map(|more| mesher_project::Config::try_parse_from(flags.iter().chain(more)).unwrap());
    let beside =
        mesher_project::Config { gateway_url: "http://127.0.0.1:81".parse().ok(), ..nothing.clone() };
    for (config, [straight, by_gateway]) in [
        (nothing, ["", "http://SECRET@call:82/NUMBER"]),
        (beside, ["http://SECRET@127.0.0.1:81/NUMBER", "http://SECRET@call:82/NUMBER"]),
        (public, ["https://SECRET@errors.example.com/NUMBER"; 2]),
    ] {
        let service = mesher_project::spawn(config).await.unwrap();
        let address = format!("http://{}", service.address("grpc").unwrap());
        let mut projects = ProjectServiceClient::connect(address).await.unwrap();
        for (told, expected) in [(None, straight), (Some("http://call:82"), by_gateway)] {
            let create = CreateApiKeyRequest { project_id: project.id.clone(), ..Default::default() };
            let mut request = signed(owner, create);
            if let Some(told) = told {
                request.metadata_mut().insert("x-mesher-public-url", told.parse().unwrap());
            }
            let created = projects.create_api_key(request).await.unwrap().into_inner();
            let expected = expected.replace("SECRET", &created.secret).replace("NUMBER", &number.to_string());
            assert_eq!(created.dsn, expected);
        }
        drop(projects);
        service.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn an_api_key_is_shown_once_and_stops_when_it_is_revoked() {
    let suite = Suite::start().await;
    let project = suite.project().await;
    let owner = &project.org.owner;
    let mut projects = suite.projects();
    let request = CreateApiKeyRequest {
        project_id: project.id.clone(),
        name: "browser".to_owned(),
        ..Default::default()
    };
    let created = projects.create_api_key(signed(owner, request)).await.unwrap().into_inner();
    let (key, secret) = (created.api_key.unwrap(), created.secret);
    assert!(secret.starts_with("mshr_") && secret.len() == 53, "{secret}");
    assert!(secret.starts_with(&key.prefix) && key.prefix.len() < 16);
    let list = ListApiKeysRequest { project_id: project.id.clone(), ..Default::default() };
    let listed = projects.list_api_keys(signed(owner, list.clone())).await.unwrap().into_inner().api_keys;
    assert_eq!(listed, std::slice::from_ref(&key));
    assert!(!format!("{listed:?}").contains(&secret));
    let stored: Vec<u8> =
        sqlx::query_scalar("SELECT key_sha256 FROM api_keys").fetch_one(suite.database.pool()).await.unwrap();
    assert_eq!(stored.len(), 32);
    let plain: i64 =
        sqlx::query_scalar("SELECT count(*) FROM api_keys WHERE api_keys::text LIKE '%' || $1 || '%'")
            .bind(&secret)
            .fetch_one(suite.database.pool())
            .await
            .unwrap();
    assert_eq!(plain, 0, "the key is nowhere in its row");

    let holder = |secret: &str| {
        let mut request = Request::new(GetProjectByApiKeyRequest {});
        request.metadata_mut().insert("x-mesher-key", secret.parse().unwrap());
        request
    };
    let found = projects.get_project_by_api_key(holder(&secret)).await.unwrap().into_inner().project.unwrap();
    assert_eq!(found.project_id, project.id);

    let revoke = RevokeApiKeyRequest { key_id: key.key_id.clone() };
    let revoked =
        projects.revoke_api_key(signed(owner, revoke.clone())).await.unwrap().into_inner().api_key.unwrap();
    assert!(revoked.revoke_time.is_some());
    let again = projects.revoke_api_key(signed(owner, revoke)).await.unwrap().into_inner().api_key.unwrap();
    assert_eq!(again, revoked, "it keeps the time of the first");
    for wrong in [secret.as_str(), "mshr_", "garbage", &format!("mshr_{}", "0".repeat(48))] {
        let refused = projects.get_project_by_api_key(holder(wrong)).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unauthenticated, "API_KEY_INVALID"));
    }
    // Whoever names a project as well has to name the key's.
    for (number, expected) in [(found.number.to_string(), "REVOKED"), ("999999".to_owned(), "OTHER_PROJECT")]
    {
        let mut request = holder(&secret);
        request.metadata_mut().insert("x-mesher-project", number.parse().unwrap());
        let refused = projects.get_project_by_api_key(request).await.unwrap_err();
        let (reason, about) = error_info(&refused);
        assert_eq!((reason.as_str(), about["fault"].as_str()), ("API_KEY_INVALID", expected));
    }
    let missing = projects.get_project_by_api_key(GetProjectByApiKeyRequest {}).await.unwrap_err();
    assert_eq!(reason(&missing), "CREDENTIALS_MISSING");
}

#[tokio::test]
async fn projects_and_keys_have_rate_limits_that_can_be_set_and_taken_away() {
    let suite = Suite::start().await;
    let project = suite.project().await;
    let (owner, project_id) = (&project.org.owner, project.id.clone());
    let mut projects = suite.projects();
    let limit = |events, period_seconds| Some(RateLimit { events, period_seconds });
    let mut change = async |rate_limit| {
        let change =
            UpdateProjectRequest { project_id: project_id.clone(), rate_limit, ..Default::default() };
        projects.update_project(signed(owner, change)).await
    };
    let changed = change(limit(100, 60)).await.unwrap().into_inner().project.unwrap();
    assert_eq!(changed.rate_limit, limit(100, 60));
    assert_eq!(change(limit(7, 0)).await.unwrap().into_inner().project.unwrap().rate_limit, limit(7, 1));
    for (events, seconds, field) in [
        (-1, 1, "rate_limit.events"),
        (1_000_000_001, 1, "rate_limit.events"),
        (1, -1, "rate_limit.period_seconds"),
        (1, 86_401, "rate_limit.period_seconds"),
    ] {
        let refused = change(limit(events, seconds)).await.unwrap_err();
        assert_eq!((refused.code(), violated_field(&refused).as_str()), (Code::InvalidArgument, field));
    }
    let name = UpdateProjectRequest {
        project_id: project_id.clone(),
        name: Some("Shop".to_owned()),
        ..Default::default()
    };
    let mut projects = suite.projects();
    let named = projects.update_project(signed(owner, name)).await.unwrap().into_inner().project.unwrap();
    assert_eq!(named.rate_limit, limit(7, 1), "what is not set stays");
    let none = UpdateProjectRequest {
        project_id: project_id.clone(),
        rate_limit: limit(0, 0),
        ..Default::default()
    };
    let none = projects.update_project(signed(owner, none)).await.unwrap().into_inner().project.unwrap();
    assert_eq!(none.rate_limit, None);

    let create = CreateApiKeyRequest { project_id, rate_limit: limit(5, 10), ..Default::default() };
    let created = projects.create_api_key(signed(owner, create)).await.unwrap().into_inner().api_key.unwrap();
    assert_eq!(created.rate_limit, limit(5, 10));
    let key_id = created.key_id.clone();
    let change = |rate_limit, name: Option<&str>| UpdateApiKeyRequest {
        key_id: key_id.clone(),
        name: name.map(str::to_owned),
        rate_limit,
    };
    for (rate_limit, name, expected) in [
        (None, Some("browser"), limit(5, 10)),
        (limit(9, 3600), None, limit(9, 3600)),
        (limit(0, 5), None, None),
    ] {
        let request = signed(owner, change(rate_limit, name));
        let changed = projects.update_api_key(request).await.unwrap().into_inner().api_key.unwrap();
        assert_eq!((changed.rate_limit, changed.name.as_str()), (expected, "browser"));
    }
    let refused = projects.update_api_key(signed(owner, change(None, None))).await.unwrap_err();
    assert_eq!(violated_field(&refused), "name");
}

#[tokio::test]
async fn a_key_expires_by_itself_and_tells_when_it_was_last_used() {
    let suite = Suite::start().await;
    let project = suite.project().await;
    let owner = &project.org.owner;
    let create = |lifetime_seconds| {
        let request =
            CreateApiKeyRequest { project_id: project.id.clone(), lifetime_seconds, ..Default::default() };
        signed(owner, request)
    };
    for wrong in [-1, 315_360_001] {
        let refused = suite.projects().create_api_key(create(wrong)).await.unwrap_err();
        assert_eq!(violated_field(&refused), "lifetime_seconds");
    }
    let created = suite.projects().create_api_key(create(3600)).await.unwrap().into_inner();
    let described = created.api_key.unwrap();
    let seconds = described.expire_time.unwrap().seconds - described.create_time.unwrap().seconds;
    assert_eq!((seconds, described.last_use_time), (3600, None));
    let key = Key { id: described.key_id, secret: created.secret, project: project.clone() };
    let used = async || {
        suite.projects().get_project_by_api_key(with_key(&key, GetProjectByApiKeyRequest {})).await.map(drop)
    };
    let list = async || {
        let request = ListApiKeysRequest { project_id: project.id.clone(), ..Default::default() };
        let listed = suite.projects().list_api_keys(signed(owner, request)).await.unwrap().into_inner();
        listed.api_keys[0].clone()
    };
    used().await.unwrap();
    let first = list().await.last_use_time.unwrap();
    let age = async |age: &str| {
        let sql = "UPDATE api_keys SET last_used_at = last_used_at - $1::interval, expires_at = expires_at - $1::interval";
        sqlx::query(sql).bind(age).execute(suite.database.pool()).await.unwrap();
    };
    age("5 minutes").await;
    let unchanged = list().await.last_use_time;
    used().await.unwrap();
    assert_eq!(list().await.last_use_time, unchanged, "no write for each use");
    age("10 minutes").await;
    used().await.unwrap();
    assert!(list().await.last_use_time.unwrap().seconds >= first.seconds);
    age("45 minutes").await;
    let refused = used().await.unwrap_err();
    assert_eq!(
        (error_info(&refused).1["fault"].as_str(), reason(&refused).as_str()),
        ("REVOKED", "API_KEY_INVALID")
    );
}

#[tokio::test]
async fn a_deleted_project_takes_its_keys_along() {
    let suite = Suite::start().await;
    let key = suite.key().await;
    let delete = DeleteProjectRequest { project_id: key.project.id.clone() };
    suite.projects().delete_project(signed(&key.project.org.owner, delete)).await.unwrap();
    let refused = suite.projects().get_project_by_api_key(with_key(&key, GetProjectByApiKeyRequest {})).await;
    assert_eq!(reason(&refused.unwrap_err()), "API_KEY_INVALID");
}

#[tokio::test]
async fn a_project_with_many_events_is_deleted_by_and_by_and_nothing_of_it_is_left() {
    let suite = Suite::start().await;
    let (key, neighbour) = (suite.key().await, suite.key().await);
    let pool = suite.database.pool();
    for (key, count) in [(&key, 25_000), (&neighbour, 10)] {
        let issues = "INSERT INTO issues
            (id, project_id, fingerprint, title, level, event_count, first_seen_at, last_seen_at)
            SELECT gen_random_uuid(), $1::uuid, decode(lpad(n::text, 34, '0'), 'hex'), 'm', 'error', 10, now(), now()
            FROM generate_series(0, 1199) n";
        // Today's and yesterday's.
        let insert = "INSERT INTO events
            (project_id, event_id, issue_id, fingerprint, received_at, occurred_at, level, message, tags, payload)
            SELECT project_id, gen_random_uuid(), id, fingerprint,
                now() - n % 2 * interval '1 day' - n * interval '1 microsecond', now(), 'error', 'm', '{}', ''
            FROM generate_series(1, $2) n
            JOIN issues ON project_id = $1::uuid AND fingerprint = decode(lpad((n % 1200)::text, 34, '0'), 'hex')";
        sqlx::query("SELECT ensure_event_partitions(current_date - 2, current_date)")
            .execute(pool)
            .await
            .unwrap();
        sqlx::query(issues).bind(&key.project.id).execute(pool).await.unwrap();
        sqlx::query(insert).bind(&key.project.id).bind(count).execute(pool).await.unwrap();
        let letter = "INSERT INTO dead_letters (project_id, event_id, received_at, sqlstate, reason, payload)
            VALUES ($1::uuid, gen_random_uuid(), now(), '23514', 'r', '')";
        sqlx::query(letter).bind(&key.project.id).execute(pool).await.unwrap();
    }
    let count = async |table: &str, key: &Key| {
        let query = format!("SELECT count(*) FROM {table} WHERE project_id = $1::uuid");
        let count: i64 =
            sqlx::query_scalar(AssertSqlSafe(query)).bind(&key.project.id).fetch_one(pool).await.unwrap();
        count
    };

    // With no time at all, as with too little.
    let options = suite.database.connect_options().options([("role", mesher_project::DATABASE_ROLE)]);
    let store = Store::new(PgPoolOptions::new().connect_lazy_with(options));
    let id = ProjectId::parse("project_id", &key.project.id).unwrap();
    let origin = Origin {
        rpc: DeleteProjectRequest::RPC,
        client: None,
        user_agent: String::new(),
        request_id: String::new(),
    };
    let done = (Clock::system().now(), Entry::new(origin));
    let unfinished = store.delete(id, done, Duration::ZERO).await.unwrap_err();
    assert!(matches!(unfinished, ProjectError::DeletionUnfinished(_)), "{unfinished}");
    let answer = Status::from(unfinished);
    assert_eq!((answer.code(), reason(&answer).as_str()), (Code::ResourceExhausted, "OVERLOADED"));
    let left = count("events", &key).await;
    assert!((1..25_000).contains(&left), "{left}");
    let refused = suite.projects().get_project_by_api_key(with_key(&key, GetProjectByApiKeyRequest {})).await;
    assert_eq!(reason(&refused.unwrap_err()), "API_KEY_INVALID", "no more events come");

    let delete = DeleteProjectRequest { project_id: key.project.id.clone() };
    suite.projects().delete_project(signed(&key.project.org.owner, delete)).await.unwrap();
    for (table, of_the_neighbour) in [("events", 10), ("issues", 1200), ("dead_letters", 1), ("api_keys", 1)]
    {
        assert_eq!(
            (count(table, &key).await, count(table, &neighbour).await),
            (0, of_the_neighbour),
            "{table}"
        );
    }
    let found =
        suite.projects().get_project_by_api_key(with_key(&neighbour, GetProjectByApiKeyRequest {})).await;
    assert_eq!(found.unwrap().into_inner().project.unwrap().project_id, neighbour.project.id);
}

#[tokio::test]
async fn bad_input_is_refused_by_the_fields_name() {
    let suite = Suite::start().await;
    let project = suite.project().await;
    let owner = &project.org.owner;
    let long = "x".repeat(300);
    for (name, slug, field) in [("", "", "name"), (long.as_str(), "", "name"), ("A", "a b", "slug")] {
        let request = create(&project.org.id, name, slug);
        let refused = suite.projects().create_project(signed(owner, request)).await.unwrap_err();
        assert_eq!(violated_field(&refused), field);
    }
    let nothing = UpdateProjectRequest { project_id: project.id.clone(), ..Default::default() };
    let refused = suite.projects().update_project(signed(owner, nothing)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let revoke = RevokeApiKeyRequest { key_id: "x".to_owned() };
    let refused = suite.projects().revoke_api_key(signed(owner, revoke)).await.unwrap_err();
    assert_eq!(violated_field(&refused), "key_id");
}
