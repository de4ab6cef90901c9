//! A new RPC needs no code in the gateway: here is an API that it has never seen, as a file of descriptors.

use http_body_util::Full;
use mesher_gateway::{Upstream, Upstreams, spawn_api};
use prost_reflect::DescriptorPool;
use serde_json::json;
use tonic::Status;

use crate::support::{Answer, Backend, answered, client, config, encoded, grpc};

const API: &str = r#"
    // Keeps the books.
    service LibraryService {
      // Gives one book. It stays where it is.
      // Errors: NOT_FOUND, RESOURCE_EXHAUSTED (QUOTA_EXCEEDED).
      rpc GetBook(GetBookRequest) returns (Book) {
        option (google.api.http) = {
          get: "/v9/{name=shelves/*/books/*}"
          additional_bindings { post: "/v9/books:get" body: "*" }
        };
      }
      // Gives the pages as they are turned.
      rpc WatchPages(WatchPagesRequest) returns (stream Page) {
        option (google.api.http) = { get: "/v9/books/{book}/pages:watch" response_body: "number" };
      }
    }
    message GetBookRequest {
      // Where it stands.
      string name = 1;
      // Whether to read it aloud.
      bool aloud = 2;
    }
    message Book { string name = 1; bool aloud = 2; }
    message WatchPagesRequest { int32 book = 1; }
    message Page { int32 number = 1; }"#;

#[tokio::test]
async fn a_new_rpc_is_served_streamed_and_documented() {
    let behaviour = |name: &str| match name {
        "WatchPages" => Answer::Made(|request| grpc(Full::new(request.repeat(2).into()), &Status::ok(""))),
        _ => Answer::Echo,
    };
    let (_backend, address) = Backend::start(behaviour).await;
    let upstreams = Upstreams::from_iter([("test.v1", Upstream::new("library", address))]);
    let pool = DescriptorPool::decode(encoded(API).as_slice()).unwrap();
    let gateway = spawn_api(pool, &upstreams, config(&[])).await.unwrap();
    let url = |path: &str| format!("http://{}{path}", gateway.address("http").unwrap());

    let book = answered(client().get(url("/v9/shelves/1/books/2?aloud=true"))).await.ok();
    assert_eq!(book, json!({"name": "shelves/1/books/2", "aloud": true}));
    let body = client()
        .post(url("/v9/books:get"))
        .header("content-type", "application/json")
        .body(r#"{"name": "x"}"#);
    assert_eq!(answered(body).await.ok()["name"], "x");
    answered(client().get(url("/v9/books/x/pages:watch"))).await.refuses("book");
    let pages = client().get(url("/v9/books/7/pages:watch")).send().await.unwrap().text().await.unwrap();
    assert_eq!(pages, "7\n7\n");

    let document = answered(client().get(url("/openapi.json"))).await.ok();
    let operation = &document["paths"]["/v9/shelves/{name}/books/{name_2}"]["get"];
    assert_eq!(
        (&operation["operationId"], &operation["summary"]),
        (&json!("getBook"), &json!("Gives one book"))
    );
    assert_eq!(operation["description"], "Gives one book. It stays where it is.");
    assert!(operation["responses"]["429"]["description"].as_str().unwrap().contains("QUOTA_EXCEEDED"));
    assert_eq!(operation["parameters"][2]["description"], "Whether to read it aloud.");
    assert_eq!(document["paths"]["/v9/books:get"]["post"]["operationId"], "getBook_2");
    let stream = &document["paths"]["/v9/books/{book}/pages:watch"]["get"]["responses"]["200"]["content"];
    assert_eq!(stream["application/x-ndjson"]["schema"]["type"], "integer");
    assert!(stream["text/event-stream"].is_object());
    assert_eq!(document["tags"], json!([{"name": "Library", "description": "Keeps the books."}]));
    let page = client().get(url("/docs")).send().await.unwrap().text().await.unwrap();
    assert!(page.contains("<article id=\"watchPages\">"));
}
