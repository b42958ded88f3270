//! Where Redis is, and how long what it says is good.

use std::path::PathBuf;
use std::time::Duration;

use super::Secret;
pub use super::redis_url::RedisUrl;

#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "see Config")]
pub struct Redis {
    pub url: RedisUrl,
    pub username: Option<String>,
    pub password: Option<Secret>,
    pub sentinel_password: Option<Secret>,
    pub ca: Option<PathBuf>,
    pub prefix: String,
    pub refresh: Duration,
    pub timeout: Duration,
    pub max_assignments: usize,
    pub assignment_ttl: Duration,
    pub assignment_negative_ttl: Duration,
}

impl Default for Redis {
    fn default() -> Redis {
        const SECOND: Duration = Duration::from_secs(1);
        Redis {
            url: RedisUrl::default(),
            username: None,
            password: None,
            sentinel_password: None,
            ca: None,
            prefix: "game-gateway:".to_owned(),
            refresh: 10 * SECOND,
            timeout: 2 * SECOND,
            max_assignments: 65_536,
            assignment_ttl: 10 * SECOND,
            assignment_negative_ttl: SECOND,
        }
    }
}
