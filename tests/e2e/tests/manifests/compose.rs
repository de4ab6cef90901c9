//! The compose file.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use serde::Deserialize;
use serde_json::Value;

use crate::{
    cli::Binaries,
    container::{Configured, Container},
    image::Image,
};

const IMAGE: &str = concat!("mesher:", env!("CARGO_PKG_VERSION"));

#[derive(Debug, Deserialize)]
pub(crate) struct Compose {
    services: BTreeMap<String, Service>,
    /// The named volumes.
    #[serde(default)]
    volumes: BTreeMap<String, Option<Value>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Service {
    image: String,
    command: Vec<String>,
    environment: BTreeMap<String, String>,
    ports: Vec<String>,
    volumes: Vec<String>,
    networks: BTreeSet<String>,
    depends_on: BTreeMap<String, Dependency>,
    stop_grace_period: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    condition: String,
}

impl Compose {
    pub(crate) fn parse(yaml: &str) -> Self {
        serde_saphyr::from_str(yaml).unwrap_or_else(|error| panic!("{error}"))
    }
}

/// All that is wrong with the compose file.
pub(crate) async fn check(compose: &Compose, image: &Image, binaries: &mut Binaries) -> Vec<String> {
    let mut problems = Vec::new();
    let mut ours = 0;
    for (name, service) in &compose.services {
        for (needed, dependency) in &service.depends_on {
            if !compose.services.contains_key(needed) {
                problems.push(format!("{name}: there is no {needed} to depend on"));
            }
            let known = ["service_started", "service_healthy", "service_completed_successfully"];
            if !known.contains(&dependency.condition.as_str()) {
                problems.push(format!("{name}: {} is no condition", dependency.condition));
            }
        }
        if service.image.split(':').next() != Some("mesher") {
            continue;
        }
        ours += 1;
        if service.image != IMAGE {
            problems.push(format!("{name}: the image is {}, not {IMAGE}", service.image));
        }
        check_ours(name, service, compose, image, binaries, &mut problems).await;
    }
    if ours == 0 {
        problems.push("nothing in it is Mesher's".to_owned());
    }
    problems
}

async fn check_ours(
    name: &str,
    service: &Service,
    compose: &Compose,
    image: &Image,
    binaries: &mut Binaries,
    problems: &mut Vec<String>,
) {
    let own = service.environment.iter().map(|(name, value)| (name.clone(), Some(value.clone())));
    let container = Container {
        name: name.to_owned(),
        command: [image.entrypoint.as_slice(), service.command.as_slice()].concat(),
        inherited: image.variables.clone(),
        variables: own.collect(),
        ports: published(name, service, problems),
    };
    let Some(configured) = container.configure(binaries, problems).await else {
        return;
    };
    configured.check_ports(problems);
    configured.check_transport(problems);
    if configured.serves() {
        let granted = service.stop_grace_period.as_deref().unwrap_or("10s");
        match humantime::parse_duration(granted) {
            Ok(granted) => configured.check_grace(granted, problems),
            Err(error) => problems.push(format!("{name}: stop_grace_period: {error}")),
        }
    }
    if configured.keeps_log() {
        check_log(&configured, service, compose, problems);
    }
    let url = configured.value("--database-url").unwrap_or_default();
    let database = url.rsplit('@').next().and_then(|rest| rest.split(':').next());
    let within_reach = database
        .and_then(|database| compose.services.get(database))
        .is_some_and(|database| !database.networks.is_disjoint(&service.networks));
    if !within_reach {
        problems.push(format!("{name}: {database:?} is not within reach"));
    }
}

/// Holds a log to a named volume, which outlives the container, and which nobody else mounts.
fn check_log(configured: &Configured, service: &Service, compose: &Compose, problems: &mut Vec<String>) {
    let volumes: BTreeMap<&str, &str> =
        named_volumes(service, compose).map(|(name, at)| (at, name)).collect();
    let Some(place) = configured.place_of_log(volumes.keys().copied(), problems) else {
        return;
    };
    let volume = volumes[place];
    let mounts = compose.services.values().flat_map(|service| named_volumes(service, compose));
    if mounts.filter(|(name, _)| *name == volume).count() != 1 {
        problems.push(format!("{}: the volume {volume} of the log is not its alone", configured.name));
    }
}

/// The volumes that are named and declared, and where they are mounted to be written: `NAME:PATH`.
fn named_volumes<'a>(service: &'a Service, compose: &'a Compose) -> impl Iterator<Item = (&'a str, &'a str)> {
    let mounts = service.volumes.iter().filter_map(|mount| mount.split_once(':'));
    mounts.filter(|(name, path)| compose.volumes.contains_key(*name) && !path.contains(':'))
}

/// The ports within the container that `ADDRESS:PORT:PORT` publishes.
fn published(name: &str, service: &Service, problems: &mut Vec<String>) -> BTreeSet<u16> {
    let mut published = BTreeSet::new();
    for port in &service.ports {
        let parts = port
            .rsplit_once(':')
            .and_then(|(outside, inside)| Some((outside.parse::<SocketAddr>().ok()?, inside.parse().ok()?)));
        match parts {
            Some((outside, inside)) => {
                if !IpAddr::is_loopback(&outside.ip()) {
                    problems.push(format!("{name}: {port} is open to other machines"));
                }
                published.insert(inside);
            }
            None => problems.push(format!("{name}: {port} is not ADDRESS:PORT:PORT")),
        }
    }
    published
}
