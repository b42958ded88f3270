//! Arguments with units.

/// Reads a rate above 0: a number of things a second, with or without `/s`.
pub(super) fn per_second(text: &str) -> Result<f64, String> {
    match text.strip_suffix("/s").unwrap_or(text).parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(rate),
        _ => Err(format!(
            "invalid rate {text:?}, expected a number above 0, e.g. 5000 or 5000/s"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates() {
        assert_eq!(per_second("1000/s"), Ok(1000.0));
        assert_eq!(per_second("0.5"), Ok(0.5));
        for bad in ["", "0", "-1", "inf", "5/m"] {
            assert!(per_second(bad).is_err(), "{bad}");
        }
    }
}
