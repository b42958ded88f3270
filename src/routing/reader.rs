//! Reads JSON step by step and remembers where everything stood, so that each mistake can be named
//! with its path and line, and all of them at once.

use std::collections::HashMap;
use std::fmt;
use std::ops::RangeInclusive;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::rules::Mistake;

/// Most characters of a wrong value that a message quotes.
const MAX_QUOTED_CHARS: usize = 80;

/// A value that is valid JSON and not interpreted yet.
#[derive(Clone)]
pub(super) struct Value<'a> {
    /// Its path.
    at: String,
    /// A slice of the reader's text; that is how its line is found.
    raw: &'a RawValue,
}

impl<'a> Value<'a> {
    /// Returns the kind of value, for messages.
    fn kind(&self) -> &'static str {
        match self.raw.get().as_bytes().first() {
            Some(b'{') => "an object",
            Some(b'[') => "a list",
            Some(b'"') => "a string",
            Some(b't' | b'f') => "true or false",
            Some(b'n') => "null",
            _ => "a number",
        }
    }

    /// Returns the value where it is a `T` without any mistake; why not is for the reader to find.
    pub(super) fn plainly<T: Deserialize<'a>>(&self) -> Option<T> {
        serde_json::from_str(self.raw.get()).ok()
    }

    pub(super) fn is_object(&self) -> bool {
        self.raw.get().starts_with('{')
    }

    pub(super) fn is_string(&self) -> bool {
        self.raw.get().starts_with('"')
    }
}

/// An object's members with their keys, named once or more, in the order of the text.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

/// Mistakes of one document that are named; the others are counted.
pub(super) const MAX_MISTAKES: usize = 1_000;

/// Adds a mistake, if there is room for it.
pub(super) fn note(mistakes: &mut Vec<Mistake>, more: &mut usize, mistake: Mistake) {
    if mistakes.len() < MAX_MISTAKES {
        mistakes.push(mistake);
    } else {
        *more += 1;
    }
}

/// Says how many mistakes there was no room for.
pub(super) fn conclude(mistakes: &mut Vec<Mistake>, more: usize) {
    if more > 0 {
        mistakes.push(Mistake {
            at: String::new(),
            line: None,
            message: format!("and {more} more"),
        });
    }
}

/// A text, and the mistakes and warnings that were found in it.
pub(super) struct Reader<'a> {
    text: &'a str,
    /// The offset of the first byte of each line but the first.
    line_starts: Vec<usize>,
    mistakes: Vec<Mistake>,
    more_mistakes: usize,
    warnings: Vec<Mistake>,
    more_warnings: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str) -> Reader<'a> {
        Reader {
            text,
            line_starts: text.match_indices('\n').map(|(at, _)| at + 1).collect(),
            mistakes: Vec::new(),
            more_mistakes: 0,
            warnings: Vec::new(),
            more_warnings: 0,
        }
    }

    /// Returns the warnings.
    ///
    /// # Errors
    /// All mistakes.
    pub(super) fn finish(mut self) -> Result<Vec<Mistake>, Vec<Mistake>> {
        conclude(&mut self.mistakes, self.more_mistakes);
        conclude(&mut self.warnings, self.more_warnings);
        if self.mistakes.is_empty() {
            Ok(self.warnings)
        } else {
            Err(self.mistakes)
        }
    }

    /// Returns the whole text as one value with the path `at`; none if it is not JSON.
    pub(super) fn document(&mut self, at: &str) -> Option<Value<'a>> {
        // Some editors put a byte order mark in front.
        let text = self.text.strip_prefix('\u{feff}').unwrap_or(self.text);
        match serde_json::from_str(text) {
            Ok(raw) => Some(Value {
                at: at.to_owned(),
                raw,
            }),
            Err(error) => {
                self.note(Mistake {
                    at: at.to_owned(),
                    line: Some(error.line().max(1)),
                    message: format!("invalid JSON: {}", without_place(&error)),
                });
                None
            }
        }
    }

    fn line(&self, value: &Value<'a>) -> usize {
        let start = value.raw.get().as_ptr() as usize;
        let offset = start.saturating_sub(self.text.as_ptr() as usize);
        self.line_starts.partition_point(|&first| first <= offset) + 1
    }

    fn note(&mut self, mistake: Mistake) {
        note(&mut self.mistakes, &mut self.more_mistakes, mistake);
    }

    /// Records a mistake in this value.
    pub(super) fn mistake(&mut self, value: &Value<'a>, message: impl Into<String>) {
        self.note(Mistake {
            at: value.at.clone(),
            line: Some(self.line(value)),
            message: message.into(),
        });
    }

    /// Records that a member of this object is missing.
    pub(super) fn missing(&mut self, object: &Value<'a>, name: &str, message: impl Into<String>) {
        self.note(Mistake {
            at: member_path(&object.at, name),
            line: Some(self.line(object)),
            message: message.into(),
        });
    }

    /// Warns that this member is not known here.
    pub(super) fn unknown(&mut self, value: &Value<'a>) {
        self.warn(value, "unknown member, ignored");
    }

    /// Records a warning about this value.
    pub(super) fn warn(&mut self, value: &Value<'a>, message: impl Into<String>) {
        let warning = Mistake {
            at: value.at.clone(),
            line: Some(self.line(value)),
            message: message.into(),
        };
        note(&mut self.warnings, &mut self.more_warnings, warning);
    }

    /// Returns the members of an object; a second one of the same name is a mistake and left out.
    pub(super) fn object(&mut self, value: &Value<'a>) -> Option<Vec<(String, Value<'a>)>> {
        let Members(raw) = self.read(value, "an object", b'{')?;
        let mut first_lines: HashMap<String, usize> = HashMap::with_capacity(raw.len());
        let mut members = Vec::with_capacity(raw.len());
        for (name, raw) in raw {
            let at = member_path(&value.at, &name);
            let member = Value { at, raw };
            if let Some(first) = first_lines.get(&name) {
                let message = format!("duplicate key, first on line {first}");
                self.mistake(&member, message);
                continue;
            }
            first_lines.insert(name.clone(), self.line(&member));
            members.push((name, member));
        }
        Some(members)
    }

    /// Returns the elements of a list.
    pub(super) fn list(&mut self, value: &Value<'a>) -> Option<Vec<Value<'a>>> {
        let raw: Vec<&'a RawValue> = self.read(value, "a list", b'[')?;
        let element = |(index, raw)| Value {
            at: format!("{}[{index}]", value.at),
            raw,
        };
        Some(raw.into_iter().enumerate().map(element).collect())
    }

    pub(super) fn string(&mut self, value: &Value<'a>) -> Option<String> {
        self.read(value, "a string", b'"')
    }

    pub(super) fn boolean(&mut self, value: &Value<'a>) -> Option<bool> {
        match value.raw.get() {
            "true" => Some(true),
            "false" => Some(false),
            _ => self.wrong_kind(value, "true or false"),
        }
    }

    /// Returns a whole number within the range, without fraction and exponent.
    pub(super) fn number(&mut self, value: &Value<'a>, range: RangeInclusive<u32>) -> Option<u32> {
        let text = value.raw.get();
        if value.kind() != "a number" {
            return self.wrong_kind(value, "a number");
        }
        match text.parse() {
            Ok(number) if range.contains(&number) => return Some(number),
            _ => {}
        }
        let must = if text.contains(['.', 'e', 'E']) {
            "a whole number".to_owned()
        } else {
            format!("{} to {}", range.start(), range.end())
        };
        self.mistake(value, format!("must be {must}, not {}", quoted(text)));
        None
    }

    /// Returns the choice of this name.
    pub(super) fn choice<T: Copy>(&mut self, value: &Value<'a>, named: &[(&str, T)]) -> Option<T> {
        let text = self.string(value)?;
        let found = named.iter().find(|(name, _)| *name == text);
        if found.is_none() {
            let known: Vec<&str> = named.iter().map(|(name, _)| *name).collect();
            let text = quoted(&format!("{text:?}"));
            let message = format!("must be one of {}, not {text}", known.join(", "));
            self.mistake(value, message);
        }
        found.map(|(_, choice)| *choice)
    }

    /// Records that this value is of the wrong kind; returns none.
    pub(super) fn wrong_kind<T>(&mut self, value: &Value<'a>, expected: &str) -> Option<T> {
        let message = format!("must be {expected}, not {}", value.kind());
        self.mistake(value, message);
        None
    }

    fn read<T: Deserialize<'a>>(
        &mut self,
        value: &Value<'a>,
        expected: &str,
        first: u8,
    ) -> Option<T> {
        if value.raw.get().as_bytes().first() != Some(&first) {
            return self.wrong_kind(value, expected);
        }
        // The syntax was checked; an escape that stands for no character was not.
        match serde_json::from_str(value.raw.get()) {
            Ok(read) => Some(read),
            Err(error) => {
                self.mistake(value, format!("invalid JSON: {}", without_place(&error)));
                None
            }
        }
    }
}

/// Returns serde_json's message without the place, which is reported beside it.
fn without_place(error: &serde_json::Error) -> String {
    let message = error.to_string();
    match message.rsplit_once(" at line ") {
        Some((message, _)) => message.to_owned(),
        None => message,
    }
}

/// Returns the path of a member. A name with unusual characters is quoted.
pub(super) fn member_path(object: &str, name: &str) -> String {
    let usual = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let name = if !name.is_empty() && name.chars().all(usual) {
        quoted(name)
    } else {
        quoted(&format!("{name:?}"))
    };
    if object.is_empty() {
        name
    } else {
        format!("{object}.{name}")
    }
}

/// Returns foreign text for a message, cut if it is long.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTED_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
