//! `game-gateway admin assign`: where a service of a session goes.

use clap::Args;
use serde_json::{Value, json};

use super::api::Failure;
use super::args::object;
use super::show::Column;
use super::{Terminal, show};
use crate::routing::EndpointName;

#[derive(Debug, Args)]
pub(super) struct AssignArgs {
    /// Session id, or GATEWAY_ID:SESSION_ID.
    #[arg(required_unless_present = "user", conflicts_with = "user")]
    id: Option<String>,
    /// All sessions of this user.
    #[arg(long, value_name = "USER_ID")]
    user: Option<u64>,
    /// Service that goes there: with the player's next frame to it, or at once where it is open elsewhere.
    #[arg(long)]
    service: String,
    /// Endpoint that the service's rule names, or in its `assignable` networks, host:port.
    #[arg(long, value_parser = endpoint)]
    endpoint: String,
}

const ASSIGNED: [Column; 4] = [
    ("SESSION", "/global_id"),
    ("SERVICE", "/service"),
    ("ENDPOINT", "/endpoint"),
    ("OUTCOME", "/outcome"),
];

impl Terminal<'_> {
    /// Sends a service of one session, or of all sessions of a user, to an endpoint.
    pub(super) fn assign(&self, args: &AssignArgs) -> Result<(), Failure> {
        let body = object(vec![
            ("service", args.service.clone()),
            ("endpoint", args.endpoint.clone()),
        ]);
        let assign = |id: &str| {
            let path = &["sessions", id, "assign"];
            self.api.send("POST", path, Some(&body))
        };
        let Some(user) = args.user else {
            let id = args.id.as_deref().unwrap_or_default();
            return self.print(&assign(id)?, show::members);
        };
        let query = [("user_id", user.to_string())];
        let page = self.pages("sessions", &query, None, true, None)?;
        let ids = show::list(&page, "sessions").filter_map(|row| row["global_id"].as_str());
        let (mut assigned, mut failed) = (Vec::new(), Vec::new());
        for id in ids {
            match assign(id) {
                Ok(answer) => assigned.push(answer),
                Err(failure) => failed.push((id, failure)),
            }
        }
        if assigned.is_empty() && failed.is_empty() {
            let message = format!("user {user} has no session there");
            return Err(Failure::answer(message));
        }
        let told: Vec<Value> = failed
            .iter()
            .map(|(id, failure)| json!({"session": id, "error": failure.to_string()}))
            .collect();
        let answer = json!({"assigned": assigned, "failed": told});
        self.print(&answer, |answer| {
            show::listing(&ASSIGNED, show::list(answer, "assigned"))
        })?;
        match failed.into_iter().next() {
            None => Ok(()),
            Some((id, failure)) => Err(Failure::answer(format!("{id}: {failure}"))),
        }
    }
}

fn endpoint(text: &str) -> Result<String, String> {
    let name: Result<EndpointName, _> = text.parse();
    name.map(|_| text.to_owned()).map_err(|why| why.to_string())
}
