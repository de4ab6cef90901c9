//! `UserService`: proto to domain and back.

use mesher_common::{
    access::Access,
    audit::Entry,
    clock::Clock,
    id::{SessionId, UserId},
    paging::Page,
    status::Violation,
    text::{MAX_NAME, Name},
};
use mesher_proto::mesher::user::v1::{self as proto, add_member_request, user_service_server::UserService};
use tonic::{Request, Response, Status};

use crate::{
    config::{Registration, UserArgs},
    convert::{role, session},
    email::{Address, Email},
    error::UserError,
    login::Logins,
    members::Candidate,
    metrics::Metrics,
    password::{Hasher, Password},
    store::Store,
    user::{AuditEvent, Member, Session, User},
};

/// The service.
#[derive(Clone, Debug)]
pub struct Service {
    access: Access,
    store: Store,
    logins: Logins,
    clock: Clock,
    registration: Registration,
}

impl Service {
    /// The service on `store`, by the time of `clock`, for callers whom `access` lets through.
    pub fn new(
        access: Access,
        store: Store,
        hasher: Hasher,
        clock: Clock,
        metrics: Metrics,
        args: &UserArgs,
    ) -> Self {
        let logins = Logins {
            store: store.clone(),
            hasher,
            metrics,
            guessing: args.guessing,
            sessions: args.sessions,
        };
        Self { access, store, logins, clock, registration: args.registration }
    }
}

#[tonic::async_trait]
impl UserService for Service {
    async fn register(
        &self,
        request: Request<proto::RegisterRequest>,
    ) -> Result<Response<proto::RegisterResponse>, Status> {
        let (origin, request) = self.access.anyone(request);
        if self.registration == Registration::Closed {
            return Err(UserError::RegistrationClosed.into());
        }
        let email = Email::parse("email", &request.email)?;
        let password = Password::parse_new("password", request.password, &email)?;
        let name = if request.name.is_empty() {
            // An address may be longer than a name; whoever gave no name must not be told that it is too long.
            email.local_part().chars().take(MAX_NAME).collect()
        } else {
            request.name
        };
        let name = Name::parse("name", &name)?;
        let hash = self.logins.hasher.hash(password).await.map_err(UserError::from)?;
        let user = User { id: UserId::new(), email, name, created_at: self.clock.now() };
        self.store.create(&user, &hash, Entry::new(origin)).await?;
        Ok(Response::new(proto::RegisterResponse { user: Some(user.into()) }))
    }

    async fn login(
        &self,
        request: Request<proto::LoginRequest>,
    ) -> Result<Response<proto::LoginResponse>, Status> {
        let (origin, request) = self.access.anyone(request);
        let address = Address::parse("email", &request.email)?;
        let password = Password::parse_attempt("password", request.password)?;
        let (token, begun, user) = self.logins.login(&address, password, origin, self.clock.now()).await?;
        Ok(Response::new(proto::LoginResponse {
            token: token.expose().to_owned(),
            session: Some(session(begun, true)),
            user: Some(user.into()),
        }))
    }

    async fn validate_session(
        &self,
        request: Request<proto::ValidateSessionRequest>,
    ) -> Result<Response<proto::ValidateSessionResponse>, Status> {
        let (caller, _) = self.access.session(request).await?;
        let (current, user) = self.store.session(caller.session).await?;
        Ok(Response::new(proto::ValidateSessionResponse {
            session: Some(session(current, true)),
            user: Some(user.into()),
        }))
    }

    async fn logout(
        &self,
        request: Request<proto::LogoutRequest>,
    ) -> Result<Response<proto::LogoutResponse>, Status> {
        let (caller, _) = self.access.session(request).await?;
        let now = self.clock.now();
        self.store.end_session(caller.user_id, caller.session, now, caller.does()).await?;
        Ok(Response::new(proto::LogoutResponse {}))
    }

    async fn list_sessions(
        &self,
        request: Request<proto::ListSessionsRequest>,
    ) -> Result<Response<proto::ListSessionsResponse>, Status> {
        let (caller, request) = self.access.session(request).await?;
        let scope = format!("sessions of {}", caller.user_id);
        let page = Page::parse(scope, request.page_size, &request.page_token)?;
        let (mut sessions, current) = self.store.list_sessions(caller.user_id, caller.session, &page).await?;
        let next_page_token = page.finish(&mut sessions, Session::cursor);
        let shown = |listed: Session| {
            let is_current = Some(listed.id) == current;
            session(listed, is_current)
        };
        let sessions = sessions.into_iter().map(shown).collect();
        Ok(Response::new(proto::ListSessionsResponse { sessions, next_page_token }))
    }

    async fn revoke_session(
        &self,
        request: Request<proto::RevokeSessionRequest>,
    ) -> Result<Response<proto::RevokeSessionResponse>, Status> {
        let (caller, request) = self.access.session(request).await?;
        let id = SessionId::parse("session_id", &request.session_id)?;
        self.store.revoke_session(caller.user_id, id, self.clock.now(), caller.does()).await?;
        Ok(Response::new(proto::RevokeSessionResponse {}))
    }

    async fn revoke_all_sessions(
        &self,
        request: Request<proto::RevokeAllSessionsRequest>,
    ) -> Result<Response<proto::RevokeAllSessionsResponse>, Status> {
        let (caller, _) = self.access.session(request).await?;
        let ended = self.store.revoke_all_sessions(caller.user_id, self.clock.now(), caller.does()).await?;
        let ended_session_count = i32::try_from(ended).unwrap_or(i32::MAX);
        Ok(Response::new(proto::RevokeAllSessionsResponse { ended_session_count }))
    }

    async fn change_password(
        &self,
        request: Request<proto::ChangePasswordRequest>,
    ) -> Result<Response<proto::ChangePasswordResponse>, Status> {
        let (caller, request) = self.access.session(request).await?;
        let current = Password::parse_attempt("current_password", request.current_password)?;
        let (user, hash) = self.store.with_password(caller.user_id).await?;
        let new = Password::parse_new("new_password", request.new_password, &user.email)?;
        let ended =
            self.logins.change_password(&caller, &user, &hash, (current, new), self.clock.now()).await?;
        let ended_session_count = i32::try_from(ended).unwrap_or(i32::MAX);
        Ok(Response::new(proto::ChangePasswordResponse { ended_session_count }))
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
            Some(add_member_request::User::Email(email)) => Candidate::Email(Address::parse("email", email)?),
            None => return Err(Violation::new("user_id", "is missing, and so is email: give one").into()),
        };
        let now = self.clock.now();
        let member = self.store.add_member(&caller, &candidate, role, now).await?;
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
        let member = self.store.update_member(&caller, user_id, role, self.clock.now()).await?;
        Ok(Response::new(proto::UpdateMemberResponse { member: Some(member.into()) }))
    }

    async fn remove_member(
        &self,
        request: Request<proto::RemoveMemberRequest>,
    ) -> Result<Response<proto::RemoveMemberResponse>, Status> {
        let (caller, request) = self.access.role(request).await?;
        let user_id = UserId::parse("user_id", &request.user_id)?;
        self.store.remove_member(&caller, user_id, self.clock.now()).await?;
        Ok(Response::new(proto::RemoveMemberResponse {}))
    }

    async fn leave_org(
        &self,
        request: Request<proto::LeaveOrgRequest>,
    ) -> Result<Response<proto::LeaveOrgResponse>, Status> {
        let (caller, _) = self.access.role(request).await?;
        self.store.remove_member(&caller, caller.user_id, self.clock.now()).await?;
        Ok(Response::new(proto::LeaveOrgResponse {}))
    }

    async fn list_audit_events(
        &self,
        request: Request<proto::ListAuditEventsRequest>,
    ) -> Result<Response<proto::ListAuditEventsResponse>, Status> {
        let (caller, request) = self.access.role(request).await?;
        let scope = format!("audit events of {}", caller.org_id);
        let page = Page::parse(scope, request.page_size, &request.page_token)?;
        let mut events = self.store.list_audit_events(caller.org_id, &page).await?;
        let next_page_token = page.finish(&mut events, AuditEvent::cursor);
        let audit_events = events.into_iter().map(Into::into).collect();
        Ok(Response::new(proto::ListAuditEventsResponse { audit_events, next_page_token }))
    }
}
