//! Asks actors how they are, by messages with deadlines. The admin API's only way to them.

use super::snapshots::{
    ActorNode, ActorPage, ActorSnapshot, BackendSnapshot, Kind, KindSnapshot, SessionFilter,
    SessionPage, SessionSnapshot,
};

/// The most actors or sessions of one page.
pub const MAX_PAGE: usize = 1000;

/// Why a page cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CensusError {
    /// The cursor is none that this gateway has given.
    #[error("the cursor is not one that this gateway has given")]
    BadCursor,
    /// Whoever must answer has not, in time.
    #[error("worker {0} has not answered in time")]
    Silent(usize),
}

/// Knows whom to ask.
#[derive(Debug, Clone, Default)]
pub struct Census {}

impl Census {
    /// Every kind of actor.
    pub fn kinds(&self) -> Vec<KindSnapshot> {
        Vec::new()
    }

    /// The actors as they are supervised; clients as numbers.
    pub fn tree(&self) -> Option<ActorNode> {
        None
    }

    /// At most `limit` actors of one kind, with their own accounts.
    ///
    /// # Errors
    /// The cursor is wrong.
    pub async fn actors(
        &self,
        _kind: Kind,
        _cursor: Option<&str>,
        _limit: usize,
    ) -> Result<ActorPage, CensusError> {
        Ok(ActorPage::default())
    }

    /// One actor with its own account; `None`: there is none.
    pub async fn actor(&self, _id: &str) -> Option<ActorSnapshot> {
        None
    }

    /// At most `limit` sessions that pass the filter.
    ///
    /// # Errors
    /// The cursor is wrong.
    pub async fn sessions(
        &self,
        _filter: &SessionFilter,
        _cursor: Option<&str>,
        _limit: usize,
    ) -> Result<SessionPage, CensusError> {
        Ok(SessionPage::default())
    }

    /// One session; `None`: there is none.
    ///
    /// # Errors
    /// Its worker does not answer.
    pub async fn session(&self, _session_id: u64) -> Result<Option<SessionSnapshot>, CensusError> {
        Ok(None)
    }

    /// Ends a session with CLOSE 440; `false`: there is none.
    ///
    /// # Errors
    /// Its worker does not answer.
    pub async fn kick(&self, _session_id: u64) -> Result<bool, CensusError> {
        Ok(false)
    }

    /// Every endpoint that rules name or that has links.
    pub async fn backends(&self) -> Vec<BackendSnapshot> {
        Vec::new()
    }
}
