//! The arguments of `game-gateway admin`.

use std::net::SocketAddr;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};

use super::api::{check_url, token};
use crate::config::units::parse_duration;
use crate::supervision::Kind;

/// Default address of the admin API.
const DEFAULT_URL: &str = "http://127.0.0.1:9090";
/// The environment's name for the token. On a command line other users of the machine can read it.
const TOKEN_VARIABLE: &str = "GATEWAY_ADMIN_TOKEN";

/// Arguments of `admin`.
#[derive(Debug, Args)]
pub struct AdminArgs {
    /// Where the admin API answers; http only.
    #[arg(long, global = true, default_value = DEFAULT_URL, value_parser = check_url)]
    pub(super) url: String,
    /// The token, where the gateway has one; better in the environment, as GATEWAY_ADMIN_TOKEN.
    #[arg(long, global = true, value_parser = token)]
    token: Option<String>,
    /// Print the API's JSON instead of tables.
    #[arg(long, global = true)]
    pub(super) json: bool,
    #[command(subcommand)]
    pub(super) command: Command,
}

impl AdminArgs {
    /// The token that was given, one way or the other.
    pub(super) fn token(&self) -> Option<String> {
        let given = self.token.clone();
        given.or_else(|| std::env::var(TOKEN_VARIABLE).ok().filter(|t| !t.is_empty()))
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// How the actors are: every kind and who supervises whom, or the single ones of a kind.
    Actors(ActorsArgs),
    /// One actor with its own account of itself.
    Actor {
        /// Its id, for example router-0.
        id: String,
    },
    /// Who plays.
    Sessions(SessionsArgs),
    /// One session with its counters.
    Session {
        /// Its id, alone or behind its gateway's id and a colon.
        id: String,
    },
    /// End sessions: their players get CLOSE 440.
    Kick {
        /// Their ids.
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// How the backends are.
    Backends,
    /// The rules in force.
    Routes,
    /// Where a session would go, and why.
    Resolve(ResolveArgs),
    /// Drain the gateway without ending it, see how far that is, or undo it.
    Drain(DrainArgs),
    /// What is logged; with LEVEL, change it.
    LogLevel {
        /// For example debug, or info,game_gateway::actors=debug.
        level: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(super) struct ActorsArgs {
    /// List the single actors of this kind.
    #[arg(long, value_parser = PossibleValuesParser::new(Kind::ALL.map(Kind::name)))]
    pub(super) kind: Option<String>,
    /// List at most so many, 1 to 1000.
    #[arg(long, requires = "kind", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(super) limit: Option<u16>,
    /// List all of them.
    #[arg(long, requires = "kind", conflicts_with = "limit")]
    pub(super) all: bool,
}

#[derive(Debug, Args)]
pub(super) struct SessionsArgs {
    /// Only those that use this service.
    #[arg(long)]
    service: Option<String>,
    /// Only those of this realm.
    #[arg(long)]
    realm_id: Option<u32>,
    /// Only those of this user.
    #[arg(long)]
    user_id: Option<u64>,
    /// Only those that are bound to this endpoint, ip:port.
    #[arg(long)]
    backend: Option<SocketAddr>,
    /// Only those over this transport, for example tcp.
    #[arg(long)]
    transport: Option<String>,
    /// Only those in this state, for example active.
    #[arg(long)]
    state: Option<String>,
    /// List at most so many, 1 to 1000.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(super) limit: Option<u16>,
    /// List all of them.
    #[arg(long, conflicts_with = "limit")]
    pub(super) all: bool,
}

impl SessionsArgs {
    pub(super) fn filters(&self) -> Vec<(&'static str, String)> {
        let filters = [
            ("service", self.service.clone()),
            ("realm_id", self.realm_id.map(|id| id.to_string())),
            ("user_id", self.user_id.map(|id| id.to_string())),
            ("backend", self.backend.map(|address| address.to_string())),
            ("transport", self.transport.clone()),
            ("state", self.state.clone()),
        ];
        given(filters)
    }
}

#[derive(Debug, Args)]
pub(super) struct ResolveArgs {
    /// The service.
    service: String,
    /// The session's realm.
    #[arg(long)]
    realm_id: Option<u32>,
    /// The session's user.
    #[arg(long)]
    user_id: Option<u64>,
    /// The session's id.
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

#[derive(Debug, Args)]
pub(super) struct DrainArgs {
    /// How long players may stay, for example 30s; without it the gateway's drain.window.
    #[arg(long, value_parser = window, conflicts_with_all = ["status", "undo"])]
    pub(super) window: Option<String>,
    /// Only say how far it is.
    #[arg(long)]
    pub(super) status: bool,
    /// Take new sessions again.
    #[arg(long, conflicts_with_all = ["status", "wait"])]
    pub(super) undo: bool,
    /// Wait until nobody is left.
    #[arg(long)]
    pub(super) wait: bool,
}

fn window(text: &str) -> Result<String, String> {
    parse_duration(text).map(|_| text.to_owned())
}

fn given<const N: usize>(
    query: [(&'static str, Option<String>); N],
) -> Vec<(&'static str, String)> {
    let given = |(name, value): (_, Option<String>)| Some((name, value?));
    query.into_iter().filter_map(given).collect()
}
