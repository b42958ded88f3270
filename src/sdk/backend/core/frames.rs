//! Frames of a gateway that are not DATA.

use super::links::Greeting;
use super::replies::notice;
use super::sessions::{Closed, LinkId, Suspended, Taken};
use super::{BackendCore, Replies, Service};
use crate::codec::code::{Code, Notice};
use crate::codec::link::{Bind, Frame, FrameError, Kind, Open};

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
                let code = Notice::decode(frame.payload, Code::NORMAL).code;
                self.close(now, link, id, code);
            }
            Some(Kind::Suspend) => self.suspend(now, link, id, frame.payload)?,
            Some(Kind::Ping) => {
                self.links.push(link, Kind::Pong, 0, frame.payload);
            }
            Some(Kind::Pong) => {}
            Some(
                Kind::Data
                | Kind::Hello
                | Kind::Bind
                | Kind::Multicast
                | Kind::Goaway
                | Kind::Accept,
            ) => return Err(FrameError::UnexpectedKind(frame.kind)),
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
                self.counts.opens += 1;
                if taken == Taken::Resumed {
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
