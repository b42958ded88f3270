//! What `/metrics` says, as numbers: one look, and what has happened between two.

use std::collections::HashMap;
use std::time::Instant;

/// One look at a gateway's metrics. Series with the same name and labels but one are told apart by it.
#[derive(Debug, Clone)]
pub(super) struct Scrape {
    pub(super) at: Instant,
    /// Name without the program's prefix, its labels, and the value.
    samples: HashMap<String, Vec<(String, f64)>>,
}

impl Scrape {
    /// Reads Prometheus' text. Lines that are none of it are skipped.
    pub(super) fn parse(text: &str, at: Instant) -> Scrape {
        let mut samples: HashMap<String, Vec<(String, f64)>> = HashMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((series, value)) = line.rsplit_once(' ') else {
                continue;
            };
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let name = name.strip_prefix("game_gateway_").unwrap_or(name);
            if let Ok(value) = value.parse() {
                let labels = labels.trim_end_matches('}').to_owned();
                let family = samples.entry(name.to_owned()).or_default();
                family.push((labels, value));
            }
        }
        Scrape { at, samples }
    }

    fn family(&self, name: &str) -> impl Iterator<Item = &(String, f64)> {
        self.samples.get(name).into_iter().flatten()
    }

    /// Returns the sum of a name's series; 0 where there are none.
    pub(super) fn sum(&self, name: &str) -> f64 {
        // Nothing adds up to -0.
        self.family(name).map(|(_, value)| value).sum::<f64>() + 0.0
    }

    /// Returns the sum of the series with this label, such as `reason="idle"`.
    pub(super) fn sum_of(&self, name: &str, label: &str) -> f64 {
        let with = self
            .family(name)
            .filter(|(labels, _)| labels.contains(label));
        with.map(|(_, value)| value).sum::<f64>() + 0.0
    }

    /// Returns the values of a label in the series of a name that are not 0.
    pub(super) fn values(&self, name: &str, label: &str) -> Vec<&str> {
        let start = format!("{label}=\"");
        let there = self.family(name).filter(|(_, value)| *value > 0.0);
        there
            .filter_map(|(labels, _)| labels.split_once(&start)?.1.split('"').next())
            .collect()
    }

    /// Returns how much a counter has grown a second since `before`. A gateway that was started again has begun at 0.
    pub(super) fn rate(&self, before: &Scrape, name: &str) -> f64 {
        let seconds = self.at.saturating_duration_since(before.at).as_secs_f64();
        match seconds > 0.0 {
            true => (self.sum(name) - before.sum(name)).max(0.0) / seconds,
            false => 0.0,
        }
    }

    /// Returns the histogram of what has come since `before`, over all series with this label (all of them if empty).
    pub(super) fn histogram(&self, before: &Scrape, name: &str, label: &str) -> Histogram {
        let buckets = self.buckets(name, label);
        let old = before.buckets(name, label);
        let mut counts: Vec<(f64, f64)> = buckets
            .into_iter()
            .map(|(le, count)| {
                let then = old.iter().find(|(bound, _)| *bound == le);
                (le, (count - then.map_or(0.0, |(_, count)| *count)).max(0.0))
            })
            .collect();
        counts.sort_by(|a, b| a.0.total_cmp(&b.0));
        Histogram { counts }
    }

    fn buckets(&self, name: &str, label: &str) -> Vec<(f64, f64)> {
        let mut sums: Vec<(f64, f64)> = Vec::new();
        for (labels, count) in self.family(&format!("{name}_bucket")) {
            let bound = labels
                .split("le=\"")
                .nth(1)
                .and_then(|le| le.split('"').next());
            let bound = match bound {
                Some("+Inf") => f64::INFINITY,
                Some(text) => match text.parse() {
                    Ok(bound) => bound,
                    Err(_) => continue,
                },
                None => continue,
            };
            if !labels.contains(label) {
                continue;
            }
            match sums.iter_mut().find(|(le, _)| *le == bound) {
                Some((_, sum)) => *sum += count,
                None => sums.push((bound, *count)),
            }
        }
        sums
    }
}

/// Cumulative counts by upper bound in seconds, the smallest first.
#[derive(Debug)]
pub(super) struct Histogram {
    counts: Vec<(f64, f64)>,
}

impl Histogram {
    pub(super) fn count(&self) -> f64 {
        self.counts.last().map_or(0.0, |(_, count)| *count)
    }

    /// Returns the time in seconds that this share of the observations took at most, by the bucket's upper bound;
    /// of the last bucket its lower one.
    pub(super) fn quantile(&self, share: f64) -> Option<f64> {
        let wanted = self.count() * share;
        if self.count() <= 0.0 {
            return None;
        }
        let place = self.counts.iter().position(|(_, count)| *count >= wanted)?;
        let (bound, _) = self.counts[place];
        match (bound.is_finite(), place.checked_sub(1)) {
            (true, _) => Some(bound),
            (false, Some(before)) => Some(self.counts[before].0),
            (false, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const BEFORE: &str = "# TYPE x counter\ngame_gateway_x_total{reason=\"a\"} 2\ngame_gateway_x_total{reason=\"b\"} 5\n\
        game_gateway_t_bucket{way=\"in\",le=\"0.001\"} 0\ngame_gateway_t_bucket{way=\"in\",le=\"+Inf\"} 0\n";
    const AFTER: &str = "game_gateway_x_total{reason=\"a\"} 12\ngame_gateway_x_total{reason=\"b\"} 5\nnonsense\n\
        game_gateway_t_bucket{way=\"in\",le=\"0.001\"} 90\ngame_gateway_t_bucket{way=\"in\",le=\"0.01\"} 99\n\
        game_gateway_t_bucket{way=\"in\",le=\"+Inf\"} 100\ngame_gateway_t_bucket{way=\"out\",le=\"+Inf\"} 7\n";

    fn both() -> (Scrape, Scrape) {
        let now = Instant::now();
        let later = now + Duration::from_secs(2);
        (Scrape::parse(BEFORE, now), Scrape::parse(AFTER, later))
    }

    #[test]
    fn counters_become_rates() {
        let (before, after) = both();
        assert_eq!(after.sum("x_total"), 17.0);
        assert_eq!(after.sum_of("x_total", "reason=\"a\""), 12.0);
        assert_eq!(after.rate(&before, "x_total"), 5.0);
        assert_eq!(after.rate(&before, "absent"), 0.0);
        // Started again meanwhile, or two looks in the same instant.
        assert_eq!(before.rate(&after, "x_total"), 0.0);
        assert_eq!(after.rate(&after, "x_total"), 0.0);
    }

    #[test]
    fn histograms_become_percentiles() {
        let (before, after) = both();
        let times = after.histogram(&before, "t", "way=\"in\"");
        assert_eq!(times.count(), 100.0);
        assert_eq!(times.quantile(0.5), Some(0.001));
        assert_eq!(times.quantile(0.99), Some(0.01));
        assert_eq!(times.quantile(1.0), Some(0.01));
        assert_eq!(after.histogram(&after, "t", "").quantile(0.5), None);
    }
}
