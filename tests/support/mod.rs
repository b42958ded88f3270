//! What several integration tests share.

pub(crate) mod process;
pub(crate) mod wire;
