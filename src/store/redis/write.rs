//! Replaces both keys, records it in the history and notifies everybody, in one transaction.

use redis::{RedisResult, Value};

use super::Keys;
use super::connect::{Connected, Server, explain};
use super::read::{Documents, read_watched};

/// Realms that one HSET writes: Redis takes at most 1,048,576 arguments a command.
const REALMS_A_COMMAND: usize = 10_000;

/// The reason that nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Another client wrote between [`watch`] and [`replace`].
    #[error("conflict: changed by another client in the meantime; nothing was written")]
    Conflict,
    /// Redis does not answer, or refuses.
    #[error("{0}")]
    Refused(String),
    /// What is there is not what the writer expects, or cannot be recorded.
    #[error("{0}")]
    Unwritable(String),
}

/// What one change writes.
pub(super) struct Writes<'a> {
    /// The values of both keys.
    pub(super) documents: &'a Documents,
    /// Further keys with their values.
    pub(super) set: Vec<(String, Vec<u8>)>,
    /// Keys that go.
    pub(super) delete: Vec<String>,
    /// Who writes, for all who listen.
    pub(super) by: String,
}

/// Watches both keys and the history, and returns the values of both. A [`replace`] over this connection then fails if one of
/// them has changed since. The connection must not be shared.
///
/// # Errors
/// Redis does not answer, or refuses. A value of the wrong type counts as missing.
pub(super) async fn watch(
    server: &Server,
    connected: &Connected,
    keys: &Keys,
) -> Result<Documents, WriteError> {
    let mut commands = connected.commands.clone();
    let mut watch = redis::cmd("WATCH");
    watch.arg(&keys.rules).arg(&keys.realms).arg(&keys.history);
    let watched = server.in_time(watch.exec_async(&mut commands)).await;
    watched.map_err(|why| WriteError::Refused(connected.says(&why)))?;
    match read_watched(server, connected, keys).await {
        Ok(documents) => Ok(documents),
        Err(refused) if refused.kind == crate::store::RefusedKind::Mistaken => {
            Ok(Documents::default())
        }
        Err(refused) => Err(WriteError::Refused(refused.to_string())),
    }
}

/// Writes all of it, and to both channels who has done so, or nothing at all.
///
/// # Errors
/// Nothing was written; or Redis has not said whether it was.
pub(super) async fn replace(
    server: &Server,
    connected: &Connected,
    keys: &Keys,
    writes: &Writes<'_>,
) -> Result<(), WriteError> {
    // MULTI alone first: where it is refused, what follows in the same pipeline would run at once.
    let mut commands = connected.commands.clone();
    let begin = redis::cmd("MULTI");
    let begun = server.in_time(begin.exec_async(&mut commands)).await;
    begun.map_err(|why| WriteError::Refused(connected.says(&why)))?;

    let mut transaction = transaction(keys, writes);
    let answer = transaction
        .ignore_errors()
        .query_async::<Vec<RedisResult<Value>>>(&mut commands);
    // Once EXEC is on its way, only its answer says what came of it.
    let unknown = |why: String| {
        let why = format!("{why}; it may or may not be written");
        Err(WriteError::Refused(connected.says(&why)))
    };
    let answers = match tokio::time::timeout(server.timeout(), answer).await {
        Ok(Err(error)) if !error.is_timeout() => return unknown(explain(error)),
        Ok(Ok(steps)) => steps.into_iter().collect::<RedisResult<Vec<_>>>(),
        Ok(Err(_)) | Err(_) => return unknown(format!("timed out after {:?}", server.timeout())),
    };
    let refused = |error| WriteError::Refused(connected.says(&explain(error)));
    match answers.map_err(refused)?.pop() {
        Some(Value::Nil) => Err(WriteError::Conflict),
        Some(executed) => executed.extract_error().map(drop).map_err(refused),
        None => Err(WriteError::Refused(connected.says("no reply to EXEC"))),
    }
}

/// Sends all commands behind MULTI. The first refusal of a command is the error, because EXEC says only
/// that there was one.
fn transaction(keys: &Keys, writes: &Writes<'_>) -> redis::Pipeline {
    let mut pipeline = redis::pipe();
    match &writes.documents.rules {
        Some(rules) => pipeline.cmd("SET").arg(&keys.rules).arg(rules),
        None => pipeline.cmd("DEL").arg(&keys.rules),
    };
    pipeline.cmd("DEL").arg(&keys.realms);
    for realms in writes.documents.realms.chunks(REALMS_A_COMMAND) {
        let mut fields = pipeline.cmd("HSET").arg(&keys.realms);
        for (id, address) in realms {
            fields = fields.arg(id).arg(address);
        }
    }
    for (key, value) in &writes.set {
        pipeline.cmd("SET").arg(key).arg(value);
    }
    if !writes.delete.is_empty() {
        pipeline.cmd("DEL").arg(&writes.delete);
    }
    for channel in keys.notify_channels() {
        pipeline.cmd("PUBLISH").arg(channel).arg(&writes.by);
    }
    pipeline.cmd("EXEC");
    pipeline
}
