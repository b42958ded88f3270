//! What several integration tests share.

pub(crate) mod authority;
pub(crate) mod process;
pub(crate) mod redis;
pub(crate) mod resp;
pub(crate) mod wire;
