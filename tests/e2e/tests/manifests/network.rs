//! Who may talk to whom, by the network policies of an overlay.

use std::collections::BTreeMap;

use crate::objects::{Direction, Labels, Object, Peer, PolicyRule, PolicySpec, Port};

/// One end of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Party {
    place: Place,
    labels: Labels,
    /// By the names that its containers gave them.
    ports: BTreeMap<String, u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// The namespace of Mesher, where the policies are.
    Here,
    Namespace(String),
    World,
}

impl Party {
    pub(crate) fn pod(labels: Labels, ports: BTreeMap<String, u16>) -> Self {
        Self { place: Place::Here, labels, ports }
    }

    /// A pod of another namespace.
    pub(crate) fn elsewhere(namespace: &str, labels: &[(&str, &str)]) -> Self {
        Self {
            place: Place::Namespace(namespace.to_owned()),
            labels: labels.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect(),
            ports: BTreeMap::new(),
        }
    }

    /// What is no pod.
    pub(crate) fn world() -> Self {
        Self { place: Place::World, labels: Labels::new(), ports: BTreeMap::new() }
    }
}

/// Whether the policies let `from` connect to a port of `to`.
pub(crate) fn connects(
    policies: &[Object<PolicySpec>],
    from: &Party,
    to: &Party,
    port: u16,
    protocol: &str,
) -> bool {
    let allowed = |direction: Direction, selected: &Party, peer: &Party| {
        if selected.place != Place::Here {
            return true;
        }
        let mut selecting = policies
            .iter()
            .map(|policy| &policy.spec)
            .filter(|policy| {
                policy.policy_types.contains(&direction) && policy.pod_selector.matches(&selected.labels)
            })
            .peekable();
        // A pod that no policy selects is open to all.
        selecting.peek().is_none()
            || selecting
                .flat_map(|policy| match direction {
                    Direction::Ingress => &policy.ingress,
                    Direction::Egress => &policy.egress,
                })
                .any(|rule| names_peer(rule, peer) && names_port(rule, to, port, protocol))
    };
    allowed(Direction::Egress, from, to) && allowed(Direction::Ingress, to, from)
}

fn names_peer(rule: &PolicyRule, party: &Party) -> bool {
    rule.peers.is_empty() || rule.peers.iter().any(|peer| is_peer(peer, party))
}

fn is_peer(peer: &Peer, party: &Party) -> bool {
    let is_selected = peer.pod_selector.as_ref().is_none_or(|selector| selector.matches(&party.labels));
    match (&party.place, &peer.namespace_selector) {
        (Place::World, _) => peer.ip_block.is_some(),
        (Place::Here, None) => peer.pod_selector.is_some() && is_selected,
        (Place::Here, Some(selector)) => is_selected && selector.matches(&namespace_labels("mesher")),
        (Place::Namespace(_), None) => false,
        (Place::Namespace(name), Some(selector)) => is_selected && selector.matches(&namespace_labels(name)),
    }
}

/// The label that Kubernetes gives every namespace.
fn namespace_labels(name: &str) -> Labels {
    Labels::from([("kubernetes.io/metadata.name".to_owned(), name.to_owned())])
}

fn names_port(rule: &PolicyRule, to: &Party, port: u16, protocol: &str) -> bool {
    rule.ports.is_empty()
        || rule.ports.iter().any(|allowed| {
            let number = match &allowed.port {
                Port::Number(number) => Some(number),
                Port::Name(name) => to.ports.get(name),
            };
            number == Some(&port) && allowed.protocol == protocol
        })
}
