//! Texts that would do harm if they were taken for SQL, in every string of every RPC, straight and through the gateway. They
//! are refused or kept as they are; nothing breaks, and nothing changes that was not asked for.

use mesher_proto::mesher::{
    issue::v1::ListEventsRequest,
    project::v1::CreateProjectRequest,
    writer::v1::{FlushRequest, StoreRequest, store_request::Payload},
};
use mesher_suite::{Suite, User, signed, with_key};
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, MethodDescriptor, Value,
};
use serde_json::json;

use crate::{
    bearer,
    doors::Door,
    policy::{access, methods},
    world::World,
};

/// They break out of a text, a statement, a pattern, an array, an identifier or a string of dollars.
const HOSTILE: [&str; 6] = [
    "'; DROP TABLE users; --",
    "' OR '1'='1",
    "\\'; UPDATE users SET name = 'owned'; --",
    "$1) RETURNING *; DELETE FROM orgs; --%s{}",
    "\"}'::jsonb; TRUNCATE sessions CASCADE; --",
    "$$; SELECT pg_terminate_backend(pg_backend_pid()); $$ \u{2019} %_*",
];

/// How deep messages are filled: a Struct in it has values in lists in maps.
const DEPTH: usize = 5;

/// What else a request has, so that it gets as far as it can: by the names of fields.
fn plausible(world: &World, field: &str, turn: usize) -> Option<String> {
    Some(match field {
        "org_id" => world.key.project.org.id.clone(),
        "project_id" => world.key.project.id.clone(),
        "key_id" => world.key.id.clone(),
        "user_id" => world.member.id.clone(),
        "event_id" | "issue_id" | "session_id" => "01900000-0000-7000-8000-000000000000".to_owned(),
        "email" => format!("hostile{turn}@example.com"),
        "slug" => format!("hostile-{turn}"),
        "name" => "Name".to_owned(),
        "password" | "current_password" => "correct horse".to_owned(),
        "new_password" => "correct horse too".to_owned(),
        _ => return None,
    })
}

/// The values of a field's kind with the hostile text in one place, one for each place.
fn values(kind: &Kind, hostile: &str, depth: usize) -> Vec<Value> {
    match kind {
        Kind::String => vec![Value::String(hostile.to_owned())],
        Kind::Bytes => vec![Value::Bytes(event(hostile).into())],
        Kind::Message(message) if depth > 0 => {
            messages(message, hostile, depth - 1).into_iter().map(Value::Message).collect()
        }
        _ => Vec::new(),
    }
}

/// The messages with the hostile text in one place.
fn messages(descriptor: &MessageDescriptor, hostile: &str, depth: usize) -> Vec<DynamicMessage> {
    let mut messages = Vec::new();
    for field in descriptor.fields() {
        for value in field_values(&field, hostile, depth) {
            let mut message = DynamicMessage::new(descriptor.clone());
            message.set_field(&field, value);
            messages.push(message);
        }
    }
    messages
}

fn field_values(field: &FieldDescriptor, hostile: &str, depth: usize) -> Vec<Value> {
    if field.is_map() {
        let Kind::Message(entry) = field.kind() else { return Vec::new() };
        let value = entry.map_entry_value_field();
        let key = |text: &str| MapKey::String(text.to_owned());
        return values(&value.kind(), hostile, depth)
            .into_iter()
            .map(|value| Value::Map([(key("message"), value.clone()), (key(hostile), value)].into()))
            .collect();
    }
    let values = values(&field.kind(), hostile, depth);
    if field.is_list() { values.into_iter().map(|value| Value::List(vec![value])).collect() } else { values }
}

/// An event with the text wherever an event has one.
fn event(hostile: &str) -> Vec<u8> {
    let event = json!({
        "message": hostile,
        "release": hostile,
        "environment": hostile,
        "server_name": hostile,
        "transaction": hostile,
        "logger": hostile,
        "fingerprint": [hostile],
        "tags": {hostile: hostile},
        "user": {"id": hostile, "email": hostile, hostile: hostile},
        "extra": {hostile: hostile},
        "sdk": {"name": hostile, "version": hostile},
        "exception": {"values": [{"type": hostile, "value": hostile, "module": hostile,
            "stacktrace": {"frames": [{"function": hostile, "filename": hostile, "module": hostile}]}}]},
    });
    event.to_string().into_bytes()
}

/// The requests of an RPC that have the text in one place, and are plausible else.
fn requests(world: &World, method: &MethodDescriptor, hostile: &str, turn: usize) -> Vec<DynamicMessage> {
    let descriptor = method.input();
    let mut requests = messages(&descriptor, hostile, DEPTH);
    for request in &mut requests {
        for field in descriptor.fields() {
            let is_free = !request.has_field(&field)
                && field.containing_oneof().is_none_or(|oneof| {
                    oneof.is_synthetic() || !oneof.fields().any(|other| request.has_field(&other))
                });
            if !is_free || field.is_list() || field.is_map() {
                continue;
            }
            match field.kind() {
                Kind::String => {
                    if let Some(text) = plausible(world, field.name(), turn) {
                        request.set_field(&field, Value::String(text));
                    }
                }
                // The least of what there is.
                Kind::Enum(of) => {
                    if let Some(last) = of.values().last() {
                        request.set_field(&field, Value::EnumNumber(last.number()));
                    }
                }
                _ => {}
            }
        }
    }
    requests
}

/// What must not change: the schema, who may do what, the accounts' passwords, and what was there.
async fn fingerprint(suite: &Suite, accounts: &[&User]) -> Vec<String> {
    let ids: Vec<&str> = accounts.iter().map(|user| user.id.as_str()).collect();
    let mut parts = Vec::new();
    for sql in [
        "SELECT string_agg(format('%s.%s %s', table_name, column_name, data_type), ',' ORDER BY table_name, column_name)
         FROM information_schema.columns WHERE table_schema = 'public' AND cardinality($1::text[]) > 0",
        "SELECT string_agg(format('%s %s %s', grantee, table_name, privilege_type), ','
             ORDER BY grantee, table_name, privilege_type)
         FROM information_schema.table_privileges WHERE table_schema = 'public' AND cardinality($1::text[]) > 0",
        "SELECT string_agg(format('%s %s %s %s', id, email, name, password_hash), ',' ORDER BY id)
         FROM users WHERE id::text = ANY ($1)",
        "SELECT string_agg(format('%s %s %s', org_id, user_id, role), ',' ORDER BY org_id, user_id)
         FROM org_members WHERE user_id::text = ANY ($1)",
        "SELECT format('%s sessions', count(*)) FROM sessions WHERE user_id::text = ANY ($1)",
    ] {
        let part: Option<String> =
            sqlx::query_scalar(sql).bind(&ids).fetch_one(suite.database.pool()).await.unwrap();
        parts.push(part.unwrap());
    }
    parts
}

#[tokio::test]
async fn no_text_is_taken_for_sql_whichever_it_is_and_wherever_it_stands() {
    // Guesses are not to be slowed: each call is to get as far as it can.
    let suite = Suite::start_with(&["--login-failures", "100", "--login-max-delay", "1s"], &[]).await;
    let (world, witness) = (World::new(&suite).await, World::new(&suite).await);
    let accounts = [&witness.key.project.org.owner, &witness.member, &witness.admin, &witness.stranger];
    let before = fingerprint(&suite, &accounts).await;
    let doors = Door::both(&suite).await;
    let owner = bearer(&world.key.project.org.owner);
    let (mut turn, mut taken) = (0, 0);
    for method in methods() {
        let anyone = access(&method).caller == "CALLER_ANYONE";
        let credentials: &[(&'static str, &str)] = match access(&method).caller.as_str() {
            _ if anyone => &[],
            "CALLER_API_KEY" => &[("x-mesher-key", &world.key.secret)],
            _ => &[("authorization", &owner)],
        };
        for hostile in HOSTILE {
            turn += 1;
            let requests = requests(&world, &method, hostile, turn);
            for (request, door) in
                requests.iter().flat_map(|request| doors.iter().map(move |door| (request, door)))
            {
                match door.call(&suite, &method, request, credentials).await {
                    Some(Err(refusal)) => {
                        let broken = ["INTERNAL", "UNKNOWN", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"];
                        let expected = !broken.contains(&refusal.code.as_str())
                            || refusal.reason == "LOGIN_FAILED" && anyone;
                        let name = method.full_name();
                        assert!(expected, "{name}, {}: {refusal:?} for {request:?}", door.name());
                    }
                    Some(Ok(())) => taken += 1,
                    None => {}
                }
            }
        }
    }
    assert!(taken > 100, "hardly any call got through to the database: {taken}");

    let project = world.key.project.id.clone();
    let owner = &world.key.project.org.owner;
    for hostile in HOSTILE {
        let stored = StoreRequest { payload: Some(Payload::Json(event(hostile).into())) };
        suite.writer().store(with_key(&world.key, stored)).await.unwrap();
    }
    let flush = FlushRequest { project_id: project.clone() };
    suite.writer().flush(signed(owner, flush)).await.unwrap();
    let list = ListEventsRequest { project_id: project, page_size: 100, ..ListEventsRequest::default() };
    let listed = suite.issues().list_events(signed(owner, list)).await.unwrap().into_inner().events;
    for hostile in HOSTILE {
        assert!(listed.iter().any(|event| event.message == hostile), "{hostile} is kept as it was sent");
    }
    let create = CreateProjectRequest {
        org_id: world.key.project.org.id.clone(),
        name: HOSTILE[0].to_owned(),
        ..CreateProjectRequest::default()
    };
    let named = suite.projects().create_project(signed(owner, create)).await.unwrap().into_inner();
    assert_eq!(named.project.unwrap().name, HOSTILE[0]);

    let dead: i64 = sqlx::query_scalar("SELECT count(*) FROM dead_letters")
        .fetch_one(suite.database.pool())
        .await
        .unwrap();
    assert_eq!(dead, 0, "the database took every event");
    assert_eq!(fingerprint(&suite, &accounts).await, before);
}
