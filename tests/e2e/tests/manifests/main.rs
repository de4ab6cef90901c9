//! The deployment files against the binaries: every flag, variable, port and binary that they name is there.
//!
//! Each check gives a list of problems, and a second test breaks the files one by one to see that it is found.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its files has failed")]

mod breaks;
mod cli;
mod compose;
mod container;
mod image;
mod network;
mod objects;
mod overlay;
mod reach;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use mesher_testing::{ScratchDir, tool};

use crate::{breaks::Break, cli::Binaries, compose::Compose, image::Image, objects::Objects};

const OVERLAYS: [&str; 3] = ["single", "cluster", "cluster-tls"];

/// The version of Kubernetes whose schemas the manifests are held to.
const KUBERNETES: &str = "1.32";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What `kubectl kustomize` makes of an overlay; none without kubectl.
fn build(overlay: &str) -> Option<String> {
    let kubectl = tool("kubectl", "the Kubernetes manifests")?;
    let output = Command::new(kubectl)
        .arg("kustomize")
        .arg(root().join("deploy/kubernetes/overlays").join(overlay))
        .output()
        .unwrap();
    assert!(output.status.success(), "{overlay}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn kubernetes_knows_every_field_of_the_overlays() {
    let Some(validator) = tool("kubernetes-validate", "the manifests against the schemas of Kubernetes")
    else {
        return;
    };
    let scratch = ScratchDir::new();
    for overlay in OVERLAYS {
        let Some(manifests) = build(overlay) else {
            return;
        };
        let validate = |manifests: &str| {
            let path = scratch.join(format!("{overlay}.yaml"));
            fs::write(&path, manifests).unwrap();
            Command::new(&validator)
                .args(["--strict", "--quiet", "-k", KUBERNETES])
                .arg(path)
                .output()
                .unwrap()
        };
        let output = validate(&manifests);
        assert!(
            output.status.success(),
            "{overlay}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        let broken = manifests.replacen("readOnlyRootFilesystem:", "readonlyRootFilesystem:", 1);
        assert!(!validate(&broken).status.success(), "the validator overlooks an unknown field");
    }
}

#[tokio::test]
async fn the_overlays_agree_with_the_binaries() {
    let mut binaries = Binaries::of_workspace();
    let image = Image::parse(&read("deploy/Dockerfile"));
    for overlay in OVERLAYS {
        let Some(manifests) = build(overlay) else {
            return;
        };
        let problems = overlay::check(&Objects::parse(&manifests), &image, &mut binaries).await;
        assert!(problems.is_empty(), "{overlay}:\n{}", problems.join("\n"));
    }
}

#[tokio::test]
async fn the_image_agrees_with_the_binaries() {
    let mut binaries = Binaries::of_workspace();
    let image = Image::parse(&read("deploy/Dockerfile"));
    let problems = image::check(&image, &read("rust-toolchain.toml"), &mut binaries).await;
    assert!(problems.is_empty(), "deploy/Dockerfile:\n{}", problems.join("\n"));
}

#[tokio::test]
async fn the_compose_file_agrees_with_the_binaries() {
    let mut binaries = Binaries::of_workspace();
    let image = Image::parse(&read("deploy/Dockerfile"));
    let compose = Compose::parse(&read("deploy/compose.yaml"));
    let problems = compose::check(&compose, &image, &mut binaries).await;
    assert!(problems.is_empty(), "deploy/compose.yaml:\n{}", problems.join("\n"));
}

/// What README.md has `kubectl` apply by, step by step: the components of each, or none for all that has none.
fn steps(readme: &str) -> Vec<Vec<&str>> {
    let applied = readme.lines().filter_map(|line| line.split_once("--kustomize YOUR-OVERLAY --selector "));
    let components = applied.map(|(_, selector)| match selector.trim_matches('\'').split_once("component") {
        Some((without, "")) if without.starts_with('!') => Vec::new(),
        Some((_, which)) => which.trim_start_matches(" in").split([' ', ',', '(', ')', '=']).collect(),
        None => panic!("no selector of components: {selector}"),
    });
    components.map(|step| step.into_iter().filter(|component| !component.is_empty()).collect()).collect()
}

#[test]
fn the_upgrade_rolls_out_every_component_once_and_what_others_need_before_them() {
    let readme = read("deploy/README.md");
    let steps = steps(&readme);
    assert_eq!(steps[0], [""; 0], "settings come before what reads them");
    let order = steps.concat();
    let place = |component| order.iter().position(|other| *other == component).unwrap();
    assert!(["migrate", "issue", "writer", "gateway"].map(place).is_sorted(), "{order:?}");
    for overlay in OVERLAYS {
        let Some(manifests) = build(overlay) else {
            return;
        };
        let mut components: Vec<String> = Vec::new();
        for workload in Objects::parse(&manifests).workloads {
            let component = workload.labels.get("app.kubernetes.io/component");
            let name = workload.object_name.trim_start_matches("mesher-");
            if name == "postgres" {
                assert_eq!(component, None, "{overlay}: the database is there before all");
            } else {
                assert_eq!(component.map(String::as_str), Some(name), "{overlay}");
                components.push(name.to_owned());
            }
        }
        components.sort_unstable();
        let mut order = order.clone();
        order.sort_unstable();
        assert_eq!(components, order, "{overlay}");
    }
}

/// Breaks a text, and holds `problems` of it to naming what is broken.
async fn assert_found(text: &str, breaks: &[Break], mut problems: impl AsyncFnMut(&str) -> Vec<String>) {
    for &(from, to, expected) in breaks {
        assert!(text.contains(from), "there is no {from} to break");
        let found = problems(&text.replace(from, to)).await;
        assert!(
            found.iter().any(|problem| problem.contains(expected)),
            "{from} was made {to}, and `{expected}` is not among {found:#?}"
        );
    }
}

#[tokio::test]
async fn a_broken_overlay_is_found() {
    let Some(manifests) = build("single") else {
        return;
    };
    let mut binaries = Binaries::of_workspace();
    let image = Image::parse(&read("deploy/Dockerfile"));
    assert_found(&manifests, breaks::OVERLAY, async |manifests| {
        overlay::check(&Objects::parse(manifests), &image, &mut binaries).await
    })
    .await;
}

#[tokio::test]
async fn a_writer_without_a_log_on_disk_needs_no_volume() {
    let Some(manifests) = build("single") else {
        return;
    };
    let mut binaries = Binaries::of_workspace();
    let image = Image::parse(&read("deploy/Dockerfile"));
    let listen = "- name: MESHER_LISTEN\n          value: 0.0.0.0:50054";
    let memory = format!("- name: MESHER_DURABILITY\n          value: memory\n        {listen}");
    let without = manifests.replace("volumeClaimTemplates:", "withoutVolumes:").replace(listen, &memory);
    let problems = overlay::check(&Objects::parse(&without), &image, &mut binaries).await;
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[tokio::test]
async fn a_broken_cluster_is_found() {
    let Some(manifests) = build("cluster") else {
        return;
    };
    let mut binaries = Binaries::of_workspace();
    let image = Image::parse(&read("deploy/Dockerfile"));
    assert_found(&manifests, breaks::CLUSTER, async |manifests| {
        overlay::check(&Objects::parse(manifests), &image, &mut binaries).await
    })
    .await;
}

#[tokio::test]
async fn a_broken_cluster_with_tls_is_found() {
    let Some(manifests) = build("cluster-tls") else {
        return;
    };
    let mut binaries = Binaries::of_workspace();
    let image = Image::parse(&read("deploy/Dockerfile"));
    assert_found(&manifests, breaks::CLUSTER_TLS, async |manifests| {
        overlay::check(&Objects::parse(manifests), &image, &mut binaries).await
    })
    .await;
}

#[tokio::test]
async fn a_broken_image_is_found() {
    let mut binaries = Binaries::of_workspace();
    assert_found(&read("deploy/Dockerfile"), breaks::IMAGE, async |dockerfile| {
        let image = Image::parse(dockerfile);
        image::check(&image, &read("rust-toolchain.toml"), &mut binaries).await
    })
    .await;
}

#[tokio::test]
async fn a_broken_compose_file_is_found() {
    let mut binaries = Binaries::of_workspace();
    let image = Image::parse(&read("deploy/Dockerfile"));
    assert_found(&read("deploy/compose.yaml"), breaks::COMPOSE, async |yaml| {
        compose::check(&Compose::parse(yaml), &image, &mut binaries).await
    })
    .await;
}
