//! The table `session → link` by newest OPEN (protocol 2.3), and links that are left (2.4). Times are in
//! milliseconds.

use std::collections::HashMap;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::codec::code::Code;
use crate::codec::link::{
    Bind, OPEN_REALM_BOUND, OPEN_RESUMED, OPEN_TRANSFERRED, OPEN_USER_BOUND, Open,
};

/// Number of a link; used again once the link is gone.
pub type LinkId = usize;

/// A session as its newest OPEN describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionInfo {
    /// Never 0.
    pub session_id: u64,
    /// The gateway that has it.
    pub gateway_id: Arc<str>,
    /// 0: none.
    pub realm_id: u32,
    /// A backend has bound the realm; else the client claims it.
    pub realm_is_bound: bool,
    /// 0: none.
    pub user_id: u64,
    /// A backend has bound the user; else the client claims it.
    pub user_is_bound: bool,
    /// Transport of the client, as in OPEN.
    pub transport: u8,
    /// Remote address of the client, `ip:port`.
    pub client: String,
    /// 1 at first; a resume raises it.
    pub epoch: u32,
}

#[derive(Debug)]
struct Entry {
    info: SessionInfo,
    /// Link that answers take; none while it is suspended and its link is gone.
    link: Option<LinkId>,
    /// Links that an OPEN elsewhere has superseded and that have not said CLOSE 307 yet.
    leaving: SmallVec<[Leaving; 1]>,
    /// The end of its window, while it is suspended.
    until: Option<u64>,
    /// The link that its newest OPEN came on is there, and was not left.
    open_link_stands: bool,
    /// What its gateway has said on another link, quicker than the news that the one of its OPEN is lost: a final CLOSE, or 421.
    elsewhere: Option<Code>,
    /// Its state is given away, and MOVED is still to come.
    handed_over: bool,
}

/// A link that a session is about to leave.
#[derive(Debug)]
struct Leaving {
    link: LinkId,
    /// When that is over without a CLOSE 307; set at the first look at the clock.
    until: Option<u64>,
}

/// Time that a session's DATA is taken from a link that an OPEN elsewhere has superseded (protocol 2.4),
/// in milliseconds.
pub(super) const LEAVE_MS: u64 = 30_000;

/// An OPEN that was taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// No answer is due.
    Opened,
    /// ACCEPT is due before anything else.
    Resumed,
    /// The service must take it first; then ACCEPT is due before anything else.
    Transferred,
}

/// An OPEN that was not.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// A stale or stolen token.
    Stale,
    /// A resume of a session that is not known here.
    Unknown,
}

impl Refused {
    pub(super) fn code(&self) -> Code {
        match self {
            Refused::Stale => Code::GONE,
            Refused::Unknown => Code::NO_ROUTE,
        }
    }
}

/// Effect of a gateway's CLOSE.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Closed {
    /// The session has ended.
    Ended(SessionInfo),
    /// Its gateway does not have it; it is suspended.
    Kept(SessionInfo),
    /// The session left that link: CLOSE 307 is due there.
    Left,
    /// It came from a link that is being left: nothing is due.
    Ignored,
    /// The link has no such session.
    Stray,
}

/// Effect of a gateway's MOVED.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Moved<'a> {
    /// The session is another backend's, and forgotten.
    Away(SessionInfo),
    /// The session stays, or was never given away.
    Told(&'a SessionInfo),
    /// There is no such session of that gateway.
    Stray,
}

/// Effect of a gateway's SUSPEND.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Suspended<'a> {
    /// The session is kept until its window has passed.
    Here(&'a SessionInfo),
    /// It came from a link that is being left.
    Ignored,
    /// The link has no such session.
    Stray,
}

/// The sessions of one service.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    by_id: HashMap<u64, Entry, foldhash::fast::RandomState>,
}

impl Sessions {
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Handles an OPEN on `link` of `gateway`.
    pub(super) fn open(
        &mut self,
        link: LinkId,
        gateway: &Arc<str>,
        session_id: u64,
        open: &Open<'_>,
    ) -> Result<Taken, Refused> {
        let transferred = open.flags & OPEN_TRANSFERRED != 0;
        let resumed = open.flags & OPEN_RESUMED != 0 && !transferred;
        let known = self.by_id.get_mut(&session_id);
        if let Some(entry) = &known {
            let stale = open.epoch < entry.info.epoch;
            let stolen = open.epoch == entry.info.epoch && *gateway != entry.info.gateway_id;
            if stale || stolen {
                return Err(Refused::Stale);
            }
        } else if resumed {
            return Err(Refused::Unknown);
        }
        let info = SessionInfo {
            session_id,
            gateway_id: gateway.clone(),
            realm_id: open.realm_id,
            realm_is_bound: open.flags & OPEN_REALM_BOUND != 0,
            user_id: open.user_id,
            user_is_bound: open.flags & OPEN_USER_BOUND != 0,
            transport: open.transport,
            client: open.client.to_owned(),
            epoch: open.epoch,
        };
        match known {
            Some(entry) => entry.reopen(link, info),
            None => {
                let entry = Entry {
                    info,
                    link: Some(link),
                    leaving: SmallVec::new(),
                    until: None,
                    open_link_stands: true,
                    elsewhere: None,
                    handed_over: false,
                };
                self.by_id.insert(session_id, entry);
            }
        }
        Ok(match (transferred, resumed) {
            (true, _) => Taken::Transferred,
            (false, true) => Taken::Resumed,
            (false, false) => Taken::Opened,
        })
    }

    /// Returns the session of a DATA on `link`; none if it is not open there.
    #[inline]
    pub(super) fn on_link(&self, link: LinkId, session_id: u64) -> Option<&SessionInfo> {
        let entry = self.by_id.get(&session_id)?;
        (entry.link == Some(link) || entry.is_leaving(link)).then_some(&entry.info)
    }

    /// Returns the session on any link, or suspended.
    pub(super) fn get(&self, session_id: u64) -> Option<&SessionInfo> {
        self.by_id.get(&session_id).map(|entry| &entry.info)
    }

    /// Returns the link for answers to a session.
    #[inline]
    pub(super) fn link_of(&self, session_id: u64) -> Option<LinkId> {
        self.by_id.get(&session_id)?.link
    }

    /// Handles a CLOSE on `link` of `gateway`. A session that merely leaves its only link is suspended until `until`.
    pub(super) fn close(
        &mut self,
        link: LinkId,
        gateway: &str,
        session_id: u64,
        code: Code,
        until: u64,
    ) -> Closed {
        let Some(entry) = self.by_id.get_mut(&session_id) else {
            return Closed::Stray;
        };
        if let Some(at) = entry.leaving.iter().position(|left| left.link == link) {
            if code != Code::LEAVES_LINK {
                return Closed::Ignored;
            }
            entry.leaving.remove(at);
            return Closed::Left;
        }
        if entry.link == Some(link) && code == Code::LEAVES_LINK {
            entry.suspend(until);
            return Closed::Left;
        }
        // Without the link that it was opened on any of its gateway's may end it.
        let its_gateway = *entry.info.gateway_id == *gateway;
        if code == Code::NOT_HERE {
            // It ends nothing (2.3). While the link of its OPEN stands it may answer a frame from before that.
            if !its_gateway || entry.link.is_none() {
                return Closed::Ignored;
            }
            if entry.link != Some(link) && entry.open_link_stands {
                entry.elsewhere.get_or_insert(code);
                return Closed::Ignored;
            }
            entry.suspend(until);
            return Closed::Kept(entry.info.clone());
        }
        let orphan = !entry.open_link_stands && its_gateway;
        if code == Code::LEAVES_LINK || (entry.link != Some(link) && !orphan) {
            // CLOSE 307 never ends one.
            if its_gateway && code != Code::LEAVES_LINK {
                entry.elsewhere = Some(code);
            }
            return Closed::Stray;
        }
        match self.remove(session_id) {
            Some(info) => Closed::Ended(info),
            None => Closed::Stray,
        }
    }

    /// Its state is given away on `link`: it is suspended until `until`, or until it is known what has become of it.
    pub(super) fn hand_over(&mut self, link: LinkId, session_id: u64, until: u64) {
        if let Some(entry) = self.by_id.get_mut(&session_id) {
            entry.leaving.retain(|left| left.link != link);
            entry.suspend(until);
            entry.handed_over = true;
        }
    }

    /// Takes a MOVED of `gateway`.
    pub(super) fn moved(&mut self, gateway: &str, session_id: u64, code: Code) -> Moved<'_> {
        let Some(entry) = self.by_id.get(&session_id) else {
            return Moved::Stray;
        };
        if *entry.info.gateway_id != *gateway {
            return Moved::Stray;
        }
        if entry.handed_over && code == Code::NORMAL {
            return self.remove(session_id).map_or(Moved::Stray, Moved::Away);
        }
        self.get(session_id).map_or(Moved::Stray, Moved::Told)
    }

    /// Takes a BOUND that came on `link`; none where the session is not open there.
    pub(super) fn bound(
        &mut self,
        link: LinkId,
        session_id: u64,
        bind: Bind,
    ) -> Option<&SessionInfo> {
        let entry = self.by_id.get_mut(&session_id)?;
        if entry.link != Some(link) {
            return None;
        }
        let info = &mut entry.info;
        if bind.user_id != 0 {
            (info.user_id, info.user_is_bound) = (bind.user_id, true);
        }
        if bind.realm_id != 0 {
            (info.realm_id, info.realm_is_bound) = (bind.realm_id, true);
        }
        Some(&entry.info)
    }

    /// Takes a SUSPEND that came on `link`.
    pub(super) fn suspend(&mut self, link: LinkId, session_id: u64, until: u64) -> Suspended<'_> {
        match self.by_id.get_mut(&session_id) {
            Some(entry) if entry.link == Some(link) => {
                entry.until = Some(until);
                Suspended::Here(&entry.info)
            }
            Some(entry) if entry.is_leaving(link) => Suspended::Ignored,
            Some(_) | None => Suspended::Stray,
        }
    }

    /// Forgets a session that the service ended.
    pub(super) fn remove(&mut self, session_id: u64) -> Option<SessionInfo> {
        self.by_id.remove(&session_id).map(|entry| entry.info)
    }

    /// Takes `link` out. Its sessions are answered over `sibling`, another link of that gateway, if there is one and
    /// nothing else was said there; else they are suspended until `until`, and returned in the order of their ids.
    pub(super) fn lose_link(
        &mut self,
        link: LinkId,
        sibling: Option<LinkId>,
        until: u64,
    ) -> Vec<SessionInfo> {
        let mut suspended = Vec::new();
        for entry in self.by_id.values_mut() {
            entry.leaving.retain(|left| left.link != link);
            if entry.link == Some(link) {
                entry.open_link_stands = false;
                entry.link = sibling.filter(|_| entry.elsewhere.is_none());
                if entry.link.is_none() {
                    // One that has ended is over at the next look at the clock.
                    let is_over = entry.elsewhere.is_some_and(|code| code != Code::NOT_HERE);
                    entry.until = Some(if is_over { 0 } else { until });
                    suspended.push(entry.info.clone());
                }
            }
        }
        suspended.sort_unstable_by_key(|info| info.session_id);
        suspended
    }

    /// Takes out the sessions whose window has passed, in the order of their ids, and forgets links that
    /// were not left in time.
    pub(super) fn expire(&mut self, now: u64) -> Vec<SessionInfo> {
        for entry in self.by_id.values_mut() {
            entry.leaving.retain(|left| {
                let until = *left.until.get_or_insert(now + LEAVE_MS);
                now < until
            });
        }
        let mut ended: Vec<SessionInfo> = self
            .by_id
            .extract_if(|_, entry| entry.until.is_some_and(|until| until <= now))
            .map(|(_, entry)| entry.info)
            .collect();
        ended.sort_unstable_by_key(|info| info.session_id);
        ended
    }
}

impl Entry {
    fn is_leaving(&self, link: LinkId) -> bool {
        self.leaving.iter().any(|left| left.link == link)
    }

    fn suspend(&mut self, until: u64) {
        (self.link, self.open_link_stands, self.until) = (None, false, Some(until));
    }

    fn reopen(&mut self, link: LinkId, info: SessionInfo) {
        if let Some(old) = self.link.filter(|old| *old != link) {
            let (link, until) = (old, None);
            self.leaving.push(Leaving { link, until });
        }
        self.leaving.retain(|left| left.link != link);
        self.info = info;
        self.link = Some(link);
        self.until = None;
        self.open_link_stands = true;
        self.elsewhere = None;
        self.handed_over = false;
    }
}

#[cfg(test)]
#[path = "sessions_tests.rs"]
mod tests;
