//! `game-gateway admin ban`, `unban` and `bans`: their arguments, and what they ask.

use clap::Args;
use serde_json::Value;

use super::api::Failure;
use super::args::{given, network, object, window};
use super::arrange::{Arrangement, RowArgs, sort_keys};
use super::{Terminal, show};

#[derive(Debug, Args)]
pub(super) struct BanArgs {
    /// Address or network, e.g. 192.0.2.7, 192.0.2.0/24 or 2001:db8:0:1::/64.
    #[arg(value_parser = network, required_unless_present = "user", conflicts_with = "user")]
    address: Option<String>,
    /// User id, bound or claimed.
    #[arg(long, value_name = "USER_ID", value_parser = clap::value_parser!(u64).range(1..))]
    user: Option<u64>,
    /// Time after which the ban ends, e.g. 10m, at most 720h; until it is removed if omitted.
    #[arg(long = "for", value_name = "TIME", value_parser = window)]
    time: Option<String>,
    /// Reason, for operators; the player is not told.
    #[arg(long)]
    reason: Option<String>,
}

impl BanArgs {
    fn body(&self) -> Value {
        object(given([
            ("address", self.address.clone()),
            ("user_id", self.user.map(|id| id.to_string())),
            ("for", self.time.clone()),
            ("reason", self.reason.clone()),
        ]))
    }
}

#[derive(Debug, Args)]
pub(super) struct UnbanArgs {
    /// Ids, addresses or networks of bans, or user ids.
    #[arg(required_unless_present = "user")]
    targets: Vec<String>,
    /// Users to unban.
    #[arg(long, value_name = "USER_ID")]
    user: Vec<u64>,
}

impl UnbanArgs {
    /// Returns the ids of the bans. A bare number is a user.
    fn ids(&self) -> Vec<String> {
        let of_user = |user: &str| format!("user-{user}");
        let is_user = |text: &String| text.bytes().all(|b| b.is_ascii_digit());
        let named = self.targets.iter().map(|text| match is_user(text) {
            true => of_user(text),
            false => text.clone(),
        });
        let users = self.user.iter().map(|user| of_user(&user.to_string()));
        named.chain(users).collect()
    }
}

#[derive(Debug, Args)]
pub(super) struct BansArgs {
    /// Only bans that keep this address or network out.
    #[arg(long, value_parser = network)]
    address: Option<String>,
    /// Only the ban of this user.
    #[arg(long, value_name = "USER_ID")]
    user: Option<u64>,
    /// Order by this column: numbers from the largest, texts by the alphabet.
    #[arg(long, value_name = "COLUMN", value_parser = sort_keys(&show::BANS))]
    sort: Option<String>,
    #[command(flatten)]
    rows: RowArgs,
    /// Maximum number of entries, 1 to 1000.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: Option<u16>,
    /// List all entries.
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

impl BansArgs {
    fn filters(&self) -> Vec<(&'static str, String)> {
        given([
            ("address", self.address.clone()),
            ("user_id", self.user.map(|id| id.to_string())),
        ])
    }
}

impl Terminal<'_> {
    pub(super) fn ban(&self, args: &BanArgs) -> Result<(), Failure> {
        let answer = self.api.send("POST", &["bans"], Some(&args.body()))?;
        self.silent(
            &answer,
            "connections and sessions there may go on; ban again to end them",
        );
        self.print(&answer, show::members)
    }

    pub(super) fn unban(&self, args: &UnbanArgs) -> Result<(), Failure> {
        self.remove("bans", &args.ids(), "unbanned", "bans not removed")
    }

    pub(super) fn bans(&self, args: &BansArgs) -> Result<(), Failure> {
        let wanted = Arrangement::new(&show::BANS, args.sort.as_deref(), &args.rows);
        let wanted = wanted.needs_all().then_some(&wanted);
        let page = self.pages("bans", &args.filters(), args.limit, args.all, wanted)?;
        self.more(&page);
        self.note_empty(&page, "bans");
        self.print(&page, show::bans)
    }
}
