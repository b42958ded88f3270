//! Durations and sizes with units.

use std::time::Duration;

/// The longest duration that is taken: the protocol has 32 bits for milliseconds, 49 days.
const MAX_DURATION: Duration = Duration::from_secs(30 * 24 * 3600);

/// The largest size, in bytes; JSON numbers are exact up to here.
const MAX_SIZE: u64 = 1 << 53;

/// Units of time in milliseconds, longest first.
const TIME: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
/// Units of size in bytes, largest first.
const SIZE: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

/// Parses a duration such as `500ms`, `30s`, `5m` or `1h`; `0` needs no unit.
///
/// # Errors
/// The text is not a duration, or over 30 days.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("invalid duration `{text}`, expected e.g. 500ms, 30s, 5m or 1h");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(digits);
    let (_, millis) = TIME
        .iter()
        .find(|(name, _)| *name == unit)
        .ok_or_else(wrong)?;
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let millis = number.checked_mul(*millis).map(Duration::from_millis);
    let duration = millis.filter(|d| *d <= MAX_DURATION);
    duration.ok_or_else(|| format!("duration `{text}` too long, limit 720h (30 days)"))
}

/// Formats a duration so that [`parse_duration`] reads it back, in its largest whole unit.
pub fn show_duration(duration: Duration) -> String {
    let millis = duration.as_millis() as u64;
    let fits = |(_, unit): &&(&str, u64)| millis > 0 && millis.is_multiple_of(*unit);
    match TIME.iter().find(fits) {
        Some((name, unit)) => format!("{}{name}", millis / unit),
        None => "0".to_owned(),
    }
}

/// Parses a size such as `65536`, `64KiB` or `1MiB`, in bytes.
///
/// # Errors
/// The text is not a size, or over 2^53 bytes.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("invalid size `{text}`, expected bytes or e.g. 64KiB, 1MiB");
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let factor = if unit.is_empty() {
        1
    } else {
        SIZE.iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(wrong)?
            .1
    };
    let bytes = number
        .checked_mul(factor)
        .filter(|bytes| *bytes <= MAX_SIZE);
    bytes.ok_or_else(|| format!("size `{text}` too large, limit {MAX_SIZE} bytes"))
}

/// Formats a size so that [`parse_size`] reads it back, in its largest whole unit.
pub fn show_size(bytes: u64) -> String {
    let fits = |(_, unit): &&(&str, u64)| bytes > 0 && bytes.is_multiple_of(*unit);
    match SIZE.iter().find(fits) {
        Some((name, unit)) => format!("{}{name}", bytes / unit),
        None => bytes.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations() {
        let good = [
            ("0", 0),
            ("500ms", 500),
            ("30s", 30_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
        ];
        for (text, millis) in good {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_millis(millis)),
                "{text}"
            );
        }
        for bad in [
            "",
            "5",
            "s",
            "-1s",
            "1.5s",
            "1 s",
            "1d",
            "1S",
            "99999999999999999999s",
            "721h",
        ] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("65536", 65_536),
            ("64KiB", 65_536),
            ("1MiB", 1 << 20),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for bad in ["", "KiB", "-1", "1kb", "1KB", "1.5MiB", "99999999999GiB"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(number in 0_u64..1 << 40) {
            prop_assert_eq!(parse_size(&show_size(number)), Ok(number));
            let duration = Duration::from_millis(number % MAX_DURATION.as_millis() as u64);
            prop_assert_eq!(parse_duration(&show_duration(duration)), Ok(duration));
        }

        #[test]
        fn any_text_never_panics(text in ".{0,20}") {
            let _ = (parse_size(&text), parse_duration(&text));
        }
    }
}
