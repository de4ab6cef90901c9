//! Ids: UUIDs whose types keep one kind from being taken for another.

use std::fmt;

use uuid::Uuid;

use crate::status::Violation;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, sqlx::Type)]
        #[sqlx(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// Reads the id that `field` of a request holds: a UUID, with or without dashes.
            pub fn parse(field: &'static str, text: &str) -> Result<Self, Violation> {
                parse(field, text).map(Self)
            }

            /// A new id, larger than all that were made before: a `UUIDv7`.
            #[expect(clippy::new_without_default, reason = "no new id is the default one")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(formatter)
            }
        }
    )*};
}

ids! {
    /// An organization's id.
    OrgId;
    /// A project's id.
    ProjectId;
    /// A user's id.
    UserId;
    /// An API key's id; not the key.
    ApiKeyId;
    /// A session's id; not its token.
    SessionId;
    /// The id of an entry in the audit log.
    AuditEventId;
    /// An event's id, unique in its project.
    EventId;
    /// An issue's id.
    IssueId;
}

impl EventId {
    /// As events' ids are written: 32 lower-case hex digits.
    pub fn to_hex(self) -> String {
        self.0.simple().to_string()
    }
}

fn parse(field: &'static str, text: &str) -> Result<Uuid, Violation> {
    // The uuid crate also reads braces and URNs, which would give one id several spellings.
    let shape = matches!(text.len(), 32 | 36);
    let id = if shape { Uuid::try_parse(text).ok() } else { None };
    id.ok_or_else(|| {
        let reason = if text.is_empty() { "is missing: give a UUID" } else { "is not a UUID" };
        Violation::new(field, reason)
    })
}

#[cfg(test)]
mod tests {
    use super::OrgId;

    #[test]
    fn ids_are_read_with_and_without_dashes_and_in_no_other_form() {
        let id = OrgId::new();
        assert_eq!(OrgId::parse("org_id", &id.to_string()).unwrap(), id);
        assert_eq!(OrgId::parse("org_id", &id.0.simple().to_string().to_uppercase()).unwrap(), id);
        for wrong in ["", "1", "x", &id.0.braced().to_string(), &id.0.urn().to_string(), &format!("{id} ")] {
            assert_eq!(OrgId::parse("org_id", wrong).unwrap_err().field, "org_id", "{wrong:?}");
        }
    }
}
