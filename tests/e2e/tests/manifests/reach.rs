//! Who reaches whom: the addresses lead to where they are meant to, and the network policies let through what is called and
//! nothing else.

use std::collections::BTreeSet;

use crate::{
    container::Configured,
    network::{Party, connects},
    objects::{Objects, Port},
    overlay::{Pod, selected_by},
};

/// Where PostgreSQL listens, wherever it is.
const POSTGRES: u16 = 5432;

/// A connection: from, to, and the port.
pub(crate) type Calls = BTreeSet<(String, String, u16)>;

/// Follows every `--NAME-address` to the pod that it leads to, which has to run `mesher-NAME`. What is called so.
pub(crate) fn check_addresses(objects: &Objects, pods: &[Pod<'_>], problems: &mut Vec<String>) -> Calls {
    let mut calls = Calls::new();
    for pod in pods {
        let Some(configured) = &pod.configured else {
            continue;
        };
        for flag in configured.flags_ending("-address") {
            let peer = flag.trim_start_matches("--").trim_end_matches("-address");
            let address = configured.value(flag).unwrap_or_default();
            let Some((called, port)) = follow(address, objects, pods) else {
                problems.push(format!("{}: {flag} is {address}, which is no Service", pod.name()));
                continue;
            };
            let grpc = called.configured.as_ref().and_then(|called| called.port("--listen"));
            if !called.runs(&format!("mesher-{peer}")) || grpc != Some(port) {
                problems.push(format!(
                    "{}: {flag} is {address}, which is port {port} of {}",
                    pod.name(),
                    called.name()
                ));
            }
            let serves_tls = called.configured.as_ref().is_some_and(Configured::has_tls);
            if address.starts_with("https:") != serves_tls {
                problems.push(format!(
                    "{}: {flag} is {address}, and {} serves with TLS: {serves_tls}",
                    pod.name(),
                    called.name()
                ));
            }
            calls.insert((pod.name().to_owned(), called.name().to_owned(), port));
        }
    }
    calls
}

/// The pod and the port that `http://SERVICE:PORT` or, of a stateful set, `http://POD.SERVICE:PORT` leads to, or the same with
/// https.
fn follow<'a, 'p>(address: &str, objects: &'a Objects, pods: &'a [Pod<'p>]) -> Option<(&'a Pod<'p>, u16)> {
    let authority = address.strip_prefix("http://").or_else(|| address.strip_prefix("https://"))?;
    let (host, port) = authority.split_once(':')?;
    let port: u16 = port.parse().ok()?;
    let (replica, service) = match host.split_once('.') {
        Some((replica, service)) => (Some(replica), service),
        None => (None, host),
    };
    let service = objects.services.iter().find(|known| known.metadata.name == service)?;
    let pod = selected_by(service, pods).next()?;
    let is_replica = |replica: &str| {
        replica.strip_prefix(&pod.workload.object_name).is_some_and(|number| number.starts_with('-'))
    };
    if !replica.is_none_or(is_replica) {
        return None;
    }
    let port = service.spec.ports.iter().find(|known| known.port == port)?;
    let target = port.target_port.clone().unwrap_or(Port::Number(port.port));
    Some((pod, pod.resolve(&target)?))
}

/// Compares what the network policies let through with what is called, for every pair and every port.
pub(crate) fn check_network(objects: &Objects, pods: &[Pod<'_>], calls: &Calls, problems: &mut Vec<String>) {
    let policies = &objects.policies;
    let (world, monitoring) = (Party::world(), Party::elsewhere("monitoring", &[]));
    let stranger = Party::elsewhere("default", &[]);
    let resolver = Party::elsewhere("kube-system", &[("k8s-app", "kube-dns")]);
    let in_cluster = pods.iter().any(|pod| pod.configured.is_none());
    let mut expect = |from: &str, to: &str, port: u16, expected: bool, actual: bool| {
        if actual != expected {
            let verb = if actual { "let" } else { "keep" };
            let way = if actual { "into" } else { "out of" };
            problems.push(format!("the network policies {verb} {from} {way} port {port} of {to}"));
        }
    };
    for to in pods {
        let admin = to.configured.as_ref().and_then(|configured| configured.port("--admin-listen"));
        for &port in to.ports.values() {
            for from in pods {
                let call = (from.name().to_owned(), to.name().to_owned(), port);
                let database = to.configured.is_none() && from.uses_database();
                let expected = calls.contains(&call) || database;
                // It is part of what the world may.
                let anyone = to.runs("mesher-gateway") && Some(port) != admin;
                let actual = connects(policies, &from.party(), &to.party(), port, "TCP");
                if !anyone {
                    expect(from.name(), to.name(), port, expected, actual);
                }
            }
            let entrance = to.runs("mesher-gateway") && Some(port) != admin;
            for (name, party, expected) in [
                ("the world", &world, entrance),
                ("another namespace", &stranger, entrance),
                ("monitoring", &monitoring, entrance || Some(port) == admin),
            ] {
                let actual = connects(policies, party, &to.party(), port, "TCP");
                expect(name, to.name(), port, expected, actual);
            }
        }
    }
    for from in pods {
        let (name, party) = (from.name(), from.party());
        let mut reaches = |to: &Party, what: &str, port: u16, protocol: &str, expected: bool| {
            let actual = connects(policies, &party, to, port, protocol);
            expect(name, what, port, expected, actual);
        };
        reaches(&resolver, "the DNS", 53, "UDP", true);
        reaches(&resolver, "the DNS", 53, "TCP", true);
        let outside = from.uses_database() && !in_cluster;
        reaches(&world, "the world", POSTGRES, "TCP", outside);
        reaches(&world, "the world", 443, "TCP", false);
        reaches(&stranger, "another namespace", POSTGRES, "TCP", false);
    }
}
