//! The arguments of `game-gateway admin`.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::actor_args::ActorsArgs;
use super::arrange::{RowArgs, sort_keys};
use super::assign::AssignArgs;
use super::backend::BackendArgs;
use super::bans::{BanArgs, BansArgs, UnbanArgs};
use super::drain::DrainArgs;
use super::gateways::GatewayArgs;
use super::limits::LimitsArgs;
use super::trace::TraceArgs;
use super::{everywhere, recent, show, watch};
use crate::config::Network;
use crate::config::units::parse_duration;

/// Arguments of `admin`.
#[derive(Debug, Args)]
pub struct AdminArgs {
    #[command(flatten)]
    pub(super) gateways: GatewayArgs,
    /// Print the JSON of the API instead of tables.
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// Ask again and again, by default each 2 s; only for what changes nothing.
    #[arg(long, global = true, value_name = "SECONDS", num_args = 0..=1,
        default_missing_value = watch::DEFAULT_INTERVAL, value_parser = watch::interval)]
    pub(super) watch: Option<Duration>,
    /// Have the gateway ask all gateways of its deployment (peer.gateways), where the command allows that.
    #[arg(long, global = true)]
    pub(super) deployment: bool,
    #[command(subcommand)]
    pub(super) command: Command,
}

impl AdminArgs {
    /// Returns the reason why these arguments do not go together, in one line.
    pub(super) fn contradiction(&self) -> Option<&'static str> {
        let watched = self.watch.is_some() && self.command.changes();
        if watched {
            return Some("--watch cannot be used with a command that changes something");
        }
        if let Command::Actors(args) = &self.command
            && let Some(why) = args.contradiction()
        {
            return Some(why);
        }
        let wanted = self.deployment.then_some(&self.command);
        wanted.and_then(everywhere::contradiction)
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the gateways of the deployment: state, version, sessions, drain, or why one has not answered.
    Gateways,
    /// Show the actors: a summary of each kind with the supervision tree, or the actors of one kind.
    Actors(ActorsArgs),
    /// Show one actor and its state.
    Actor {
        /// Actor id, e.g. router-0.
        id: String,
    },
    /// Restart an actor: config_watcher-0, assignment_reader-0, certificate_watcher-0, a router or a backend pool. Nothing is lost by it.
    RestartActor {
        /// Actor id, e.g. router-0.
        id: String,
    },
    /// List sessions.
    Sessions(SessionsArgs),
    /// Show one session with its counters and its story, also for an hour after its end.
    Session {
        /// Session id, or GATEWAY_ID:SESSION_ID.
        id: String,
    },
    /// Kick sessions: their players receive CLOSE 440.
    Kick {
        /// Session ids.
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Send a service of a session, or of a user's sessions, to an endpoint.
    Assign(AssignArgs),
    /// Ban an address, a network or a user on this gateway; connections and sessions that are there end.
    Ban(BanArgs),
    /// Remove bans.
    Unban(UnbanArgs),
    /// List the bans in force.
    Bans(BansArgs),
    /// Trace a user, an address or a session: print headers of frames and decisions as they come, never payloads.
    Trace(TraceArgs),
    /// List who sends and gets the most, by their rates over the last seconds.
    TopTalkers(TalkersArgs),
    /// List what players were refused of late, grouped by code, reason, service and realm.
    Refusals(RefusalsArgs),
    /// Show the state of the backends.
    Backends(BackendsArgs),
    /// Show whether a backend takes sessions; with STATE, change it: ready, drain or maintenance.
    Backend(BackendArgs),
    /// Show the routing rules in force.
    Routes,
    /// Explain which endpoint a session would be routed to, and why.
    Resolve(ResolveArgs),
    /// Drain the gateway without stopping it, show the progress, or cancel the drain.
    Drain(DrainArgs),
    /// Show the limits that can be changed at run time; with KEY=VALUE, change them.
    Limits(LimitsArgs),
    /// Show the log level; with LEVEL, change it.
    LogLevel {
        /// New level, e.g. debug or info,game_gateway::actors=debug.
        level: Option<String>,
    },
}

impl Command {
    /// Returns whether the command changes something, and so is not for `--watch`.
    pub(super) fn changes(&self) -> bool {
        match self {
            Command::RestartActor { .. } | Command::Kick { .. } => true,
            Command::Assign(_) | Command::Ban(_) | Command::Unban(_) | Command::Trace(_) => true,
            Command::Drain(args) => !args.status || args.wait,
            Command::Backend(args) => args.state.is_some(),
            Command::Limits(args) => args.changes(),
            Command::LogLevel { level } => level.is_some(),
            Command::Gateways
            | Command::Actors(_)
            | Command::Actor { .. }
            | Command::Sessions(_)
            | Command::Session { .. }
            | Command::Bans(_)
            | Command::TopTalkers(_)
            | Command::Refusals(_)
            | Command::Backends(_)
            | Command::Routes
            | Command::Resolve(_) => false,
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct BackendsArgs {
    /// Order by this column: numbers from the largest, texts by the alphabet.
    #[arg(long, value_name = "COLUMN", value_parser = sort_keys(&show::BACKENDS))]
    pub(super) sort: Option<String>,
    #[command(flatten)]
    pub(super) rows: RowArgs,
}

#[derive(Debug, Args)]
pub(super) struct SessionsArgs {
    /// Only sessions that use this service.
    #[arg(long)]
    service: Option<String>,
    /// Only sessions of this realm.
    #[arg(long)]
    realm_id: Option<u32>,
    /// Only sessions of this user.
    #[arg(long)]
    user_id: Option<u64>,
    /// Only sessions whose user a backend has bound (true), or has not (false).
    #[arg(long, value_name = "true|false")]
    bound: Option<bool>,
    /// Only sessions of players from this address or network.
    #[arg(long, value_name = "ADDRESS")]
    address: Option<String>,
    /// Only sessions bound to this endpoint, ip:port.
    #[arg(long)]
    backend: Option<SocketAddr>,
    /// Only sessions over this transport, e.g. tcp.
    #[arg(long)]
    transport: Option<String>,
    /// Only sessions in this state: active, suspended, or ended within the last hour.
    #[arg(long)]
    state: Option<String>,
    /// Order by this column: numbers from the largest, texts by the alphabet. All sessions are looked at.
    #[arg(long, value_name = "COLUMN", value_parser = sort_keys(&show::SESSIONS))]
    pub(super) sort: Option<String>,
    #[command(flatten)]
    pub(super) rows: RowArgs,
    /// Maximum number of entries, 1 to 1000.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(super) limit: Option<u16>,
    /// List all entries.
    #[arg(long, conflicts_with = "limit")]
    pub(super) all: bool,
}

impl SessionsArgs {
    pub(super) fn filters(&self) -> Vec<(&'static str, String)> {
        let filters = [
            ("service", self.service.clone()),
            ("realm_id", self.realm_id.map(|id| id.to_string())),
            ("user_id", self.user_id.map(|id| id.to_string())),
            ("bound", self.bound.map(|bound| bound.to_string())),
            ("address", self.address.clone()),
            ("backend", self.backend.map(|address| address.to_string())),
            ("transport", self.transport.clone()),
            ("state", self.state.clone()),
        ];
        given(filters)
    }
}

#[derive(Debug, Args)]
pub(super) struct TalkersArgs {
    /// What the counters are added up by.
    #[arg(long, default_value = "session", value_parser = ["session", "user", "address", "service"])]
    by: String,
    /// What makes somebody the first.
    #[arg(long, default_value = "bytes",
        value_parser = ["bytes", "bytes_in", "bytes_out", "frames", "frames_in", "frames_out"])]
    sort: String,
    /// Maximum number of rows, 1 to 1000.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(super) limit: u16,
    /// Only rows with this text in one of their columns, in upper or lower case.
    #[arg(long, value_name = "TEXT")]
    pub(super) filter: Option<String>,
}

impl TalkersArgs {
    pub(super) fn query(&self, limit: Option<u16>) -> Vec<(&'static str, String)> {
        given([
            ("by", Some(self.by.clone())),
            ("sort", Some(self.sort.clone())),
            ("limit", limit.map(|limit| limit.to_string())),
        ])
    }
}

#[derive(Debug, Args)]
pub(super) struct RefusalsArgs {
    /// Only refusals with this code or HTTP status.
    #[arg(long)]
    code: Option<u16>,
    /// Only refusals of this service.
    #[arg(long)]
    service: Option<String>,
    /// Only refusals in this realm.
    #[arg(long)]
    realm_id: Option<u32>,
    /// Order by this column: numbers from the largest, texts by the alphabet; else the newest come first.
    #[arg(long, value_name = "COLUMN", value_parser = sort_keys(&recent::REFUSALS))]
    pub(super) sort: Option<String>,
    #[command(flatten)]
    pub(super) rows: RowArgs,
    /// Maximum number of groups, 1 to 1000.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(super) limit: Option<u16>,
}

impl RefusalsArgs {
    pub(super) fn query(&self, limit: Option<u16>) -> Vec<(&'static str, String)> {
        given([
            ("code", self.code.map(|code| code.to_string())),
            ("service", self.service.clone()),
            ("realm_id", self.realm_id.map(|id| id.to_string())),
            ("limit", limit.map(|limit| limit.to_string())),
        ])
    }
}

#[derive(Debug, Args)]
pub(super) struct ResolveArgs {
    /// Service name.
    service: String,
    /// Realm id of the session.
    #[arg(long)]
    realm_id: Option<u32>,
    /// User id of the session.
    #[arg(long)]
    user_id: Option<u64>,
    /// Session id.
    #[arg(long)]
    session_id: Option<u64>,
}

impl ResolveArgs {
    pub(super) fn query(&self) -> Vec<(&'static str, String)> {
        given([
            ("service", Some(self.service.clone())),
            ("realm_id", self.realm_id.map(|id| id.to_string())),
            ("user_id", self.user_id.map(|id| id.to_string())),
            ("session_id", self.session_id.map(|id| id.to_string())),
        ])
    }
}

pub(super) fn window(text: &str) -> Result<String, String> {
    parse_duration(text).map(|_| text.to_owned())
}

pub(super) fn network(text: &str) -> Result<String, String> {
    text.parse::<Network>().map(|_| text.to_owned())
}

pub(super) fn object(members: Vec<(&'static str, String)>) -> Value {
    let members = members.into_iter();
    Value::Object(
        members
            .map(|(name, text)| (name.to_owned(), text.into()))
            .collect(),
    )
}

pub(super) fn given<const N: usize>(
    query: [(&'static str, Option<String>); N],
) -> Vec<(&'static str, String)> {
    let given = |(name, value): (_, Option<String>)| Some((name, value?));
    query.into_iter().filter_map(given).collect()
}
