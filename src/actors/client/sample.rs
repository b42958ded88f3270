//! A client's counters, for whoever computes rates of them.

use std::net::IpAddr;

use super::ClientStats;

/// Frames and bytes each way, since something began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names suffice")]
pub struct Traffic {
    pub frames_in: u64,
    pub frames_out: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
}

/// One client's counters.
#[derive(Debug, Clone, Copy)]
pub struct ClientSample {
    /// Unique in the process.
    pub client_number: u64,
    /// Its session; 0: none.
    pub session_id: u64,
    /// The session's user; 0: not known.
    pub user_id: u64,
    /// The player's address.
    pub ip: IpAddr,
    /// It is an HTTP request, whose bytes its connection counts too.
    pub is_request: bool,
    /// What it has sent and got.
    pub traffic: Traffic,
}

impl Traffic {
    /// Adds what somebody else has sent and got.
    pub fn add(&mut self, more: Traffic) {
        self.frames_in += more.frames_in;
        self.frames_out += more.frames_out;
        self.bytes_in += more.bytes_in;
        self.bytes_out += more.bytes_out;
    }

    /// Returns what has been added since; sums shrink when links end, and then it is nothing.
    pub fn since(&self, before: Traffic) -> Traffic {
        Traffic {
            frames_in: self.frames_in.saturating_sub(before.frames_in),
            frames_out: self.frames_out.saturating_sub(before.frames_out),
            bytes_in: self.bytes_in.saturating_sub(before.bytes_in),
            bytes_out: self.bytes_out.saturating_sub(before.bytes_out),
        }
    }
}

impl ClientStats {
    /// The client's counters as of now.
    pub fn sample(&self) -> ClientSample {
        let session_id = self.session_id().unwrap_or(0);
        ClientSample {
            client_number: self.client_number,
            session_id,
            user_id: self.user_id(),
            ip: self.remote().ip(),
            is_request: session_id != 0 && self.transport().is_http(),
            traffic: Traffic {
                frames_in: self.frames_in.get(),
                frames_out: self.frames_out.get(),
                bytes_in: self.bytes_in.get(),
                bytes_out: self.bytes_out.get(),
            },
        }
    }
}
