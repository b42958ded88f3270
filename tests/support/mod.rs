//! Parts that several integration tests share.

pub(crate) mod address;
pub(crate) mod authority;
pub(crate) mod frames;
pub(crate) mod health;
pub(crate) mod http;
pub(crate) mod kernel;
pub(crate) mod namespace;
pub(crate) mod redis;
pub(crate) mod resp;
pub(crate) mod wire;

#[allow(unused_imports, reason = "each test crate uses its own part of this")]
pub(crate) use testkit_process as process;
