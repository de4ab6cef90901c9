//! `UserService`: proto to domain and back.

use std::time::Duration;

use mesher_common::{
    access::Access,
    clock::{Clock, timestamp},
    id::UserId,
    paging::Page,
    secret::Secret,
    status::Violation,
    text::{MAX_NAME, Name},
};
use mesher_proto::{
    access::Role,
    mesher::user::v1::{self as proto, add_member_request, user_service_server::UserService},
};
use tonic::{Request, Response, Status};

use crate::{
    config::{Registration, UserArgs},
    email::Email,
    error::UserError,
    members::Candidate,
    password::{Hasher, Password},
    store::Store,
    user::{Member, Session, User},
};

/// The service.
#[derive(Clone, Debug)]
pub struct Service {
    access: Access,
    store: Store,
    hasher: Hasher,
    clock: Clock,
    registration: Registration,
    session_lifetime: Duration,
}

impl Service {
    /// The service on `store`, by the time of `clock`.
    pub fn new(store: Store, hasher: Hasher, clock: Clock, args: &UserArgs) -> Self {
        Self {
            access: Access::new(store.pool().clone()),
            store,
            hasher,
            clock,
            registration: args.registration,
            session_lifetime: args.session_lifetime,
        }
    }
}

#[tonic::async_trait]
impl UserService for Service {
    async fn register(
        &self,
        request: Request<proto::RegisterRequest>,
    ) -> Result<Response<proto::RegisterResponse>, Status> {
        let request = self.access.anyone(request);
        if self.registration == Registration::Closed {
            return Err(UserError::RegistrationClosed.into());
        }
        let email = Email::parse("email", &request.email)?;
        let password = Password::parse_new("password", request.password)?;
        let name = if request.name.is_empty() {
            // An address may be longer than a name; whoever gave no name must not be told that it is too long.
            email.local_part().chars().take(MAX_NAME).collect()
        } else {
            request.name
        };
        let name = Name::parse("name", &name)?;
        let hash = self.hasher.hash(password).await.map_err(UserError::from)?;
        let user = User { id: UserId::new(), email, name, created_at: self.clock.now() };
        self.store.create(&user, &hash).await?;
        Ok(Response::new(proto::RegisterResponse { user: Some(user.into()) }))
    }

    async fn login(
        &self,
        request: Request<proto::LoginRequest>,
    ) -> Result<Response<proto::LoginResponse>, Status> {
        let request = self.access.anyone(request);
        let email = Email::parse("email", &request.email)?;
        let password = Password::parse_attempt("password", request.password)?;
        let (user, hash) = self.store.for_login(&email).await?.unzip();
        let right = self.hasher.verify(password, hash).await.map_err(UserError::from)?;
        let user = user.filter(|_| right).ok_or(UserError::LoginFailed)?;
        let token = Secret::new_session_token().map_err(UserError::from)?;
        let created_at = self.clock.now();
        let session =
            Session { user_id: user.id, created_at, expires_at: created_at + self.session_lifetime };
        self.store.create_session(&session, token.sha256()).await?;
        Ok(Response::new(proto::LoginResponse {
            token: token.expose().to_owned(),
            session: Some(session.into()),
            user: Some(user.into()),
        }))
    }

    async fn validate_session(
        &self,
        request: Request<proto::ValidateSessionRequest>,
    ) -> Result<Response<proto::ValidateSessionResponse>, Status> {
        let (caller, _) = self.access.session(request).await?;
        let (session, user) = self.store.session(caller.session).await?;
        Ok(Response::new(proto::ValidateSessionResponse {
            session: Some(session.into()),
            user: Some(user.into()),
        }))
    }

    async fn logout(
        &self,
        request: Request<proto::LogoutRequest>,
    ) -> Result<Response<proto::LogoutResponse>, Status> {
        let (caller, _) = self.access.session(request).await?;
        self.store.end_session(caller.session).await?;
        Ok(Response::new(proto::LogoutResponse {}))
    }

    async fn get_user(
        &self,
        request: Request<proto::GetUserRequest>,
    ) -> Result<Response<proto::GetUserResponse>, Status> {
        let (caller, request) = self.access.session(request).await?;
        let id = UserId::parse("user_id", &request.user_id)?;
        let user = self.store.get_visible(id, caller.user_id).await?;
        Ok(Response::new(proto::GetUserResponse { user: Some(user.into()) }))
    }

    async fn add_member(
        &self,
        request: Request<proto::AddMemberRequest>,
    ) -> Result<Response<proto::AddMemberResponse>, Status> {
        let (caller, request) = self.access.role(request).await?;
        let role = role(request.role)?;
        let candidate = match &request.user {
            Some(add_member_request::User::UserId(id)) => Candidate::Id(UserId::parse("user_id", id)?),
            Some(add_member_request::User::Email(email)) => Candidate::Email(Email::parse("email", email)?),
            None => return Err(Violation::new("user_id", "is missing, and so is email: give one").into()),
        };
        let now = self.clock.now();
        let member = self.store.add_member(caller.org_id, &candidate, role, caller.role, now).await?;
        Ok(Response::new(proto::AddMemberResponse { member: Some(member.into()) }))
    }

    async fn list_members(
        &self,
        request: Request<proto::ListMembersRequest>,
    ) -> Result<Response<proto::ListMembersResponse>, Status> {
        let (caller, request) = self.access.role(request).await?;
        let scope = format!("members of {}", caller.org_id);
        let page = Page::parse(scope, request.page_size, &request.page_token)?;
        let mut members = self.store.list_members(caller.org_id, &page).await?;
        let next_page_token = page.finish(&mut members, Member::cursor);
        let members = members.into_iter().map(Into::into).collect();
        Ok(Response::new(proto::ListMembersResponse { members, next_page_token }))
    }

    async fn update_member(
        &self,
        request: Request<proto::UpdateMemberRequest>,
    ) -> Result<Response<proto::UpdateMemberResponse>, Status> {
        let (caller, request) = self.access.role(request).await?;
        let user_id = UserId::parse("user_id", &request.user_id)?;
        let role = role(request.role)?;
        let member = self.store.update_member(caller.org_id, user_id, role, caller.role).await?;
        Ok(Response::new(proto::UpdateMemberResponse { member: Some(member.into()) }))
    }

    async fn remove_member(
        &self,
        request: Request<proto::RemoveMemberRequest>,
    ) -> Result<Response<proto::RemoveMemberResponse>, Status> {
        let (caller, request) = self.access.role(request).await?;
        let user_id = UserId::parse("user_id", &request.user_id)?;
        self.store.remove_member(caller.org_id, user_id, caller.role).await?;
        Ok(Response::new(proto::RemoveMemberResponse {}))
    }
}

/// Reads the request field `role`.
fn role(number: i32) -> Result<Role, Violation> {
    match proto::Role::try_from(number) {
        Ok(proto::Role::Owner) => Ok(Role::Owner),
        Ok(proto::Role::Admin) => Ok(Role::Admin),
        Ok(proto::Role::Member) => Ok(Role::Member),
        Ok(proto::Role::Unspecified) => {
            Err(Violation::new("role", "is missing: give ROLE_OWNER, ROLE_ADMIN or ROLE_MEMBER"))
        }
        Err(_) => Err(Violation::new(
            "role",
            format!("{number} is no role: give ROLE_OWNER, ROLE_ADMIN or ROLE_MEMBER"),
        )),
    }
}

impl From<User> for proto::User {
    fn from(user: User) -> Self {
        Self {
            user_id: user.id.to_string(),
            email: user.email.as_str().to_owned(),
            name: user.name.as_str().to_owned(),
            create_time: Some(timestamp(user.created_at)),
        }
    }
}

impl From<Session> for proto::Session {
    fn from(session: Session) -> Self {
        Self {
            user_id: session.user_id.to_string(),
            create_time: Some(timestamp(session.created_at)),
            expire_time: Some(timestamp(session.expires_at)),
        }
    }
}

impl From<Member> for proto::Member {
    fn from(member: Member) -> Self {
        let role = match Role::from(member.role) {
            Role::Owner => proto::Role::Owner,
            Role::Admin => proto::Role::Admin,
            Role::Member => proto::Role::Member,
        };
        Self {
            org_id: member.org_id.to_string(),
            user_id: member.user_id.to_string(),
            role: role.into(),
            email: member.email.as_str().to_owned(),
            name: member.name.as_str().to_owned(),
            create_time: Some(timestamp(member.created_at)),
        }
    }
}
