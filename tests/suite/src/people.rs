//! Users, organizations, projects and keys, made as anyone would make them: by calling the services.

use std::sync::atomic::{AtomicU32, Ordering};

use mesher_proto::mesher::{
    org::v1::CreateOrgRequest,
    project::v1::{CreateApiKeyRequest, CreateProjectRequest},
    user::v1::{AddMemberRequest, LoginRequest, RegisterRequest, Role, add_member_request},
};
use tonic::{Request, Status};

use crate::Suite;

/// A user who is signed in.
#[derive(Clone, Debug)]
pub struct User {
    /// The user's id.
    pub id: String,
    /// The user's e-mail address.
    pub email: String,
    /// The token of the user's session.
    pub token: String,
}

/// An organization with its owner.
#[derive(Clone, Debug)]
pub struct Org {
    /// The organization's id.
    pub id: String,
    /// Who created it.
    pub owner: User,
}

/// A project.
#[derive(Clone, Debug)]
pub struct Project {
    /// The project's id.
    pub id: String,
    /// The organization that it belongs to.
    pub org: Org,
}

/// An API key.
#[derive(Clone, Debug)]
pub struct Key {
    /// The key's id.
    pub id: String,
    /// The key itself.
    pub secret: String,
    /// The project that it belongs to.
    pub project: Project,
}

impl Suite {
    /// Registers a user and signs the user in.
    pub async fn user(&self) -> User {
        let email = format!("user{}@example.com", next());
        let password = "correct horse".to_owned();
        let register =
            RegisterRequest { email: email.clone(), password: password.clone(), name: String::new() };
        let user = ok(self.users().register(register).await).user;
        let login = ok(self.users().login(LoginRequest { email: email.clone(), password }).await);
        User { id: user.map(|user| user.user_id).unwrap_or_default(), email, token: login.token }
    }

    /// Adds an account as earlier versions let them be registered, with the password of another. `variant` tells those apart whose addresses differ in the form of their characters alone.
    ///
    /// # Panics
    /// If the database refuses it.
    pub async fn user_of_before(&self, email: &str, variant: i32, like: &User) {
        let added = sqlx::query(
            "INSERT INTO users (id, email, email_variant, name, password_hash, created_at)
             SELECT gen_random_uuid(), $1, $2, '', password_hash, now() FROM users WHERE id = $3::uuid",
        )
        .bind(email)
        .bind(variant)
        .bind(&like.id)
        .execute(self.database.pool())
        .await;
        added.unwrap_or_else(|error| panic!("{error}"));
    }

    /// Creates an organization of a new user.
    pub async fn org(&self) -> Org {
        let owner = self.user().await;
        let request = CreateOrgRequest { name: "Org".to_owned(), slug: format!("org-{}", next()) };
        let org = ok(self.orgs().create_org(signed(&owner, request)).await).org;
        Org { id: org.map(|org| org.org_id).unwrap_or_default(), owner }
    }

    /// Adds a new user to an organization.
    pub async fn member(&self, org: &Org, role: Role) -> User {
        let user = self.user().await;
        let request = AddMemberRequest {
            org_id: org.id.clone(),
            role: role.into(),
            user: Some(add_member_request::User::Email(user.email.clone())),
        };
        ok(self.users().add_member(signed(&org.owner, request)).await);
        user
    }

    /// Creates a project in a new organization.
    pub async fn project(&self) -> Project {
        let org = self.org().await;
        let request = CreateProjectRequest {
            org_id: org.id.clone(),
            name: "Project".to_owned(),
            slug: format!("project-{}", next()),
        };
        let project = ok(self.projects().create_project(signed(&org.owner, request)).await).project;
        Project { id: project.map(|project| project.project_id).unwrap_or_default(), org }
    }

    /// Creates an API key of a project.
    pub async fn key_of(&self, project: &Project) -> Key {
        let request = CreateApiKeyRequest { project_id: project.id.clone(), ..Default::default() };
        let created = ok(self.projects().create_api_key(signed(&project.org.owner, request)).await);
        let id = created.api_key.map(|key| key.key_id).unwrap_or_default();
        Key { id, secret: created.secret, project: project.clone() }
    }

    /// Creates an API key of a new project.
    pub async fn key(&self) -> Key {
        let project = self.project().await;
        self.key_of(&project).await
    }
}

/// A request in a user's session.
pub fn signed<T>(user: &User, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let value = format!("Bearer {}", user.token).parse();
    request.metadata_mut().insert("authorization", value.unwrap_or_else(|error| panic!("{error}")));
    request
}

/// A request with an API key.
pub fn with_key<T>(key: &Key, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let value = key.secret.parse();
    request.metadata_mut().insert("x-mesher-key", value.unwrap_or_else(|error| panic!("{error}")));
    request
}

fn next() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// What a call that went well was answered.
pub(crate) fn ok<T>(answer: Result<tonic::Response<T>, Status>) -> T {
    answer.unwrap_or_else(|status| panic!("{status:?}")).into_inner()
}
