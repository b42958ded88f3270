//! A session, apart from the actors that carry it: values in, values out.
//!
//! * [`core`]: the whole life of a session, as one machine.
//! * [`state`]: its identity, its services, and the fate of each DATA frame.
//! * [`opening`]: frames that wait for a service's link.
//! * [`moving`]: a service of it that goes on at another backend.
//! * [`replay`]: the last frames to a client that can resume; [`numbering`]: where its counts began.
//! * [`token`]: all that any gateway needs to take a session over, sealed.
//! * [`id`]: session ids, and the worker that is at home with one; [`trace_id`]: what follows from one, for operators.
//! * [`closing`]: the ends of a connection, and all that follows from each, in one match.
//! * [`rate`]: buckets for all limits of rates.
//! * [`link`]: a link's life, and the sessions on it.

pub mod closing;
mod continued;
pub mod core;
pub mod id;
pub mod link;
pub mod moving;
pub mod numbering;
pub mod opening;
pub mod rate;
pub mod replay;
pub mod state;
pub mod token;
pub mod trace_id;
mod waiting;
