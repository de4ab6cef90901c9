//! The comments of `.proto` files as descriptions in Markdown.

use std::collections::HashMap;

use prost_reflect::{DescriptorPool, FileDescriptor};

/// The comments of an API.
pub(super) struct Comments {
    /// By file and by the place in it.
    texts: HashMap<(String, Vec<i32>), String>,
}

impl Comments {
    /// The comments in `pool`: none where it was made without source information.
    pub(super) fn new(pool: &DescriptorPool) -> Self {
        let json_names: HashMap<String, String> = pool
            .all_messages()
            .flat_map(|message| message.fields().collect::<Vec<_>>())
            .map(|field| (field.name().to_owned(), field.json_name().to_owned()))
            .collect();
        let mut texts = HashMap::new();
        for file in pool.files() {
            let locations =
                file.file_descriptor_proto().source_code_info.iter().flat_map(|info| &info.location);
            for location in locations {
                if let Some(comment) = &location.leading_comments {
                    let text = tidy(comment, &json_names);
                    texts.insert((file.name().to_owned(), location.path.clone()), text);
                }
            }
        }
        Self { texts }
    }

    /// The comment of what is at `path` in `file`; empty without one.
    pub(super) fn of(&self, file: &FileDescriptor, path: &[i32]) -> &str {
        self.texts.get(&(file.name().to_owned(), path.to_vec())).map_or("", String::as_str)
    }
}

/// The first sentence of a text, without its full stop.
pub(super) fn summary(text: &str) -> &str {
    let first = text.lines().next().unwrap_or_default();
    first.split_once(". ").map_or(first, |(sentence, _)| sentence).trim_end_matches('.')
}

/// What comments are in the descriptors, as Markdown: lines are joined into paragraphs, references of the form
/// `[text][name]` are code, and so are names of fields, which are named as they are in JSON.
fn tidy(comment: &str, json_names: &HashMap<String, String>) -> String {
    let mut text = String::new();
    for line in comment.lines() {
        let line = line.strip_prefix(' ').unwrap_or(line).trim_end();
        let apart = line.is_empty() || line.starts_with(['-', '*', ' ', '|']);
        match (text.is_empty() || text.ends_with('\n'), apart) {
            (true, _) => {}
            (false, true) => text.push('\n'),
            (false, false) => text.push(' '),
        }
        text.push_str(line);
        if line.is_empty() {
            text.push('\n');
        }
    }
    let code = |(index, part): (usize, &str)| match json_names.get(part) {
        Some(name) if index % 2 == 1 => name.clone(),
        _ => part.to_owned(),
    };
    let parts: Vec<String> = references(text.trim()).split('`').enumerate().map(code).collect();
    parts.join("`")
}

/// Makes code of references.
fn references(text: &str) -> String {
    let mut rest = text;
    let mut replaced = String::new();
    while let Some((before, link)) = rest.split_once('[') {
        match link.split_once("][").and_then(|(name, link)| Some((name, link.split_once(']')?.1))) {
            Some((name, after)) if !name.contains([']', '\n', '`']) => {
                replaced.extend([before, "`", name, "`"]);
                rest = after;
            }
            _ => {
                replaced.extend([before, "["]);
                rest = link;
            }
        }
    }
    replaced + rest
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::{summary, tidy};

    #[test]
    fn comments_are_markdown() {
        let names = HashMap::from([("page_token".to_owned(), "pageToken".to_owned())]);
        for (comment, expected) in [
            (" One line.\n", "One line."),
            (" Two\n lines.\n", "Two lines."),
            (" One.\n\n Two,\n three.\n", "One.\n\nTwo, three."),
            (" A list:\n - a\n - b\n", "A list:\n- a\n- b"),
            (" The `page_token` and `other_name`.", "The `pageToken` and `other_name`."),
            (" See [HttpRule.body][google.api.HttpRule.body], or [1].", "See `HttpRule.body`, or [1]."),
            ("", ""),
        ] {
            assert_eq!(tidy(comment, &names), expected, "{comment:?}");
        }
        assert_eq!(summary("Gives one. Or none.\n\nMore."), "Gives one");
        assert_eq!(summary("Gives a.b of c."), "Gives a.b of c");
    }
}
