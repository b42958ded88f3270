//! Users' assignments in Redis, as operators see them.

use serde::Serialize;
use utoipa::ToSchema;

use super::Desk;
use super::errors::ApiError;
use super::family::{
    Family, ProcessFigures,
    Source::{Process, ProcessGauge},
    family,
};
use crate::actors::assignment_reader::{Account, AskAccount, Assigned, How, LookUp, Unassigned};
use crate::inspection::ANSWER_TIMEOUT;
use crate::store::redis::Keys;

pub(super) const FAMILIES: [Family; 5] = [
    family(
        "cached_assignments",
        "Users' assignments in Redis that are known, and users of whom it is known that they have none",
        ProcessGauge(|p| p.assignments),
    ),
    family(
        "assignments_connected",
        "1 while assignments can be read from Redis and their changes are heard, else 0",
        ProcessGauge(|p| p.assignments_connected),
    ),
    family(
        "assignment_notifications",
        "Notifications of changed assignments that have come from Redis",
        Process(|p| p.assignment_notifications),
    ),
    family(
        "malformed_assignments",
        "Assignments read from Redis that were no host:port",
        Process(|p| p.malformed_assignments),
    ),
    family(
        "disallowed_assignments",
        "Assignments read from Redis to endpoints that the service's rule does not allow",
        Process(|p| p.disallowed_assignments),
    ),
];

impl ProcessFigures {
    /// Takes over the figures of assignments.
    pub(super) fn of_assignments(self, desk: &Desk) -> ProcessFigures {
        let counts = desk.inspector.assignments.counts();
        ProcessFigures {
            assignments: counts.entries(),
            assignments_connected: counts.is_connected(),
            assignment_notifications: counts.notifications(),
            malformed_assignments: counts.malformed(),
            disallowed_assignments: counts.not_allowed(),
            ..self
        }
    }
}

/// Users' assignments in Redis, for services whose rules have `"assignments": "redis"`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AssignmentsSnapshot {
    /// The key of a service's assignments, a hash of user ids; the service's name takes the place of `{service}`.
    #[schema(example = "game-gateway:assign:{service}")]
    key: String,
    /// Services whose rules read assignments.
    services: usize,
    /// Redis is connected, and changes are noticed at once. `false` while no rule reads assignments.
    connected: bool,
    /// Users and services of which it is known where they go, or that they go nowhere.
    cached: usize,
    /// Most of them that are kept.
    max_cached: usize,
    /// Why assignments cannot be read now.
    error: Option<String>,
}

impl Desk {
    /// Returns how assignments are; none without Redis.
    pub(super) async fn assignments(&self) -> Result<Option<AssignmentsSnapshot>, ApiError> {
        let Some(seat) = self.inspector.assignments.seat() else {
            return Ok(None);
        };
        let answer = actix_web::rt::time::timeout(ANSWER_TIMEOUT, seat.ask(|| AskAccount)).await;
        let Ok(Ok(account)) = answer else {
            return Err(late());
        };
        let Account {
            services,
            connected,
            known,
            error,
        } = account;
        let redis = &self.config.redis;
        Ok(Some(AssignmentsSnapshot {
            key: Keys::new(&redis.prefix).assignments_of("{service}"),
            services,
            connected,
            cached: known,
            max_cached: redis.max_assignments,
            error: error.map(|error| error.to_string()),
        }))
    }

    /// Returns where Redis says that a user goes, and how that is known.
    pub(super) async fn assigned(
        &self,
        service: &str,
        user_id: u64,
    ) -> Result<(Result<Assigned, Unassigned>, String), ApiError> {
        let seat = self.inspector.assignments.seat();
        let (Some(seat), true) = (seat, user_id != 0) else {
            let nowhere = Unassigned::Nowhere { known: true };
            return Ok((Err(nowhere), "nobody has assigned an endpoint".to_owned()));
        };
        let ask = || LookUp {
            service: service.into(),
            user_id,
            anew: false,
        };
        let patience = 2 * self.config.redis.timeout;
        let answer = actix_web::rt::time::timeout(patience, seat.ask(ask)).await;
        let Ok(Ok(answer)) = answer else {
            return Err(late());
        };
        let key = Keys::new(&self.config.redis.prefix).assignments_of(service);
        let place = format!("user {user_id} in redis key {key}");
        let why = match answer {
            Ok(Assigned { how, .. }) => match how {
                How::Known | How::Read => format!("assigned, {place}"),
                How::LastGood => {
                    format!("assigned, {place}, as it was when Redis could be asked last")
                }
            },
            Err(Unassigned::Nowhere { .. }) => {
                format!("no assignment of {place} that the rule allows")
            }
            Err(Unassigned::Unknown) => format!("Redis cannot be asked for {place}"),
        };
        Ok((answer, why))
    }
}

fn late() -> ApiError {
    ApiError::timeout("the reader of assignments has not answered in time")
}
