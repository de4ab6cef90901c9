//! What serde's maps let pass and a typed request should not: a key given twice, and nesting that no protobuf
//! library reads.

use std::{collections::HashSet, fmt};

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// How deep messages and free-form JSON may be nested. A level takes up to three of the hundred that protobuf
/// libraries read.
pub(crate) const MAX_DEPTH: usize = 30;

/// Says what is wrong with `json` as the rest of a sentence, if something is.
pub(crate) fn check(json: &RawValue) -> Result<(), String> {
    if !json.get().starts_with(['{', '[']) {
        return Ok(());
    }
    let mut wrong = None;
    match (Walk { depth: 0, wrong: &mut wrong }).deserialize(json) {
        Ok(()) => Ok(()),
        Err(error) => Err(wrong.unwrap_or_else(|| format!("is not valid: {error}"))),
    }
}

struct Walk<'a> {
    depth: usize,
    wrong: &'a mut Option<String>,
}

impl Walk<'_> {
    fn deeper<E: serde::de::Error>(&mut self) -> Result<Walk<'_>, E> {
        let depth = self.depth + 1;
        if depth > MAX_DEPTH {
            return Err(self.refuse(format!("is nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(Walk { depth, wrong: self.wrong })
    }

    fn refuse<E: serde::de::Error>(&mut self, why: String) -> E {
        *self.wrong = Some(why);
        E::custom("refused")
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
        while elements.next_element_seed(self.deeper()?)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            map.next_value_seed(self.deeper()?)?;
            if let Some(key) = seen.replace(key) {
                return Err(self.refuse(format!("has the key {key:?} twice")));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    fn checked(json: &str) -> Result<(), String> {
        check(serde_json::from_str(json).unwrap())
    }

    #[test]
    fn keys_are_unique_in_each_object() {
        assert_eq!(
            checked(r#"{"a": {"a": [{"a": 1}, {"a": 2.5, "b": null}]}, "b": "x", "c": true}"#),
            Ok(())
        );
        for twice in [r#"{"a": 1, "a": 1}"#, r#"[{"b": {"a": 1, "\u0061": 2}}]"#] {
            assert_eq!(checked(twice), Err(r#"has the key "a" twice"#.to_owned()));
        }
    }

    #[test]
    fn nesting_is_bounded_without_a_large_stack() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert_eq!(checked(&nested(30)), Ok(()));
        for depth in [31, 10_000, 500_000] {
            assert_eq!(checked(&nested(depth)), Err("is nested deeper than 30 levels".to_owned()));
        }
    }

    #[test]
    fn a_number_beyond_all_numbers_is_refused() {
        assert!(checked("[1e400]").unwrap_err().contains("number out of range"));
    }
}
