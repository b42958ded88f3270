//! The other gateways of the deployment.

mod messages;

pub use messages::{Call, Called, Caller, HangUp, Heard, PeerAt, Reply};

/// The way to them.
#[derive(Debug, Clone, Default)]
pub struct Peering {}

impl Peering {
    /// This gateway, as others name it; none where the channel is off.
    pub fn own(&self) -> Option<&PeerAt> {
        None
    }

    /// Says something to another gateway.
    pub fn call(&self, call: Call) {
        call.client.do_send(Heard {
            call: call.call,
            said: None,
        });
    }

    /// Answers another gateway.
    pub fn reply(&self, _reply: Reply) {}

    /// Nothing more is said.
    pub fn hang_up(&self, _hang_up: HangUp) {}
}
