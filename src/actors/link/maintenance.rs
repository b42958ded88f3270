//! The end of sessions whose endpoint an operator has put in maintenance.

use std::sync::Arc;

use actix::prelude::*;

use super::{EndSome, Link, LinkEvent};
use crate::supervision::Receive;

impl Receive<EndSome> for Link {
    type Result = ();

    fn receive(&mut self, msg: EndSome, _: &mut Context<Self>) {
        let (service, link_id) = (&self.service, self.id);
        self.sessions
            .go_round(&mut self.ending_round, msg.most, |client| {
                client.do_send(LinkEvent::EndService {
                    service: Arc::clone(service),
                    link_id,
                });
            });
    }
}
