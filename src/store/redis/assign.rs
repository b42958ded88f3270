//! Assignments of users, one hash for each service: user id to `host:port`. They are read for one user at a time.

use redis::{RedisError, Value};

use super::bounded::TOO_LARGE;
use super::connect::{Connected, Server, explain};

/// What a user's field of the hash holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    /// There is none.
    Absent,
    /// Its value, of at most 512 bytes.
    Value(Vec<u8>),
    /// More than that, which was not read; the text says how much it is.
    TooLarge(String),
}

/// Reads a user's assignment in the hash `key`.
///
/// # Errors
/// Redis does not answer or refuses, or the key is no hash. The text is one line that names the key, and where the user of
/// Redis may not read it, what to grant.
pub async fn read_assignment(
    server: &Server,
    connected: &Connected,
    key: &str,
    user_id: u64,
) -> Result<Field, String> {
    let mut commands = connected.commands.clone();
    let mut get = redis::cmd("HGET");
    get.arg(key).arg(user_id);
    // What Redis refuses this user is told apart from what it cannot do now.
    let answer = async {
        match get.query_async::<Value>(&mut commands).await {
            Ok(answer) => Ok(Ok(answer)),
            Err(error) if refusal(&error).is_some() => Ok(Err(error)),
            Err(error) => Err(error),
        }
    };
    let answer = server.in_time(answer).await;
    let answer = answer.map_err(|why| connected.says(&why))?;
    let refused = |cure: &str, error| format!("redis key {key}: {}{cure}", explain(error));
    let value = match (answer.as_ref().err().and_then(refusal), answer) {
        (_, Ok(value)) => value,
        (Some(Refusal::TooLarge), Err(error)) => return Ok(Field::TooLarge(explain(error))),
        (Some(Refusal::NotPermitted), Err(error)) => {
            return Err(refused(
                &format!("; grant this user +hget and ~{key}"),
                error,
            ));
        }
        (Some(Refusal::WrongType) | None, Err(error)) => {
            return Err(refused("; expected a hash, user id to host:port", error));
        }
    };
    let unusual = |error: redis::ParsingError| format!("redis key {key}: {error}");
    let value: Option<Vec<u8>> = redis::from_redis_value(value).map_err(unusual)?;
    Ok(value.map_or(Field::Absent, Field::Value))
}

/// What does not go away by itself.
enum Refusal {
    NotPermitted,
    WrongType,
    TooLarge,
}

fn refusal(error: &RedisError) -> Option<Refusal> {
    match error.code()? {
        "NOPERM" => Some(Refusal::NotPermitted),
        "WRONGTYPE" => Some(Refusal::WrongType),
        TOO_LARGE => Some(Refusal::TooLarge),
        _ => None,
    }
}
