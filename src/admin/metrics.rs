//! `/metrics`: every family, named and described once.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::families::FAMILIES;
use super::family::{Family, ProcessFigures, Source::*};
use crate::actors::gateway::StatusSnapshot;
use crate::config::Config;
use crate::memory::MemorySnapshot;
use crate::metrics::WorkerMetrics;
use crate::supervision::KindSnapshot;

/// Writes all families as OpenMetrics text, which Prometheus reads.
///
/// # Errors
/// Never in practice: the text is written to memory.
pub(super) fn encode(
    config: &Config,
    workers: &[Arc<WorkerMetrics>],
    status: Option<&StatusSnapshot>,
    kinds: Vec<KindSnapshot>,
    process: ProcessFigures,
    memory: MemorySnapshot,
) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("game_gateway");
    registry.register_collector(Box::new(Figures {
        gateway_id: config.gateway.id.clone(),
        workers: workers.to_vec(),
        status: status.cloned(),
        kinds,
        process,
        memory,
    }));
    let mut out = String::new();
    text::encode(&mut out, &registry)?;
    Ok(out)
}

#[derive(Debug)]
struct Figures {
    gateway_id: String,
    workers: Vec<Arc<WorkerMetrics>>,
    status: Option<StatusSnapshot>,
    kinds: Vec<KindSnapshot>,
    process: ProcessFigures,
    memory: MemorySnapshot,
}

impl Figures {
    fn sum(&self, read: fn(&WorkerMetrics) -> u64) -> u64 {
        self.workers.iter().map(|worker| read(worker)).sum()
    }

    fn encode_family(&self, family: &Family, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let kind = match family.source {
            Counter(_) | Labelled(..) | StatusCounter(_) | StatusReasons(_) | KindCounter(_)
            | Process(_) => MetricType::Counter,
            Gauge(_) | Status(_) | KindGauge(_) | Memory(_) | MemoryParts | ProcessGauge(_) => {
                MetricType::Gauge
            }
        };
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
            StatusReasons(read) => {
                for (reason, n) in self.status.iter().flat_map(read) {
                    let labels = [("reason", reason)];
                    ConstCounter::new(n).encode(encoder.encode_family(&labels)?)?;
                }
                Ok(())
            }
            Labelled(label, read) => {
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
        }
    }
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
            let total = match family.source {
                Counter(_) | Labelled(..) | StatusCounter(_) | StatusReasons(_)
                | KindCounter(_) | Process(_) => "_total",
                Gauge(_) | Status(_) | KindGauge(_) | Memory(_) | MemoryParts | ProcessGauge(_) => {
                    ""
                }
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
    fn labels_are_summed_over_the_workers() {
        let workers = [Arc::default(), Arc::<WorkerMetrics>::default()];
        for worker in &workers {
            worker.dropped.add(DropReason::LinkGone, 2);
            worker.accepted.one();
        }
        let memory = crate::memory::MemoryBudget::new(1, 1).snapshot();
        let text = encode(
            &Config::default(),
            &workers,
            None,
            Vec::new(),
            ProcessFigures::default(),
            memory,
        )
        .unwrap();
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
