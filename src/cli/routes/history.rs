//! `game-gateway routes history`: which versions there are, and what changed with one.

use serde_json::json;

use super::change::{limits, show};
use super::{Failure, Place, RedisPlace, mistaken, output, say, wait_for};
use crate::cli::admin::table::table;
use crate::routing::{Difference, RoutingData};
use crate::store::Refused;
use crate::store::redis::change::{VersionError, history, version};
use crate::store::redis::connect::Connected;
use crate::store::redis::versions::digest;
use crate::store::redis::{Index, Version, read};

/// Prints the versions that are kept, the newest first; `*` marks the one that is what Redis has now.
pub(super) fn list(place: &RedisPlace, json: bool, limit: usize) -> Result<(), Failure> {
    let place = place.read()?;
    let (index, now) = wait_for(async {
        let connected = place.connect().await?;
        let index = index(&place, &connected).await?;
        let now = now(&place, &connected).await;
        Ok((index, now))
    })?;
    let newest_first = || index.versions.iter().rev();
    let current = now.as_ref().ok().and_then(|digest| index.newest_if(digest));
    let current = current.map(|version| version.number);
    if json {
        let versions: Vec<_> = newest_first().take(limit).collect();
        let error = now.err().map(|refused| refused.to_string());
        let answer = json!({"current": current, "error": error, "versions": versions});
        return say(serde_json::to_string_pretty(&answer)?);
    }
    if current.is_none() {
        output::complain(match &now {
            Err(refused) => format!(
                "what is in Redis now cannot be used: {}",
                refused.summary(3)
            ),
            Ok(_) if index.versions.is_empty() => "nothing is recorded yet".to_owned(),
            Ok(_) => "what is in Redis now is not recorded: it was written in another way after \
                      the newest version"
                .to_owned(),
        });
    }
    if index.versions.is_empty() {
        return Ok(());
    }
    let head = [
        "", "VERSION", "TIME", "AUTHOR", "BY", "SERVICES", "REALMS", "CHANGED", "MESSAGE",
    ];
    let rows = newest_first()
        .take(limit)
        .map(|version| row(version, current));
    say(table(&head, &rows.collect::<Vec<_>>()).trim_end())
}

fn row(version: &Version, current: Option<u64>) -> Vec<String> {
    let is_current = current == Some(version.number);
    let or_dash = |text: &str| match text {
        "" => "-".to_owned(),
        text => text.to_owned(),
    };
    vec![
        if is_current { "*" } else { "" }.to_owned(),
        version.number.to_string(),
        utc(version.at_seconds),
        or_dash(version.author.as_deref().unwrap_or_default()),
        version.origin.name().to_owned(),
        version.services.to_string(),
        version.realms.to_string(),
        or_dash(&version.summary),
        or_dash(&version.message),
    ]
}

/// Prints what changed with a version.
pub(super) fn diff(place: &RedisPlace, number: u64, json: bool, all: bool) -> Result<(), Failure> {
    let place = place.read()?;
    let (before, data_before, data) = wait_for(async {
        let connected = place.connect().await?;
        let index = index(&place, &connected).await?;
        let data = data(&place, &connected, &index, number).await?;
        let before = index.before(number).map(|version| version.number);
        let data_before = match before {
            Some(before) => self::data(&place, &connected, &index, before).await?,
            None => RoutingData::default(),
        };
        Ok((before, data_before, data))
    })?;
    let difference = Difference::between(&data_before, &data, limits(all));
    if json {
        let answer = json!({"version": number, "before": before, "difference": difference});
        return say(serde_json::to_string_pretty(&answer)?);
    }
    match before {
        Some(before) => say(format!("version {number}, compared with {before}:"))?,
        None => say(format!(
            "version {number}, the oldest that is kept, compared with nothing:"
        ))?,
    }
    show(&difference)
}

/// Returns a version's document as it was written.
pub(super) async fn document(
    place: &Place,
    connected: &Connected,
    number: u64,
) -> Result<crate::store::redis::Document, Failure> {
    let index = index(place, connected).await?;
    let found = version(&place.server, connected, &place.keys, &index, number).await;
    found.map_err(unusable)
}

async fn index(place: &Place, connected: &Connected) -> Result<Index, Failure> {
    Ok(history(&place.server, connected, &place.keys).await?)
}

async fn data(
    place: &Place,
    connected: &Connected,
    index: &Index,
    number: u64,
) -> Result<RoutingData, Failure> {
    let found = version(&place.server, connected, &place.keys, index, number).await;
    Ok(found.map_err(unusable)?.parsed.data)
}

/// Identifies what is in Redis now.
async fn now(place: &Place, connected: &Connected) -> Result<String, Refused> {
    let documents = read(&place.server, connected, &place.keys).await?;
    let parsed = documents.parse(&place.keys)?;
    let rules = documents.rules.as_deref().unwrap_or_default();
    Ok(digest(rules, &parsed.data.realms))
}

fn unusable(error: VersionError) -> Failure {
    mistaken(error.to_string().lines().map(str::to_owned).collect())
}

/// Formats a time as in `2026-11-29 15:06:10Z`.
fn utc(seconds: u64) -> String {
    let (day, second) = (seconds / 86_400, seconds % 86_400);
    // Howard Hinnant's `civil_from_days`: years that begin in March have their odd day last.
    let day = day + 719_468;
    let (era, day_of_era) = (day / 146_097, day % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year}-{month:02}-{day_of_month:02} {hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00Z"),
            (951_782_399, "2000-02-28 23:59:59Z"),
            (951_782_400, "2000-02-29 00:00:00Z"),
            (1_795_964_770, "2026-11-29 15:06:10Z"),
            (4_107_542_400, "2100-03-01 00:00:00Z"),
        ] {
            assert_eq!(utc(seconds), text);
        }
    }
}
