//! The connection to Redis: there as long as a rule reads assignments, and begun anew when the services change.

use std::sync::Arc;

use actix::prelude::*;

use super::AssignmentReader;
use super::reading::{CONNECTION, Troubles};
use crate::store::redis::connect::Connected;
use crate::store::redis::{Channels, News, follow};

/// The connection to Redis.
#[derive(Clone)]
pub(super) enum Connection {
    /// No rule reads assignments.
    None,
    /// The first attempt is under way.
    Connecting,
    /// It is there, and subscribed.
    Up(Arc<Connected>),
    /// It was lost, or could not be had, for this reason. The next attempt follows.
    Lost(Arc<str>),
}

/// News of the subscription.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct ServiceNews(News);

impl AssignmentReader {
    /// Subscribes to changes of the services.
    pub(super) fn follow(&mut self, ctx: &mut Context<Self>) {
        if let Some(following) = self.following.take() {
            ctx.cancel_future(following);
        }
        self.troubles = Troubles::default();
        if self.services.is_empty() {
            return self.connection_is(Connection::None);
        }
        self.connection_is(Connection::Connecting);
        let keys = self.services.iter();
        let keys = keys.map(|service| self.keys.assignments_of(service));
        let channels = Channels::of(keys, self.server.database());
        let server = Arc::clone(&self.server);
        let own = self.registration.address(ctx);
        let follower = async move {
            let tell = |news| own.do_send(ServiceNews(news));
            match follow(&server, &channels, tell).await {}
        };
        self.following = Some(ctx.spawn(actix::fut::wrap_future(follower)));
    }

    fn connection_is(&mut self, connection: Connection) {
        self.counts
            .connected(matches!(connection, Connection::Up(_)));
        // Those who wait for it hear of it.
        self.connection.send_replace(connection);
    }

    pub(super) fn hear(&mut self, ServiceNews(news): ServiceNews) {
        match news {
            // The last words of a subscription that was ended.
            _ if self.services.is_empty() => {}
            News::Connected(connected) => {
                tracing::info!(services = self.services.len(), "subscribed to assignments");
                // Nobody knows what has changed before.
                self.state.cache.all_changed();
                self.troubles = Troubles::default();
                self.connection_is(Connection::Up(connected));
            }
            News::Notified(batch) => {
                self.counts.notified(batch.len() as u64);
                for notification in batch {
                    self.changed(&notification.channel, &notification.text);
                }
            }
            News::Lost(why) => {
                let why: Arc<str> = format!("redis: {why}").into();
                self.troubles.tell(CONNECTION, &why);
                self.connection_is(Connection::Lost(why));
            }
        }
    }

    /// A writer's word may say whose assignment has changed; the server's does not.
    fn changed(&mut self, channel: &str, text: &str) {
        let (service, user_id) = match channel.strip_prefix(&*self.keys.assignments) {
            Some(rest) => {
                let user_id = text.trim().parse().ok().filter(|id| *id != 0);
                (rest.strip_suffix(":notify"), user_id)
            }
            None => {
                let key = channel.split_once(&*self.keys.assignments);
                (key.map(|(_, service)| service), None)
            }
        };
        if let Some(service) = service.and_then(|service| self.services.get(service)) {
            self.state.cache.changed(service, user_id);
        }
    }
}
