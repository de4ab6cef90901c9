//! What holds for every call at every service: deadlines, request ids, room.

use mesher_proto::mesher::org::v1::{GetOrgRequest, ListOrgsRequest, org_service_client::OrgServiceClient};
use mesher_suite::{Suite, reason, signed};
use mesher_testing::http_client;
use tonic::{Code, Request, Status};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

#[tokio::test]
async fn a_deadline_that_is_over_is_a_typed_error() {
    let suite = Suite::start().await;
    let user = suite.user().await;
    // By hand: the generated client ends a call by its own clock, and does not wait for the server's answer.
    let client = http_client().http2_prior_knowledge().build().unwrap();
    let call = async |timeout: &str| {
        let request = client
            .post(format!("http://{}/mesher.org.v1.OrgService/ListOrgs", suite.address_of("mesher.org.v1")))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("authorization", format!("Bearer {}", user.token))
            .header("grpc-timeout", timeout)
            .body(vec![0; 5]);
        Status::from_header_map(request.send().await.unwrap().headers())
    };
    let late = call("1u").await.unwrap();
    assert_eq!((late.code(), reason(&late).as_str()), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
    assert!(call("15S").await.is_none(), "an answer has its status behind it, not before");
}

#[tokio::test]
async fn every_answer_has_the_requests_id() {
    let suite = Suite::start().await;
    let user = suite.user().await;
    let mut request = signed(&user, ListOrgsRequest::default());
    request.metadata_mut().insert("x-request-id", "mine".parse().unwrap());
    let answer = suite.orgs().list_orgs(request).await.unwrap();
    assert_eq!(answer.metadata().get("x-request-id").unwrap(), "mine");
    let refused = suite.orgs().get_org(Request::new(GetOrgRequest::default())).await.unwrap_err();
    assert_eq!(refused.metadata().get("x-request-id").unwrap().len(), 36, "one is made where none came");
}

#[tokio::test]
async fn whoever_watches_the_health_takes_no_room_from_calls() {
    let suite = Suite::start().await;
    let user = suite.user().await;
    let channel = suite.channel_of("mesher.org.v1");
    let mut watches = Vec::new();
    let mut refused = 0;
    for _ in 0..100 {
        let request = HealthCheckRequest { service: "mesher.org.v1.OrgService".to_owned() };
        match HealthClient::new(channel.clone()).watch(request).await {
            Ok(watch) => watches.push(watch),
            Err(status) => {
                assert_eq!(status.code(), Code::ResourceExhausted);
                refused += 1;
            }
        }
    }
    assert!(refused > 0 && !watches.is_empty(), "there is room for some");
    OrgServiceClient::new(channel.clone())
        .list_orgs(signed(&user, ListOrgsRequest::default()))
        .await
        .unwrap();
    let request = HealthCheckRequest { service: "mesher.org.v1.OrgService".to_owned() };
    let health = HealthClient::new(channel).check(request).await.unwrap().into_inner();
    assert_eq!(health.status(), ServingStatus::Serving, "asking once is always possible");
}
