//! How the value of a key is read and shown.

use std::fmt::Display;
use std::net::SocketAddr;

use super::keys::{Field, unwrapped};
use super::units::{parse_duration, parse_size, show_duration, show_size};
use super::{LogFormat, RouteSource, Secret};

fn size(text: &str) -> Result<usize, String> {
    let too_large = |_| format!("size `{text}` too large, limit {} bytes", usize::MAX);
    usize::try_from(parse_size(text)?).map_err(too_large)
}

fn number<T: TryFrom<u64> + Display>(text: &str, most: T) -> Result<T, String> {
    let number: u64 = text
        .parse()
        .map_err(|_| format!("invalid number `{text}`, expected a whole number"))?;
    T::try_from(number).map_err(|_| format!("number {text} too large, limit {most}"))
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let wrong =
        |_| format!("invalid socket address `{text}`, expected e.g. 0.0.0.0:7000 or [::]:7000");
    text.parse().map_err(wrong)
}

fn shown<T: ToString>(value: &Option<T>) -> String {
    value.as_ref().map(T::to_string).unwrap_or_default()
}

impl Field<'_> {
    /// Sets the field from its text.
    ///
    /// # Errors
    /// The text is not a valid value; the message quotes it.
    pub fn set(self, text: &str) -> Result<(), String> {
        match self {
            Field::Count(field) => *field = number(text, usize::MAX)?,
            Field::Small(field) => *field = number(text, u8::MAX)?,
            Field::Size(field) => *field = size(text)?,
            Field::OptionalSize(field) => {
                *field = (!text.is_empty()).then(|| size(text)).transpose()?;
            }
            Field::OptionalCount(field) => {
                let count = || number(text, usize::MAX);
                *field = (!text.is_empty()).then(count).transpose()?;
            }
            Field::Size32(field) => {
                *field = u32::try_from(parse_size(text)?)
                    .map_err(|_| format!("size `{text}` too large, limit {} bytes", u32::MAX))?;
            }
            Field::Duration(field) => *field = parse_duration(text)?,
            Field::Flag(field) => {
                *field = text
                    .parse()
                    .map_err(|_| format!("invalid boolean `{text}`, expected true or false"))?;
            }
            Field::Text(field) => *field = text.to_owned(),
            Field::Path(field) => *field = text.into(),
            Field::Address(field) => *field = address(text)?,
            Field::OptionalAddress(field) => {
                *field = (!text.is_empty()).then(|| address(text)).transpose()?;
            }
            Field::OptionalHostPort(field) => {
                *field = (!text.is_empty()).then(|| text.parse()).transpose()?;
            }
            Field::Secret(field) => *field = Some(Secret::new(unwrapped(text).to_owned())),
            Field::Secrets(field) => {
                let entries = unwrapped(text).split(',').map(str::trim);
                let entries = entries.filter(|entry| !entry.is_empty());
                *field = entries.map(|entry| Secret::new(entry.to_owned())).collect();
            }
            Field::OptionalText(field) => {
                *field = (!text.is_empty()).then(|| text.to_owned());
            }
            Field::OptionalPath(field) => *field = (!text.is_empty()).then(|| text.into()),
            Field::Paths(field) => {
                let Ok(paths) = text.parse();
                *field = paths;
            }
            Field::RedisUrl(field) => *field = text.parse()?,
            Field::Source(field) => {
                *field = match text {
                    "file" => RouteSource::File,
                    "redis" => RouteSource::Redis,
                    _ => return Err(format!("`{text}` is neither `file` nor `redis`")),
                };
            }
            Field::Format(field) => {
                *field = match text {
                    "text" => LogFormat::Text,
                    "json" => LogFormat::Json,
                    _ => return Err(format!("`{text}` is neither `text` nor `json`")),
                };
            }
            Field::Networks(field) => *field = text.parse()?,
            Field::HostPorts(field) => *field = text.parse()?,
            Field::Origins(field) => *field = text.parse()?,
            Field::OptionalCollector(field) => {
                *field = (!text.is_empty()).then(|| text.parse()).transpose()?;
            }
            Field::Share(field) => *field = text.parse()?,
            Field::Attributes(field) => *field = text.parse()?,
            Field::Tokens(field) => *field = text.parse()?,
        }
        Ok(())
    }

    /// Returns the field's value in the syntax of the documents; secrets and unset values are empty,
    /// and a URL's password is masked.
    pub fn show(self) -> String {
        match self {
            Field::Count(field) => field.to_string(),
            Field::Small(field) => field.to_string(),
            Field::Size(field) => show_size(*field as u64),
            Field::Size32(field) => show_size(u64::from(*field)),
            Field::OptionalSize(field) => field.map_or_else(String::new, |n| show_size(n as u64)),
            Field::OptionalCount(field) => shown(field),
            Field::Duration(field) => show_duration(*field),
            Field::Flag(field) => field.to_string(),
            Field::Text(field) => field.clone(),
            Field::Path(field) => field.display().to_string(),
            Field::Address(field) => field.to_string(),
            Field::Secret(_) | Field::Secrets(_) => String::new(),
            Field::OptionalText(field) => shown(field),
            Field::OptionalAddress(field) => shown(field),
            Field::OptionalHostPort(field) => shown(field),
            Field::OptionalPath(field) => match field {
                Some(path) => path.display().to_string(),
                None => String::new(),
            },
            Field::Paths(field) => field.to_string(),
            Field::RedisUrl(field) => field.to_string(),
            Field::Source(RouteSource::File) => "file".to_owned(),
            Field::Source(RouteSource::Redis) => "redis".to_owned(),
            Field::Format(LogFormat::Text) => "text".to_owned(),
            Field::Format(LogFormat::Json) => "json".to_owned(),
            Field::Networks(field) => field.to_string(),
            Field::HostPorts(field) => field.to_string(),
            Field::Origins(field) => field.to_string(),
            Field::OptionalCollector(field) => shown(field),
            Field::Share(field) => field.to_string(),
            Field::Attributes(field) => field.to_string(),
            Field::Tokens(field) => field.to_string(),
        }
    }

    /// Returns true if TOML may write the value as a number.
    pub fn is_number(&self) -> bool {
        matches!(
            self,
            Field::Count(_)
                | Field::Small(_)
                | Field::Size(_)
                | Field::Size32(_)
                | Field::OptionalSize(_)
                | Field::OptionalCount(_)
                | Field::Share(_)
        )
    }
}
