//! `game-gateway routes watch`: a line for each change, through all outages.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::change::limits;
use super::{Failure, Place};
use crate::cli::output::{self, Reader};
use crate::logging::timestamp;
use crate::routing::{Difference, RoutingData};
use crate::store::redis::connect::Connected;
use crate::store::redis::{News, follow, read};
use crate::store::{Refused, RefusedKind};

/// Interval between looks without a notification, after which unreadable data may be readable.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// The last output, so that nothing is printed twice.
#[derive(Default)]
struct Shown {
    data: Option<RoutingData>,
    trouble: Option<String>,
    /// Nobody reads any more.
    reader_gone: bool,
}

/// Prints until SIGINT, SIGTERM or the end of its reader.
pub(super) async fn watch(place: &Place) -> Result<(), Failure> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        never = print_changes(place) => never,
        interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
        _ = terminate.recv() => Ok(()),
    }
}

async fn print_changes(place: &Place) -> Result<(), Failure> {
    let (tell, mut news) = mpsc::unbounded_channel();
    let tell = |item| {
        // The receiver lives as long as this function.
        let _ = tell.send(item);
    };
    let channels = place.keys.routing_channels(place.server.database());
    let follower = follow(&place.server, &channels, tell);
    let mut follower = std::pin::pin!(follower);
    let mut shown = Shown::default();
    let mut connection: Option<Arc<Connected>> = None;
    loop {
        let mut item = tokio::select! {
            item = news.recv() => item,
            () = tokio::time::sleep(LOOK_INTERVAL) => None,
            never = &mut follower => match never {},
        };
        // News that arrived together cause one read.
        while let Some(next) = item.take() {
            match next {
                News::Connected(connected) => connection = Some(connected),
                News::Notified(_) => {}
                News::Lost(why) => {
                    connection = None;
                    shown.trouble(format!("redis: {why}"))?;
                }
            }
            item = news.try_recv().ok();
        }
        if let Some(connected) = &connection {
            let look = async {
                let documents = read(&place.server, connected, &place.keys).await?;
                documents.parse(&place.keys)
            };
            shown.outcome(look.await.map(|parsed| parsed.data))?;
        }
        if shown.reader_gone {
            return Ok(());
        }
    }
}

impl Shown {
    /// Prints a line with the time, UTC.
    fn say(&mut self, line: &str) -> Result<(), Failure> {
        let text = format!("{} {line}\n", timestamp());
        self.reader_gone |= output::write(&text)? == Reader::Gone;
        Ok(())
    }

    fn trouble(&mut self, why: String) -> Result<(), Failure> {
        if self.trouble.as_ref() != Some(&why) {
            for line in why.lines() {
                self.say(&format!("! {line}"))?;
            }
            self.trouble = Some(why);
        }
        Ok(())
    }

    fn outcome(&mut self, outcome: Result<RoutingData, Refused>) -> Result<(), Failure> {
        let data = match outcome {
            Ok(data) => data,
            Err(refused) => {
                let what = match refused.kind {
                    RefusedKind::Unreadable => "cannot be read",
                    RefusedKind::Mistaken => "has mistakes",
                };
                return self.trouble(format!("{what}: {refused}"));
            }
        };
        if self.trouble.take().is_some() {
            self.say("in order again")?;
        }
        match &self.data {
            None => {
                let (rules, realms) = (data.rules.len(), data.realms.len());
                self.say(&format!("now: {rules} services, {realms} realms"))?;
            }
            Some(old) => {
                for line in Difference::between(old, &data, limits(false)).lines() {
                    self.say(&line)?;
                }
            }
        }
        self.data = Some(data);
        Ok(())
    }
}
