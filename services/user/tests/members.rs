//! Organization members and the rules about owners, over gRPC, on PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use mesher_proto::mesher::user::v1::{
    AddMemberRequest, LeaveOrgRequest, ListMembersRequest, RemoveMemberRequest, Role, UpdateMemberRequest,
    add_member_request,
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

async fn leave(suite: &Suite, user: &User, org: &Org) -> Result<(), Status> {
    suite.users().leave_org(signed(user, LeaveOrgRequest { org_id: org.id.clone() })).await.map(drop)
}

async fn owners(suite: &Suite, org: &Org) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM org_members WHERE org_id = $1::uuid AND role = 'owner'")
        .bind(&org.id)
        .fetch_one(suite.database.pool())
        .await
        .unwrap()
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
        assert_eq!(owners(&suite, &org).await, 1);
    }
}

#[tokio::test]
async fn of_two_owners_who_leave_or_step_down_at_once_one_stays() {
    let suite = Suite::start().await;
    for _ in 0..10 {
        let org = suite.org().await;
        let second = suite.member(&org, Role::Owner).await;
        let (one, two) = tokio::join!(
            leave(&suite, &org.owner, &org),
            update(&suite, &second, &org, &second, Role::Member)
        );
        assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
        assert_eq!(reason(&one.and(two).unwrap_err()), "LAST_OWNER");
        assert_eq!(owners(&suite, &org).await, 1);
    }
}

#[tokio::test]
async fn whoever_is_demoted_meanwhile_has_no_say_any_more() {
    let suite = Suite::start().await;
    for _ in 0..10 {
        let org = suite.org().await;
        let second = suite.member(&org, Role::Owner).await;
        let guest = suite.user().await;
        let mut users = suite.users();
        let adding = signed(&second, add(&org, &guest.email, Role::Owner));
        let (demoted, added) =
            tokio::join!(update(&suite, &org.owner, &org, &second, Role::Member), users.add_member(adding));
        demoted.unwrap();
        // Either came before the demotion, or is refused for it.
        if let Err(refused) = added {
            assert_eq!(reason(&refused), "ROLE_INSUFFICIENT");
            assert_eq!(owners(&suite, &org).await, 1);
        } else {
            assert_eq!(owners(&suite, &org).await, 2);
        }
    }
}

#[tokio::test]
async fn members_leave_by_themselves_but_for_the_last_owner() {
    let suite = Suite::start().await;
    let org = suite.org().await;
    let member = suite.member(&org, Role::Member).await;
    assert_eq!(reason(&leave(&suite, &org.owner, &org).await.unwrap_err()), "LAST_OWNER");
    leave(&suite, &member, &org).await.unwrap();
    assert_eq!(leave(&suite, &member, &org).await.unwrap_err().code(), Code::NotFound, "a stranger now");
    let second = suite.member(&org, Role::Owner).await;
    leave(&suite, &org.owner, &org).await.unwrap();
    assert_eq!(reason(&leave(&suite, &second, &org).await.unwrap_err()), "LAST_OWNER");
}

#[tokio::test]
async fn an_id_alone_adds_nobody_whom_the_caller_may_not_see() {
    let suite = Suite::start().await;
    let (org, other) = (suite.org().await, suite.org().await);
    let (stranger, colleague) = (suite.user().await, suite.member(&other, Role::Member).await);
    let by_id = |user: &User| AddMemberRequest {
        user: Some(add_member_request::User::UserId(user.id.clone())),
        ..add(&org, "", Role::Member)
    };
    let refused = suite.users().add_member(signed(&org.owner, by_id(&stranger))).await.unwrap_err();
    let mut nobody = stranger.clone();
    nobody.id = "01900000-0000-7000-8000-000000000000".to_owned();
    let missing = suite.users().add_member(signed(&org.owner, by_id(&nobody))).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    assert_eq!(refused.message().replace(&stranger.id, ""), missing.message().replace(&nobody.id, ""));
    suite
        .users()
        .add_member(signed(&other.owner, add(&other, &org.owner.email, Role::Member)))
        .await
        .unwrap();
    suite.users().add_member(signed(&org.owner, by_id(&colleague))).await.unwrap();
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
