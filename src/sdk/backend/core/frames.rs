//! Frames of a gateway that are not DATA.

use super::links::Greeting;
use super::replies::notice;
use super::sessions::{Closed, LinkId, Moved, Suspended, Taken};
use super::{BackendCore, Replies, Service};
use crate::codec::code::{Code, Notice};
use crate::codec::link::{Bind, Features, Frame, FrameError, Kind, MOVE, Open};

impl<S: Service> BackendCore<S> {
    pub(super) fn control(
        &mut self,
        now: u64,
        link: LinkId,
        frame: &Frame<'_>,
    ) -> Result<(), FrameError> {
        let id = frame.session_id;
        match Kind::from_byte(frame.kind) {
            Some(Kind::Open) => self.open(link, id, &Open::decode(frame.payload)?),
            Some(Kind::Close) => {
                let notice = Notice::decode(frame.payload, Code::NORMAL);
                let moves = notice.code == Code::LEAVES_LINK && notice.text == MOVE;
                if !(moves && (self.has_lost(link, id) || self.hand_over(now, link, id))) {
                    self.close(now, link, id, notice.code);
                }
            }
            Some(Kind::Suspend) => self.suspend(now, link, id, frame.payload)?,
            Some(Kind::Ping) => {
                self.links.push(link, Kind::Pong, 0, frame.payload);
                if self.service.transfers() && self.links.owes_features(link) {
                    let features = Features { transfer: true }.encode();
                    self.links.push(link, Kind::Features, 0, &features);
                }
            }
            Some(Kind::Pong) => self.links.answered(link),
            Some(
                Kind::Data
                | Kind::Hello
                | Kind::Bind
                | Kind::Multicast
                | Kind::Goaway
                | Kind::Accept
                | Kind::Features
                | Kind::Assign
                | Kind::Transfer,
            ) => return Err(FrameError::UnexpectedKind(frame.kind)),
            Some(Kind::Moved) => self.moved(link, id, frame.payload)?,
            Some(Kind::Bound) => self.bound(link, id, Bind::decode(frame.payload)?),
            // A later version's (protocol 2.2).
            None => self.counts.skipped += 1,
        }
        Ok(())
    }

    fn open(&mut self, link: LinkId, session_id: u64, open: &Open<'_>) {
        let Some(Greeting {
            gateway_id,
            service,
            ..
        }) = self.links.greeting(link)
        else {
            return;
        };
        let service = *service;
        match self.sessions[service].open(link, gateway_id, session_id, open) {
            Ok(taken) => {
                if taken == Taken::Transferred
                    && !self.arrive(service, link, session_id, open.state)
                {
                    return;
                }
                self.counts.opens += 1;
                if taken != Taken::Opened {
                    let epoch = open.epoch.to_be_bytes();
                    self.links.push(link, Kind::Accept, session_id, &epoch);
                }
            }
            Err(refused) => {
                self.counts.opens_refused += 1;
                let notice = notice(refused.code(), "");
                self.links.push(link, Kind::Close, session_id, &notice);
                return;
            }
        }
        let sessions = &self.sessions[service];
        if let Some(info) = sessions.get(session_id) {
            let mut out = Replies {
                sessions,
                links: &mut self.links,
                counts: &mut self.counts,
                here: Some((session_id, link)),
                closed: &mut self.closed,
            };
            self.service.opened(info, &mut out);
        }
        self.forget_closed(service);
    }

    /// Has the service take a transferred session over; returns whether it does.
    fn arrive(&mut self, service: usize, link: LinkId, session_id: u64, state: &[u8]) -> bool {
        let Some(info) = self.sessions[service].get(session_id) else {
            return false;
        };
        let arrived = self.service.on_arrival(info, state);
        if let Err(code) = arrived {
            self.sessions[service].remove(session_id);
            self.counts.opens_refused += 1;
            self.links
                .push(link, Kind::Close, session_id, &notice(code, ""));
        }
        self.counts.arrived += u64::from(arrived.is_ok());
        arrived.is_ok()
    }

    /// A session is to go on at another backend. Returns whether it was this link's to give away.
    fn hand_over(&mut self, now: u64, link: LinkId, session_id: u64) -> bool {
        let Some(hello) = self.links.greeting(link) else {
            return false;
        };
        let until = now.saturating_add(hello.resume_window_ms);
        let service = hello.service;
        let sessions = &self.sessions[service];
        let Some(info) = sessions.get(session_id) else {
            return false;
        };
        // A link that a newer OPEN of the same gateway has superseded gives it away too: an empty state would be lost.
        if sessions.on_link(link, session_id).is_none() || !self.service.transfers() {
            return false;
        }
        let mut out = Replies {
            sessions,
            links: &mut self.links,
            counts: &mut self.counts,
            here: Some((session_id, link)),
            closed: &mut self.closed,
        };
        let state = self.service.on_transfer(info, &mut out);
        let answer = [&notice(Code::LEAVES_LINK, "")[..], &state].concat();
        self.links.push(link, Kind::Close, session_id, &answer);
        self.sessions[service].hand_over(link, session_id, until);
        self.forget_closed(service);
        true
    }

    /// Refuses to give a session's state to a gateway that another one has superseded; returns whether that is so.
    fn has_lost(&mut self, link: LinkId, session_id: u64) -> bool {
        let Some(hello) = self.links.greeting(link) else {
            return false;
        };
        let sessions = &mut self.sessions[hello.service];
        let info = sessions.on_link(link, session_id);
        let lost = info.is_some_and(|info| info.gateway_id != hello.gateway_id);
        if lost {
            // That link is left all the same; CLOSE 410 is its answer.
            sessions.close(link, &hello.gateway_id, session_id, Code::LEAVES_LINK, 0);
            let gone = notice(Code::GONE, "");
            self.links.push(link, Kind::Close, session_id, &gone);
        }
        lost
    }

    fn moved(&mut self, link: LinkId, session_id: u64, payload: &[u8]) -> Result<(), FrameError> {
        let bad = FrameError::BadPayload {
            kind: Kind::Moved,
            len: payload.len(),
        };
        let code = Code(u16::from_be_bytes(*payload.first_chunk().ok_or(bad)?));
        let Some(hello) = self.links.greeting(link) else {
            return Ok(());
        };
        let sessions = &mut self.sessions[hello.service];
        match sessions.moved(&hello.gateway_id, session_id, code) {
            Moved::Away(info) => {
                self.counts.moved_away += 1;
                self.service.departed(&info);
            }
            Moved::Told(info) => self.service.moved(info, code),
            Moved::Stray => self.counts.strays += 1,
        }
        Ok(())
    }

    fn bound(&mut self, link: LinkId, session_id: u64, bind: Bind) {
        let Some(hello) = self.links.greeting(link) else {
            return;
        };
        match self.sessions[hello.service].bound(link, session_id, bind) {
            Some(info) => self.service.bound(info),
            None => self.counts.strays += 1,
        }
    }

    fn close(&mut self, now: u64, link: LinkId, session_id: u64, code: Code) {
        let Some(hello) = self.links.greeting(link) else {
            return;
        };
        let until = now.saturating_add(hello.resume_window_ms);
        let sessions = &mut self.sessions[hello.service];
        match sessions.close(link, &hello.gateway_id, session_id, code, until) {
            Closed::Ended(info) => self.service.ended(&info, code),
            Closed::Kept(info) => self.service.suspended(&info),
            Closed::Left => {
                if let Some(info) = sessions.get(session_id)
                    && sessions.link_of(session_id).is_none()
                {
                    self.service.suspended(info);
                }
                let left = notice(Code::LEAVES_LINK, "");
                self.links.push(link, Kind::Close, session_id, &left);
            }
            Closed::Ignored => {}
            Closed::Stray => self.counts.strays += 1,
        }
    }

    fn suspend(
        &mut self,
        now: u64,
        link: LinkId,
        session_id: u64,
        payload: &[u8],
    ) -> Result<(), FrameError> {
        let bad = FrameError::BadPayload {
            kind: Kind::Suspend,
            len: payload.len(),
        };
        let milliseconds = u32::from_be_bytes(*payload.first_chunk().ok_or(bad)?);
        let until = now.saturating_add(milliseconds.into());
        let Some(hello) = self.links.greeting(link) else {
            return Ok(());
        };
        match self.sessions[hello.service].suspend(link, session_id, until) {
            Suspended::Here(info) => self.service.suspended(info),
            Suspended::Ignored => {}
            Suspended::Stray => self.counts.strays += 1,
        }
        Ok(())
    }
}
