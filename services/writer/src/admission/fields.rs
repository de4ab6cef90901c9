//! The fields of Sentry's event payload that Mesher reads, as its "Event Payloads" documentation describes them
//! and as SDKs old and new send them.

use std::{borrow::Cow, collections::BTreeMap};

use chrono::{DateTime, NaiveDateTime, SubsecRound as _, Utc};
use mesher_common::{id::EventId, level::Level, status::Violation};

use super::{
    json::{Json, Object},
    shape::{json, json_without_nul, scalar, text},
    template,
};
use crate::event::Fields;

/// The most characters of a message or an exception's value in their columns: plenty for a list, of which a page of a
/// thousand events must stay well below the 16 MiB that the gateway takes. The payload keeps all.
pub(super) const MAX_TEXT: usize = 2000;
/// The most bytes of the JSON text of `user` in its column, for the same reason; the payload keeps all.
const MAX_USER_BYTES: usize = 8 * 1024;
/// What the column keeps of a larger `user`, each cut to [`MAX_SHORT`] characters, where it is a text, number or boolean.
const USER_MEMBERS: [&str; 5] = ["id", "email", "username", "ip_address", "name"];
/// The most characters of a name or version in its column.
const MAX_SHORT: usize = 200;
/// The most tags in their column, and the most characters in a tag's name or value: Sentry's own limits.
const MAX_TAGS: usize = 200;
const MAX_TAG: usize = 200;

/// The id that the sender gave, if it gave one.
pub(super) fn event_id(event: &Object<'_>) -> Result<Option<EventId>, Violation> {
    match present(event, "event_id") {
        None => Ok(None),
        Some(Json::Text(id)) => EventId::parse("event_id", id).map(Some),
        Some(other) => Err(unexpected("event_id", "a string of 32 hex digits", other)),
    }
}

/// Everything that is read of the payload, which has these `exceptions`.
pub(super) fn read<'a>(
    event: &'a Object<'_>,
    exceptions: &[&'a Object<'_>],
    now: DateTime<Utc>,
) -> Result<Fields<'a>, Violation> {
    let message = message(event)?;
    let says_something = message.is_some()
        || !exceptions.is_empty()
        || present(event, "stacktrace").is_some()
        || present(event, "threads").is_some();
    if !says_something {
        return Err(Violation::new(
            "message",
            "is missing, and so are logentry, exception, stacktrace and threads: the event says nothing",
        ));
    }
    // The last of a chain is the one that was thrown.
    let thrown = |member: &str, limit| {
        exceptions.last().and_then(|thrown| thrown.get(member)).and_then(|value| scalar(value, limit))
    };
    let sdk = object(event, "sdk")?;
    let part = |name: &str| sdk.and_then(|sdk| sdk.get(name)).and_then(|value| scalar(value, MAX_SHORT));
    Ok(Fields {
        occurred_at: timestamp(event, now)?,
        level: level(event)?,
        message,
        exception_type: thrown("type", MAX_SHORT),
        exception_value: thrown("value", MAX_TEXT),
        release: short(event, "release")?,
        environment: short(event, "environment")?,
        sdk_name: part("name"),
        sdk_version: part("version"),
        tags: json(&tags(event)?),
        user: object(event, "user")?.map(user),
    })
}

/// A field that is there; null is as good as absent.
fn present<'a, 'e>(event: &'e Object<'a>, field: &str) -> Option<&'e Json<'a>> {
    event.get(field).filter(|value| !matches!(value, Json::Null))
}

fn unexpected(field: &str, expected: &str, found: &Json<'_>) -> Violation {
    Violation::new(field, format!("must be {expected}, and is {}", found.kind()))
}

fn object<'a, 'e>(event: &'e Object<'a>, field: &str) -> Result<Option<&'e Object<'a>>, Violation> {
    match present(event, field) {
        None => Ok(None),
        Some(Json::Object(object)) => Ok(Some(object)),
        Some(other) => Err(unexpected(field, "an object", other)),
    }
}

fn short<'a>(event: &'a Object<'_>, field: &str) -> Result<Option<Cow<'a, str>>, Violation> {
    present(event, field)
        .map(|value| scalar(value, MAX_SHORT).ok_or_else(|| unexpected(field, "a string", value)))
        .transpose()
        .map(|text| text.filter(|text| !text.is_empty()))
}

/// `message`, a string or an object as `logentry` is; or `logentry`, of which the formatted text is preferred to the one that
/// is made here of its parts.
pub(super) fn message<'a>(event: &'a Object<'_>) -> Result<Option<Cow<'a, str>>, Violation> {
    for field in ["logentry", "message"] {
        let found = match present(event, field) {
            None => None,
            Some(Json::Object(entry)) => {
                let part = |name| entry.get(name).and_then(Json::as_text).filter(|text| !text.is_empty());
                let made = || Some(template::filled(part("message")?, entry.get("params"), MAX_TEXT));
                part("formatted").map(Cow::Borrowed).or_else(made)
            }
            Some(Json::Text(message)) => Some(Cow::Borrowed(message.as_ref())),
            Some(other) => return Err(unexpected(field, "a string or an object", other)),
        };
        match found.filter(|text| !text.is_empty()) {
            Some(Cow::Borrowed(found)) => return Ok(Some(text(found, MAX_TEXT))),
            Some(Cow::Owned(found)) => return Ok(Some(text(&found, MAX_TEXT).into_owned().into())),
            None => {}
        }
    }
    Ok(None)
}

/// `exception`: `{"values": […]}`, a bare list, or a single one. A list is a chain, whose last is the one that was thrown.
pub(super) fn exceptions<'a, 'e>(event: &'e Object<'a>) -> Result<Vec<&'e Object<'a>>, Violation> {
    match present(event, "exception") {
        None => Ok(Vec::new()),
        Some(Json::Array(values)) => Ok(values.iter().filter_map(Json::as_object).collect()),
        Some(Json::Object(one)) => match one.get("values") {
            None => Ok(vec![one]),
            Some(Json::Array(values)) => Ok(values.iter().filter_map(Json::as_object).collect()),
            Some(Json::Null) => Ok(Vec::new()),
            Some(other) => Err(unexpected("exception.values", "an array", other)),
        },
        Some(other) => Err(unexpected("exception", "an object or an array", other)),
    }
}

/// `level`, in any case, by the names that SDKs and loggers use for the five levels, or by the numbers that they have in
/// Python's logging, where others stand between them: the SDKs before Sentry's present ones send those. The present one for
/// Python sends the names that applications give to levels of their own; those that are usual are known.
fn level(event: &Object<'_>) -> Result<Level, Violation> {
    let name = match present(event, "level") {
        None => return Ok(Level::Error),
        Some(Json::Number(number)) => {
            return match number.as_u64() {
                Some(..20) => Ok(Level::Debug),
                Some(20..30) => Ok(Level::Info),
                Some(30..40) => Ok(Level::Warning),
                Some(40..50) => Ok(Level::Error),
                Some(50..) => Ok(Level::Fatal),
                None => Err(unexpected("level", "the name of a level", &Json::Number(number.clone()))),
            };
        }
        Some(Json::Text(name)) => name,
        Some(other) => return Err(unexpected("level", "a string", other)),
    };
    match name.to_ascii_lowercase().as_str() {
        "debug" | "trace" | "verbose" => Ok(Level::Debug),
        "info" | "log" | "notice" | "success" => Ok(Level::Info),
        "warning" | "warn" => Ok(Level::Warning),
        "error" => Ok(Level::Error),
        "fatal" | "critical" | "alert" | "emergency" => Ok(Level::Fatal),
        _ => Err(Violation::new(
            "level",
            format!("must be fatal, error, warning, info or debug, and is {:?}", text(name, 50)),
        )),
    }
}

/// When the year 10,000 begins, in seconds since 1970.
const END_OF_TIME: f64 = 253_402_300_800.0;

/// `timestamp`: RFC 3339, the same without an offset (UTC is meant), or seconds since 1970, with a fraction. What would be after
/// the last year in seconds is in milliseconds, as `Date.now()` gives them.
fn timestamp(event: &Object<'_>, now: DateTime<Utc>) -> Result<DateTime<Utc>, Violation> {
    let wrong = || Violation::new("timestamp", "must be an RFC 3339 time or a number of seconds since 1970");
    let time = match present(event, "timestamp") {
        None => return Ok(now),
        Some(Json::Number(number)) => {
            let number = number.as_f64().ok_or_else(wrong)?;
            let micros = (number * if number < END_OF_TIME { 1e6 } else { 1e3 }).round();
            // What an i64 cannot hold saturates, and is then out of range below.
            #[expect(clippy::cast_possible_truncation, reason = "saturates")]
            DateTime::from_timestamp_micros(micros as i64).ok_or_else(wrong)?
        }
        Some(Json::Text(text)) => {
            let text = text.trim();
            DateTime::parse_from_rfc3339(text)
                .map(|time| time.to_utc())
                .or_else(|_| text.parse::<NaiveDateTime>().map(|time| time.and_utc()))
                .map_err(|_| wrong())?
        }
        Some(_) => return Err(wrong()),
    };
    // PostgreSQL's range ends elsewhere than chrono's; no event happened outside of these.
    let years = 1970..=9999;
    if years.contains(&chrono::Datelike::year(&time)) { Ok(time.trunc_subsecs(6)) } else { Err(wrong()) }
}

/// `user`: as it is, or what tells who it was of one that is too large.
fn user(user: &Object<'_>) -> String {
    let whole = json_without_nul(user);
    if whole.len() <= MAX_USER_BYTES {
        return whole;
    }
    let member = |name: &str| match user.get(name)? {
        Json::Text(string) => Some(Json::Text(text(string, MAX_SHORT))),
        scalar @ (Json::Number(_) | Json::Bool(_)) => Some(scalar.clone()),
        Json::Null | Json::Array(_) | Json::Object(_) => None,
    };
    let members = USER_MEMBERS.iter().filter_map(|name| Some((Cow::Borrowed(*name), member(name)?)));
    json(&members.collect::<Object<'_>>())
}

/// `tags`: an object, or a list of pairs, whose values are texts, numbers or booleans. Entries that are neither
/// are left to the payload.
fn tags<'a>(event: &'a Object<'_>) -> Result<BTreeMap<Cow<'a, str>, Cow<'a, str>>, Violation> {
    let mut tags = BTreeMap::new();
    let mut add = |name: &'a str, value: &'a Json<'_>| {
        if tags.len() < MAX_TAGS
            && let Some(value) = scalar(value, MAX_TAG)
        {
            tags.insert(text(name, MAX_TAG), value);
        }
    };
    match present(event, "tags") {
        None => {}
        Some(Json::Object(fields)) => fields.iter().for_each(|(name, value)| add(name, value)),
        Some(Json::Array(pairs)) => {
            for pair in pairs {
                if let Json::Array(pair) = pair
                    && let [Json::Text(name), value] = pair.as_slice()
                {
                    add(name, value);
                }
            }
        }
        Some(other) => return Err(unexpected("tags", "an object or an array of pairs", other)),
    }
    Ok(tags)
}
