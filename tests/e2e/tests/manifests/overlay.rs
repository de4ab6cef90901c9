//! What holds for an overlay: its objects agree with each other and with the binaries. Who reaches whom is in `reach`.

use std::{collections::BTreeMap, path::Path, time::Duration};

use crate::{
    cli::Binaries,
    container::{Configured, Container},
    image::Image,
    network::Party,
    objects::{Object, Objects, PodContainer, Port, Probe, ServiceSpec, Workload, selects},
    reach::{check_addresses, check_network},
};

/// The image, at the version that this workspace builds.
const IMAGE: &str = concat!("mesher:", env!("CARGO_PKG_VERSION"));

/// The Secret that README.md has made.
const DATABASE_URLS: &str = "mesher-database-urls";

/// A workload, with what its container runs; nothing is known of those that run no binary of Mesher.
pub(crate) struct Pod<'a> {
    pub(crate) workload: &'a Workload,
    pub(crate) ports: BTreeMap<String, u16>,
    pub(crate) configured: Option<Configured>,
}

impl Pod<'_> {
    pub(crate) fn name(&self) -> &str {
        &self.workload.name
    }

    pub(crate) fn party(&self) -> Party {
        Party::pod(self.workload.spec.template.metadata.labels.clone(), self.ports.clone())
    }

    pub(crate) fn resolve(&self, port: &Port) -> Option<u16> {
        match port {
            Port::Number(number) => self.ports.values().find(|known| *known == number).copied(),
            Port::Name(name) => self.ports.get(name).copied(),
        }
    }

    pub(crate) fn runs(&self, binary: &str) -> bool {
        self.configured.as_ref().is_some_and(|configured| configured.binary == binary)
    }

    pub(crate) fn uses_database(&self) -> bool {
        self.configured.as_ref().is_some_and(|configured| configured.setting("--database-url").is_some())
    }
}

/// All that is wrong with an overlay.
pub(crate) async fn check(objects: &Objects, image: &Image, binaries: &mut Binaries) -> Vec<String> {
    let mut problems = Vec::new();
    let mut pods = Vec::new();
    for workload in &objects.workloads {
        pods.push(read_pod(workload, objects, image, binaries, &mut problems).await);
    }
    for binary in binaries.names() {
        if !pods.iter().any(|pod| pod.runs(binary)) {
            problems.push(format!("no pod runs {binary}"));
        }
    }
    for pod in &pods {
        check_pod(pod, objects, &mut problems);
    }
    for service in &objects.services {
        check_service(service, &pods, &mut problems);
    }
    let calls = check_addresses(objects, &pods, &mut problems);
    check_network(objects, &pods, &calls, &mut problems);
    check_references(objects, &mut problems);
    problems
}

async fn read_pod<'a>(
    workload: &'a Workload,
    objects: &Objects,
    image: &Image,
    binaries: &mut Binaries,
    problems: &mut Vec<String>,
) -> Pod<'a> {
    let name = &workload.name;
    let [container] = workload.spec.template.spec.containers.as_slice() else {
        panic!("{name}: the checks know only pods with one container");
    };
    let ports: BTreeMap<String, u16> =
        container.ports.iter().map(|port| (port.name.clone(), port.container_port)).collect();
    let mut pod = Pod { workload, ports, configured: None };
    if container.image.split(':').next() != Some("mesher") {
        return pod;
    }
    if container.image != IMAGE {
        problems.push(format!("{name}: the image is {}, not {IMAGE}", container.image));
    }
    let description = Container {
        name: name.clone(),
        command: [container.command.as_slice(), container.args.as_slice()].concat(),
        inherited: image.variables.clone(),
        variables: variables(name, container, objects, problems),
        ports: pod.ports.values().copied().collect(),
    };
    pod.configured = description.configure(binaries, problems).await;
    pod
}

fn variables(
    name: &str,
    container: &PodContainer,
    objects: &Objects,
    problems: &mut Vec<String>,
) -> BTreeMap<String, Option<String>> {
    let mut variables = BTreeMap::new();
    for source in &container.env_from {
        let map = &source.config_map_ref.name;
        match objects.config_maps.get(map) {
            Some(data) => {
                let known = data.iter().map(|(name, value)| (name.clone(), Some(value.clone())));
                variables.extend(known);
            }
            None => problems.push(format!("{name}: there is no ConfigMap {map}")),
        }
    }
    let own = container.env.iter().map(|variable| (variable.name.clone(), variable.value.clone()));
    variables.extend(own);
    variables
}

fn check_pod(pod: &Pod<'_>, objects: &Objects, problems: &mut Vec<String>) {
    let template = &pod.workload.spec.template;
    let account = template.spec.service_account_name.as_deref().unwrap_or("default");
    if !objects.service_accounts.iter().any(|known| known == account) {
        problems.push(format!("{}: there is no ServiceAccount {account}", pod.name()));
    }
    let Some(configured) = &pod.configured else {
        return;
    };
    if template.spec.enable_service_links != Some(false) {
        problems.push(format!("{}: Kubernetes adds variables that begin with MESHER_", pod.name()));
    }
    configured.check_ports(problems);
    configured.check_transport(problems);
    check_secret(pod, &template.spec.containers[0], problems);
    check_certificates(pod, configured, problems);
    if configured.keeps_log() {
        check_log(pod, configured, problems);
    }
    if configured.serves() {
        check_server(pod, configured, &template.spec.containers[0], problems);
    }
}

/// Holds a log to a volume that is the replica's own, outlives it, and can be written.
fn check_log(pod: &Pod<'_>, configured: &Configured, problems: &mut Vec<String>) {
    let name = pod.name();
    let spec = &pod.workload.spec;
    let is_own = |volume: &str| spec.volume_claim_templates.iter().any(|claim| claim.metadata.name == volume);
    let mounts = &spec.template.spec.containers[0].volume_mounts;
    let volumes = mounts.iter().filter(|mount| is_own(&mount.name) && !mount.read_only);
    if configured.place_of_log(volumes.map(|mount| mount.path.as_str()), problems).is_none() {
        return;
    }
    let security = &spec.template.spec.security_context;
    if security.fs_group.is_none() || security.fs_group != security.run_as_group {
        problems.push(format!("{name}: its volumes are the group's {:?}: {security:?}", security.fs_group));
    }
    let retention = &spec.persistent_volume_claim_retention_policy;
    if [&retention.when_deleted, &retention.when_scaled]
        .into_iter()
        .flatten()
        .any(|policy| policy != "Retain")
    {
        problems.push(format!("{name}: what is in its volumes is lost: {retention:?}"));
    }
}

/// Holds a pod to the database URL that is its own: another's has the rights of another.
fn check_secret(pod: &Pod<'_>, container: &PodContainer, problems: &mut Vec<String>) {
    let name = pod.name();
    let secrets: Vec<String> = container
        .env
        .iter()
        .filter_map(|variable| {
            let secret = &variable.value_from.as_ref()?.secret_key_ref;
            Some(format!("{}: {}/{}", variable.name, secret.name, secret.key))
        })
        .collect();
    let own = pod.workload.object_name.trim_start_matches("mesher-");
    let expected = format!("MESHER_DATABASE_URL: {DATABASE_URLS}/{own}-database-url");
    let expected = Vec::from_iter(pod.uses_database().then_some(expected));
    if secrets != expected {
        problems.push(format!("{name}: has the secrets {secrets:?}, not {expected:?}"));
    }
}

/// Holds the files of its TLS to a Secret that is its own, and mounted where they are looked for.
fn check_certificates(pod: &Pod<'_>, configured: &Configured, problems: &mut Vec<String>) {
    let spec = &pod.workload.spec.template.spec;
    let own = format!("{}-tls", pod.workload.object_name);
    let is_own = |name: &str| {
        let volume = spec.volumes.iter().find(|volume| volume.name == name);
        volume.and_then(|volume| volume.secret.as_ref()).is_some_and(|secret| secret.secret_name == own)
    };
    for (flag, file) in configured.tls_files() {
        let directory = Path::new(file).parent();
        let mounts = &spec.containers[0].volume_mounts;
        if !mounts.iter().any(|mount| directory == Some(Path::new(&mount.path)) && is_own(&mount.name)) {
            problems.push(format!("{}: {flag} {file} is in no mount of the Secret {own}", pod.name()));
        }
    }
}

/// What holds for a pod that serves: it is probed and scraped where it answers, and has the time that it takes.
fn check_server(
    pod: &Pod<'_>,
    configured: &Configured,
    container: &PodContainer,
    problems: &mut Vec<String>,
) {
    let name = pod.name();
    let template = &pod.workload.spec.template;
    let admin = configured.port("--admin-listen");
    // The gateway's /readyz is all services' together: with it, the absence of one would be the absence of all.
    let ready = if pod.runs("mesher-gateway") { "/healthz" } else { "/readyz" };
    let probes = [
        ("startup", &container.startup_probe, "/healthz"),
        ("liveness", &container.liveness_probe, "/healthz"),
        ("readiness", &container.readiness_probe, ready),
    ];
    for (kind, probe, path) in probes {
        let get = probe.as_ref().and_then(|probe| probe.http_get.as_ref());
        let Some(get) = get else {
            problems.push(format!("{name}: there is no {kind} probe over HTTP"));
            continue;
        };
        let port = pod.resolve(&get.port);
        if port.is_none() || port != admin || get.path != path {
            problems.push(format!(
                "{name}: the {kind} probe asks {} of {:?}, not {path} of the admin port {admin:?}",
                get.path, get.port
            ));
        }
    }
    let annotations = &template.metadata.annotations;
    let scraped = annotations.get("prometheus.io/port").map(|port| port.parse());
    if scraped != admin.map(Ok) || annotations.get("prometheus.io/path").is_none_or(|path| path != "/metrics")
    {
        problems.push(format!(
            "{name}: Prometheus is told {annotations:?}, and metrics are at /metrics of {admin:?}"
        ));
    }
    let sleep = container.lifecycle.pre_stop.as_ref().map_or(0, |hook| hook.sleep.seconds);
    let granted = template.spec.termination_grace_period_seconds.saturating_sub(sleep);
    configured.check_grace(Duration::from_secs(granted), problems);
    let patience = container.startup_probe.as_ref().map_or(Duration::ZERO, Probe::patience);
    if configured.duration("--database-wait").is_some_and(|wait| patience <= wait) {
        problems.push(format!("{name}: is killed after {patience:?}, while it may wait for its database"));
    }
}

impl Probe {
    /// How long it is answered by nobody until it counts.
    fn patience(&self) -> Duration {
        Duration::from_secs(self.period_seconds * self.failure_threshold)
    }
}

fn check_service(service: &Object<ServiceSpec>, pods: &[Pod<'_>], problems: &mut Vec<String>) {
    let name = &service.metadata.name;
    let selected: Vec<&Pod<'_>> = selected_by(service, pods).collect();
    if selected.len() != 1 {
        problems.push(format!("Service {name}: selects {} workloads", selected.len()));
    }
    for pod in selected {
        for port in &service.spec.ports {
            let target = port.target_port.clone().unwrap_or(Port::Number(port.port));
            let resolved = pod.resolve(&target);
            if resolved.is_none() {
                problems.push(format!("Service {name}: {} has no port {target:?}", pod.name()));
            }
            // Its name stands for the pods themselves, and no port is mapped to another.
            let headless = service.spec.cluster_ip.as_deref() == Some("None");
            if headless && resolved != Some(port.port) {
                problems.push(format!("Service {name}: is headless, and port {} is {resolved:?}", port.port));
            }
        }
    }
}

pub(crate) fn selected_by<'a, 'p>(
    service: &'a Object<ServiceSpec>,
    pods: &'a [Pod<'p>],
) -> impl Iterator<Item = &'a Pod<'p>> {
    pods.iter().filter(|pod| selects(&service.spec.selector, &pod.workload.spec.template.metadata.labels))
}

/// What is scaled and kept available has to be there.
fn check_references(objects: &Objects, problems: &mut Vec<String>) {
    for budget in &objects.disruption_budgets {
        let selected = objects.workloads.iter().filter(|workload| {
            let labels = &workload.spec.template.metadata.labels;
            budget.spec.selector.matches(labels)
        });
        if selected.count() != 1 {
            problems.push(format!("PodDisruptionBudget {}: is not one workload's", budget.metadata.name));
        }
    }
    for autoscaler in &objects.autoscalers {
        let target = &autoscaler.spec.scale_target_ref;
        let target = format!("{} {}", target.kind, target.name);
        if !objects.workloads.iter().any(|workload| workload.name == target) {
            problems
                .push(format!("HorizontalPodAutoscaler {}: there is no {target}", autoscaler.metadata.name));
        }
    }
}
