//! Arguments with units.

use std::time::Duration;

/// Reads a duration: a number with `ms`, `s` or `m`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: f64 = digits.parse().map_err(|_| expected(text))?;
    let seconds = match &text[digits.len()..] {
        "ms" => number / 1e3,
        "s" => number,
        "m" => number * 60.0,
        _ => return Err(expected(text)),
    };
    Duration::try_from_secs_f64(seconds).map_err(|_| expected(text))
}

fn expected(text: &str) -> String {
    format!("{text:?} is not a duration such as 500ms, 10s or 5m")
}

/// Reads a rate above 0: a number of things a second, with or without `/s`.
pub(super) fn per_second(text: &str) -> Result<f64, String> {
    match text.strip_suffix("/s").unwrap_or(text).parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(rate),
        _ => Err(format!(
            "{text:?} is not a rate above 0 such as 5000 or 5000/s"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("5m"), Ok(Duration::from_secs(300)));
        for bad in ["", "5", "s", "5h", "-1s", "5 s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn rates() {
        assert_eq!(per_second("1000/s"), Ok(1000.0));
        assert_eq!(per_second("0.5"), Ok(0.5));
        for bad in ["", "0", "-1", "inf", "5/m"] {
            assert!(per_second(bad).is_err(), "{bad}");
        }
    }
}
