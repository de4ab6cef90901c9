//! Projects with keys, and people of every kind.

use mesher_proto::mesher::{
    project::v1::{GetProjectByApiKeyRequest, RevokeApiKeyRequest},
    user::v1::{LogoutRequest, Role},
};
use mesher_suite::{Key, Suite, User, signed, with_key};
use prost_reflect::{DynamicMessage, MethodDescriptor, Value};

use crate::policy::access;

/// An id of nothing.
const NOTHING: &str = "01900000-0000-7000-8000-000000000000";

/// A project with a key, people in every role of its organization, and others.
pub(crate) struct World {
    pub(crate) key: Key,
    /// Of another project, in another organization.
    pub(crate) other: Key,
    /// A key of the project that was revoked.
    pub(crate) revoked: String,
    pub(crate) member: User,
    pub(crate) admin: User,
    pub(crate) stranger: User,
    pub(crate) logged_out: User,
    /// Whose session lasted its time.
    pub(crate) expired: User,
    /// Whose session was not used for too long.
    pub(crate) unused: User,
}

impl World {
    pub(crate) async fn new(suite: &Suite) -> Self {
        let (key, other) = (suite.key().await, suite.key().await);
        let org = &key.project.org;
        let revoked = suite.key_of(&key.project).await;
        let revoke = RevokeApiKeyRequest { key_id: revoked.id };
        suite.projects().revoke_api_key(signed(&org.owner, revoke)).await.unwrap();
        let logged_out = suite.member(org, Role::Owner).await;
        suite.users().logout(signed(&logged_out, LogoutRequest {})).await.unwrap();
        let (expired, unused) = (suite.member(org, Role::Owner).await, suite.member(org, Role::Owner).await);
        for (user, sql) in [
            (&expired, "UPDATE sessions SET expires_at = now() WHERE user_id = $1::uuid"),
            (&unused, "UPDATE sessions SET idle_expires_at = now() WHERE user_id = $1::uuid"),
        ] {
            sqlx::query(sql).bind(&user.id).execute(suite.database.pool()).await.unwrap();
        }
        Self {
            member: suite.member(org, Role::Member).await,
            admin: suite.member(org, Role::Admin).await,
            stranger: suite.user().await,
            revoked: revoked.secret,
            logged_out,
            expired,
            unused,
            key,
            other,
        }
    }

    /// The number of the other project.
    pub(crate) async fn other_number(&self, suite: &Suite) -> String {
        let request = with_key(&self.other, GetProjectByApiKeyRequest {});
        let found = suite.projects().get_project_by_api_key(request).await.unwrap().into_inner();
        found.project.unwrap().number.to_string()
    }

    /// An otherwise empty request about this world's organization, project or key, and the id in it.
    pub(crate) fn request(&self, method: &MethodDescriptor) -> DynamicMessage {
        self.about(method).1
    }

    pub(crate) fn about(&self, method: &MethodDescriptor) -> (String, DynamicMessage) {
        let id = match access(method).resource.as_str() {
            "" => "",
            "org_id" => &self.key.project.org.id,
            "project_id" => &self.key.project.id,
            "key_id" => &self.key.id,
            other => panic!("{other} is no resource of this test"),
        };
        about(method, id)
    }
}

/// The same about nothing that there is.
pub(crate) fn about_nothing(method: &MethodDescriptor) -> (String, DynamicMessage) {
    about(method, NOTHING)
}

fn about(method: &MethodDescriptor, id: &str) -> (String, DynamicMessage) {
    let mut message = DynamicMessage::new(method.input());
    let resource = access(method).resource;
    if !resource.is_empty() {
        message.set_field_by_name(&resource, Value::String(id.to_owned()));
    }
    (id.to_owned(), message)
}
