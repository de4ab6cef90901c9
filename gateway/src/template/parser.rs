//! Reading path templates: a method for each rule of the grammar.

use super::{Segment, Variable, decode};

/// Reads one template.
pub(super) struct Parser<'a> {
    text: &'a str,
    /// How far it has been read, in bytes.
    pub(super) at: usize,
    pub(super) segments: Vec<Segment>,
    pub(super) variables: Vec<Variable>,
}

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0, segments: Vec::new(), variables: Vec::new() }
    }

    /// Reads the whole, and gives the verb. The error says what is wrong at the byte that has been reached.
    pub(super) fn template(&mut self) -> Result<Option<String>, &'static str> {
        self.expect('/', "a template begins with `/`")?;
        self.segments(true)?;
        let verb = if self.take(':') { Some(self.literal()?.to_owned()) } else { None };
        if self.at != self.text.len() {
            return Err("the template should end here, or go on with `/`, or with `:` and a verb");
        }
        if let Some(rest) = self.segments.iter().position(|segment| *segment == Segment::Rest)
            && rest + 1 != self.segments.len()
        {
            return Err("`**` takes all that follows: nothing but a verb may stand behind it");
        }
        Ok(verb)
    }

    fn segments(&mut self, variables_allowed: bool) -> Result<(), &'static str> {
        loop {
            match self.peek() {
                Some('{') if variables_allowed => self.variable()?,
                Some('{') => return Err("a variable must not hold another variable"),
                Some('*') => {
                    self.at += 1;
                    let segment = if self.take('*') { Segment::Rest } else { Segment::One };
                    self.segments.push(segment);
                }
                _ => {
                    let literal = self.literal()?;
                    let literal =
                        decode(literal).ok_or("a literal must be UTF-8 when it is percent-decoded")?;
                    self.segments.push(Segment::Literal(literal));
                }
            }
            if !self.take('/') {
                return Ok(());
            }
        }
    }

    fn variable(&mut self) -> Result<(), &'static str> {
        self.expect('{', "a variable begins with `{`")?;
        let field = self.field_path()?;
        if self.variables.iter().any(|variable| variable.field == field) {
            return Err("the field is bound twice");
        }
        let start = self.segments.len();
        if self.take('=') {
            self.segments(false)?;
        } else {
            self.segments.push(Segment::One);
        }
        self.expect('}', "the variable should end here with `}`")?;
        let takes_rest = self.segments.last() == Some(&Segment::Rest);
        self.variables.push(Variable {
            field: field.to_owned(),
            segments: start..self.segments.len(),
            takes_rest,
        });
        Ok(())
    }

    fn field_path(&mut self) -> Result<&'a str, &'static str> {
        let path = self.take_while(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.');
        let named = |name: &str| name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if path.split('.').all(named) { Ok(path) } else { Err("a field's path should stand here") }
    }

    fn literal(&mut self) -> Result<&'a str, &'static str> {
        let literal = self.take_while(|c| c.is_ascii_alphanumeric() || "-._~%!$&'()+,;=@".contains(c));
        if literal.is_empty() { Err("a segment should stand here") } else { Ok(literal) }
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn take(&mut self, c: char) -> bool {
        let found = self.peek() == Some(c);
        if found {
            self.at += c.len_utf8();
        }
        found
    }

    fn expect(&mut self, c: char, otherwise: &'static str) -> Result<(), &'static str> {
        if self.take(c) { Ok(()) } else { Err(otherwise) }
    }

    fn take_while(&mut self, allowed: impl Fn(char) -> bool) -> &'a str {
        let rest = &self.text[self.at..];
        let taken = &rest[..rest.find(|c| !allowed(c)).unwrap_or(rest.len())];
        self.at += taken.len();
        taken
    }
}
