//! Services with several replicas: who gets a call, and which calls are made again.

use std::{collections::BTreeSet, sync::atomic::Ordering, time::Instant};

use mesher_gateway::{Upstream, Upstreams, spawn_api};

use crate::support::{Answer, Answered, Backend, Behaviour, Gateway, PATIENCE, answered, config, pool};

const API: &str = r#"
    service Echo {
      rpc Get(Message) returns (Message) { option (google.api.http).get = "/get"; }
      rpc Put(Message) returns (Message) { option (google.api.http) = { post: "/put" body: "*" }; }
      rpc Set(Message) returns (Message) {
        option (google.api.http) = { post: "/set" body: "*" };
        option idempotency_level = IDEMPOTENT;
      }
    }
    message Message { string text = 1; }"#;

/// A gateway before replicas that behave so; the first of them is the gateway's own backend.
async fn before(behaviours: &[Behaviour]) -> (Gateway, Vec<Backend>) {
    let (mut backends, mut addresses) = (Vec::new(), Vec::new());
    for behaviour in behaviours {
        let (backend, address) = Backend::start(*behaviour).await;
        backends.push(backend);
        addresses.push(address.to_string());
    }
    let addresses = addresses.join(",").parse().unwrap();
    let upstreams = Upstreams::from_iter([("test.v1", Upstream::new("test", addresses))]);
    let handle = spawn_api(pool(API), &upstreams, config(&[])).await.unwrap();
    (Gateway::of(handle, backends[0].clone()), backends)
}

async fn send(gateway: &Gateway, id: usize, path: &str) -> Answered {
    let request = match path {
        "/get" => gateway.client.get(gateway.url(path)),
        _ => gateway.client.post(gateway.url(path)).header("content-type", "application/json").body("{}"),
    };
    answered(request.header("x-request-id", id.to_string())).await
}

fn calls(backend: &Backend) -> usize {
    backend.calls.load(Ordering::SeqCst)
}

#[tokio::test]
async fn replicas_share_the_calls() {
    let (gateway, backends) = before(&[|_| Answer::Echo, |_| Answer::Echo, |_| Answer::Echo]).await;
    for id in 0..30 {
        send(&gateway, id, "/put").await.ok();
    }
    assert_eq!(backends.iter().map(calls).collect::<BTreeSet<_>>(), BTreeSet::from([10]));
}

#[tokio::test]
async fn a_call_that_is_not_answered_is_made_again_if_that_does_no_harm() {
    let (gateway, backends) = before(&[|_| Answer::Broken, |_| Answer::Echo]).await;
    for (path, is_idempotent) in [("/get", true), ("/set", true), ("/put", false)] {
        let mut refused = 0;
        // It is broken, and says that it is well: now and then it is called, and then it may take a while until it is again.
        let began = Instant::now();
        for id in 0.. {
            if id >= 100 && (is_idempotent || refused > 0) {
                break;
            }
            assert!(began.elapsed() < PATIENCE, "{path}: it is not called any more");
            let before = [calls(&backends[0]), calls(&backends[1])];
            let answer = send(&gateway, id, path).await;
            let now = [calls(&backends[0]) - before[0], calls(&backends[1]) - before[1]];
            if answer.status == 200 {
                assert!(now[1] == 1 && (is_idempotent || now[0] == 0), "{path} {now:?}");
            } else {
                answer.expect(503, "SERVICE_UNAVAILABLE");
                assert_eq!(now, [1, 0], "{path}");
                refused += 1;
            }
        }
        assert_eq!(refused > 0, !is_idempotent, "{path}: {refused}");
    }
    assert!(calls(&backends[0]) > 0);
}

#[tokio::test]
async fn what_was_never_sent_is_sent_elsewhere_whatever_it_is() {
    let (backend, address) = Backend::start(|_| Answer::Echo).await;
    // Nobody listens there.
    let addresses = format!("http://127.0.0.1:1,{address},http://127.0.0.1:2").parse().unwrap();
    let upstreams = Upstreams::from_iter([("test.v1", Upstream::new("test", addresses))]);
    let handle = spawn_api(pool(API), &upstreams, config(&[])).await.unwrap();
    let gateway = Gateway::of(handle, backend.clone());
    for id in 0..20 {
        send(&gateway, id, "/put").await.ok();
    }
    assert_eq!(calls(&backend), 20);
}

#[tokio::test]
async fn a_service_in_trouble_is_not_given_several_times_the_calls() {
    const CALLS: usize = 1000;
    let (gateway, backends) = before(&[|_| Answer::Broken]).await;
    let began = Instant::now();
    let all = (0..CALLS).map(|id| {
        let gateway = &gateway;
        async move { send(gateway, id, "/get").await.expect(503, "SERVICE_UNAVAILABLE").to_owned() }
    });
    futures_util::future::join_all(all).await;
    let took = began.elapsed();
    let seen = calls(&backends[0]);
    let metrics = gateway.metrics().await;
    let [made, never_sent, refused] = ["made", "never_sent", "refused"].map(|outcome| {
        let name = format!(r#"mesher_gateway_retries_total{{service="test",outcome="{outcome}"}} "#);
        let count = metrics.lines().find_map(|line| line.strip_prefix(&name)).unwrap();
        count.parse::<usize>().unwrap()
    });
    let counted =
        format!("{made} made, {never_sent} never sent, {refused} refused, {seen} seen, in {took:?}");
    // A fifth of the calls, and 20 a second for ten seconds, of which it forgets the first after five already.
    let budget = CALLS / 5 + 200;
    let budgets = usize::try_from(took.as_secs() / 5).unwrap() + 1;
    assert!(made <= budget * budgets, "{counted}");
    assert!(budgets > 1 || made >= budget - 1, "{counted}");
    assert!(refused > 0, "{counted}");
    // What broke with the connection of another call was sent, and not seen.
    assert!(seen > 0 && seen <= CALLS + made, "{counted}");
    let replicas = r#"mesher_gateway_replicas{service="test",state="#;
    assert!(metrics.contains(replicas), "{replicas} is not in\n{metrics}");
}
