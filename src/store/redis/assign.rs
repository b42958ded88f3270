//! Assignments of users, one hash for each service: user id to `host:port`. They are read for one user at a time.

use redis::{RedisError, Value};

use super::connect::{Connected, Server, explain};

/// Reads a user's assignment in the hash `key`; none where it has no field of this user.
///
/// # Errors
/// Redis does not answer or refuses, or the key is no hash. The text is one line that names the key, and where the user of
/// Redis may not read it, what to grant.
pub async fn read_assignment(
    server: &Server,
    connected: &Connected,
    key: &str,
    user_id: u64,
) -> Result<Option<Vec<u8>>, String> {
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
    let value = answer.map_err(|error| {
        let cure = match refusal(&error) {
            Some(Refusal::NotPermitted) => format!("; grant this user +hget and ~{key}"),
            Some(Refusal::WrongType) | None => "; expected a hash, user id to host:port".to_owned(),
        };
        format!("redis key {key}: {}{cure}", explain(error))
    })?;
    let unusual = |error: redis::ParsingError| format!("redis key {key}: {error}");
    redis::from_redis_value(value).map_err(unusual)
}

/// What does not go away by itself.
enum Refusal {
    NotPermitted,
    WrongType,
}

fn refusal(error: &RedisError) -> Option<Refusal> {
    match error.code()? {
        "NOPERM" => Some(Refusal::NotPermitted),
        "WRONGTYPE" => Some(Refusal::WrongType),
        _ => None,
    }
}
