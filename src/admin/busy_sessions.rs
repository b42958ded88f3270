//! Sessions in the order of their rates.

use actix_web::web;

use super::errors::ApiError;
use super::{Desk, in_time, top_talkers};
use crate::actors::client::SessionFilter;
use crate::inspection::{GroupBy, SessionPage, SortBy};

/// The most sessions that are looked at: those that say and get the most.
const LOOKED_AT: usize = 1000;

/// Returns at most `limit` of the busiest sessions that pass the filter, the busiest first.
///
/// # Errors
/// The workers do not answer in time.
pub(super) async fn list(
    desk: &web::Data<Desk>,
    filter: &SessionFilter,
    sort: SortBy,
    limit: usize,
) -> Result<SessionPage, ApiError> {
    let top = top_talkers::top(desk, GroupBy::Session, sort, LOOKED_AT).await?;
    let reading = async {
        let mut page = SessionPage {
            silent_workers: top.silent_workers,
            ..SessionPage::default()
        };
        let ids = top.talkers.iter().map(|talker| talker.name.parse());
        for id in ids.filter_map(Result::ok) {
            if page.sessions.len() == limit {
                break;
            }
            let story = desk.inspector.session(id).await?;
            let session = story.map(|story| story.session);
            let fits = session.filter(|session| session.end.is_none() && filter.fits(session));
            page.sessions.extend(fits);
        }
        Ok::<_, ApiError>(page)
    };
    in_time(reading).await?
}
