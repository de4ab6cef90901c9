//! Every RPC of the API, straight at its service and through the gateway: whoever is less than its access option says is
//! refused, and whoever is just that is let through. An RPC cannot be forgotten: they are read from the descriptors.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod doors;
mod hostile;
mod policy;
mod world;

use std::{env, fs, path::Path};

use mesher_suite::{Suite, User};
use prost_reflect::MethodDescriptor;

use crate::{
    doors::{Credentials, Door, Refusal},
    policy::{access, methods, rule},
    world::{World, about_nothing},
};

/// The page that shows the policy.
const PAGE: &str = "../../docs/access.md";

#[test]
fn the_policy_is_the_one_that_is_documented() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let page = policy::page();
    if env::var_os("MESHER_UPDATE").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let documented = fs::read_to_string(&path).unwrap();
    assert!(
        documented == page,
        "docs/access.md is not what the API says: look at what changed in it, and if it is meant, bring it up to date with \
         MESHER_UPDATE=1 cargo test -p mesher-suite --test access"
    );
}

fn bearer(user: &User) -> String {
    format!("Bearer {}", user.token)
}

/// A caller of the test below.
struct Check<'a> {
    suite: &'a Suite,
    world: &'a World,
    door: &'a Door,
    method: &'a MethodDescriptor,
}

impl Check<'_> {
    async fn refusal(&self, credentials: &Credentials<'_>) -> Option<Refusal> {
        let message = self.world.request(self.method);
        let called = self.door.call(self.suite, self.method, &message, credentials).await?;
        let Err(refusal) = called else {
            panic!("{} let {credentials:?} through, {}", self.method.full_name(), self.door.name());
        };
        Some(refusal)
    }

    async fn refused(&self, credentials: &Credentials<'_>, code: &str, reason: &str) {
        let Some(refusal) = self.refusal(credentials).await else { return };
        let told = (refusal.code.as_str(), refusal.reason.as_str());
        let what = format!("{} for {credentials:?}, {}", self.method.full_name(), self.door.name());
        assert_eq!(told, (code, reason), "{what}");
    }

    /// Fails unless a stranger is told the same of what there is as of what there is not.
    async fn indistinguishable(&self, stranger: &User) {
        let token = bearer(stranger);
        let credentials = [("authorization", token.as_str())];
        let (there, missing) = (self.world.about(self.method), about_nothing(self.method));
        let mut told = Vec::new();
        for (id, message) in [&there, &missing] {
            let called = self.door.call(self.suite, self.method, message, &credentials).await;
            let Some(Err(refusal)) = called else { return };
            assert_eq!((refusal.code.as_str(), refusal.reason.as_str()), ("NOT_FOUND", "NOT_FOUND"));
            told.push(refusal.text.replace(id.as_str(), "ID"));
        }
        assert_eq!(told[0], told[1], "{}, {}", self.method.full_name(), self.door.name());
    }

    /// Fails if the caller is refused; what the RPC says of an empty request does not matter.
    async fn allowed(&self, credentials: &Credentials<'_>) {
        let message = self.world.request(self.method);
        let Some(Err(refusal)) = self.door.call(self.suite, self.method, &message, credentials).await else {
            return;
        };
        let refused = ["UNAUTHENTICATED", "PERMISSION_DENIED", "NOT_FOUND"].contains(&refusal.code.as_str());
        let own = refusal.reason == "LOGIN_FAILED";
        assert!(!refused || own, "{} refuses {credentials:?}: {refusal:?}", self.method.full_name());
        assert_ne!(refusal.code, "INTERNAL", "{}: {refusal:?}", self.method.full_name());
    }
}

#[tokio::test]
async fn every_rpc_refuses_whoever_is_less_than_its_option_says() {
    let suite = Suite::start().await;
    let world = World::new(&suite).await;
    let doors = Door::both(&suite).await;
    let garbage = format!("Bearer {}", "0".repeat(64));
    let number = world.other_number(&suite).await;
    for (method, door) in methods().iter().flat_map(|method| doors.iter().map(move |door| (method, door))) {
        let check = Check { suite: &suite, world: &world, door, method };
        let access = access(method);
        let stranger = bearer(&world.stranger);
        let session = [("authorization", stranger.as_str())];
        let [own_key, other_key] = [&world.key, &world.other].map(|key| key.secret.as_str());
        match access.caller.as_str() {
            "CALLER_ANYONE" => {}
            "CALLER_API_KEY" => {
                let other_project = [("x-mesher-key", own_key), ("x-mesher-project", number.as_str())];
                for (credentials, expected) in [
                    (&[][..], "CREDENTIALS_MISSING"),
                    (&session, "CREDENTIALS_MISSING"),
                    (&[("x-mesher-key", "garbage")], "API_KEY_INVALID"),
                    (&[("x-mesher-key", world.revoked.as_str())], "API_KEY_INVALID"),
                    (&other_project, "API_KEY_INVALID"),
                ] {
                    check.refused(credentials, "UNAUTHENTICATED", expected).await;
                }
            }
            caller => {
                let tokens = [&world.logged_out, &world.expired, &world.unused].map(bearer);
                for (credentials, expected) in [
                    (&[][..], "CREDENTIALS_MISSING"),
                    (&[("x-mesher-key", own_key)], "CREDENTIALS_MISSING"),
                    (&[("x-mesher-key", other_key)], "CREDENTIALS_MISSING"),
                    (&[("authorization", garbage.as_str())], "SESSION_INVALID"),
                    (&[("authorization", "Bearer garbage with spaces")], "SESSION_INVALID"),
                    (
                        &[("authorization", stranger.as_str()), ("authorization", garbage.as_str())],
                        "CREDENTIALS_MISSING",
                    ),
                    (&[("authorization", tokens[0].as_str())], "SESSION_INVALID"),
                    (&[("authorization", tokens[1].as_str())], "SESSION_INVALID"),
                    (&[("authorization", tokens[2].as_str())], "SESSION_INVALID"),
                ] {
                    check.refused(credentials, "UNAUTHENTICATED", expected).await;
                }
                if caller == "CALLER_SESSION" {
                    continue;
                }
                check.refused(&session, "NOT_FOUND", "NOT_FOUND").await;
                let elsewhere = bearer(&world.other.project.org.owner);
                check.refused(&[("authorization", &elsewhere)], "NOT_FOUND", "NOT_FOUND").await;
                check.indistinguishable(&world.stranger).await;
                let lower: &[&User] = match caller {
                    "CALLER_MEMBER" => &[],
                    "CALLER_ADMIN" => &[&world.member],
                    "CALLER_OWNER" => &[&world.member, &world.admin],
                    other => panic!("{other} is unknown to this test"),
                };
                for user in lower {
                    let credentials = bearer(user);
                    check
                        .refused(&[("authorization", &credentials)], "PERMISSION_DENIED", "ROLE_INSUFFICIENT")
                        .await;
                }
            }
        }
    }
}

#[tokio::test]
async fn every_rpc_lets_through_whoever_is_just_what_its_option_says() {
    let suite = Suite::start().await;
    let doors = Door::both(&suite).await;
    let mut world = World::new(&suite).await;
    for (method, door) in methods().iter().flat_map(|method| doors.iter().map(move |door| (method, door))) {
        let check = Check { suite: &suite, world: &world, door, method };
        let caller = match access(method).caller.as_str() {
            "CALLER_ANYONE" => {
                check.allowed(&[]).await;
                continue;
            }
            "CALLER_API_KEY" => {
                check.allowed(&[("x-mesher-key", &world.key.secret)]).await;
                continue;
            }
            "CALLER_SESSION" => &world.stranger,
            "CALLER_MEMBER" => &world.member,
            "CALLER_ADMIN" => &world.admin,
            "CALLER_OWNER" => &world.key.project.org.owner,
            other => panic!("{other} is unknown to this test"),
        };
        check.allowed(&[("authorization", &bearer(caller))]).await;
        // Some calls delete what the next would need.
        if rule(method).is_none_or(|rule| rule.verb != "get") {
            world = World::new(&suite).await;
        }
    }
}
