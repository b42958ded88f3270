//! `/metrics`: every family, named and described once.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::accept::Form;
use super::families::FAMILIES;
use super::family::{Family, ProcessFigures, Source::*};
use super::service_families::ServiceFigures;
use crate::actors::gateway::StatusSnapshot;
use crate::memory::MemorySnapshot;
use crate::metrics::{HistogramSnapshot, WorkerMetrics};
use crate::supervision::KindSnapshot;

/// The labels of services and endpoints. Prometheus' operator gives targets the labels `service` and `endpoint`, with
/// which these must not collide.
const SERVICE: &str = "service_type";
const ENDPOINT: &str = "endpoint_address";

/// Writes all families in a form that Prometheus reads.
///
/// # Errors
/// Never in practice: the text is written to memory.
pub(super) fn encode(form: Form, figures: Figures) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("game_gateway");
    registry.register_collector(Box::new(figures));
    let mut out = String::new();
    text::encode(&mut out, &registry)?;
    Ok(match form {
        Form::OpenMetrics => out,
        Form::Prometheus => as_prometheus(&out),
    })
}

/// All that the families are made of.
#[derive(Debug)]
pub(super) struct Figures {
    pub(super) gateway_id: String,
    pub(super) workers: Vec<Arc<WorkerMetrics>>,
    /// None where the gateway does not answer.
    pub(super) status: Option<StatusSnapshot>,
    pub(super) kinds: Vec<KindSnapshot>,
    pub(super) process: ProcessFigures,
    pub(super) memory: MemorySnapshot,
    pub(super) services: ServiceFigures,
    /// Times of questions to other gateways, by outcome.
    pub(super) questions: Vec<(&'static str, HistogramSnapshot)>,
}

impl Figures {
    fn sum(&self, read: fn(&WorkerMetrics) -> u64) -> u64 {
        self.workers.iter().map(|worker| read(worker)).sum()
    }

    fn encode_family(&self, family: &Family, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let kind = family.source.metric_type();
        let mut encoder = out.encode_descriptor(family.name, family.help, None, kind)?;
        match family.source {
            Counter(read) => ConstCounter::new(self.sum(read)).encode(encoder),
            Process(read) => ConstCounter::new(read(&self.process)).encode(encoder),
            ProcessGauge(read) => ConstGauge::new(read(&self.process) as i64).encode(encoder),
            Memory(read) => ConstGauge::new(read(&self.memory) as i64).encode(encoder),
            MemoryParts => self.memory.parts.iter().try_for_each(|(part, bytes)| {
                let labels = [("part", *part)];
                ConstGauge::new(*bytes as i64).encode(encoder.encode_family(&labels)?)
            }),
            Gauge(read) => ConstGauge::new(self.sum(read) as i64).encode(encoder),
            // A gateway that does not answer has no status: better no figure than a stale one.
            Status(read) => self.status.as_ref().map_or(Ok(()), |status| {
                ConstGauge::new(read(status) as i64).encode(encoder)
            }),
            StatusCounter(read) => self.status.as_ref().map_or(Ok(()), |status| {
                ConstCounter::new(read(status)).encode(encoder)
            }),
            KindCounter(read) => self.kinds.iter().try_for_each(|kind| {
                let labels = [("kind", kind.kind.name())];
                ConstCounter::new(read(kind)).encode(encoder.encode_family(&labels)?)
            }),
            KindGauge(read) => self.kinds.iter().try_for_each(|kind| {
                let labels = [("kind", kind.kind.name())];
                ConstGauge::new(read(kind) as i64).encode(encoder.encode_family(&labels)?)
            }),
            KindTiming(read) => self.kinds.iter().try_for_each(|kind| {
                let labels = [("kind", kind.kind.name())];
                encode_histogram(read(kind), encoder.encode_family(&labels)?)
            }),
            MessageSeconds => self.encode_handlers(encoder),
            StatusReasons(read) => {
                for (reason, n) in self.status.iter().flat_map(read) {
                    let labels = [("reason", reason)];
                    ConstCounter::new(n).encode(encoder.encode_family(&labels)?)?;
                }
                Ok(())
            }
            Labelled(label, read) => self.encode_labelled(label, read, encoder),
            OsCounter(read) => match read(&self.process.os) {
                Some(value) => ConstCounter::new(value).encode(encoder),
                None => Ok(()),
            },
            OsGauge(read) => match read(&self.process.os) {
                Some(value) => ConstGauge::new(value).encode(encoder),
                None => Ok(()),
            },
            QuestionTimings => self.questions.iter().try_for_each(|(outcome, times)| {
                let labels = [("outcome", *outcome)];
                encode_histogram(times, encoder.encode_family(&labels)?)
            }),
            Timing(_) | TimingByWorker(_) | Timed(..) => self.encode_timing(family, encoder),
            LinkTotal(_) | ServiceCounter(_) | ServiceTiming(_) | ServiceSessions
            | EndpointGauge(_) | EndpointStates(_) => self.encode_service(family, encoder),
        }
    }

    fn encode_service(&self, family: &Family, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let mut services = self.services.services.iter();
        let mut endpoints = self.services.endpoints.iter();
        match family.source {
            LinkTotal(read) => {
                let sum: u64 = services.map(|(_, sums)| read(sums)).sum();
                ConstCounter::new(sum).encode(encoder)
            }
            ServiceCounter(read) => services.try_for_each(|(name, sums)| {
                let labels = [(SERVICE, &**name)];
                ConstCounter::new(read(sums)).encode(encoder.encode_family(&labels)?)
            }),
            ServiceTiming(read) => services.try_for_each(|(name, sums)| {
                let labels = [(SERVICE, &**name)];
                encode_histogram(read(sums), encoder.encode_family(&labels)?)
            }),
            ServiceSessions => {
                let mut each = services.zip(&self.services.sessions);
                each.try_for_each(|((name, _), sessions)| {
                    let labels = [(SERVICE, &**name)];
                    ConstGauge::new(*sessions as i64).encode(encoder.encode_family(&labels)?)
                })
            }
            EndpointGauge(read) => endpoints.try_for_each(|its| match read(its) {
                Some(value) => {
                    let labels = [(SERVICE, &*its.service), (ENDPOINT, &*its.endpoint)];
                    ConstGauge::new(value).encode(encoder.encode_family(&labels)?)
                }
                None => Ok(()),
            }),
            EndpointStates(read) => endpoints.try_for_each(|its| {
                read(its).iter().try_for_each(|(state, n)| {
                    let (service, endpoint) = (&*its.service, &*its.endpoint);
                    let labels = [(SERVICE, service), (ENDPOINT, endpoint), ("state", *state)];
                    ConstGauge::new(*n as i64).encode(encoder.encode_family(&labels)?)
                })
            }),
            _ => Ok(()), // encode_family has the others.
        }
    }

    fn encode_labelled(
        &self,
        label: &'static str,
        read: fn(&WorkerMetrics) -> Vec<(String, u64)>,
        mut encoder: MetricEncoder<'_>,
    ) -> fmt::Result {
        let mut sums: Vec<(String, u64)> = Vec::new();
        for (value, n) in self.workers.iter().flat_map(|worker| read(worker)) {
            match sums.iter_mut().find(|(known, _)| *known == value) {
                Some((_, sum)) => *sum += n,
                None => sums.push((value, n)),
            }
        }
        for (value, sum) in sums {
            let labels = [(label, value.as_str())];
            ConstCounter::new(sum).encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn encode_handlers(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for kind in &self.kinds {
            for times in &kind.handlers {
                let labels = [("kind", kind.kind.name()), ("message", times.message)];
                let seconds = ConstCounter::new(times.busy_seconds);
                seconds.encode(encoder.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn encode_timing(&self, family: &Family, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        match family.source {
            Timing(read) => {
                let workers = self.workers.iter();
                encode_histogram(&workers.map(|worker| read(worker)).collect(), encoder)
            }
            TimingByWorker(read) => {
                let mut workers = self.workers.iter().enumerate();
                workers.try_for_each(|(number, worker)| {
                    let labels = [("worker", number)];
                    let histogram = [read(worker)].into_iter().collect();
                    encode_histogram(&histogram, encoder.encode_family(&labels)?)
                })
            }
            Timed(label, read) => {
                let mut sums: Vec<(&'static str, HistogramSnapshot)> = Vec::new();
                for worker in &self.workers {
                    for (at, (value, histogram)) in read(worker).into_iter().enumerate() {
                        if at == sums.len() {
                            sums.push((value, HistogramSnapshot::default()));
                        }
                        sums[at].1.add(histogram);
                    }
                }
                sums.iter().try_for_each(|(value, sum)| {
                    encode_histogram(sum, encoder.encode_family(&[(label, *value)])?)
                })
            }
            _ => Ok(()), // encode_family has the others.
        }
    }
}

fn encode_histogram(sum: &HistogramSnapshot, mut encoder: MetricEncoder<'_>) -> fmt::Result {
    let (seconds, count) = (sum.sum_seconds(), sum.count());
    encoder.encode_histogram::<NoLabelSet>(seconds, count, &sum.buckets(), None)
}

/// Turns OpenMetrics text into Prometheus' own, where a counter's family has the name of its samples.
fn as_prometheus(open_metrics: &str) -> String {
    let mut out = String::with_capacity(open_metrics.len());
    let mut help: Option<(&str, &str)> = None;
    for line in open_metrics.lines() {
        let words = |prefix| {
            line.strip_prefix(prefix)
                .and_then(|rest: &str| rest.split_once(' '))
        };
        if let Some((name, text)) = words("# TYPE ") {
            let suffix = if text == "counter" { "_total" } else { "" };
            // HELP comes first, but only the type tells the name.
            if let Some((_, help)) = help.take().filter(|(of, _)| *of == name) {
                out.push_str(&format!("# HELP {name}{suffix} {help}\n"));
            }
            out.push_str(&format!("# TYPE {name}{suffix} {text}\n"));
        } else if let Some(words) = words("# HELP ") {
            help = Some(words);
        } else if !line.starts_with('#') {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

impl Collector for Figures {
    fn encode(&self, mut out: DescriptorEncoder<'_>) -> fmt::Result {
        for family in &FAMILIES {
            self.encode_family(family, &mut out)?;
        }
        let help = "Always 1; the labels say what runs";
        let mut encoder = out.encode_descriptor("build_info", help, None, MetricType::Gauge)?;
        let labels = [
            ("version", env!("CARGO_PKG_VERSION")),
            ("gateway_id", self.gateway_id.as_str()),
        ];
        ConstGauge::new(1_i64).encode(encoder.encode_family(&labels)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::Label;
    use crate::metrics::DropReason;
    use crate::session::closing::ClosingLabel;

    #[test]
    fn the_document_has_every_family_and_reason() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
        let document = std::fs::read_to_string(path).unwrap();
        for family in &FAMILIES {
            let total = match family.source.metric_type() {
                MetricType::Counter => "_total",
                _ => "",
            };
            let name = format!("| `game_gateway_{}{total}` |", family.name);
            assert!(document.contains(&name), "{name}");
            assert!(document.contains(family.help), "{}", family.help);
        }
        for reason in ClosingLabel::ALL.iter().map(|label| label.label()) {
            assert!(document.contains(&format!("`{reason}`")), "{reason}");
        }
    }

    #[test]
    fn prometheus_names_families_of_counters_by_their_samples() {
        let open = "# HELP a Of a.\n# TYPE a counter\na_total{b=\"# \"} 1\n# HELP c Of c.\n\
                    # TYPE c gauge\n# UNIT c seconds\nc 2\n# EOF\n";
        let text = "# HELP a_total Of a.\n# TYPE a_total counter\na_total{b=\"# \"} 1\n\
                    # HELP c Of c.\n# TYPE c gauge\nc 2\n";
        assert_eq!(as_prometheus(open), text);
    }

    #[test]
    fn labels_are_summed_over_the_workers() {
        let workers = [Arc::default(), Arc::<WorkerMetrics>::default()];
        for worker in &workers {
            worker.dropped.add(DropReason::LinkGone, 2);
            worker.accepted.one();
        }
        let memory = crate::memory::MemoryBudget::new(1, 1).snapshot();
        let figures = Figures {
            gateway_id: "one".to_owned(),
            workers: workers.to_vec(),
            status: None,
            kinds: Vec::new(),
            process: ProcessFigures::default(),
            memory,
            services: ServiceFigures::default(),
            questions: Vec::new(),
        };
        let text = encode(Form::Prometheus, figures).unwrap();
        assert!(
            text.contains("game_gateway_dropped_frames_total{reason=\"link_gone\"} 4\n"),
            "{text}"
        );
        assert!(
            text.contains("game_gateway_accepted_connections_total 2\n"),
            "{text}"
        );
        assert!(
            !text.contains("\ngame_gateway_connections "),
            "no status, no figure"
        );
    }
}
