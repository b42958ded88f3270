//! `game-gateway admin actors`: its arguments, and what it asks.

use clap::builder::PossibleValuesParser;
use clap::{ArgGroup, Args};

use super::api::Failure;
use super::args::given;
use super::arrange::{Arrangement, RowArgs, sort_keys};
use super::{Terminal, actors};
use crate::supervision::Kind;

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("list").args(["kind", "busiest"])))]
pub(super) struct ActorsArgs {
    /// List the actors of this kind.
    #[arg(long, value_parser = PossibleValuesParser::new(Kind::ALL.map(Kind::name)))]
    pub(super) kind: Option<String>,
    /// List the actors that have done the most in the last seconds: by the time of their handlers, by messages, or
    /// by the messages that wait for them.
    #[arg(long, value_name = "BY", num_args = 0..=1, default_missing_value = "time", conflicts_with = "kind",
        value_parser = ["time", "messages", "waiting"])]
    pub(super) busiest: Option<String>,
    /// Order by this column: numbers from the largest, texts by the alphabet. All actors of the kind are looked at.
    #[arg(long, value_name = "COLUMN", requires = "kind", value_parser = sort_keys(&actors::ACTORS))]
    sort: Option<String>,
    #[command(flatten)]
    rows: RowArgs,
    /// Maximum number of entries, 1 to 1000.
    #[arg(long, requires = "list", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(super) limit: Option<u16>,
    /// List all entries.
    #[arg(long, requires = "kind", conflicts_with = "limit")]
    pub(super) all: bool,
}

impl ActorsArgs {
    pub(super) fn contradiction(&self) -> Option<&'static str> {
        let alone = self.kind.is_none() && self.rows.has_filter();
        alone.then_some("--filter is for the actors of one kind, see --kind")
    }

    pub(super) fn busiest_query(&self, by: &str) -> Vec<(&'static str, String)> {
        given([
            ("by", Some(by.to_owned())),
            ("limit", self.limit.map(|limit| limit.to_string())),
        ])
    }
}

impl Terminal<'_> {
    pub(super) fn actors(&self, args: &ActorsArgs) -> Result<(), Failure> {
        if let Some(by) = &args.busiest {
            let busiest = self
                .api
                .get(&["actors", "busiest"], &args.busiest_query(by))?;
            return self.print(&busiest, |answer| actors::busiest(answer).shown());
        }
        let Some(kind) = &args.kind else {
            let overview = self.api.get(&["actors"], &[])?;
            return self.print(&overview, |answer| actors::overview(answer).shown());
        };
        let query = [("kind", kind.clone())];
        let wanted = Arrangement::new(&actors::ACTORS, args.sort.as_deref(), &args.rows);
        let wanted = wanted.needs_all().then_some(&wanted);
        let page = self.pages("actors", &query, args.limit, args.all, wanted)?;
        self.more(&page);
        self.print(&page, |answer| actors::page(answer).shown())
    }
}
