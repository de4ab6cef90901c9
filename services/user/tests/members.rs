//! Organization members and the rules about owners, over gRPC, on PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use mesher_proto::mesher::user::v1::{
    AddMemberRequest, ListMembersRequest, RemoveMemberRequest, Role, UpdateMemberRequest, add_member_request,
};
use mesher_suite::{Org, Suite, User, error_info, reason, signed, violated_field};
use tonic::{Code, Status};

fn add(org: &Org, email: &str, role: Role) -> AddMemberRequest {
    AddMemberRequest {
        org_id: org.id.clone(),
        role: role.into(),
        user: Some(add_member_request::User::Email(email.to_owned())),
    }
}

async fn update(suite: &Suite, by: &User, org: &Org, user: &User, role: Role) -> Result<(), Status> {
    let request = UpdateMemberRequest { org_id: org.id.clone(), user_id: user.id.clone(), role: role.into() };
    suite.users().update_member(signed(by, request)).await.map(|answer| {
        assert_eq!(answer.into_inner().member.unwrap().role(), role);
    })
}

async fn remove(suite: &Suite, by: &User, org: &Org, user: &User) -> Result<(), Status> {
    let request = RemoveMemberRequest { org_id: org.id.clone(), user_id: user.id.clone() };
    suite.users().remove_member(signed(by, request)).await.map(drop)
}

#[tokio::test]
async fn members_are_added_listed_changed_and_removed() {
    let suite = Suite::start().await;
    let (org, bob) = (suite.org().await, suite.user().await);
    let request = add(&org, &bob.email.to_uppercase(), Role::Member);
    let added = suite.users().add_member(signed(&org.owner, request.clone())).await.unwrap().into_inner();
    let member = added.member.unwrap();
    assert_eq!((member.user_id.as_str(), member.role()), (bob.id.as_str(), Role::Member));
    let again = suite.users().add_member(signed(&org.owner, request)).await.unwrap_err();
    assert_eq!((again.code(), error_info(&again).1["field"].as_str()), (Code::AlreadyExists, "user_id"));

    update(&suite, &org.owner, &org, &bob, Role::Admin).await.unwrap();
    let list = ListMembersRequest { org_id: org.id.clone(), ..Default::default() };
    let members = suite.users().list_members(signed(&bob, list.clone())).await.unwrap().into_inner().members;
    let roles: Vec<_> = members.iter().map(|member| (member.user_id.as_str(), member.role())).collect();
    assert_eq!(roles, [(bob.id.as_str(), Role::Admin), (org.owner.id.as_str(), Role::Owner)]);

    remove(&suite, &org.owner, &org, &bob).await.unwrap();
    assert_eq!(remove(&suite, &org.owner, &org, &bob).await.unwrap_err().code(), Code::NotFound);
    let outside = suite.users().list_members(signed(&bob, list)).await.unwrap_err();
    assert_eq!(outside.code(), Code::NotFound, "who was removed sees no more than a stranger");
}

#[tokio::test]
async fn only_an_owner_makes_changes_or_removes_an_owner() {
    let suite = Suite::start().await;
    let org = suite.org().await;
    let (admin, member) = (suite.member(&org, Role::Admin).await, suite.member(&org, Role::Member).await);
    let guest = suite.user().await;
    let refused = [
        suite.users().add_member(signed(&admin, add(&org, &guest.email, Role::Owner))).await.map(drop),
        update(&suite, &admin, &org, &member, Role::Owner).await,
        update(&suite, &admin, &org, &org.owner, Role::Member).await,
        remove(&suite, &admin, &org, &org.owner).await,
    ];
    for refused in refused {
        let refused = refused.unwrap_err();
        assert_eq!(
            (refused.code(), reason(&refused).as_str()),
            (Code::PermissionDenied, "ROLE_INSUFFICIENT")
        );
        assert_eq!(error_info(&refused).1["required"], "owner");
    }
    update(&suite, &admin, &org, &member, Role::Admin).await.unwrap();
    update(&suite, &org.owner, &org, &member, Role::Owner).await.unwrap();
}

#[tokio::test]
async fn the_last_owner_stays() {
    let suite = Suite::start().await;
    let org = suite.org().await;
    for refused in [
        update(&suite, &org.owner, &org, &org.owner, Role::Admin).await,
        remove(&suite, &org.owner, &org, &org.owner).await,
    ] {
        let refused = refused.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "LAST_OWNER"));
    }
    update(&suite, &org.owner, &org, &org.owner, Role::Owner).await.unwrap();
}

#[tokio::test]
async fn two_owners_who_remove_each_other_at_once_leave_one() {
    let suite = Suite::start().await;
    for _ in 0..10 {
        let org = suite.org().await;
        let second = suite.member(&org, Role::Owner).await;
        let (one, two) = tokio::join!(
            remove(&suite, &org.owner, &org, &second),
            remove(&suite, &second, &org, &org.owner)
        );
        assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
        let owners: i64 =
            sqlx::query_scalar("SELECT count(*) FROM org_members WHERE org_id = $1::uuid AND role = 'owner'")
                .bind(&org.id)
                .fetch_one(suite.database.pool())
                .await
                .unwrap();
        assert_eq!(owners, 1);
    }
}

#[tokio::test]
async fn bad_input_is_refused_by_the_fields_name() {
    let suite = Suite::start().await;
    let org = suite.org().await;
    let mut without = add(&org, "x", Role::Member);
    without.user = None;
    let mut no_role = add(&org, &org.owner.email, Role::Unspecified);
    let mut unknown_role = no_role.clone();
    unknown_role.role = 99;
    no_role.role = 0;
    let bad_email = add(&org, "x", Role::Member);
    for (request, field) in
        [(without, "user_id"), (no_role, "role"), (unknown_role, "role"), (bad_email, "email")]
    {
        let refused = suite.users().add_member(signed(&org.owner, request)).await.unwrap_err();
        assert_eq!(violated_field(&refused), field);
    }
    let nobody = add(&org, "nobody@example.com", Role::Member);
    let refused = suite.users().add_member(signed(&org.owner, nobody)).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
}
