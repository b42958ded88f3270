//! The load that is to be driven.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::LoadtestError;
use super::args::{LoadtestArgs, Transport};
use super::payload::{MIN_PAYLOAD_BYTES, Pattern};
use super::progress::Progress;
use crate::codec::client::is_service_name;
use crate::net::dial::Tls;

/// Default time of measuring.
const DURATION: Duration = Duration::from_secs(10);
/// The largest payload, in bytes: the protocol's ceiling.
const MAX_PAYLOAD_BYTES: usize = 16 << 20;
/// The most frames that a session may have outstanding.
const MAX_IN_FLIGHT: usize = 65_536;
/// The most threads.
const MAX_THREADS: usize = 64;
/// Between the word to start and the first frame, so that all threads hear of it.
const START_DELAY: Duration = Duration::from_millis(20);

/// Mode of sending.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Mode {
    /// The next frame when one was answered.
    Closed { in_flight: usize, think: Duration },
    /// On schedule: this number of frames a second over all sessions.
    Open { rate: f64 },
    /// One frame a session.
    Idle,
    /// One frame a connection, and then the next connection.
    Reconnect,
}

/// The arguments, checked.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) target: SocketAddr,
    /// The target's name and port, for HTTP.
    pub(super) host: String,
    /// At least one; the sessions take them in turns.
    transports: Vec<Transport>,
    pub(super) tls: Option<Tls>,
    /// At least one; the sessions take them in turns.
    services: Vec<String>,
    pub(super) sessions: usize,
    pub(super) threads: usize,
    pub(super) mode: Mode,
    pub(super) payload: usize,
    pub(super) pattern: Pattern,
    pub(super) user_base: u64,
    pub(super) resumable: bool,
    realm: u32,
    /// Realms from that one on, which the sessions take in turns; none: that one only.
    realms: Option<u32>,
    /// Players of a match; none: there are no matches.
    pub(super) match_size: Option<u32>,
    pub(super) connect_rate: f64,
    pub(super) warmup: Duration,
    pub(super) duration: Duration,
    pub(super) grace: Duration,
    /// Addresses of this machine that connections come from, in turns; empty: the system chooses.
    sources: Vec<IpAddr>,
    pub(super) progress: Arc<Progress>,
}

impl Plan {
    /// Checks the arguments and looks the target up.
    pub(super) fn new(args: &LoadtestArgs) -> Result<Plan, LoadtestError> {
        let usage = |wrong: bool, text: String| {
            if wrong {
                Err(LoadtestError::Usage(text))
            } else {
                Ok(())
            }
        };
        let range = |name, value, least, most| {
            let wrong = !(least..=most).contains(&value);
            usage(
                wrong,
                format!("invalid --{name} {value}, expected {least} to {most}"),
            )
        };
        let http = args.transport.contains(&Transport::Http);
        usage(
            args.idle && http,
            "--idle: not supported over HTTP, where each request is a session of its own".into(),
        )?;
        range("sessions", args.sessions, 1, u32::MAX as usize)?;
        range(
            "payload",
            args.payload,
            MIN_PAYLOAD_BYTES,
            MAX_PAYLOAD_BYTES,
        )?;
        range("in-flight", args.in_flight, 1, MAX_IN_FLIGHT)?;
        range("threads", args.threads, 1, MAX_THREADS)?;
        range("backend-threads", args.backend_threads, 1, MAX_THREADS)?;
        for name in &args.service {
            usage(
                !is_service_name(name.as_bytes()),
                format!("invalid --service {name:?}, expected [a-z0-9][a-z0-9._-]*"),
            )?;
        }
        let target = look_up(&args.target)?;
        for source in &args.bind {
            usage(
                source.is_ipv4() != target.is_ipv4(),
                format!("--bind {source}: not of the same family as the target {target}"),
            )?;
        }
        Ok(Plan {
            target,
            host: args.target.clone(),
            transports: args.transport.clone(),
            tls: tls(args)?,
            services: args.service.clone(),
            sessions: args.sessions,
            threads: args.threads.min(args.sessions),
            mode: mode(args),
            payload: args.payload,
            pattern: Pattern::new(args.payload),
            user_base: args.user_base,
            resumable: args.resumable,
            realm: args.realm,
            realms: args.realms,
            match_size: args.match_size,
            connect_rate: args.connect_rate,
            // The only frame of an idle session is to be measured.
            warmup: if args.idle {
                Duration::ZERO
            } else {
                args.warmup
            },
            duration: args.duration.unwrap_or(DURATION),
            grace: args.grace,
            sources: args.bind.clone(),
            progress: Progress::new(args.sessions, args.threads.min(args.sessions)),
        })
    }

    /// Returns the address that the connection of the session with that index comes from.
    pub(super) fn source(&self, index: u32) -> Option<IpAddr> {
        let turn = index as usize % self.sources.len().max(1);
        self.sources.get(turn).copied()
    }

    /// Returns when missing answers count as lost: sooner than planned if the run was ended early.
    pub(super) fn end(&self, clock: &Clock) -> Instant {
        let early = self.progress.interrupted_at().map(|at| at + self.grace);
        early.map_or(clock.end, |early| early.min(clock.end))
    }

    /// Returns the time that was measured: less than asked for if the run was ended early.
    pub(super) fn measured(&self) -> Duration {
        let early = self.progress.measured();
        early.map_or(self.duration, |early| early.min(self.duration))
    }

    /// Returns the realm of the session with that index.
    pub(super) fn realm(&self, index: u32) -> u32 {
        let first = self.realm.max(1);
        match (self.match_size, self.realms) {
            (Some(size), _) => first.saturating_add(index / size.max(1)),
            (None, Some(realms)) => first.saturating_add(index % realms.max(1)),
            (None, None) => self.realm,
        }
    }

    /// Returns the service of the session with that index.
    pub(super) fn service(&self, index: u32) -> &str {
        let turn = index as usize % self.services.len().max(1);
        self.services.get(turn).map_or("", String::as_str)
    }

    /// Returns the transport of the session with that index.
    pub(super) fn transport(&self, index: u32) -> Transport {
        let turn = index as usize % self.transports.len().max(1);
        self.transports.get(turn).copied().unwrap_or(Transport::Tcp)
    }
}

fn tls(args: &LoadtestArgs) -> Result<Option<Tls>, LoadtestError> {
    let Some(ca) = args.ca.as_deref().filter(|_| args.tls) else {
        return Ok(None);
    };
    let host = args.target.rsplit_once(':').map_or("", |(host, _)| host);
    let host = host.trim_matches(['[', ']']);
    Tls::new(ca, host)
        .map(Some)
        .map_err(|error| LoadtestError::Usage(format!("--ca: {error}")))
}

fn mode(args: &LoadtestArgs) -> Mode {
    match args.rate {
        Some(rate) => Mode::Open { rate },
        None if args.idle => Mode::Idle,
        None if args.reconnect => Mode::Reconnect,
        None => Mode::Closed {
            in_flight: args.in_flight,
            think: args.think,
        },
    }
}

fn look_up(target: &str) -> Result<SocketAddr, LoadtestError> {
    let failed = |error| LoadtestError::Target {
        target: target.to_owned(),
        error,
    };
    let none = || failed(std::io::Error::other("no address found for this host name"));
    let mut addresses = target.to_socket_addrs().map_err(failed)?;
    addresses.next().ok_or_else(none)
}

/// When things happen; the same for all threads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    /// The first frame. Times in payloads are nanoseconds since then.
    pub(super) start: Instant,
    /// The warm-up is over.
    pub(super) measure: Instant,
    /// The last frame was sent.
    pub(super) stop: Instant,
    /// Time at which missing answers count as lost.
    pub(super) end: Instant,
}

impl Clock {
    pub(super) fn starting_soon(plan: &Plan) -> Clock {
        let start = Instant::now() + START_DELAY;
        let measure = start + plan.warmup;
        let stop = measure + plan.duration;
        Clock {
            start,
            measure,
            stop,
            end: stop + plan.grace,
        }
    }

    pub(super) fn nanos(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.start).as_nanos() as u64
    }

    pub(super) fn at(&self, nanos: u64) -> Instant {
        self.start + Duration::from_nanos(nanos)
    }

    pub(super) fn measures(&self, at: Instant) -> bool {
        self.measure <= at && at < self.stop
    }
}
