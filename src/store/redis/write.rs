//! Replaces both keys and notifies everybody, in one transaction.

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
}

/// Watches both keys and returns their values. A [`replace`] over this connection then fails if one of
/// them has changed since. The connection must not be shared.
///
/// # Errors
/// Redis does not answer, or refuses. A value of the wrong type counts as missing.
pub async fn watch(
    server: &Server,
    connected: &Connected,
    keys: &Keys,
) -> Result<Documents, WriteError> {
    let mut commands = connected.commands.clone();
    let mut watch = redis::cmd("WATCH");
    watch.arg(&keys.rules).arg(&keys.realms);
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

/// Writes both documents, and to both channels who has done so, or nothing at all.
///
/// # Errors
/// Nothing was written; or Redis has not said whether it was.
pub async fn replace(
    server: &Server,
    connected: &Connected,
    keys: &Keys,
    documents: &Documents,
    by: &str,
) -> Result<(), WriteError> {
    // MULTI alone first: where it is refused, what follows in the same pipeline would run at once.
    let mut commands = connected.commands.clone();
    let begin = redis::cmd("MULTI");
    let begun = server.in_time(begin.exec_async(&mut commands)).await;
    begun.map_err(|why| WriteError::Refused(connected.says(&why)))?;

    let mut writes = transaction(keys, documents, by);
    let answer = writes
        .ignore_errors()
        .query_async::<Vec<RedisResult<Value>>>(&mut commands);
    let answers = match tokio::time::timeout(server.timeout(), answer).await {
        Ok(answers) => answers.and_then(|steps| steps.into_iter().collect::<RedisResult<Vec<_>>>()),
        Err(_) => {
            let why = format!(
                "timed out after {:?}; it may or may not be written",
                server.timeout()
            );
            return Err(WriteError::Refused(connected.says(&why)));
        }
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
fn transaction(keys: &Keys, documents: &Documents, by: &str) -> redis::Pipeline {
    let mut writes = redis::pipe();
    match &documents.rules {
        Some(rules) => writes.cmd("SET").arg(&keys.rules).arg(rules),
        None => writes.cmd("DEL").arg(&keys.rules),
    };
    writes.cmd("DEL").arg(&keys.realms);
    for realms in documents.realms.chunks(REALMS_A_COMMAND) {
        let mut fields = writes.cmd("HSET").arg(&keys.realms);
        for (id, address) in realms {
            fields = fields.arg(id).arg(address);
        }
    }
    for channel in keys.notify_channels() {
        writes.cmd("PUBLISH").arg(channel).arg(by);
    }
    writes.cmd("EXEC");
    writes
}
