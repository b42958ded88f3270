//! Which of its two forms `/metrics` has, as `Accept` asks (RFC 9110, 12.5.1).

use actix_web::http::header::{self, HeaderMap};

/// Form of the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Prometheus' own text.
    Prometheus,
    OpenMetrics,
}

impl Form {
    /// The media type of an answer in this form.
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Form::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Form::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    fn media_type(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Form::Prometheus => ("text", "plain", "0.0.4"),
            Form::OpenMetrics => ("application", "openmetrics-text", "1.0.0"),
        }
    }

    /// Chooses the form that is asked for. Where both are welcome alike, or neither, it is Prometheus' text, which
    /// is the easier one to read: a scrape is better answered than refused.
    pub(super) fn asked(headers: &HeaderMap) -> Form {
        let values = headers.get_all(header::ACCEPT);
        // What is no ASCII is in no range that counts.
        let values: Vec<_> = values
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
            .collect();
        let ranges: Vec<Range<'_>> = values
            .iter()
            .flat_map(|value| value.split(','))
            .filter_map(Range::parse)
            .collect();
        let weight = |form: Form| {
            let matching = ranges.iter().filter(|range| range.specificity(form) > 0);
            let best = matching.max_by_key(|range| (range.specificity(form), range.weight));
            best.map_or(0, |range| range.weight)
        };
        match weight(Form::OpenMetrics) > weight(Form::Prometheus) {
            true => Form::OpenMetrics,
            false => Form::Prometheus,
        }
    }
}

/// One media range. What is not one is skipped.
struct Range<'a> {
    kind: &'a str,
    subtype: &'a str,
    version: Option<&'a str>,
    /// In thousandths.
    weight: u16,
}

impl<'a> Range<'a> {
    fn parse(text: &'a str) -> Option<Range<'a>> {
        let mut parts = text.split(';').map(str::trim);
        let (kind, subtype) = parts.next()?.split_once('/')?;
        let (mut version, mut weight) = (None, 1000);
        for parameter in parts {
            let (name, value) = parameter.split_once('=')?;
            if name.eq_ignore_ascii_case("q") {
                weight = weight_of(value)?;
            } else if name.eq_ignore_ascii_case("version") {
                version = Some(value.trim_matches('"'));
            }
        }
        Some(Range {
            kind,
            subtype,
            version,
            weight,
        })
    }

    /// Returns how closely it describes a form; 0: it does not.
    fn specificity(&self, form: Form) -> u8 {
        let (kind, subtype, version) = form.media_type();
        let is_kind = self.kind.eq_ignore_ascii_case(kind);
        match (self.kind, self.subtype) {
            ("*", "*") => 1,
            (_, "*") if is_kind => 2,
            (_, its) if is_kind && its.eq_ignore_ascii_case(subtype) => match self.version {
                None => 3,
                Some(its) if its == version => 4,
                Some(_) => 0,
            },
            _ => 0,
        }
    }
}

/// Reads a weight, `0` to `1` with up to three decimals, in thousandths.
fn weight_of(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let digits = decimals.len() <= 3 && decimals.bytes().all(|byte| byte.is_ascii_digit());
    let thousandths: u16 = format!("{decimals:0<3}").parse().ok().filter(|_| digits)?;
    match (whole, thousandths) {
        ("0", _) => Some(thousandths),
        ("1", 0) => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn asked(accept: &[&str]) -> Form {
        let mut headers = HeaderMap::new();
        for value in accept {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            headers.append(header::ACCEPT, value);
        }
        Form::asked(&headers)
    }

    #[test]
    fn the_form_that_is_preferred() {
        let prometheus_2 = "application/openmetrics-text;version=1.0.0;q=0.8,\
            application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
            application/openmetrics-text;version=0.0.1;q=0.4,\
            text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
        for accept in [
            prometheus_2,
            prometheus_3,
            "application/openmetrics-text",
            "APPLICATION/OpenMetrics-Text; Version=\"1.0.0\"",
            "text/plain;q=0.999, application/*",
            // The closer range counts, whatever others say.
            "*/*, text/plain;q=0.1, application/openmetrics-text;q=0.2",
            "text/*;q=0, */*",
        ] {
            assert_eq!(asked(&[accept]), Form::OpenMetrics, "{accept}");
        }
        assert_eq!(
            asked(&["text/plain;q=0.1", "application/openmetrics-text"]),
            Form::OpenMetrics
        );
        for accept in [
            "*/*",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "text/plain;version=0.0.4",
            "application/openmetrics-text;q=0.5, text/plain;q=0.6",
            "application/openmetrics-text, text/plain",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;version=0.0.1",
        ] {
            assert_eq!(asked(&[accept]), Form::Prometheus, "{accept}");
        }
        assert_eq!(asked(&[]), Form::Prometheus);
    }

    #[test]
    fn what_is_no_media_range_is_skipped() {
        for rubbish in [
            "",
            ",",
            ";",
            "/",
            "*",
            "q=1",
            ";q=1",
            "text",
            "a/b/c",
            "*/plain",
            "text/plain;q",
            "application/openmetrics-text;q=2",
            "application/openmetrics-text;q=1.001",
            "application/openmetrics-text;q=0.1234",
            "application/openmetrics-text;q=-1",
            "application/openmetrics-text;q=",
            "application/openmetrics-text;q=0,5",
            "application/openmetrics-text;q=nan",
            "application/openmetrics-text;q=1e0",
            "\u{e9}/\u{e9}",
            "text/\"plain",
        ] {
            assert_eq!(asked(&[rubbish]), Form::Prometheus, "{rubbish:?}");
            let beside = format!("{rubbish}, application/openmetrics-text");
            assert_eq!(asked(&[&beside]), Form::OpenMetrics, "{beside:?}");
        }
    }
}
