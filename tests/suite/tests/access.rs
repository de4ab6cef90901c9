//! Every RPC of the API, straight at its service: whoever is less than its access option says is refused, and whoever is
//! just that is let through. An RPC cannot be forgotten: they are read from the descriptors.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use bytes::{Buf as _, BufMut as _, Bytes};
use mesher_proto::mesher::user::v1::{LogoutRequest, Role};
use mesher_suite::{Key, Suite, User, reason, signed};
use prost::Message as _;
use prost_reflect::{DynamicMessage, MethodDescriptor, Value};
use tonic::{
    Code, Request, Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

/// What an RPC's access option says.
#[derive(Debug)]
struct Access {
    caller: String,
    resource: String,
}

fn access(method: &MethodDescriptor) -> Access {
    let extension = mesher_proto::descriptor_pool().get_extension_by_name("mesher.access.v1.access").unwrap();
    let options = method.options();
    let option = options.get_extension(&extension);
    let option = option.as_message().unwrap();
    let number = option.get_field_by_name("caller").unwrap().as_enum_number().unwrap();
    let callers = mesher_proto::descriptor_pool().get_enum_by_name("mesher.access.v1.Caller").unwrap();
    let caller = callers.get_value(number).unwrap().name().to_owned();
    let resource = option.get_field_by_name("resource").unwrap().as_str().unwrap().to_owned();
    Access { caller, resource }
}

fn methods() -> Vec<MethodDescriptor> {
    let services = mesher_proto::descriptor_pool().services();
    let ours = services.filter(|service| service.full_name().starts_with("mesher."));
    ours.flat_map(|service| service.methods().collect::<Vec<_>>()).collect()
}

/// A project with a key, and people in every role of its organization.
struct World {
    key: Key,
    member: User,
    admin: User,
    stranger: User,
    logged_out: User,
}

impl World {
    async fn new(suite: &Suite) -> Self {
        let key = suite.key().await;
        let org = &key.project.org;
        let logged_out = suite.member(org, Role::Owner).await;
        suite.users().logout(signed(&logged_out, LogoutRequest {})).await.unwrap();
        Self {
            member: suite.member(org, Role::Member).await,
            admin: suite.member(org, Role::Admin).await,
            stranger: suite.user().await,
            logged_out,
            key,
        }
    }

    /// An otherwise empty request about this world's organization, project and key.
    fn request(&self, method: &MethodDescriptor, access: &Access) -> Bytes {
        let mut message = DynamicMessage::new(method.input());
        let id = match access.resource.as_str() {
            "" => return Bytes::new(),
            "org_id" => &self.key.project.org.id,
            "project_id" => &self.key.project.id,
            "key_id" => &self.key.id,
            other => panic!("{other} is no resource of this test"),
        };
        message.set_field_by_name(&access.resource, Value::String(id.clone()));
        message.encode_to_vec().into()
    }
}

/// Calls an RPC with these credentials; its own errors are told by their codes.
async fn call(
    suite: &Suite,
    method: &MethodDescriptor,
    body: Bytes,
    credentials: &[(&'static str, &str)],
) -> Result<(), Status> {
    let service = method.parent_service();
    let mut client = tonic::client::Grpc::new(suite.channel_of(service.package_name()));
    client.ready().await.unwrap();
    let path = format!("/{}/{}", service.full_name(), method.name()).parse().unwrap();
    let mut request = Request::new(tokio_stream::once(body));
    for (name, value) in credentials {
        request.metadata_mut().append(*name, value.parse().unwrap());
    }
    let mut answers = client.streaming(request, path, Raw).await?.into_inner();
    while answers.message().await?.is_some() {}
    Ok(())
}

async fn refusal(
    suite: &Suite,
    method: &MethodDescriptor,
    body: &Bytes,
    credentials: &[(&'static str, &str)],
) -> (Code, String) {
    match call(suite, method, body.clone(), credentials).await {
        Err(status) => (status.code(), reason(&status)),
        Ok(()) => panic!("{} let {credentials:?} through", method.full_name()),
    }
}

/// Fails if an RPC refuses the caller; what it says of the empty request does not matter.
async fn allowed(
    suite: &Suite,
    method: &MethodDescriptor,
    body: &Bytes,
    credentials: &[(&'static str, &str)],
) {
    if let Err(status) = call(suite, method, body.clone(), credentials).await {
        let refused =
            matches!(status.code(), Code::Unauthenticated | Code::PermissionDenied | Code::NotFound);
        let sign_in = status.code() == Code::Unauthenticated && reason(&status) == "LOGIN_FAILED";
        assert!(!refused || sign_in, "{} refuses {credentials:?}: {status:?}", method.full_name());
        assert_ne!(status.code(), Code::Internal, "{}: {status:?}", method.full_name());
    }
}

fn bearer(user: &User) -> String {
    format!("Bearer {}", user.token)
}

#[tokio::test]
async fn every_rpc_refuses_whoever_is_less_than_its_option_says() {
    let suite = Suite::start().await;
    let world = World::new(&suite).await;
    let garbage = format!("Bearer {}", "0".repeat(64));
    for method in methods() {
        let access = access(&method);
        let body = world.request(&method, &access);
        let of = |user: &User| bearer(user);
        let session = [("authorization", of(&world.stranger))];
        let session: Vec<(&str, &str)> =
            session.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let key = [("x-mesher-key", world.key.secret.as_str())];
        match access.caller.as_str() {
            "CALLER_ANYONE" => {}
            "CALLER_API_KEY" => {
                for (credentials, expected) in [
                    (&[][..], "CREDENTIALS_MISSING"),
                    (&session, "CREDENTIALS_MISSING"),
                    (&[("x-mesher-key", "garbage")], "API_KEY_INVALID"),
                ] {
                    let refused = refusal(&suite, &method, &body, credentials).await;
                    assert_eq!(
                        refused,
                        (Code::Unauthenticated, expected.to_owned()),
                        "{}",
                        method.full_name()
                    );
                }
            }
            caller => {
                for (credentials, expected) in [
                    (&[][..], "CREDENTIALS_MISSING"),
                    (&key, "CREDENTIALS_MISSING"),
                    (&[("authorization", garbage.as_str())], "SESSION_INVALID"),
                    (&[("authorization", bearer(&world.logged_out).as_str())], "SESSION_INVALID"),
                ] {
                    let refused = refusal(&suite, &method, &body, credentials).await;
                    assert_eq!(
                        refused,
                        (Code::Unauthenticated, expected.to_owned()),
                        "{}",
                        method.full_name()
                    );
                }
                if caller == "CALLER_SESSION" {
                    continue;
                }
                let refused = refusal(&suite, &method, &body, &session).await;
                assert_eq!(
                    refused,
                    (Code::NotFound, "NOT_FOUND".to_owned()),
                    "{} for a stranger",
                    method.full_name()
                );
                let lower: &[&User] = match caller {
                    "CALLER_MEMBER" => &[],
                    "CALLER_ADMIN" => &[&world.member],
                    "CALLER_OWNER" => &[&world.member, &world.admin],
                    other => panic!("{other} is unknown to this test"),
                };
                for user in lower {
                    let refused = refusal(&suite, &method, &body, &[("authorization", &bearer(user))]).await;
                    let expected = (Code::PermissionDenied, "ROLE_INSUFFICIENT".to_owned());
                    assert_eq!(refused, expected, "{}", method.full_name());
                }
            }
        }
    }
}

#[tokio::test]
async fn every_rpc_lets_through_whoever_is_just_what_its_option_says() {
    let suite = Suite::start().await;
    for method in methods() {
        // Some calls delete what the next would need.
        let world = World::new(&suite).await;
        let access = access(&method);
        let body = world.request(&method, &access);
        let caller = match access.caller.as_str() {
            "CALLER_ANYONE" => {
                allowed(&suite, &method, &body, &[]).await;
                continue;
            }
            "CALLER_API_KEY" => {
                allowed(&suite, &method, &body, &[("x-mesher-key", &world.key.secret)]).await;
                continue;
            }
            "CALLER_SESSION" => &world.stranger,
            "CALLER_MEMBER" => &world.member,
            "CALLER_ADMIN" => &world.admin,
            "CALLER_OWNER" => &world.key.project.org.owner,
            other => panic!("{other} is unknown to this test"),
        };
        allowed(&suite, &method, &body, &[("authorization", &bearer(caller))]).await;
    }
}

/// Passes messages through as bytes.
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
