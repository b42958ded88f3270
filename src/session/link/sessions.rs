//! The sessions that a link carries, and those that have left it by CLOSE 307 (protocol 2.4).
//!
//! Hot path: [`Sessions::data`] runs for every DATA frame of a backend; one look-up and no allocation.
//!
//! ```text
//!             DATA, PONG behind OPEN
//!   OpenSent ────────────────────────▶ Open          leave: CLOSE 307 is sent, and all that the
//!                                        ▲            backend says is still delivered
//!   Resuming ── ACCEPT ──────────────────┘
//!      what comes before ACCEPT is of the epoch before and is dropped
//!
//!   attached ── release behind CLOSE 307 ──▶ left ── backend answers CLOSE 307 ──▶ forgotten
//!      └── backend answers CLOSE 307 ──────────────────────────────────────────────▶
//!
//!   Open ── part: CLOSE 307 with which a move begins, and its answer ──▶ Parted ── reopen ──▶ Resuming
//!
//!   OPEN (resumed) unanswered ── release ──▶ given up ── ACCEPT, CLOSE 404 or 410 ──▶ forgotten
//!      that answers the OPEN, and is no word on the session
//! ```
//!
//! `C` is the way to a session's client.

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;
use slab::Slab;

use super::given_up::GivenUp;
use super::leaving::Leaving;
use super::unread::UnreadCloses;
use crate::codec::buffers;
use crate::codec::code::Code;

/// Sessions that may have left a link whose backend has not answered. Those beyond are forgotten, and
/// frames for them are answered as if they were unknown. As many may have been given up.
pub(super) const MAX_LEFT: usize = 65_536;

/// All sessions of one link.
#[derive(Debug)]
pub struct Sessions<C> {
    pub(super) attached: Slab<Attached<C>>,
    pub(super) places: HashMap<u64, u32, RandomState>,
    /// Releases to come of sessions that were attached anew before: they say nothing any more.
    superseded: HashMap<u64, u32, RandomState>,
    /// Sessions that are no longer attached and whose CLOSE 307 is unanswered. What the backend says
    /// of them is neither delivered nor answered (protocol 2.3).
    pub(super) left: HashSet<u64, RandomState>,
    /// OPENs (resumed) of sessions that were released before they were answered. The answers are still
    /// to come, and the session may be open elsewhere by then, or here anew.
    pub(super) given_up: HashMap<u64, GivenUp, RandomState>,
    pub(super) unread: UnreadCloses,
    /// Places with a batch that is not delivered yet.
    touched: Vec<u32>,
    /// `mark` of new sessions that have been answered for the first time; the link takes them.
    pub first_answers: Vec<u32>,
}

/// One session on a link.
#[derive(Debug)]
pub struct Attached<C> {
    /// Way to the client.
    pub client: C,
    /// Realm that frames to the client name.
    pub realm_id: u32,
    /// Frames to the client, already encoded.
    pub head: Vec<u8>,
    frames: u32,
    /// Of a new session when its OPEN was sent, by any clock of the link's, until it is answered; of one that is moved
    /// the epoch of its OPEN, which no other OPEN has.
    pub mark: u32,
    /// OPENs (resumed) that the backend has not answered.
    pub(super) unanswered: u16,
    pub(super) stage: Stage,
    pub(super) leaving: Leaving,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    OpenSent,
    Resuming,
    /// As that, but its OPEN is one of a move, and any CLOSE refuses it (protocol 2.3).
    Arriving,
    Open,
    /// It has left for another backend, and may come back (protocol 2.5).
    Parted,
}

/// Frames for one client.
#[derive(Debug, PartialEq, Eq)]
pub struct Batch {
    /// Frames, already encoded; never empty.
    pub head: Vec<u8>,
    /// Number of frames.
    pub frames: u32,
}

impl<C> Attached<C> {
    /// Its OPEN has the flag transferred.
    pub fn arrives(&mut self, epoch: u32) {
        (self.stage, self.mark) = (Stage::Arriving, epoch);
    }

    /// Tells whether the backend has said nothing of a session that was opened anew.
    pub fn is_unheard(&self) -> bool {
        self.stage == Stage::OpenSent
    }

    /// Takes what is gathered for the client, if anything is.
    #[inline]
    pub fn take_batch(&mut self) -> Option<Batch> {
        (self.frames > 0).then(|| Batch {
            head: std::mem::take(&mut self.head),
            frames: std::mem::take(&mut self.frames),
        })
    }
}

/// Recipient of a backend's frame.
#[derive(Debug)]
pub enum Recipient<'a, C> {
    /// A session of this link.
    Attached(&'a mut Attached<C>),
    /// A resumed session whose ACCEPT has not come: the frame is of the epoch before.
    BeforeAccept,
    /// A session that has left.
    Left,
    /// None that this link knows.
    Stranger,
}

/// State of an OPEN that a client asks about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenState {
    /// The backend is known to have taken it.
    Taken,
    /// A PING behind it will tell.
    Unknown,
}

impl<C> Default for Sessions<C> {
    fn default() -> Sessions<C> {
        Sessions {
            attached: Slab::new(),
            places: HashMap::default(),
            superseded: HashMap::default(),
            left: HashSet::default(),
            given_up: HashMap::default(),
            unread: UnreadCloses::default(),
            touched: Vec::new(),
            first_answers: Vec::new(),
        }
    }
}

impl<C> Sessions<C> {
    /// Adds a session whose OPEN is sent now. One of this id that is attached already is
    /// [superseded](Self::supersede).
    pub fn attach(
        &mut self,
        session_id: u64,
        realm_id: u32,
        client: C,
        resumes: bool,
    ) -> &mut Attached<C> {
        drop(self.supersede(session_id));
        let slot = self.attached.insert(Attached {
            client,
            realm_id,
            head: Vec::new(),
            frames: 0,
            mark: 0,
            unanswered: u16::from(resumes),
            stage: if resumes {
                Stage::Resuming
            } else {
                Stage::OpenSent
            },
            leaving: Leaving::No,
        });
        self.places.insert(session_id, slot as u32);
        self.unread.endpoint.opened(session_id);
        &mut self.attached[slot]
    }

    /// Takes off a session that is about to be attached anew before its lease is released: the backend goes by the newer
    /// OPEN, and one release less counts. Returns it, where there is one.
    pub fn supersede(&mut self, session_id: u64) -> Option<Attached<C>> {
        let attached = self.detach(session_id)?;
        *self.superseded.entry(session_id).or_default() += 1;
        self.leaves_behind(session_id, &attached, attached.leaving != Leaving::No);
        Some(attached)
    }

    /// Tells whether a release is that of a session that was attached anew; which of the leases goes first is all the same.
    fn is_superseded(&mut self, session_id: u64) -> bool {
        let Some(releases) = self.superseded.get_mut(&session_id) else {
            return false;
        };
        *releases -= 1;
        if *releases == 0 {
            self.superseded.remove(&session_id);
        }
        true
    }

    /// Returns a session of this link.
    pub fn get(&mut self, session_id: u64) -> Option<&mut Attached<C>> {
        let place = self.places.get(&session_id)?;
        self.attached.get_mut(*place as usize)
    }

    /// Returns how many sessions are attached.
    pub fn len(&self) -> usize {
        self.attached.len()
    }

    /// Returns whether no session is attached.
    pub fn is_empty(&self) -> bool {
        self.attached.is_empty()
    }

    /// Returns the ids of all attached sessions.
    pub fn ids(&self) -> impl Iterator<Item = u64> {
        self.places.keys().copied()
    }

    /// Returns the clients of all attached sessions.
    pub fn clients(&self) -> impl Iterator<Item = &C> {
        self.attached.iter().map(|(_, attached)| &attached.client)
    }

    pub(super) fn detach(&mut self, session_id: u64) -> Option<Attached<C>> {
        let place = self.places.remove(&session_id)?;
        self.attached.try_remove(place as usize)
    }

    /// The session's lease is gone; a CLOSE with `code`, if any, is sent now. Returns whether the
    /// session was attached; where it was not, its end has crossed the release and nothing is owed.
    pub fn release(&mut self, session_id: u64, code: Option<Code>) -> bool {
        if self.is_superseded(session_id) {
            return false;
        }
        let Some(attached) = self.detach(session_id) else {
            return false;
        };
        let leaving = attached.leaving != Leaving::No;
        let unanswered = leaving || code == Some(Code::LEAVES_LINK);
        self.leaves_behind(session_id, &attached, unanswered);
        if let Some(code) = code.filter(|code| *code != Code::LEAVES_LINK) {
            self.unread.said(session_id, code);
        }
        true
    }

    /// A client asks whether the backend has taken its OPEN.
    pub fn confirm(&mut self, session_id: u64) -> Option<OpenState> {
        self.get(session_id).map(|attached| match attached.stage {
            Stage::Open | Stage::Parted => OpenState::Taken,
            Stage::OpenSent | Stage::Resuming | Stage::Arriving => OpenState::Unknown,
        })
    }

    /// The backend has answered a PING behind the session's OPEN. Returns the client.
    pub fn confirmed(&mut self, session_id: u64) -> Option<&C> {
        let attached = self.get(session_id)?;
        match attached.stage {
            Stage::OpenSent => (attached.stage, attached.mark) = (Stage::Open, 0),
            // It has taken the OPEN, but its frames count only behind ACCEPT.
            Stage::Resuming | Stage::Arriving | Stage::Open | Stage::Parted => {}
        }
        Some(&attached.client)
    }

    /// The backend has accepted the session's OPEN.
    pub fn accepted(&mut self, session_id: u64, epoch: u32) -> Option<&mut Attached<C>> {
        let waits = |s: &mut Attached<C>| s.mark == epoch && s.stage.awaits_accept();
        if self.get(session_id).is_some_and(waits) {
            // A backend that was told the end of one before may never answer that.
            self.given_up.remove(&session_id);
        } else if self.answers_given_up(session_id, true) {
            return None;
        }
        let attached = self.get(session_id).filter(|s| s.is_asked(epoch))?;
        attached.stage = Stage::Open;
        attached.unanswered = attached.unanswered.saturating_sub(1);
        Some(attached)
    }

    /// A DATA frame came. The caller appends it to the recipient's `head`.
    #[inline]
    pub fn data(&mut self, session_id: u64) -> Recipient<'_, C> {
        let Some(&slot) = self.places.get(&session_id) else {
            return self.absent(session_id);
        };
        let attached = &mut self.attached[slot as usize];
        match attached.stage {
            Stage::Resuming | Stage::Arriving => return Recipient::BeforeAccept,
            Stage::Parted => return Recipient::Left,
            Stage::Open => {}
            // What comes before the answer to CLOSE 307 was said before the OPEN behind that was read.
            Stage::OpenSent if self.left.contains(&session_id) => {}
            Stage::OpenSent => {
                attached.stage = Stage::Open;
                self.first_answers.push(std::mem::take(&mut attached.mark));
            }
        }
        if attached.frames == 0 {
            attached.head = buffers::take();
            self.touched.push(slot);
        }
        attached.frames += 1;
        Recipient::Attached(attached)
    }

    /// A BIND frame came.
    pub fn bind(&mut self, session_id: u64) -> Recipient<'_, C> {
        let Some(&slot) = self.places.get(&session_id) else {
            return self.absent(session_id);
        };
        let attached = &mut self.attached[slot as usize];
        match attached.stage {
            Stage::Resuming | Stage::Arriving => Recipient::BeforeAccept,
            Stage::Parted => Recipient::Left,
            Stage::OpenSent | Stage::Open => Recipient::Attached(attached),
        }
    }

    fn absent(&self, session_id: u64) -> Recipient<'_, C> {
        if self.left.contains(&session_id) {
            Recipient::Left
        } else {
            Recipient::Stranger
        }
    }

    /// Hands the sessions for which DATA came since the last call to `deliver`. Of one that got it
    /// delivered meanwhile there is no batch any more.
    pub fn deliver(&mut self, mut deliver: impl FnMut(&mut Attached<C>)) {
        for place in self.touched.drain(..) {
            if let Some(attached) = self.attached.get_mut(place as usize) {
                deliver(attached);
            }
        }
    }
}

#[cfg(test)]
#[path = "sessions_tests.rs"]
mod tests;
