//! Who sends and gets the most.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::rt::time::sleep;
use actix_web::web;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use utoipa::{IntoParams, ToSchema};

use super::errors::{ApiError, ErrorBody};
use super::params::{Query, limit};
use super::{Desk, in_time};
use crate::inspection::{GroupBy, Inspector, Sample, SortBy, Talker, rank};

/// The shortest time between two samples whose difference makes a rate.
pub(super) const WINDOW: Duration = Duration::from_secs(2);
/// How long a sample is kept: whoever asks again meanwhile need not wait for another one.
const KEPT: Duration = Duration::from_secs(10);
/// The rows of an answer to whoever does not say how many.
const DEFAULT_ROWS: u16 = 10;

/// The last two samples, which all who ask share: one is taken at a time.
#[derive(Debug, Default)]
pub(super) struct Samples(Mutex<Option<Two>>);

#[derive(Debug, Clone)]
struct Two {
    before: Taken,
    after: Taken,
}

#[derive(Debug, Clone)]
struct Taken {
    at: Instant,
    sample: Arc<Sample>,
}

impl Taken {
    async fn now(inspector: &Inspector) -> Taken {
        let sample = Arc::new(inspector.sample().await);
        Taken {
            at: Instant::now(),
            sample,
        }
    }
}

impl Samples {
    /// Returns two samples, the newer one of the last seconds. Takes one or two, unless others have just done so.
    async fn two(desk: &web::Data<Desk>) -> Two {
        let mut last = desk.samples.0.lock().await;
        let two = match last.take() {
            Some(two) if two.after.at.elapsed() < WINDOW => {
                *last = Some(two.clone());
                return two;
            }
            Some(two) if two.after.at.elapsed() < KEPT => Two {
                before: two.after,
                after: Taken::now(&desk.inspector).await,
            },
            Some(_) | None => {
                let before = Taken::now(&desk.inspector).await;
                sleep(WINDOW).await;
                let after = Taken::now(&desk.inspector).await;
                Two { before, after }
            }
        };
        *last = Some(two.clone());
        actix_web::rt::spawn(Samples::forget(desk.clone()));
        two
    }

    /// Forgets samples that nobody has asked for of late.
    async fn forget(desk: web::Data<Desk>) {
        sleep(KEPT).await;
        let mut last = desk.samples.0.lock().await;
        if last
            .as_ref()
            .is_some_and(|two| two.after.at.elapsed() >= KEPT)
        {
            *last = None;
        }
    }
}

/// Selection of talkers.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// What the counters are added up by.
    #[param(inline)]
    by: Option<GroupBy>,
    /// What makes somebody the first.
    #[param(inline)]
    sort: Option<SortBy>,
    /// The most rows.
    #[param(minimum = 1, maximum = 1000, default = 10)]
    limit: Option<u16>,
}

/// Those who have sent and got the most of late.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct TopTalkers {
    /// What the counters are added up by.
    by: GroupBy,
    /// What makes somebody the first.
    sort: SortBy,
    /// Milliseconds that the rates are averages of.
    window_ms: u64,
    /// The first one first; whoever was silent is left out.
    pub(super) talkers: Vec<Talker>,
    /// Workers that did not answer in time: their sessions are missing.
    pub(super) silent_workers: Vec<usize>,
}

/// Who uses the most: rates over the last seconds. The first answer takes two seconds.
#[utoipa::path(get, path = "/api/v1/top-talkers", tag = "sessions", params(Which), responses(
    (status = 200, description = "The talkers.", body = TopTalkers),
    (status = 503, description = "The workers do not answer in time.", body = ErrorBody),
))]
pub(super) async fn list(
    desk: web::Data<Desk>,
    Query(which): Query<Which>,
) -> Result<web::Json<TopTalkers>, ApiError> {
    let limit = limit(Some(which.limit.unwrap_or(DEFAULT_ROWS)))?;
    let (by, sort) = (which.by.unwrap_or_default(), which.sort.unwrap_or_default());
    top(&desk, by, sort, limit).await.map(web::Json)
}

/// Returns at most `limit` of those who use the most.
///
/// # Errors
/// The workers do not answer in time.
pub(super) async fn top(
    desk: &web::Data<Desk>,
    by: GroupBy,
    sort: SortBy,
    limit: usize,
) -> Result<TopTalkers, ApiError> {
    let Two { before, after } = in_time(Samples::two(desk)).await?;
    let passed = after.at.saturating_duration_since(before.at);
    let ipv6_prefix = desk.doors.config().limits.ipv6_prefix;
    let samples = (&*before.sample, &*after.sample);
    Ok(TopTalkers {
        by,
        sort,
        window_ms: passed.as_millis() as u64,
        talkers: rank(samples, passed, by, sort, ipv6_prefix, limit),
        silent_workers: after.sample.silent_workers.clone(),
    })
}
