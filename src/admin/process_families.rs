//! The metric families of the process, as the operating system sees it.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use utoipa::ToSchema;

use super::family::{
    Family,
    Source::{OsCounter, OsGauge},
    family,
};

pub(super) const FAMILIES: [Family; 6] = [
    family(
        "process_cpu_seconds",
        "Time that the process has spent on processors, in user and system mode",
        OsCounter(|p| p.cpu_seconds),
    ),
    family(
        "process_resident_memory_bytes",
        "Memory of the process that is in RAM",
        OsGauge(|p| p.resident_bytes),
    ),
    family(
        "process_open_fds",
        "Open files of the process, connections included",
        OsGauge(|p| p.open_files),
    ),
    family(
        "process_max_fds",
        "Files that the process may have open",
        OsGauge(|p| p.max_files),
    ),
    family(
        "process_threads",
        "Threads of the process",
        OsGauge(|p| p.threads),
    ),
    family(
        "process_start_time_seconds",
        "When the gateway was started, in seconds since 1970",
        OsGauge(|p| p.start_seconds),
    ),
];

/// What the operating system knows of the process; none where it does not say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, ToSchema)]
pub(super) struct OsFigures {
    cpu_seconds: Option<f64>,
    resident_bytes: Option<f64>,
    open_files: Option<f64>,
    max_files: Option<f64>,
    threads: Option<f64>,
    start_seconds: Option<f64>,
}

impl OsFigures {
    /// Reads the figures.
    pub(super) fn read(started_at: SystemTime) -> OsFigures {
        let started = started_at.duration_since(UNIX_EPOCH);
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let limit = rlimit::Resource::NOFILE.get_soft();
        OsFigures {
            cpu_seconds: cpu_time().map(|time| time.as_secs_f64()),
            resident_bytes: of_status(&status, "VmRSS:").map(|kib| kib * 1024.0),
            open_files: open_files().map(|files| files as f64),
            max_files: limit.ok().map(|files| files as f64),
            threads: of_status(&status, "Threads:"),
            start_seconds: started.ok().map(|since| since.as_secs_f64()),
        }
    }
}

/// Returns the first number behind a name.
fn of_status(status: &str, name: &str) -> Option<f64> {
    let rest = status.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

fn open_files() -> Option<u64> {
    let folder = "/proc/self/fd";
    // From Linux 6.2 on it says so itself; counting asks for each.
    let size = fs::metadata(folder).ok()?.len();
    if size > 0 {
        return Some(size);
    }
    Some(fs::read_dir(folder).ok()?.count() as u64)
}

/// Returns the process's time on processors. `/proc/self/stat` has it in ticks of a length that only libc knows.
pub(super) fn cpu_time() -> Option<Duration> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Some(Duration::new(
        u64::try_from(time.tv_sec).ok()?,
        u32::try_from(time.tv_nsec).ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_knows_this_process() {
        let figures = OsFigures::read(SystemTime::now());
        let file = fs::File::open("/proc/self/status").expect("Linux");
        let more = OsFigures::read(SystemTime::now());
        drop(file);
        for figure in [
            figures.resident_bytes,
            figures.open_files,
            figures.threads,
            figures.start_seconds,
        ] {
            assert!(figure.is_some_and(|figure| figure >= 1.0), "{figures:?}");
        }
        assert!(figures.open_files <= figures.max_files);
        assert!(more.cpu_seconds >= figures.cpu_seconds && figures.cpu_seconds > Some(0.0));
    }
}
