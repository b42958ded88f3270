//! A backend by the protocol (2.3, 2.4): which OPENs it takes, and how a session leaves a link.

use crate::words::{FromBackend, LinkId, ToBackend};

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) gateway: usize,
    pub(crate) epoch: u32,
    pub(crate) link: Option<LinkId>,
    pub(crate) leaving: Vec<LinkId>,
    pub(crate) suspended: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Backend {
    pub(crate) session: Option<Session>,
    /// Numbers that came from the client.
    pub(crate) taken: Vec<u32>,
    /// The number of the newest push.
    pub(crate) pushed: u32,
    /// Every epoch that was taken, and from which gateway.
    epochs: Vec<(u32, usize)>,
    /// Final CLOSEs for a session that was not there.
    pub(crate) strays: u32,
}

impl Backend {
    pub(crate) fn take(&mut self, link: LinkId, frame: ToBackend) -> Option<FromBackend> {
        match frame {
            ToBackend::Open { resumed, epoch } => return self.open(link, resumed, epoch),
            ToBackend::Data(number) => {
                let session = self.session.as_ref();
                let its = |s: &Session| s.link == Some(link) || s.leaving.contains(&link);
                if session.is_some_and(its) {
                    let newest = self.taken.last().copied().unwrap_or(0);
                    assert!(
                        number > newest,
                        "{number} after {newest}: doubled or reordered"
                    );
                    self.taken.push(number);
                } else {
                    return Some(FromBackend::Close(410));
                }
            }
            ToBackend::Suspend => {
                if let Some(session) = self.session.as_mut().filter(|s| s.link == Some(link)) {
                    session.suspended = true;
                }
            }
            ToBackend::Ping => return Some(FromBackend::Pong),
            ToBackend::Close(code) => return self.close(link, code),
        }
        None
    }

    fn open(&mut self, link: LinkId, resumed: bool, epoch: u32) -> Option<FromBackend> {
        let gateway = link.0;
        match &mut self.session {
            Some(s) if epoch < s.epoch || (epoch == s.epoch && gateway != s.gateway) => {
                return Some(FromBackend::Close(410));
            }
            None if resumed => return Some(FromBackend::Close(404)),
            Some(s) => {
                if let Some(old) = s.link.filter(|old| *old != link) {
                    s.leaving.push(old);
                }
                s.leaving.retain(|left| *left != link);
                (s.gateway, s.epoch, s.link, s.suspended) = (gateway, epoch, Some(link), false);
            }
            None => {
                self.session = Some(Session {
                    gateway,
                    epoch,
                    link: Some(link),
                    leaving: Vec::new(),
                    suspended: false,
                });
            }
        }
        let twice = |(e, g): &(u32, usize)| *e == epoch && *g != gateway;
        assert!(
            !self.epochs.iter().any(twice),
            "epoch {epoch} twice: {:?}",
            self.epochs
        );
        self.epochs.push((epoch, gateway));
        resumed.then_some(FromBackend::Accept)
    }

    fn close(&mut self, link: LinkId, code: u16) -> Option<FromBackend> {
        let Some(session) = &mut self.session else {
            self.strays += u32::from(code != 307);
            return None;
        };
        if let Some(at) = session.leaving.iter().position(|left| *left == link) {
            if code == 307 {
                session.leaving.remove(at);
                return Some(FromBackend::Close(307));
            }
            return None;
        }
        let orphan = session.link.is_none() && session.gateway == link.0;
        if session.link == Some(link) && code == 307 {
            (session.link, session.suspended) = (None, true);
            return Some(FromBackend::Close(307));
        }
        if session.link == Some(link) || orphan {
            self.session = None;
        } else {
            self.strays += u32::from(code != 307);
        }
        None
    }

    pub(crate) fn link_lost(&mut self, link: LinkId) {
        if let Some(session) = &mut self.session {
            session.leaving.retain(|left| *left != link);
            if session.link == Some(link) {
                (session.link, session.suspended) = (None, true);
            }
        }
    }

    /// Pushes the next number; it is dropped where there is no link.
    pub(crate) fn push(&mut self) -> Option<(LinkId, FromBackend)> {
        let session = self.session.as_ref()?;
        self.pushed += 1;
        Some((session.link?, FromBackend::Data(self.pushed)))
    }

    /// Ends the session.
    pub(crate) fn kick(&mut self) -> Option<(LinkId, FromBackend)> {
        let session = self.session.take()?;
        Some((session.link?, FromBackend::Close(440)))
    }
}
