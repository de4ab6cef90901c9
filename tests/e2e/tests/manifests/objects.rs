//! The objects of an overlay: as much of them as the checks read. Whether the rest is right is the validator's matter.

use std::collections::BTreeMap;

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

pub(crate) type Labels = BTreeMap<String, String>;

/// All objects of an overlay, sorted by what they are.
#[derive(Debug, Default)]
pub(crate) struct Objects {
    /// Whatever has pods.
    pub(crate) workloads: Vec<Workload>,
    pub(crate) services: Vec<Object<ServiceSpec>>,
    pub(crate) policies: Vec<Object<PolicySpec>>,
    pub(crate) disruption_budgets: Vec<Object<BudgetSpec>>,
    pub(crate) autoscalers: Vec<Object<AutoscalerSpec>>,
    pub(crate) service_accounts: Vec<String>,
    pub(crate) config_maps: BTreeMap<String, BTreeMap<String, String>>,
}

impl Objects {
    /// Reads the output of `kubectl kustomize`.
    pub(crate) fn parse(yaml: &str) -> Self {
        let documents: Vec<Value> =
            serde_saphyr::from_multiple(yaml).unwrap_or_else(|error| panic!("no YAML: {error}"));
        let mut objects = Self::default();
        for document in documents {
            let kind = document["kind"].as_str().unwrap_or_default().to_owned();
            match kind.as_str() {
                "Deployment" | "StatefulSet" | "Job" => {
                    let object: Object<WorkloadSpec> = typed(document);
                    objects.workloads.push(Workload {
                        name: format!("{kind} {}", object.metadata.name),
                        object_name: object.metadata.name,
                        labels: object.metadata.labels,
                        spec: object.spec,
                    });
                }
                "Service" => objects.services.push(typed(document)),
                "NetworkPolicy" => objects.policies.push(typed(document)),
                "PodDisruptionBudget" => objects.disruption_budgets.push(typed(document)),
                "HorizontalPodAutoscaler" => objects.autoscalers.push(typed(document)),
                "ServiceAccount" => {
                    let object: Named = typed(document);
                    objects.service_accounts.push(object.metadata.name);
                }
                "ConfigMap" => {
                    let map: ConfigMap = typed(document);
                    objects.config_maps.insert(map.metadata.name, map.data);
                }
                "Namespace" => {}
                other => panic!("the checks know no {other}: teach them, or ignore it here"),
            }
        }
        objects
    }
}

fn typed<T: DeserializeOwned>(document: Value) -> T {
    let text = document.to_string();
    serde_json::from_value(document).unwrap_or_else(|error| panic!("{error} in {text}"))
}

#[derive(Debug)]
pub(crate) struct Workload {
    /// With its kind.
    pub(crate) name: String,
    /// Without it: what the replicas of a stateful set are called, before their number.
    pub(crate) object_name: String,
    /// Its own, which are not those of its pods.
    pub(crate) labels: Labels,
    pub(crate) spec: WorkloadSpec,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Object<S> {
    pub(crate) metadata: Metadata,
    pub(crate) spec: S,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Named {
    pub(crate) metadata: Metadata,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ConfigMap {
    pub(crate) metadata: Metadata,
    pub(crate) data: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Metadata {
    pub(crate) name: String,
    pub(crate) labels: Labels,
    pub(crate) annotations: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WorkloadSpec {
    pub(crate) template: Template,
    #[serde(default)]
    pub(crate) volume_claim_templates: Vec<Named>,
    #[serde(default)]
    pub(crate) persistent_volume_claim_retention_policy: Retention,
}

/// What becomes of the claims. Kubernetes retains them where nothing is said.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Retention {
    pub(crate) when_deleted: Option<String>,
    pub(crate) when_scaled: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Template {
    pub(crate) metadata: Metadata,
    pub(crate) spec: PodSpec,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PodSpec {
    pub(crate) containers: Vec<PodContainer>,
    pub(crate) service_account_name: Option<String>,
    pub(crate) enable_service_links: Option<bool>,
    #[serde(default)]
    pub(crate) security_context: PodSecurity,
    #[serde(default)]
    pub(crate) volumes: Vec<Volume>,
    #[serde(default = "default_grace")]
    pub(crate) termination_grace_period_seconds: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct PodSecurity {
    pub(crate) run_as_group: Option<u32>,
    pub(crate) fs_group: Option<u32>,
}

/// What Kubernetes grants where nothing is said.
fn default_grace() -> u64 {
    30
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct PodContainer {
    pub(crate) name: String,
    pub(crate) image: String,
    pub(crate) command: Vec<String>,
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<Variable>,
    pub(crate) env_from: Vec<VariableSource>,
    pub(crate) ports: Vec<ContainerPort>,
    pub(crate) startup_probe: Option<Probe>,
    pub(crate) liveness_probe: Option<Probe>,
    pub(crate) readiness_probe: Option<Probe>,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) volume_mounts: Vec<Mount>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Volume {
    pub(crate) name: String,
    pub(crate) secret: Option<SecretVolume>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SecretVolume {
    pub(crate) secret_name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Mount {
    pub(crate) name: String,
    #[serde(rename = "mountPath")]
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) read_only: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) value: Option<String>,
    pub(crate) value_from: Option<ValueSource>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ValueSource {
    pub(crate) secret_key_ref: SecretKey,
}

#[derive(Debug, Deserialize)]
pub(crate) struct SecretKey {
    pub(crate) name: String,
    pub(crate) key: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct VariableSource {
    pub(crate) config_map_ref: Reference,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Reference {
    pub(crate) name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ContainerPort {
    pub(crate) name: String,
    pub(crate) container_port: u16,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Probe {
    pub(crate) http_get: Option<HttpGet>,
    pub(crate) period_seconds: u64,
    #[serde(default)]
    pub(crate) failure_threshold: u64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct HttpGet {
    pub(crate) path: String,
    pub(crate) port: Port,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Lifecycle {
    pub(crate) pre_stop: Option<PreStop>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct PreStop {
    pub(crate) sleep: Sleep,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Sleep {
    pub(crate) seconds: u64,
}

/// A port by number, or by the name that a container gave it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(crate) enum Port {
    Number(u16),
    Name(String),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ServiceSpec {
    pub(crate) selector: Labels,
    pub(crate) ports: Vec<ServicePort>,
    #[serde(rename = "clusterIP")]
    pub(crate) cluster_ip: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ServicePort {
    pub(crate) port: u16,
    pub(crate) target_port: Option<Port>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct BudgetSpec {
    pub(crate) selector: Selector,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AutoscalerSpec {
    pub(crate) scale_target_ref: ScaleTarget,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ScaleTarget {
    pub(crate) kind: String,
    pub(crate) name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PolicySpec {
    pub(crate) pod_selector: Selector,
    pub(crate) policy_types: Vec<Direction>,
    #[serde(default)]
    pub(crate) ingress: Vec<PolicyRule>,
    #[serde(default)]
    pub(crate) egress: Vec<PolicyRule>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) enum Direction {
    Ingress,
    Egress,
}

/// A rule of either direction. What names no peers means all, and so with ports.
#[derive(Debug, Deserialize)]
pub(crate) struct PolicyRule {
    #[serde(default, alias = "from", alias = "to")]
    pub(crate) peers: Vec<Peer>,
    #[serde(default)]
    pub(crate) ports: Vec<PolicyPort>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Peer {
    pub(crate) pod_selector: Option<Selector>,
    pub(crate) namespace_selector: Option<Selector>,
    pub(crate) ip_block: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PolicyPort {
    pub(crate) port: Port,
    #[serde(default = "tcp")]
    pub(crate) protocol: String,
}

fn tcp() -> String {
    "TCP".to_owned()
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Selector {
    match_labels: Labels,
    match_expressions: Vec<Expression>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expression {
    key: String,
    operator: String,
    values: Vec<String>,
}

impl Selector {
    pub(crate) fn matches(&self, labels: &Labels) -> bool {
        selects(&self.match_labels, labels)
            && self.match_expressions.iter().all(|expression| {
                assert_eq!(expression.operator, "In", "the checks know no other operator");
                labels.get(&expression.key).is_some_and(|value| expression.values.contains(value))
            })
    }
}

/// Whether the labels are among those that are wanted.
pub(crate) fn selects(wanted: &Labels, labels: &Labels) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}
