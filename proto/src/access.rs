//! Who may call what, as types. The values come from the `mesher.access.v1.access` option of each RPC; an RPC
//! without the option does not build.

use std::fmt;

/// A member's role in an organization, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// May see everything, and work on issues.
    Member,
    /// May change projects, API keys and members.
    Admin,
    /// May do everything, and make other owners.
    Owner,
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Member => "member",
            Self::Admin => "admin",
            Self::Owner => "owner",
        })
    }
}

/// What kind of thing an id in a request names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResourceKind {
    /// An organization.
    Org,
    /// A project.
    Project,
    /// An API key.
    ApiKey,
}

impl ResourceKind {
    /// The name in error messages and in the database's `session_access` function.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Org => "organization",
            Self::Project => "project",
            Self::ApiKey => "api key",
        }
    }
}

/// The thing whose organization decides about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resource<'a> {
    /// What the id names.
    pub kind: ResourceKind,
    /// The request field that holds the id.
    pub field: &'static str,
    /// The id as the caller wrote it: possibly no UUID at all.
    pub id: &'a str,
}

/// A request message of the API.
///
/// Each RPC has a request message of its own, so that the message's type names the RPC, and one of the traits below
/// says who may call it.
pub trait Guarded {
    /// The RPC's path: `/package.Service/Method`.
    const RPC: &'static str;
}

/// A request that anyone may make; no credentials are read.
pub trait ForAnyone: Guarded {}

/// A request of whoever holds a valid session.
pub trait ForSession: Guarded {}

/// A request of whoever has a role in the organization that the request is about.
pub trait ForRole: Guarded {
    /// The least role.
    const LEAST: Role;
    /// The thing whose organization decides.
    fn resource(&self) -> Resource<'_>;
}

/// A request of whoever holds a project's API key.
pub trait ForApiKey: Guarded {}

include!(concat!(env!("OUT_DIR"), "/guards.rs"));
