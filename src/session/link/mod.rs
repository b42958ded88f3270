//! The states of a link, without its socket.

mod end;

pub use end::LinkEnd;
