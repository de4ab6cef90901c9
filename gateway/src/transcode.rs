//! An RPC over HTTP: the request message from the HTTP request, and the HTTP answer from the response message.

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderValue, Response, header, request::Parts};
use mesher_common::status;
use prost::Message as _;
use prost_reflect::DynamicMessage;
use tonic::Status;

use crate::{
    call::{self, Context},
    error::ApiError,
    headers::{self, media_type},
    json, request,
    route::Route,
};

/// The request message of the route's RPC, encoded.
pub(crate) fn request(
    route: &Route,
    segments: &[&str],
    parts: &Parts,
    body: &Bytes,
) -> Result<Bytes, ApiError> {
    if !body.is_empty() && !media_type(&parts.headers).eq_ignore_ascii_case("application/json") {
        return Err(ApiError::unsupported_media_type(
            "the body must be JSON, and the content-type header say so: application/json",
        ));
    }
    let message = request::build(route, segments, parts.uri.query(), body)?;
    Ok(message.encode_to_vec().into())
}

/// Answers a request for `route` with what its RPC gives for `message`.
pub(crate) async fn serve(
    route: &Route,
    message: Bytes,
    context: Context<'_>,
) -> Result<Response<Body>, Status> {
    let (metadata, answer, _) = call::answer(route, message, context).await?.into_parts();
    let mut response = respond(route, answer)?;
    response.headers_mut().extend(headers::of_metadata(metadata));
    Ok(response)
}

/// The answer that an RPC's response message is.
pub(crate) fn respond(route: &Route, message: Bytes) -> Result<Response<Body>, Status> {
    let message =
        DynamicMessage::decode(route.rpc.output(), message).map_err(|error| status::internal(&error))?;
    let body =
        json::write(&message, route.response_body.as_ref()).map_err(|error| status::internal(&error))?;
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}
