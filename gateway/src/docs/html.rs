//! Writing HTML: everything that is not known to be HTML is escaped.

/// A piece of HTML that grows.
#[derive(Default)]
pub(super) struct Html(String);

impl Html {
    /// Adds HTML.
    pub(super) fn raw(&mut self, html: &str) -> &mut Self {
        self.0.push_str(html);
        self
    }

    /// Adds text.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                c => self.0.push(c),
            }
        }
        self
    }

    /// Adds text as code.
    pub(super) fn code(&mut self, text: &str) -> &mut Self {
        self.raw("<code>").text(text).raw("</code>")
    }

    /// All of it.
    pub(super) fn finish(self) -> String {
        self.0
    }
}

/// As much of Markdown as descriptions have: paragraphs, lists, `code` and **strong** words.
pub(super) fn markdown(text: &str) -> String {
    let mut html = Html::default();
    for paragraph in text.split("\n\n").map(str::trim).filter(|paragraph| !paragraph.is_empty()) {
        let (mut open, mut close) = ("<p>", "</p>\n");
        for line in paragraph.lines() {
            if let Some(item) = line.strip_prefix("- ") {
                html.raw(if close == "</ul>\n" {
                    ""
                } else if open.is_empty() {
                    "</p>\n<ul>"
                } else {
                    "<ul>"
                });
                html.raw("<li>");
                inline(&mut html, item);
                html.raw("</li>");
                close = "</ul>\n";
            } else {
                html.raw(open);
                inline(&mut html, line);
                html.raw(" ");
            }
            open = "";
        }
        html.raw(close);
    }
    html.finish()
}

/// One line of it.
pub(super) fn inline(html: &mut Html, text: &str) {
    for (index, part) in text.split('`').enumerate() {
        if index % 2 == 1 {
            html.code(part);
            continue;
        }
        for (index, part) in part.split("**").enumerate() {
            if index % 2 == 1 {
                html.raw("<strong>").text(part).raw("</strong>");
            } else {
                html.text(part);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Html, markdown};

    #[test]
    fn text_is_never_html() {
        let mut html = Html::default();
        html.text("<a href=\"x\">&'").code("<b>");
        assert_eq!(html.finish(), "&lt;a href=&quot;x&quot;&gt;&amp;&#39;<code>&lt;b&gt;</code>");
        assert_eq!(
            markdown("<script>`<b>`**<i>**"),
            "<p>&lt;script&gt;<code>&lt;b&gt;</code><strong>&lt;i&gt;</strong> </p>\n"
        );
    }

    #[test]
    fn paragraphs_and_lists() {
        assert_eq!(markdown("a\nb\n\nc"), "<p>a b </p>\n<p>c </p>\n");
        assert_eq!(markdown("a:\n- b\n- c"), "<p>a: </p>\n<ul><li>b</li><li>c</li></ul>\n");
        assert_eq!(markdown("a:\n\n- b"), "<p>a: </p>\n<ul><li>b</li></ul>\n");
        assert_eq!(markdown(""), "");
    }
}
