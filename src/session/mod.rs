//! What a session is, apart from the actors that carry it: values in, values out.
//!
//! * [`token`]: what any gateway must know to take a session over, sealed.
//! * [`state`]: one session: its identity, its services, what becomes of each DATA frame.
//! * [`id`]: session ids, and which worker is at home with one.
//! * [`closing`]: the ends of a connection, and all that follows from each, in one match.
//! * [`replay`]: what a client that resumes may lack.
//! * [`link`]: a link's life, and the sessions on it.

pub mod closing;
mod continued;
pub mod core;
pub mod id;
pub mod link;
pub mod numbering;
pub mod replay;
pub mod state;
pub mod token;
