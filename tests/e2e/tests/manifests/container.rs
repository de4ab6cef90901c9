//! A container that runs a binary of Mesher, wherever it is described, and what holds for each of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::Path,
    time::Duration,
};

use crate::cli::{Binaries, Setting};

/// A container as it is described.
#[derive(Clone, Debug, Default)]
pub(crate) struct Container {
    /// What it is called in the problems found.
    pub(crate) name: String,
    /// The binary, its subcommand, its flags.
    pub(crate) command: Vec<String>,
    /// The variables of its image. Those that its binary does not have are for another.
    pub(crate) inherited: BTreeMap<String, Option<String>>,
    /// Its own variables; no value is known of those that come from a Secret.
    pub(crate) variables: BTreeMap<String, Option<String>>,
    /// The ports that it says it listens on.
    pub(crate) ports: BTreeSet<u16>,
}

/// A container, and the settings of its binary.
#[derive(Clone, Debug)]
pub(crate) struct Configured {
    pub(crate) name: String,
    pub(crate) binary: String,
    pub(crate) ports: BTreeSet<u16>,
    settings: Vec<Setting>,
    /// By flag; no value is known of those that come from a Secret.
    given: BTreeMap<String, Option<String>>,
}

impl Container {
    /// Finds the settings of what it runs. Those that its binary does not have are problems.
    pub(crate) async fn configure(
        self,
        binaries: &mut Binaries,
        problems: &mut Vec<String>,
    ) -> Option<Configured> {
        let name = self.name;
        let mut words = self.command.iter().map(String::as_str).peekable();
        let path = words.next().unwrap_or_default();
        let binary = path.rsplit('/').next().unwrap_or_default().to_owned();
        let subcommand = words.next_if(|word| !word.starts_with('-'));
        let settings = match binaries.settings(&binary, subcommand).await {
            Ok(settings) => settings,
            Err(error) => {
                problems.push(format!("{name}: {error}"));
                return None;
            }
        };
        let mut given: BTreeMap<String, Option<String>> = settings
            .iter()
            .filter_map(|setting| {
                let value = self.inherited.get(setting.variable.as_ref()?)?;
                Some((setting.flag.clone(), value.clone()))
            })
            .collect();
        for (variable, value) in &self.variables {
            if !variable.starts_with("MESHER_") && !variable.starts_with("OTEL_") {
                continue;
            }
            match settings.iter().find(|setting| setting.variable.as_ref() == Some(variable)) {
                Some(setting) => {
                    given.insert(setting.flag.clone(), value.clone());
                }
                None => problems.push(format!("{name}: {binary} has no variable {variable}")),
            }
        }
        while let Some(word) = words.next() {
            let (flag, value) = match word.split_once('=') {
                Some((flag, value)) => (flag, Some(value.to_owned())),
                None => (word, words.next_if(|word| !word.starts_with('-')).map(str::to_owned)),
            };
            if settings.iter().any(|setting| setting.flag == flag) {
                given.insert(flag.to_owned(), value);
            } else {
                problems.push(format!("{name}: {binary} has no flag {flag}"));
            }
        }
        for setting in &settings {
            if let Some(Some(value)) = given.get(&setting.flag)
                && !setting.values.is_empty()
                && !setting.values.contains(value)
            {
                problems.push(format!("{name}: {} of {binary} cannot be {value}", setting.flag));
            }
        }
        Some(Configured { name, binary, ports: self.ports, settings, given })
    }
}

impl Configured {
    /// The value of a setting: given, or the default.
    pub(crate) fn value(&self, flag: &str) -> Option<&str> {
        match self.given.get(flag) {
            Some(value) => value.as_deref(),
            None => self.setting(flag)?.default.as_deref(),
        }
    }

    /// Whether the binary has the setting at all.
    pub(crate) fn setting(&self, flag: &str) -> Option<&Setting> {
        self.settings.iter().find(|setting| setting.flag == flag)
    }

    pub(crate) fn duration(&self, flag: &str) -> Option<Duration> {
        humantime::parse_duration(self.value(flag)?).ok()
    }

    /// The flags with this ending, such as `--org-address`.
    pub(crate) fn flags_ending<'a>(&'a self, end: &'a str) -> impl Iterator<Item = &'a str> {
        self.settings.iter().map(|setting| setting.flag.as_str()).filter(move |flag| flag.ends_with(end))
    }

    /// Whether it serves, rather than doing something once.
    pub(crate) fn serves(&self) -> bool {
        self.flags_ending("listen").next().is_some()
    }

    /// Where it listens that others can reach it, by flag.
    pub(crate) fn reachable(&self, problems: &mut Vec<String>) -> BTreeMap<&str, u16> {
        let mut reachable = BTreeMap::new();
        for flag in self.flags_ending("listen") {
            match self.value(flag).map(str::parse::<SocketAddr>) {
                Some(Ok(address)) if address.ip().is_loopback() => {}
                Some(Ok(address)) => {
                    reachable.insert(flag, address.port());
                }
                other => problems.push(format!("{}: {flag} is no address: {other:?}", self.name)),
            }
        }
        reachable
    }

    /// The port that a flag such as `--admin-listen` gives, if others can reach it there.
    pub(crate) fn port(&self, flag: &str) -> Option<u16> {
        self.reachable(&mut Vec::new()).get(flag).copied()
    }

    /// Compares the ports that the container declares with those that the binary will listen on.
    pub(crate) fn check_ports(&self, problems: &mut Vec<String>) {
        let reachable = self.reachable(problems);
        for port in &self.ports {
            if !reachable.values().any(|listening| listening == port) {
                problems.push(format!(
                    "{}: {} does not listen on port {port} where others can reach it",
                    self.name, self.binary
                ));
            }
        }
        for (flag, port) in reachable {
            if !self.ports.contains(&port) {
                problems.push(format!("{}: {flag} is port {port}, which is not declared", self.name));
            }
        }
    }

    /// Whether it serves with TLS.
    pub(crate) fn has_tls(&self) -> bool {
        self.value("--tls-cert").is_some()
    }

    /// The files that its TLS is made of, with their flags.
    pub(crate) fn tls_files(&self) -> impl Iterator<Item = (&str, &str)> {
        const FLAGS: [&str; 6] = [
            "--tls-cert",
            "--tls-key",
            "--tls-client-ca",
            "--upstream-tls-ca",
            "--upstream-tls-cert",
            "--upstream-tls-key",
        ];
        let given = FLAGS.into_iter().filter(|flag| self.given.contains_key(*flag));
        given.filter_map(|flag| Some((flag, self.value(flag)?)))
    }

    /// Holds what it serves where others reach it, and what it calls, to TLS, or to saying in words that there is none.
    pub(crate) fn check_transport(&self, problems: &mut Vec<String>) {
        if self.value("--insecure") == Some("true") {
            return;
        }
        for (flag, port) in self.reachable(problems) {
            // Only the gateway's certificate is the all-in-one binary's; its services have none.
            let has_tls = self.has_tls() && matches!(flag, "--listen" | "--gateway-listen");
            if !has_tls && !flag.ends_with("admin-listen") {
                problems.push(format!("{}: port {port} of {flag} is refused in plain text", self.name));
            }
        }
        for flag in self.flags_ending("-address") {
            let address = self.value(flag).unwrap_or_default();
            if address.starts_with("http://") {
                problems.push(format!("{}: {flag} {address} is refused in plain text", self.name));
            } else if !self.given.contains_key("--upstream-tls-ca") {
                problems.push(format!("{}: nobody vouches for {address}", self.name));
            }
        }
    }

    /// Whether it is a writer that keeps what it has acknowledged in a log on disk.
    pub(crate) fn keeps_log(&self) -> bool {
        self.setting("--durability").is_some() && self.value("--durability") != Some("memory")
    }

    /// The place that the log is in, if it is in one of them. What the binary takes when nobody says where it is depends on
    /// the user, and is no place.
    pub(crate) fn place_of_log<'a>(
        &self,
        mut places: impl Iterator<Item = &'a str>,
        problems: &mut Vec<String>,
    ) -> Option<&'a str> {
        let log = self.given.get("--log-dir").and_then(Option::as_deref);
        let place = log.and_then(|log| places.find(|place| Path::new(log).starts_with(place)));
        if place.is_none() {
            problems.push(format!("{}: --log-dir is {log:?}, which is in no place to keep a log", self.name));
        }
        place
    }

    /// Holds whoever stops the container to waiting longer than the binary's own grace period.
    pub(crate) fn check_grace(&self, granted: Duration, problems: &mut Vec<String>) {
        let needed = self.duration("--shutdown-grace");
        if needed.is_none_or(|needed| granted <= needed) {
            problems.push(format!(
                "{}: is killed after {granted:?}, and --shutdown-grace is {needed:?}",
                self.name
            ));
        }
    }
}
