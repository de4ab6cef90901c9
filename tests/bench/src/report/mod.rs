//! What was measured, for people and as JSON.

mod table;

use std::{fs, time::Duration};

use anyhow::Context as _;
use chrono::{SecondsFormat, Utc};
use serde::Serialize;

use self::table::{number, table};
use crate::{
    events::{Sample, average_sizes},
    host::Host,
    numbers::{float, median, mib, millis, quantile},
    options::Options,
    usage::{Cpu, Memory},
};

/// Everything that was measured in a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    started: String,
    host: Host,
    short: bool,
    seed: u64,
    writer_flags: Vec<String>,
    lines: Vec<Line>,
    costs: Vec<Cost>,
    notes: Vec<String>,
}

/// One figure beside its reference.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Line {
    pub(crate) figure: &'static str,
    pub(crate) what: String,
    pub(crate) value: Values,
    pub(crate) unit: &'static str,
    pub(crate) reference: Option<Reference>,
    pub(crate) target: Option<Target>,
}

/// What a figure is compared with, in the same unit.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Reference {
    pub(crate) what: &'static str,
    pub(crate) value: Values,
}

/// What was measured in each round. The median counts.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct Values(Vec<f64>);

impl Values {
    fn median(&self) -> f64 {
        median(&self.0)
    }

    fn text(&self) -> String {
        let median = number(self.median());
        let (least, most) = (quantile(&self.0, 0.0), quantile(&self.0, 1.0));
        if self.0.len() < 2 { median } else { format!("{median} ({} to {})", number(least), number(most)) }
    }
}

impl From<f64> for Values {
    fn from(one: f64) -> Self {
        Self(vec![one])
    }
}

impl FromIterator<f64> for Values {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

/// What the figure divided by its reference has to be, or the figure itself where it has none.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
}

/// What a thousand events or calls took of processor time, in milliseconds, and the writer at most of memory, in MiB.
#[derive(Clone, Debug, Serialize)]
struct Cost {
    what: String,
    service_ms: f64,
    gateway_ms: f64,
    postgres_ms: f64,
    generator_ms: f64,
    others_ms: f64,
    took_ms: f64,
    writer_peak_mib: Option<f64>,
}

impl Line {
    fn ratio(&self) -> Option<f64> {
        self.reference.as_ref().map(|reference| self.value.median() / reference.value.median())
    }

    fn met(&self) -> Option<bool> {
        let compared = self.ratio().unwrap_or_else(|| self.value.median());
        self.target.map(|target| match target {
            Target::AtLeast(least) => compared >= least,
            Target::AtMost(most) => compared <= most,
        })
    }
}

impl Report {
    pub(crate) fn new(host: Host, options: &Options) -> Self {
        Self {
            started: Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true),
            host,
            short: options.short,
            seed: options.seed,
            writer_flags: options.writer_flag.clone(),
            lines: Vec::new(),
            costs: Vec::new(),
            notes: Vec::new(),
        }
    }

    pub(crate) fn line(&mut self, line: Line) {
        self.lines.push(line);
    }

    /// Adds what so many events or calls took.
    pub(crate) fn cost(
        &mut self,
        what: impl Into<String>,
        events: usize,
        cpu: Cpu,
        took: Duration,
        peak: Option<Memory>,
    ) {
        let each = |time: Duration| millis(time) * 1000.0 / float(events.max(1));
        self.costs.push(Cost {
            what: what.into(),
            service_ms: each(cpu.service),
            gateway_ms: each(cpu.gateway),
            postgres_ms: each(cpu.postgres),
            generator_ms: each(cpu.generator),
            others_ms: each(cpu.others()),
            took_ms: each(took),
            writer_peak_mib: peak.map(|peak| mib(peak.peak_kib)),
        });
    }

    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Notes how large the events were.
    pub(crate) fn sizes(&mut self, samples: &[Sample]) -> anyhow::Result<()> {
        let (raw, compressed) = average_sizes(samples)?;
        self.note(format!("an event has {raw} bytes on average, and {compressed} compressed"));
        Ok(())
    }

    /// Says what happens: a run takes minutes.
    #[expect(
        clippy::print_stdout,
        reason = "the output of a program for people; this is the one place that prints"
    )]
    pub(crate) fn say(text: &str) {
        println!("{text}");
    }

    pub(crate) fn print(&self) {
        let Host { processor, cores, memory_mib, kernel, file_system, postgres } = &self.host;
        Self::say(&format!(
            "\n{}: {processor}, {cores} cores, {memory_mib} MiB of memory, Linux {kernel}, {file_system}, PostgreSQL {postgres}",
            self.started
        ));
        if self.short {
            Self::say(
                "A short run: whether events are lost or doubled, and nothing about how fast anything is.",
            );
        }
        let lines = self.lines.iter().map(|line| {
            let reference = line.reference.as_ref();
            vec![
                line.figure.to_owned(),
                line.what.clone(),
                format!("{} {}", line.value.text(), line.unit),
                reference.map_or(String::new(), |one| format!("{} {}", one.value.text(), one.what)),
                line.ratio().map_or(String::new(), number),
                match line.target {
                    None => String::new(),
                    Some(Target::AtLeast(least)) => format!(">= {least}"),
                    Some(Target::AtMost(most)) => format!("<= {most}"),
                },
                match line.met() {
                    None => "",
                    Some(true) => "met",
                    Some(false) => "NOT MET",
                }
                .to_owned(),
            ]
        });
        let heads = ["figure", "what", "measured", "reference", "ratio", "target", ""];
        Self::say(&table(&heads, lines));
        let costs = self.costs.iter().map(|cost| {
            let peak = cost.writer_peak_mib.map_or(String::new(), |peak| format!("{} MiB", number(peak)));
            let times = [
                cost.took_ms,
                cost.service_ms,
                cost.gateway_ms,
                cost.postgres_ms,
                cost.generator_ms,
                cost.others_ms,
            ];
            let mut row = vec![cost.what.clone()];
            row.extend(times.map(number));
            row.push(peak);
            row
        });
        let heads = [
            "for 1,000 events or calls, in ms",
            "time",
            "CPU: service",
            "gateway",
            "PostgreSQL",
            "generator",
            "others",
            "writer's peak memory",
        ];
        Self::say(&table(&heads, costs));
        for note in &self.notes {
            Self::say(&format!("- {note}"));
        }
    }

    /// Writes it to a file.
    pub(crate) fn write_json(&self, path: &std::path::Path) -> anyhow::Result<()> {
        let mut json = serde_json::to_value(self)?;
        let lines = json.get_mut("lines").and_then(serde_json::Value::as_array_mut).into_iter().flatten();
        for (value, line) in lines.zip(&self.lines) {
            value["median"] = line.value.median().into();
            value["ratio"] = line.ratio().into();
            value["met"] = line.met().into();
        }
        let text = serde_json::to_string_pretty(&json)? + "\n";
        fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_for_the_ratio_or_for_the_figure_without_a_reference() {
        let line = |value, reference: Option<f64>, target| Line {
            figure: "ingest",
            what: String::new(),
            value: Values::from(value),
            unit: "",
            reference: reference.map(|value| Reference { what: "", value: value.into() }),
            target: Some(target),
        };
        assert_eq!(line(50.0, Some(10.0), Target::AtLeast(5.0)).met(), Some(true));
        assert_eq!(line(50.0, Some(10.0), Target::AtMost(4.9)).met(), Some(false));
        assert_eq!(line(50.0, None, Target::AtMost(100.0)).met(), Some(true));
    }
}
