//! A route: one HTTP rule of one RPC, checked against the RPC's messages, so that no request can find it wrong.

use anyhow::{Context as _, bail, ensure};
use http::uri::PathAndQuery;
use prost_reflect::{
    FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor, prost_types::method_options::IdempotencyLevel,
};

use crate::{
    field::{FieldPath, Form, field_named, is_well_known},
    ingest::Ingest,
    merge,
    openapi::{Caller, caller},
    rule::Rule,
    template::{Template, Variable},
    upstream::Upstream,
};

/// What the HTTP body is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// There is none.
    None,
    /// Every field that the path does not bind.
    Whole,
    /// This field.
    Field(FieldDescriptor),
}

/// A variable of the path and the request field that it is.
#[derive(Clone, Debug)]
pub(crate) struct Binding {
    /// The variable.
    pub(crate) variable: Variable,
    /// The field.
    pub(crate) field: FieldPath,
}

/// See the [module](self).
#[derive(Clone, Debug)]
pub(crate) struct Route {
    /// The RPC.
    pub(crate) rpc: MethodDescriptor,
    /// The RPC's path at its service.
    pub(crate) rpc_path: PathAndQuery,
    /// Whether the RPC needs no credentials.
    pub(crate) is_open: bool,
    /// Whether it does no harm to make a call twice: it says so itself, or it is a GET.
    pub(crate) is_idempotent: bool,
    /// Whether every replica of its service is asked.
    pub(crate) asks_all: bool,
    /// How the RPC is served, where that is not by transcoding.
    pub(crate) ingest: Option<Ingest>,
    /// Who serves the RPC.
    pub(crate) upstream: Upstream,
    /// The HTTP method; `*` for every one that no other route has.
    pub(crate) method: String,
    /// The path.
    pub(crate) template: Template,
    /// The path's variables.
    pub(crate) bindings: Vec<Binding>,
    /// The HTTP body.
    pub(crate) body: Body,
    /// The response field that the answer is; the whole response without one.
    pub(crate) response_body: Option<FieldDescriptor>,
}

impl Route {
    /// The route that `rule` makes of `rpc`, which `upstream` serves.
    pub(crate) fn new(rpc: &MethodDescriptor, rule: &Rule, upstream: Upstream) -> anyhow::Result<Self> {
        ensure!(!rpc.is_client_streaming(), "a stream of requests cannot come over HTTP");
        let template = Template::parse(&rule.path)?;
        let input = rpc.input();
        let bindings =
            template.variables().iter().map(|variable| bind(&input, variable)).collect::<Result<_, _>>()?;
        let body = match rule.body.as_str() {
            "" => Body::None,
            _ if rule.method == "GET" => bail!("a GET has no body"),
            "*" => Body::Whole,
            name => Body::Field(top_level(&input, name).with_context(|| format!("the body is {name:?}"))?),
        };
        let response_body = match rule.response_body.as_str() {
            "" => None,
            name => Some(
                top_level(&rpc.output(), name).with_context(|| format!("the response_body is {name:?}"))?,
            ),
        };
        if rpc.is_server_streaming() {
            let streamed = response_body.as_ref().map_or(Kind::Message(rpc.output()), FieldDescriptor::kind);
            let has_error =
                streamed.as_message().is_some_and(|message| field_named(message, "error").is_some());
            ensure!(
                !has_error,
                "a streamed message must not have a field `error`: that is how a stream fails"
            );
        }
        ensure!(
            !merge::asks_all(rpc) || !rpc.is_server_streaming(),
            "the streams of several replicas cannot become one"
        );
        let bindings: Vec<Binding> = bindings;
        if let Body::Field(body) = &body
            && let Some(binding) = bindings.iter().find(|binding| binding.field.is_within(body))
        {
            bail!("{} is in the path and in the body", binding.field);
        }
        Ok(Self {
            rpc: rpc.clone(),
            is_open: caller(rpc) == Some(Caller::Anyone),
            is_idempotent: rule.method == "GET" || is_idempotent(rpc),
            asks_all: merge::asks_all(rpc),
            ingest: Ingest::of(rpc),
            rpc_path: format!("/{}/{}", rpc.parent_service().full_name(), rpc.name()).parse()?,
            upstream,
            method: rule.method.clone(),
            template,
            bindings,
            body,
            response_body,
        })
    }
}

/// Whether an RPC says of itself that it can be called twice.
fn is_idempotent(rpc: &MethodDescriptor) -> bool {
    let options = rpc.method_descriptor_proto().options.as_ref();
    options.is_some_and(|options| options.idempotency_level() != IdempotencyLevel::IdempotencyUnknown)
}

fn bind(input: &MessageDescriptor, variable: &Variable) -> anyhow::Result<Binding> {
    let (name, message) = (&variable.field, input.full_name());
    let field = FieldPath::resolve(input, name).with_context(|| format!("{message} has no field {name}"))?;
    ensure!(field.form() == Form::Single, "{name} of {message} is not of a type that a path can hold");
    Ok(Binding { variable: variable.clone(), field })
}

fn top_level(message: &MessageDescriptor, name: &str) -> anyhow::Result<FieldDescriptor> {
    ensure!(!is_well_known(message), "{} has no fields in JSON", message.full_name());
    message.get_field_by_name(name).with_context(|| format!("{} has no such field", message.full_name()))
}
