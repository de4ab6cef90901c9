//! The ways into the services: straight, and through the gateway.

use std::{collections::BTreeMap, net::SocketAddr};

use bytes::{Buf as _, BufMut as _, Bytes};
use mesher_common::handle::Handle;
use mesher_suite::{Suite, error_info};
use mesher_testing::http_client;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use prost::Message as _;
use prost_reflect::{DynamicMessage, MethodDescriptor, Value};
use tonic::{
    Request, Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

use crate::policy::rule;

/// Credentials of a call, as metadata or headers.
pub(crate) type Credentials<'a> = [(&'static str, &'a str)];

/// How a call was refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The name of its code, such as `NOT_FOUND`.
    pub(crate) code: String,
    pub(crate) reason: String,
    /// All that a caller sees of it.
    pub(crate) text: String,
}

/// A way into the services.
pub(crate) enum Door {
    Service,
    Gateway { http: SocketAddr, client: reqwest::Client, _running: Handle },
}

impl Door {
    pub(crate) async fn both(suite: &Suite) -> [Self; 2] {
        let gateway = suite.gateway().await;
        let http = gateway.address("http").unwrap();
        [Self::Service, Self::Gateway { http, client: http_client().build().unwrap(), _running: gateway }]
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Service => "straight",
            Self::Gateway { .. } => "through the gateway",
        }
    }

    /// Calls an RPC with a message and credentials; nothing if it cannot be called this way.
    pub(crate) async fn call(
        &self,
        suite: &Suite,
        method: &MethodDescriptor,
        message: &DynamicMessage,
        credentials: &Credentials<'_>,
    ) -> Option<Result<(), Refusal>> {
        match self {
            Self::Service => {
                let called = straight(suite, method, message.encode_to_vec().into(), credentials).await;
                Some(called.map_err(|status| {
                    let (reason, about) = error_info(&status);
                    // A map on the wire is in no order.
                    let about: BTreeMap<_, _> = about.into_iter().collect();
                    let text = format!("{} {about:?}", status.message());
                    Refusal { code: mesher_common::rpc::name(status.code()).to_owned(), reason, text }
                }))
            }
            Self::Gateway { http, client, .. } => {
                let rule = rule(method)?;
                let (path, rest) = filled(&rule.path, method, message);
                let url = format!(
                    "http://{http}{path}{}",
                    if rule.has_body { String::new() } else { query(&rest) }
                );
                let mut request = client.request(rule.verb.to_uppercase().parse().unwrap(), url);
                for (name, value) in credentials {
                    request = request.header(*name, *value);
                }
                if rule.has_body {
                    request = request.header("content-type", "application/json").body(rest.to_string());
                }
                let answer = request.send().await.unwrap();
                let is_error = !answer.status().is_success();
                let text = answer.text().await.unwrap();
                Some(if is_error { Err(refusal(&text)) } else { Ok(()) })
            }
        }
    }
}

/// A path with the ids of a message, and what else the message has; what the message does not have is no id.
fn filled(path: &str, method: &MethodDescriptor, message: &DynamicMessage) -> (String, serde_json::Value) {
    let mut left = serde_json::to_value(message).unwrap();
    let mut url = String::new();
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').unwrap();
        url.push_str(before);
        match message.get_field_by_name(name).as_deref() {
            Some(Value::String(id)) if !id.is_empty() => url.push_str(&encoded(id)),
            _ => url.push_str("no-id"),
        }
        let field = method.input().get_field_by_name(name).unwrap();
        left.as_object_mut().unwrap().remove(field.json_name());
        rest = after;
    }
    (url + rest, left)
}

/// The texts and numbers at the top of a message, as a query.
fn query(message: &serde_json::Value) -> String {
    let mut query = String::new();
    for (name, value) in message.as_object().into_iter().flatten() {
        let text = match value {
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Number(number) => number.to_string(),
            _ => continue,
        };
        let mark = if query.is_empty() { '?' } else { '&' };
        query.push(mark);
        query.extend([name, "=", &encoded(&text)]);
    }
    query
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// The error in an answer of the gateway.
fn refusal(body: &str) -> Refusal {
    let body: serde_json::Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("no JSON: {body}"));
    let error = &body["error"];
    let info = error["details"].as_array().unwrap().iter().find_map(|detail| detail["reason"].as_str());
    Refusal {
        code: error["status"].as_str().unwrap().to_owned(),
        reason: info.unwrap_or_else(|| panic!("no ErrorInfo: {body}")).to_owned(),
        text: body.to_string(),
    }
}

async fn straight(
    suite: &Suite,
    method: &MethodDescriptor,
    body: Bytes,
    credentials: &Credentials<'_>,
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
