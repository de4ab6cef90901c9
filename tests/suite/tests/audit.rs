//! The audit log has every change, and the admins of an organization read what was done in it.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeSet;

use mesher_proto::mesher::{
    project::v1::{
        CreateApiKeyRequest, CreateProjectRequest, DeleteProjectRequest, RevokeApiKeyRequest,
        UpdateApiKeyRequest, UpdateProjectRequest,
    },
    user::v1::{
        AuditEvent, ChangePasswordRequest, LeaveOrgRequest, ListAuditEventsRequest, ListSessionsRequest,
        LogoutRequest, RemoveMemberRequest, RevokeAllSessionsRequest, RevokeSessionRequest, Role,
        UpdateMemberRequest,
    },
};
use mesher_suite::{Org, Suite, User, signed};
use prost_reflect::{MethodDescriptor, Value};
use tonic::{Code, Request};

/// Whether an RPC changes something: it has another HTTP method than GET.
fn changes(method: &MethodDescriptor) -> bool {
    let http = mesher_proto::descriptor_pool().get_extension_by_name("google.api.http").unwrap();
    let options = method.options();
    if !options.has_extension(&http) {
        return false;
    }
    let rule = options.get_extension(&http);
    let get = rule.as_message().unwrap().get_field_by_name("get");
    !matches!(get.as_deref(), Some(Value::String(path)) if !path.is_empty())
}

/// A request in a user's session, as the gateway passes it on.
fn from<T>(user: &User, message: T) -> Request<T> {
    let mut request = signed(user, message);
    for (name, value) in [
        ("x-forwarded-for", "203.0.113.7"),
        ("x-forwarded-user-agent", "curl/8.5.0"),
        ("x-request-id", "request-7"),
    ] {
        request.metadata_mut().insert(name, value.parse().unwrap());
    }
    request
}

async fn list(suite: &Suite, by: &User, org: &Org, page_size: i32) -> Vec<AuditEvent> {
    let mut request = ListAuditEventsRequest { org_id: org.id.clone(), page_size, ..Default::default() };
    let mut events = Vec::new();
    loop {
        let page = suite.users().list_audit_events(signed(by, request.clone())).await.unwrap().into_inner();
        events.extend(page.audit_events);
        if page.next_page_token.is_empty() {
            return events;
        }
        request.page_token = page.next_page_token;
    }
}

/// Does everything in an organization that changes it; the key that was made.
async fn change_everything(suite: &Suite, org: &Org) -> String {
    let owner = &org.owner;
    let create =
        CreateProjectRequest { org_id: org.id.clone(), name: "Web".to_owned(), slug: "web".to_owned() };
    let project =
        suite.projects().create_project(from(owner, create)).await.unwrap().into_inner().project.unwrap();
    let project_id = project.project_id;
    let update = UpdateProjectRequest {
        project_id: project_id.clone(),
        name: Some("Shop".to_owned()),
        ..Default::default()
    };
    suite.projects().update_project(from(owner, update)).await.unwrap();
    let create = CreateApiKeyRequest { project_id: project_id.clone(), ..Default::default() };
    let created = suite.projects().create_api_key(from(owner, create)).await.unwrap().into_inner();
    let key_id = created.api_key.unwrap().key_id;
    let update = UpdateApiKeyRequest {
        key_id: key_id.clone(),
        name: Some("browser".to_owned()),
        ..Default::default()
    };
    suite.projects().update_api_key(from(owner, update)).await.unwrap();
    suite.projects().revoke_api_key(from(owner, RevokeApiKeyRequest { key_id })).await.unwrap();
    suite.projects().delete_project(from(owner, DeleteProjectRequest { project_id })).await.unwrap();
    let (removed, left) = (suite.member(org, Role::Member).await, suite.member(org, Role::Member).await);
    let (org_id, user_id) = (org.id.clone(), removed.id.clone());
    let update =
        UpdateMemberRequest { org_id: org_id.clone(), user_id: user_id.clone(), role: Role::Admin.into() };
    suite.users().update_member(from(owner, update)).await.unwrap();
    suite
        .users()
        .remove_member(from(owner, RemoveMemberRequest { org_id: org_id.clone(), user_id }))
        .await
        .unwrap();
    suite.users().leave_org(from(&left, LeaveOrgRequest { org_id })).await.unwrap();
    created.secret
}

/// Does everything that changes an account.
async fn change_account(suite: &Suite) {
    let password = "correct horse".to_owned();
    let user = suite.user().await;
    let change =
        ChangePasswordRequest { current_password: password, new_password: "battery staple".to_owned() };
    suite.users().change_password(from(&user, change)).await.unwrap();
    suite.users().revoke_all_sessions(from(&user, RevokeAllSessionsRequest {})).await.unwrap();
    let user = suite.user().await;
    suite.users().logout(from(&user, LogoutRequest {})).await.unwrap();
    let user = suite.user().await;
    let sessions = suite.users().list_sessions(signed(&user, ListSessionsRequest::default())).await.unwrap();
    let session_id = sessions.into_inner().sessions[0].session_id.clone();
    suite.users().revoke_session(from(&user, RevokeSessionRequest { session_id })).await.unwrap();
}

#[tokio::test]
async fn every_call_that_changes_something_is_in_the_log() {
    let suite = Suite::start().await;
    let org = suite.org().await;
    let secret = change_everything(&suite, &org).await;
    change_account(&suite).await;
    let logged: BTreeSet<String> = sqlx::query_scalar("SELECT DISTINCT method FROM audit_events")
        .fetch_all(suite.database.pool())
        .await
        .unwrap()
        .into_iter()
        .collect();
    let services = mesher_proto::descriptor_pool().services();
    let expected: BTreeSet<String> = services
        .filter(|service| {
            ["mesher.org.v1", "mesher.project.v1", "mesher.user.v1"].contains(&service.package_name())
        })
        .flat_map(|service| service.methods().collect::<Vec<_>>())
        .filter(changes)
        .map(|method| method.full_name().to_owned())
        .collect();
    assert_eq!(logged, expected, "this test calls every RPC that changes something, and each is logged");

    let all: String = sqlx::query_scalar("SELECT string_agg(e::text, ' ') FROM audit_events e")
        .fetch_one(suite.database.pool())
        .await
        .unwrap();
    for secret in [secret.as_str(), "correct horse", "battery staple", org.owner.token.as_str()] {
        assert!(!all.contains(secret), "a secret is in the log");
    }
}

#[tokio::test]
async fn admins_read_who_did_what_to_what_and_from_where_page_by_page() {
    let suite = Suite::start().await;
    let (org, other) = (suite.org().await, suite.org().await);
    change_everything(&suite, &org).await;
    change_everything(&suite, &other).await;
    let events = list(&suite, &org.owner, &org, 0).await;
    assert_eq!(list(&suite, &org.owner, &org, 2).await, events, "pages have the same, in the same order");
    let names: Vec<&str> =
        events.iter().rev().map(|event| event.method.rsplit('.').next().unwrap()).collect();
    let expected = [
        "CreateOrg",
        "CreateProject",
        "UpdateProject",
        "CreateApiKey",
        "UpdateApiKey",
        "RevokeApiKey",
        "DeleteProject",
        "DeleteProject",
        "AddMember",
        "AddMember",
        "UpdateMember",
        "RemoveMember",
        "LeaveOrg",
    ];
    assert_eq!(names, expected, "the latest first, and nothing of others");
    let update = events.iter().find(|event| event.method.ends_with(".UpdateProject")).unwrap();
    assert_eq!(
        (update.user_id.as_str(), update.email.as_str(), update.resource_kind.as_str()),
        (org.owner.id.as_str(), org.owner.email.as_str(), "project")
    );
    assert_eq!(
        (update.client_address.as_str(), update.user_agent.as_str(), update.request_id.as_str()),
        ("203.0.113.7", "curl/8.5.0", "request-7")
    );
    assert_eq!(update.details, [("name".to_owned(), "Shop".to_owned())].into());
    let created = events.iter().find(|event| event.method.ends_with(".CreateProject")).unwrap();
    assert_eq!(created.resource_id, update.resource_id);

    let member = suite.member(&org, Role::Member).await;
    let request = ListAuditEventsRequest { org_id: org.id.clone(), ..Default::default() };
    let refused = suite.users().list_audit_events(signed(&member, request)).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn what_fails_leaves_nothing_in_the_log() {
    let suite = Suite::start().await;
    let org = suite.org().await;
    let before = list(&suite, &org.owner, &org, 0).await;
    let taken =
        || CreateProjectRequest { org_id: org.id.clone(), name: "Web".to_owned(), slug: "web".to_owned() };
    suite.projects().create_project(from(&org.owner, taken())).await.unwrap();
    suite.projects().create_project(from(&org.owner, taken())).await.unwrap_err();
    suite.users().leave_org(from(&org.owner, LeaveOrgRequest { org_id: org.id.clone() })).await.unwrap_err();
    assert_eq!(list(&suite, &org.owner, &org, 0).await.len(), before.len() + 1);
}
