//! The organization service, over gRPC, on PostgreSQL.

use mesher_proto::mesher::org::v1::{CreateOrgRequest, GetOrgRequest, ListOrgsRequest};
use mesher_suite::{Suite, error_info, reason, signed, violated_field};
use tonic::Code;

fn create(name: &str, slug: &str) -> CreateOrgRequest {
    CreateOrgRequest { name: name.to_owned(), slug: slug.to_owned() }
}

#[tokio::test]
async fn who_creates_an_organization_is_its_member_and_a_stranger_is_not() {
    let suite = Suite::start().await;
    let (owner, stranger) = (suite.user().await, suite.user().await);
    let created = suite.orgs().create_org(signed(&owner, create("  The Web Shop ", ""))).await.unwrap();
    let org = created.into_inner().org.unwrap();
    assert_eq!((org.name.as_str(), org.slug.as_str()), ("The Web Shop", "the-web-shop"));
    assert!(org.create_time.is_some());

    let get = GetOrgRequest { org_id: org.org_id.clone() };
    let found = suite.orgs().get_org(signed(&owner, get.clone())).await.unwrap().into_inner();
    assert_eq!(found.org, Some(org.clone()));

    let unknown = GetOrgRequest { org_id: "01900000-0000-7000-8000-000000000000".to_owned() };
    let hidden = suite.orgs().get_org(signed(&stranger, get)).await.unwrap_err();
    let missing = suite.orgs().get_org(signed(&stranger, unknown.clone())).await.unwrap_err();
    assert_eq!((hidden.code(), missing.code()), (Code::NotFound, Code::NotFound));
    let blank = |message: &str, id: &str| message.replace(id, "ID");
    assert_eq!(blank(hidden.message(), &org.org_id), blank(missing.message(), &unknown.org_id));
    assert_eq!(error_info(&hidden).0, error_info(&missing).0);
}

#[tokio::test]
async fn a_taken_slug_is_refused_and_nothing_is_stored() {
    let suite = Suite::start().await;
    let user = suite.user().await;
    suite.orgs().create_org(signed(&user, create("One", "acme"))).await.unwrap();
    let taken = suite.orgs().create_org(signed(&user, create("Two", "acme"))).await.unwrap_err();
    assert_eq!(taken.code(), Code::AlreadyExists);
    let (reason, metadata) = error_info(&taken);
    assert_eq!((reason.as_str(), metadata["field"].as_str()), ("ALREADY_EXISTS", "slug"));
    let orgs =
        suite.orgs().list_orgs(signed(&user, ListOrgsRequest::default())).await.unwrap().into_inner().orgs;
    assert_eq!(orgs.len(), 1);
}

#[tokio::test]
async fn lists_come_in_pages_from_the_newest_to_the_oldest() {
    let suite = Suite::start().await;
    let (user, other) = (suite.user().await, suite.user().await);
    for n in 0..5 {
        suite.orgs().create_org(signed(&user, create(&format!("Org {n}"), ""))).await.unwrap();
    }
    suite.orgs().create_org(signed(&other, create("Another's", ""))).await.unwrap();
    let mut names = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListOrgsRequest { page_size: 2, page_token };
        let page = suite.orgs().list_orgs(signed(&user, request)).await.unwrap().into_inner();
        assert!(page.orgs.len() <= 2);
        names.extend(page.orgs.into_iter().map(|org| org.name));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(names, ["Org 4", "Org 3", "Org 2", "Org 1", "Org 0"]);

    let request = ListOrgsRequest { page_size: 2, page_token: String::new() };
    let theirs = suite.orgs().list_orgs(signed(&user, request)).await.unwrap().into_inner().next_page_token;
    for (page_size, page_token, field) in
        [(-1, String::new(), "page_size"), (0, "forged".to_owned(), "page_token"), (0, theirs, "page_token")]
    {
        let request = ListOrgsRequest { page_size, page_token };
        let refused = suite.orgs().list_orgs(signed(&other, request)).await.unwrap_err();
        assert_eq!((refused.code(), violated_field(&refused).as_str()), (Code::InvalidArgument, field));
    }
}

#[tokio::test]
async fn bad_input_is_refused_by_the_fields_name() {
    let suite = Suite::start().await;
    let user = suite.user().await;
    for (name, slug, field) in [
        ("", "", "name"),
        (&"x".repeat(300), "", "name"),
        ("a\0b", "", "name"),
        ("A", "with spaces", "slug"),
        ("A", "Upper", "slug"),
        ("日本", "", "slug"),
    ] {
        let refused = suite.orgs().create_org(signed(&user, create(name, slug))).await.unwrap_err();
        assert_eq!((refused.code(), violated_field(&refused).as_str()), (Code::InvalidArgument, field));
    }
    for id in ["", "1", "not-a-uuid"] {
        let request = GetOrgRequest { org_id: id.to_owned() };
        let refused = suite.orgs().get_org(signed(&user, request)).await.unwrap_err();
        assert_eq!(violated_field(&refused), "org_id");
    }
    // Without a session, not even the form of an id is told.
    let request = GetOrgRequest { org_id: "1".to_owned() };
    assert_eq!(reason(&suite.orgs().get_org(request).await.unwrap_err()), "CREDENTIALS_MISSING");
}
