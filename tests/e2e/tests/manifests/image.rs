//! The Dockerfile, as far as it repeats what stands elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    cli::Binaries,
    container::{Configured, Container},
};

/// What the image gives every container that is made from it.
#[derive(Debug, Default)]
pub(crate) struct Image {
    pub(crate) entrypoint: Vec<String>,
    pub(crate) variables: BTreeMap<String, Option<String>>,
    exposed: BTreeSet<u16>,
    /// Whom it runs as.
    user: String,
    /// Owners of the directories that were copied into it for them.
    owned: BTreeMap<String, String>,
    /// The binaries in it.
    binaries: BTreeSet<String>,
    /// The image's own version, for its label.
    version: String,
    /// What its binaries take for the revision that they were built from.
    revision: Option<String>,
    /// The tags of the images that it is built in.
    compilers: BTreeSet<String>,
}

impl Image {
    pub(crate) fn parse(dockerfile: &str) -> Self {
        let mut image = Self::default();
        let lines: Vec<&str> =
            dockerfile.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
        let joined = lines.join("\n").replace("\\\n", " ");
        for line in joined.lines() {
            let (instruction, rest) = line.split_once(' ').unwrap_or((line, ""));
            let words: Vec<&str> = rest.split_whitespace().collect();
            match instruction {
                "FROM" => {
                    // What an earlier stage said does not reach the last.
                    image.variables.clear();
                    image.exposed.clear();
                    image.owned.clear();
                    if let Some(tag) = words.first().and_then(|name| name.strip_prefix("rust:")) {
                        image.compilers.insert(tag.to_owned());
                    }
                }
                "ENV" => image.variables.extend(words.iter().filter_map(|word| {
                    let (name, value) = word.split_once('=')?;
                    Some((name.to_owned(), Some(value.to_owned())))
                })),
                "ARG" => {
                    if let Some(version) = rest.strip_prefix("VERSION=") {
                        version.clone_into(&mut image.version);
                    } else if let Some(names) = rest.strip_prefix("BINARIES=") {
                        let names = names.trim_matches('"').split_whitespace();
                        image.binaries.extend(names.map(str::to_owned));
                    }
                }
                "RUN" if rest.contains("cargo build") => {
                    image.revision = image.variables.get("MESHER_REVISION").cloned().flatten();
                }
                "EXPOSE" => image.exposed.extend(words.iter().map(|port| -> u16 { port.parse().unwrap() })),
                "COPY" => {
                    let owner = words.iter().find_map(|word| word.strip_prefix("--chown="));
                    if let (Some(owner), Some(directory)) = (owner, words.last()) {
                        image.owned.insert((*directory).to_owned(), owner.to_owned());
                    }
                }
                "USER" => rest.clone_into(&mut image.user),
                "ENTRYPOINT" => image.entrypoint = serde_json::from_str(rest).unwrap(),
                _ => {}
            }
        }
        image
    }
}

/// All that is wrong with the image.
pub(crate) async fn check(image: &Image, toolchain: &str, binaries: &mut Binaries) -> Vec<String> {
    let mut problems = Vec::new();
    let built: BTreeSet<String> = binaries.names().iter().cloned().collect();
    if image.binaries != built {
        problems.push(format!("it has {:?}, not {built:?}", image.binaries));
    }
    if image.version != env!("CARGO_PKG_VERSION") {
        problems.push(format!("its version is {}", image.version));
    }
    if image.revision.as_deref() != Some("$REVISION") {
        problems.push(format!("its binaries take {:?} for their revision", image.revision));
    }
    for compiler in &image.compilers {
        let version = compiler.split('-').next().unwrap_or_default();
        if !toolchain.contains(&format!("channel = \"{version}.")) {
            problems.push(format!("it is built with {compiler}, and rust-toolchain.toml says {toolchain}"));
        }
    }
    let Some(entrypoint) = image.as_container().configure(binaries, &mut problems).await else {
        return problems;
    };
    if entrypoint.keeps_log() {
        // A volume that is made for the directory takes its owner.
        let writable = image.owned.iter().filter(|(_, owner)| **owner == image.user);
        entrypoint.place_of_log(writable.map(|(directory, _)| directory.as_str()), &mut problems);
    }
    // The entry point serves only the gateway to others; the binaries of their own listen on the default ports.
    let mut reachable: BTreeSet<u16> = entrypoint.reachable(&mut problems).into_values().collect();
    for binary in built.iter().filter(|binary| **binary != entrypoint.binary) {
        let container =
            Container { name: binary.clone(), command: vec![binary.clone()], ..Container::default() };
        let configured = container.configure(binaries, &mut problems).await;
        reachable.extend(configured.iter().flat_map(default_ports));
    }
    if image.exposed != reachable {
        problems.push(format!("it exposes {:?}, and its binaries listen on {reachable:?}", image.exposed));
    }
    problems
}

impl Image {
    fn as_container(&self) -> Container {
        Container {
            name: "the image".to_owned(),
            command: self.entrypoint.clone(),
            variables: self.variables.clone(),
            ..Container::default()
        }
    }
}

fn default_ports(configured: &Configured) -> BTreeSet<u16> {
    configured
        .flags_ending("listen")
        .filter_map(|flag| configured.value(flag)?.rsplit(':').next()?.parse().ok())
        .collect()
}
