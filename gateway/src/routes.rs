//! All routes, and the one that a request is for.
//!
//! Routes are found segment by segment: where a literal and a variable both match, the literal is tried first, and
//! a verb, with whatever method, before a last segment that holds a colon. Two rules that match the same paths with the same HTTP method
//! are an error at the start.

use std::collections::{BTreeSet, HashMap};

use anyhow::{Context as _, bail};
use http::Method;
use prost_reflect::{DescriptorPool, MethodDescriptor};

use crate::{
    route::Route,
    rule::rules,
    template::{Segment, decode},
    upstream::Upstreams,
};

/// The routes of an API.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    routes: Vec<Route>,
    root: Node,
}

/// A place in the tree of path segments.
#[derive(Debug, Default)]
struct Node {
    literals: HashMap<String, Node>,
    one: Option<Box<Node>>,
    /// The routes that end here.
    end: Ends,
    /// The routes that take whatever follows.
    rest: Ends,
}

/// Routes that match the same segments, by verb (empty for none) and by HTTP method.
type Ends = HashMap<String, HashMap<String, usize>>;

/// What a request is for.
#[derive(Debug)]
pub(crate) enum Lookup<'r, 'p> {
    /// This route; the path in segments, without the verb.
    Found(&'r Route, Vec<&'p str>),
    /// Something is at the path, but takes only these methods.
    OtherMethods(BTreeSet<String>),
    /// Nothing is at the path.
    Nothing,
}

impl Routes {
    /// The routes of every RPC in `pool` that has an HTTP rule. Each one's service must be among `upstreams`.
    pub(crate) fn new(pool: &DescriptorPool, upstreams: &Upstreams) -> anyhow::Result<Self> {
        let mut routes = Self::default();
        for service in pool.services() {
            for rpc in service.methods() {
                routes
                    .add(&rpc, upstreams)
                    .with_context(|| format!("the HTTP rule of {} cannot be served", rpc.full_name()))?;
            }
        }
        Ok(routes)
    }

    /// Every route.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter()
    }

    fn add(&mut self, rpc: &MethodDescriptor, upstreams: &Upstreams) -> anyhow::Result<()> {
        for rule in rules(rpc)? {
            let upstream = upstreams.serving(rpc.parent_service()).context("its service has no address")?;
            self.insert(Route::new(rpc, &rule, upstream.clone())?)?;
        }
        Ok(())
    }

    fn insert(&mut self, route: Route) -> anyhow::Result<()> {
        let mut node = &mut self.root;
        let mut takes_rest = false;
        for segment in route.template.segments() {
            match segment {
                Segment::Literal(literal) => node = node.literals.entry(literal.clone()).or_default(),
                Segment::One => node = node.one.get_or_insert_default(),
                Segment::Rest => takes_rest = true,
            }
        }
        let ends = if takes_rest { &mut node.rest } else { &mut node.end };
        let methods = ends.entry(route.template.verb().unwrap_or_default().to_owned()).or_default();
        if let Some(other) = methods.get(&route.method).and_then(|other| self.routes.get(*other)) {
            bail!("{} {} is served by {} already", other.method, other.template, other.rpc.full_name());
        }
        methods.insert(route.method.clone(), self.routes.len());
        self.routes.push(route);
        Ok(())
    }

    /// What a request with `method` for `path` is for.
    pub(crate) fn find<'p>(&self, method: &Method, path: &'p str) -> Lookup<'_, 'p> {
        let mut allowed = BTreeSet::new();
        for (segments, verb) in readings(path) {
            let decoded: Vec<_> = segments.iter().map(|segment| decode(segment)).collect();
            let mut search = Search { method, verb, segments: &decoded, allowed: &mut allowed };
            if let Some(route) = search.below(&self.root, 0).and_then(|index| self.routes.get(index)) {
                return Lookup::Found(route, segments);
            }
            if !allowed.is_empty() {
                return Lookup::OtherMethods(allowed);
            }
        }
        Lookup::Nothing
    }
}

/// The ways to read a path: with the verb that its last segment may have, and as a whole.
fn readings(path: &str) -> impl Iterator<Item = (Vec<&str>, &str)> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let with_verb = path.rsplit_once(':').filter(|(_, verb)| !verb.is_empty() && !verb.contains('/'));
    with_verb.into_iter().chain([(path, "")]).map(|(path, verb)| (path.split('/').collect(), verb))
}

struct Search<'a> {
    method: &'a Method,
    verb: &'a str,
    /// Percent-decoded; `None` where that is not UTF-8, which no literal is.
    segments: &'a [Option<String>],
    /// The methods of the routes that match but for the method.
    allowed: &'a mut BTreeSet<String>,
}

impl Search<'_> {
    /// The best route below `node`, for the segments from `at` on.
    fn below(&mut self, node: &Node, at: usize) -> Option<usize> {
        let Some(segment) = self.segments.get(at) else {
            return self.among(&node.end).or_else(|| self.among(&node.rest));
        };
        let literal = segment.as_ref().and_then(|segment| node.literals.get(segment));
        let one = node.one.as_deref().filter(|_| segment.as_deref() != Some(""));
        literal
            .and_then(|node| self.below(node, at + 1))
            .or_else(|| one.and_then(|node| self.below(node, at + 1)))
            .or_else(|| self.among(&node.rest))
    }

    fn among(&mut self, ends: &Ends) -> Option<usize> {
        let methods = ends.get(self.verb)?;
        // Whoever may GET may ask for the headers alone (RFC 9110); the HTTP server leaves the body out.
        let get = if self.method == Method::HEAD { methods.get("GET") } else { None };
        let found = methods.get(self.method.as_str()).or(get).or_else(|| methods.get("*")).copied();
        if found.is_none() {
            self.allowed.extend(methods.keys().cloned());
            if methods.contains_key("GET") {
                self.allowed.insert("HEAD".to_owned());
            }
        }
        found
    }
}
