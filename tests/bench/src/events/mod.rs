//! Events as Sentry's SDKs send them, made from a seed: no two alike, and those of a project fall into some dozens of
//! issues, a few of which have most of the events.

mod payload;
mod shape;
mod words;

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use uuid::{Builder, Uuid};

use self::{
    payload::{
        Contexts, Crumb, Device, Exception, Frame, LogEntry, Mechanism, Named, Pairs, Payload, Request, Sdk,
        StackTrace, Values,
    },
    shape::{ExceptionShape, FrameShape, Shape, pick},
    words::{
        BROWSERS, CRUMBS, ENVIRONMENTS, LEVELS, MESSAGES, PATHS, PLATFORMS, VALUES, VARIABLES, fill, ip,
    },
};

type Rng = StdRng;

/// How many shapes there are of each platform; projects share them.
const SHAPES: usize = 500;
/// One more than a project has issues: from the first to the sum of both, less one.
const ISSUES: (usize, usize) = (50, 51);

/// An event that is ready to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) id: Uuid,
    pub(crate) json: Bytes,
}

/// Makes events.
pub(crate) struct Generator {
    rng: Rng,
    shapes: Vec<Shape>,
    now: DateTime<Utc>,
}

impl Generator {
    /// A generator that makes the same events from the same seed, but for their times, which are around now.
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Rng::seed_from_u64(seed);
        let shapes = (0..SHAPES * PLATFORMS.len()).map(|index| Shape::new(index, &mut rng)).collect();
        Self { rng, shapes, now: Utc::now() }
    }

    /// So many events, of so many projects in turn.
    pub(crate) fn take(&mut self, events: usize, projects: usize) -> anyhow::Result<Vec<Sample>> {
        (0..events).map(|index| self.event(index % projects)).collect()
    }

    /// An event of the project with a number.
    pub(crate) fn event(&mut self, project: usize) -> anyhow::Result<Sample> {
        let shape = shape_of(project, &mut self.rng);
        let shape = &self.shapes[shape];
        let rng = &mut self.rng;
        let id = Builder::from_random_bytes(rng.random()).into_uuid();
        let at = self.now - TimeDelta::milliseconds(rng.random_range(0..60_000));
        let payload = payload(shape, id, at, project, rng);
        Ok(Sample { id, json: Bytes::from(serde_json::to_vec(&payload)?) })
    }
}

/// The shape of one of a project's issues: the n-th of them has log2(1 + 1/n) times as many events as the first, which is about
/// Zipf's law.
fn shape_of(project: usize, rng: &mut Rng) -> usize {
    let issues = u32::try_from(ISSUES.0 + project.wrapping_mul(31) % ISSUES.1).unwrap_or(u32::MAX);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at least 1, and less than `issues`"
    )]
    let rank = f64::from(issues).powf(rng.random::<f64>()) as usize;
    // Neighbours have other issues, and all issues of a project are of one platform.
    let number = (project.wrapping_mul(37) + rank) % SHAPES;
    number * PLATFORMS.len() + project % PLATFORMS.len()
}

fn payload<'a>(shape: &'a Shape, id: Uuid, at: DateTime<Utc>, project: usize, rng: &mut Rng) -> Payload<'a> {
    let platform = shape.platform;
    let exceptions: Vec<Exception<'a>> =
        shape.exceptions.iter().map(|one| exception(shape, one, rng)).collect();
    let thrown = shape.exceptions.last().and_then(|exception| exception.frames.first());
    let (browser, version, agent) = pick(&BROWSERS, rng);
    let release = format!("shop-{}@4.{}.{}", project % 7, rng.random_range(0..6), rng.random_range(0..20));
    let environment = pick(&ENVIRONMENTS, rng);
    let user = rng.random_range(1..500_000);
    let server_name = format!("web-{:02}.eu.example.net", rng.random_range(0..24));
    let transaction = thrown.map_or("", |frame| frame.module.as_str());
    let url = format!("https://shop.example.com{}", fill(pick(&PATHS, rng), rng));
    Payload {
        event_id: id.simple().to_string(),
        timestamp: time(at),
        platform: platform.name,
        level: pick(&LEVELS, rng),
        logger: "shop.errors",
        transaction,
        logentry: rng.random_bool(0.3).then(|| log_entry(rng)),
        exception: Values { values: exceptions },
        breadcrumbs: Values { values: crumbs(at, rng) },
        tags: Pairs(vec![
            ("browser", format!("{browser} {version}")),
            ("browser.name", browser.to_owned()),
            ("handled", "no".to_owned()),
            ("region", pick(&["eu-central-1", "us-east-1", "ap-south-1"], rng).to_owned()),
            ("tenant", format!("t{}", rng.random_range(1..900))),
            ("url", url.clone()),
        ]),
        user: Pairs(vec![
            ("id", user.to_string()),
            ("email", format!("user{user}@example.org")),
            ("ip_address", ip(rng)),
        ]),
        request: Request {
            method: pick(&["GET", "GET", "POST"], rng),
            url,
            headers: Pairs(vec![("Host", "shop.example.com".to_owned()), ("User-Agent", agent.to_owned())]),
        },
        contexts: Contexts {
            runtime: Named { name: platform.runtime.0, version: platform.runtime.1 },
            os: Named { name: "Linux", version: "6.1.0-21-amd64" },
            device: Device { arch: "x86_64", processor_count: 8, memory_size: 16_777_216_000 },
        },
        sdk: Sdk { name: platform.sdk, version: "2.7.1", integrations: &["argv", "dedupe", "logging"] },
        server_name,
        release,
        environment,
    }
}

fn exception<'a>(shape: &Shape, exception: &'a ExceptionShape, rng: &mut Rng) -> Exception<'a> {
    Exception {
        kind: exception.kind,
        value: fill(exception.value, rng),
        mechanism: Mechanism { kind: "generic", handled: false },
        stacktrace: StackTrace {
            frames: exception.frames.iter().map(|one| frame(shape, one, rng)).collect(),
        },
    }
}

fn frame<'a>(shape: &Shape, frame: &'a FrameShape, rng: &mut Rng) -> Frame<'a> {
    let [before, after] = frame.around;
    Frame {
        function: frame.function,
        module: &frame.module,
        filename: &frame.filename,
        lineno: frame.line,
        in_app: frame.in_app,
        abs_path: frame.in_app.then(|| format!("{}{}", shape.platform.root, frame.filename)),
        context_line: frame.in_app.then_some(frame.context),
        pre_context: frame.in_app.then_some([before]),
        post_context: frame.in_app.then_some([after]),
        vars: frame.in_app.then(|| variables(rng)),
    }
}

fn variables(rng: &mut Rng) -> Pairs {
    let first = rng.random_range(0..VARIABLES.len());
    let names = VARIABLES.iter().cycle().skip(first).take(rng.random_range(1..=2));
    Pairs(names.map(|name| (*name, fill(pick(&VALUES, rng), rng))).collect())
}

fn crumbs(at: DateTime<Utc>, rng: &mut Rng) -> Vec<Crumb> {
    let count = rng.random_range(1..=3);
    (0..count)
        .map(|index| {
            let (category, message) = pick(&CRUMBS, rng);
            let before = TimeDelta::milliseconds(i64::from(count - index) * rng.random_range(1..900));
            Crumb { timestamp: time(at - before), category, level: "info", message: fill(message, rng) }
        })
        .collect()
}

fn log_entry(rng: &mut Rng) -> LogEntry {
    let message = pick(&MESSAGES, rng);
    let about = format!("order {}", rng.random_range(1..9_000_000));
    LogEntry { message, formatted: message.replace("%s", &about), params: [about] }
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// How large events are on average, in bytes: as they are sent, and compressed one by one as they are stored.
pub(crate) fn average_sizes(samples: &[Sample]) -> anyhow::Result<(usize, usize)> {
    let count = samples.len().max(1);
    let raw: usize = samples.iter().map(|sample| sample.json.len()).sum();
    let mut compressed = 0;
    for sample in samples {
        compressed += mesher_common::payload::compress(&sample.json)?.len();
    }
    Ok((raw / count, compressed / count))
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use serde_json::Value;

    use super::*;

    #[test]
    fn a_seed_makes_the_same_events_and_no_two_are_alike() {
        let ids = |seed| {
            let samples = Generator::new(seed).take(100, 3).unwrap();
            samples.into_iter().map(|sample| sample.id).collect::<Vec<_>>()
        };
        assert_eq!(ids(1), ids(1));
        assert_ne!(ids(1), ids(2));
        let distinct: HashSet<Uuid> = ids(1).into_iter().collect();
        assert_eq!(distinct.len(), 100);
    }

    #[test]
    fn events_have_the_size_of_those_that_sdks_send() {
        let samples = Generator::new(1).take(4000, 40).unwrap();
        let (raw, stored) = average_sizes(&samples).unwrap();
        assert!((4500..4900).contains(&raw), "{raw} bytes, {stored} stored");
        assert!((900..=1100).contains(&stored), "{stored} bytes");
        // By itself, without what the dictionary knows.
        let compressed = |sample: &Sample| zstd::bulk::compress(&sample.json, 1).unwrap().len();
        let compressed = samples.iter().map(compressed).sum::<usize>() / samples.len();
        assert!((1200..=1500).contains(&compressed), "{compressed} bytes");
    }

    #[test]
    fn the_events_of_a_project_fall_into_some_dozens_of_issues_a_few_of_which_have_most() {
        let mut generator = Generator::new(1);
        for project in [0, 7] {
            let mut issues: HashMap<String, usize> = HashMap::new();
            for _ in 0..5000 {
                let event: Value = serde_json::from_slice(&generator.event(project).unwrap().json).unwrap();
                *issues.entry(own_frames(&event)).or_default() += 1;
            }
            let mut sizes: Vec<usize> = issues.into_values().collect();
            sizes.sort_unstable();
            assert!((45..=101).contains(&sizes.len()), "{} issues", sizes.len());
            let top: usize = sizes.iter().rev().take(10).sum();
            assert!((2000..4500).contains(&top), "{top} of 5000 events in ten issues");
        }
    }

    #[test]
    fn the_nth_issue_of_a_project_has_as_many_events_as_the_documentation_says() {
        let mut rng = Rng::seed_from_u64(1);
        let mut issues: HashMap<usize, u32> = HashMap::new();
        for _ in 0..100_000 {
            *issues.entry(shape_of(0, &mut rng)).or_default() += 1;
        }
        let mut sizes: Vec<f64> = issues.into_values().map(f64::from).collect();
        sizes.sort_unstable_by(|one, other| other.total_cmp(one));
        assert_eq!(sizes.len(), ISSUES.0 - 1);
        for n in [2_u8, 3, 10] {
            let (share, expected) = (sizes[usize::from(n) - 1] / sizes[0], (1.0 + 1.0 / f64::from(n)).log2());
            assert!((share / expected - 1.0).abs() < 0.1, "the {n}th has {share}, not {expected}");
        }
    }

    /// What makes two events the same issue: the application's own frames.
    fn own_frames(event: &Value) -> String {
        let exceptions = event["exception"]["values"].as_array().unwrap();
        let frames = exceptions.iter().flat_map(|one| one["stacktrace"]["frames"].as_array().unwrap());
        let own = frames.filter(|frame| frame["in_app"] == true);
        own.map(|frame| format!("{} {}", frame["module"], frame["function"])).collect::<Vec<_>>().join(";")
    }
}
