//! Reads both keys in pieces, between which Redis serves others, and learns without reading whether they
//! have changed.
//!
//! A map of a million realms takes Redis half a second to write out in one piece, for each gateway that reads
//! it. So it is scanned, and WATCH says whether what was scanned is one state: an empty transaction on the
//! watching connection fails if a key was written since. The next watch begins before the last one is asked,
//! so no write falls between two of them; that needs two connections, which nothing else may use.

use std::sync::Arc;

use redis::{RedisError, RedisResult, Value};

use super::Keys;
use super::bounded::TOO_LARGE;
use super::connect::{Connected, Server, too_large};
use super::read::{Gathered, answered, check_sizes, read};
use crate::routing::MAX_REALMS;
use crate::store::Refused;

/// Realms that one command asks for; Redis takes about a millisecond for them.
const PIECE: usize = 4096;
/// Scans that a write may spoil; then both keys are read in one transaction.
const SCANS: usize = 2;

/// Realm ids with their addresses.
type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// Reads over one connection, and what it keeps between two reads.
pub struct Reader {
    server: Arc<Server>,
    keys: Arc<Keys>,
    connected: Arc<Connected>,
    /// Where both keys are watched since the last read that was taken.
    watching: Option<Connected>,
    spare: Option<Connected>,
}

/// What both keys hold.
pub enum Contents {
    /// What the last read returned.
    Unchanged,
    /// Values in one state.
    Changed(Gathered),
}

impl Reader {
    /// Makes a reader that has read nothing yet.
    pub fn new(server: &Arc<Server>, keys: &Arc<Keys>, connected: &Arc<Connected>) -> Reader {
        Reader {
            server: Arc::clone(server),
            keys: Arc::clone(keys),
            connected: Arc::clone(connected),
            watching: None,
            spare: None,
        }
    }

    /// Returns true if it reads over this connection.
    pub fn is_over(&self, connected: &Arc<Connected>) -> bool {
        Arc::ptr_eq(&self.connected, connected)
    }

    /// Has the next read return the contents, changed or not.
    pub fn forget(&mut self) {
        // Its connection goes too: what it has seen would spoil the next watch.
        self.watching = None;
    }

    /// Reads both keys if they were written since the last read. Where this user may not watch and scan,
    /// they are always read, in one transaction.
    ///
    /// # Errors
    /// Redis does not answer or refuses, or a value is too large or of another type.
    pub async fn read(&mut self) -> Result<Contents, Refused> {
        let Some(mut watching) = self.watch().await? else {
            return self.read_at_once().await;
        };
        if let Some(last) = self.watching.take() {
            // A connection that was lost meanwhile has seen nothing for sure.
            let unchanged = self.is_unchanged(&last).await == Ok(true);
            self.spare = Some(last);
            if unchanged {
                self.watching = Some(watching);
                return Ok(Contents::Unchanged);
            }
        }
        for _ in 0..SCANS {
            let Some(gathered) = self.scan().await? else {
                break;
            };
            let Some(next) = self.watch().await? else {
                break;
            };
            let unchanged = self.is_unchanged(&watching).await;
            self.spare = Some(std::mem::replace(&mut watching, next));
            if answered(&self.connected, unchanged)? {
                self.watching = Some(watching);
                return Ok(Contents::Changed(gathered));
            }
        }
        // It is watched since before the transaction.
        self.watching = Some(watching);
        self.read_at_once().await
    }

    async fn read_at_once(&self) -> Result<Contents, Refused> {
        let documents = read(&self.server, &self.connected, &self.keys).await?;
        let mut gathered = Gathered::new(documents.rules);
        for (id, to) in &documents.realms {
            gathered.add(id, to);
        }
        Ok(Contents::Changed(gathered))
    }

    /// Returns a connection on which both keys are watched from now on; none where this user may not.
    async fn watch(&mut self) -> Result<Option<Connected>, Refused> {
        if let Some(spare) = self.spare.take()
            && let Ok(watched) = self.watch_over(&spare).await
        {
            return Ok(watched.then_some(spare));
        }
        let fresh = self.server.connect_to(&self.connected.address).await;
        let fresh = answered(&self.connected, fresh)?;
        let watched = self.watch_over(&fresh).await;
        Ok(answered(&self.connected, watched)?.then_some(fresh))
    }

    async fn watch_over(&self, connection: &Connected) -> Result<bool, String> {
        let mut commands = connection.commands.clone();
        let mut watch = redis::cmd("WATCH");
        watch.arg(&self.keys.rules).arg(&self.keys.realms);
        let watched = async { permitted(watch.exec_async(&mut commands).await) };
        Ok(self.server.in_time(watched).await?.is_some())
    }

    /// Ends a watch, and tells whether nothing was written since it began.
    async fn is_unchanged(&self, watching: &Connected) -> Result<bool, String> {
        let mut commands = watching.commands.clone();
        let mut nothing = redis::pipe();
        nothing.cmd("MULTI").cmd("EXEC");
        let answers: Vec<Value> = (self.server)
            .in_time(nothing.query_async(&mut commands))
            .await?;
        Ok(matches!(answers.last(), Some(Value::Array(_))))
    }

    /// Reads both keys, the realms piece by piece; none where this user may not, or they grow without end.
    async fn scan(&self) -> Result<Option<Gathered>, Refused> {
        check_sizes(&self.server, &self.connected, &self.keys).await?;
        let mut commands = self.connected.commands.clone();
        let mut get = redis::cmd("GET");
        let get = get.arg(&self.keys.rules).query_async(&mut commands);
        let rules: Option<Vec<u8>> = answered(&self.connected, self.server.in_time(get).await)?;
        let mut gathered = Gathered::new(rules);
        let (mut cursor, mut realms) = (0_u64, 0);
        loop {
            let mut scan = redis::cmd("HSCAN");
            scan.arg(&self.keys.realms).arg(cursor);
            scan.arg("COUNT").arg(PIECE);
            let piece = async { refused_as_data(scan.query_async(&mut commands).await) };
            let piece = answered(&self.connected, self.server.in_time(piece).await)?;
            let piece = piece.map_err(|error| too_large(&self.keys.realms, error))?;
            let piece: Option<(u64, Pairs)> = piece;
            let Some((next, pairs)) = piece else {
                return Ok(None);
            };
            realms += pairs.len();
            for (id, to) in &pairs {
                gathered.add(id, to);
            }
            if next == 0 || gathered.is_too_large() {
                return Ok(Some(gathered));
            }
            // While a hash is made smaller a scan may show some entries twice.
            if realms > 2 * MAX_REALMS {
                return Ok(None);
            }
            cursor = next;
        }
    }
}

/// Tells what is wrong with the data apart from what is wrong with the connection.
fn refused_as_data<T>(answer: RedisResult<T>) -> RedisResult<RedisResult<Option<T>>> {
    match answer {
        Err(error) if error.code() == Some(TOO_LARGE) => Ok(Err(error)),
        answer => permitted(answer).map(Ok),
    }
}

/// Replaces the refusal of a command to this user, or of one that this server does not have, by none.
fn permitted<T>(answer: RedisResult<T>) -> RedisResult<Option<T>> {
    let unknown = |error: &RedisError| {
        error
            .detail()
            .is_some_and(|d| d.starts_with("unknown command"))
    };
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.code() == Some("NOPERM") || unknown(&error) => Ok(None),
        Err(error) => Err(error),
    }
}
