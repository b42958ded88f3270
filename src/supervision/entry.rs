//! Entries of the actor registry.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use actix::prelude::*;
use tokio::sync::{mpsc, oneshot};

use super::actor_registry::{ActorId, ActorRegistry};
use super::actor_times::ActorTimes;
use super::address::{CountedAddr, CountedRecipient};
use super::inspect::Inspect;
use super::kind_counters::KindCounters;
use super::mail::Mail;
use super::mail_counter::MailCounter;
use super::pace::Pace;
use super::registration::{Exit, Registration};
use super::restart::{Answer, NotRestarted};
use super::snapshots::rounded;
use crate::supervision::{ActorSnapshot, ActorState, BusyActor, LastError, TimesSnapshot};

/// One actor, or one seat with the actors that take it in turn.
#[derive(Debug)]
pub struct Entry {
    id: ActorId,
    name: String,
    worker: Option<usize>,
    parent: Option<ActorId>,
    counters: Arc<KindCounters>,
    actors: Weak<ActorRegistry>,
    times: ActorTimes,
    life: Mutex<Life>,
}

#[derive(Debug)]
struct Life {
    since: Instant,
    state: ActorState,
    starts: u64,
    starts_by_hand: u64,
    panics: u64,
    /// The actor ends to be started again, as somebody has asked for.
    by_hand: bool,
    /// Messages handled by the earlier actors of the seat.
    handled_before: u64,
    busy_ns_before: u64,
    highest_before: u64,
    pace: Pace,
    mail: Option<Arc<MailCounter>>,
    last_error: Option<LastError>,
    inspect: Option<CountedRecipient<Inspect>>,
    /// The supervisor; none where it has none.
    supervisor: Option<mpsc::Sender<Answer>>,
}

impl Life {
    fn count(&self, read: fn(&MailCounter) -> u64) -> u64 {
        self.mail.as_deref().map_or(0, read)
    }

    fn handled(&self) -> u64 {
        self.handled_before + self.count(MailCounter::handled_count)
    }

    fn busy_ns(&self) -> u64 {
        self.busy_ns_before + self.count(|mail| mail.busy_ns.get())
    }

    fn waiting(&self) -> u64 {
        match self.state {
            ActorState::Running => self.count(MailCounter::waiting),
            ActorState::Restarting => 0,
        }
    }
}

impl Entry {
    pub(super) fn new(
        id: ActorId,
        name: String,
        worker: Option<usize>,
        parent: Option<ActorId>,
        counters: Arc<KindCounters>,
        actors: Weak<ActorRegistry>,
    ) -> Arc<Entry> {
        let now = Instant::now();
        let mut pace = Pace::default();
        pace.look(now, 0, 0);
        Arc::new(Entry {
            id,
            name,
            worker,
            parent,
            counters,
            actors,
            times: ActorTimes::default(),
            life: Mutex::new(Life {
                since: now,
                state: ActorState::Running,
                starts: 0,
                starts_by_hand: 0,
                panics: 0,
                by_hand: false,
                handled_before: 0,
                busy_ns_before: 0,
                highest_before: 0,
                pace,
                mail: None,
                last_error: None,
                inspect: None,
                supervisor: None,
            }),
        })
    }

    /// Returns its id.
    pub fn id(&self) -> ActorId {
        self.id
    }

    /// Returns its display name, which may be empty.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the id of its supervisor; `None` for the root.
    pub fn parent(&self) -> Option<ActorId> {
        self.parent
    }

    /// Returns the recipient of [`Inspect`]; `None` while the seat is empty.
    pub fn inspect(&self) -> Option<CountedRecipient<Inspect>> {
        self.life().inspect.clone()
    }

    /// Returns the registry, while there is one.
    pub(super) fn actors(&self) -> Option<Arc<ActorRegistry>> {
        self.actors.upgrade()
    }

    /// Returns its times by type of message.
    pub(super) fn times(&self) -> &ActorTimes {
        &self.times
    }

    /// Looks at its counters, for the load.
    pub(super) fn look(&self, now: Instant) {
        let mut life = self.life();
        let (handled, busy_ns) = (life.handled(), life.busy_ns());
        life.pace.look(now, handled, busy_ns);
    }

    fn life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that an actor starts, and returns the counter of its mail.
    pub(super) fn begin(&self) -> Arc<MailCounter> {
        let mail = MailCounter::new(Arc::clone(&self.counters));
        let mut life = self.life();
        let by_hand = std::mem::take(&mut life.by_hand);
        if life.starts > 0 {
            self.counters.restarted(by_hand);
        }
        life.starts += 1;
        life.starts_by_hand += u64::from(by_hand);
        life.since = Instant::now();
        life.state = ActorState::Running;
        if let Some(before) = life.mail.replace(Arc::clone(&mail)) {
            life.handled_before += before.handled_count();
            life.busy_ns_before += before.busy_ns.get();
            life.highest_before = life.highest_before.max(before.highest());
        }
        mail
    }

    /// Starts an actor without supervision.
    pub fn start<A>(self: &Arc<Entry>, make: impl FnOnce(Registration) -> A) -> CountedAddr<A>
    where
        A: Actor<Context = Context<A>> + Handler<Mail<Inspect>>,
    {
        self.start_with(Registration::listed(Arc::clone(self), None), make)
    }

    /// Starts an actor as [`start`](Self::start) does. The future resolves when the actor is gone, to
    /// `true` if it panicked.
    pub fn start_watched<A, F>(
        self: &Arc<Entry>,
        make: F,
    ) -> (CountedAddr<A>, impl Future<Output = bool> + use<A, F>)
    where
        F: FnOnce(Registration) -> A,
        A: Actor<Context = Context<A>> + Handler<Mail<Inspect>>,
    {
        let (exit, ended) = oneshot::channel();
        let registration = Registration::listed(Arc::clone(self), Some(exit));
        let ended = async { matches!(ended.await, Ok(Exit::Panicked)) };
        (self.start_with(registration, make), ended)
    }

    pub(super) fn start_with<A>(
        &self,
        registration: Registration,
        make: impl FnOnce(Registration) -> A,
    ) -> CountedAddr<A>
    where
        A: Actor<Context = Context<A>> + Handler<Mail<Inspect>>,
    {
        let mail = Arc::clone(registration.mail());
        let address = CountedAddr::new(make(registration).start(), mail);
        self.reached_at(address.recipient());
        address
    }

    fn reached_at(&self, inspect: CountedRecipient<Inspect>) {
        self.life().inspect = Some(inspect);
    }

    pub(super) fn panicked(&self, error: LastError) {
        let mut life = self.life();
        life.state = ActorState::Restarting;
        life.panics += 1;
        life.last_error = Some(error);
        life.inspect = None;
    }

    /// Sets the supervisor that can be asked to start the actor again.
    pub(super) fn supervised_by(&self, supervisor: mpsc::Sender<Answer>) {
        self.life().supervisor = Some(supervisor);
    }

    /// Asks its supervisor to start it again. The answer comes when another one has its seat.
    ///
    /// # Errors
    /// Actors like it are not restarted, or it is being restarted already.
    pub fn restart(&self) -> Result<oneshot::Receiver<Result<(), NotRestarted>>, NotRestarted> {
        if let Some(why) = self.id.kind.restart_refused() {
            return Err(NotRestarted::Refused(why.to_owned()));
        }
        let supervisor = self.life().supervisor.clone();
        let (answer, restarted) = oneshot::channel();
        let asked = supervisor.map(|supervisor| supervisor.try_send(answer));
        match asked {
            Some(Ok(())) => Ok(restarted),
            Some(Err(_)) | None => Err(NotRestarted::UnderWay),
        }
    }

    /// Notes that the actor ends to be started again, as somebody has asked for.
    pub(super) fn restarts(&self) {
        let mut life = self.life();
        life.state = ActorState::Restarting;
        life.by_hand = true;
        life.inspect = None;
    }

    /// Tells whether it ends to be started again, as somebody has asked for.
    pub(super) fn is_restarted(&self) -> bool {
        self.life().by_hand
    }

    /// Returns what it does, and what waits for it.
    pub(super) fn busy(&self) -> BusyActor {
        let life = self.life();
        BusyActor {
            id: Some(self.id.to_string()),
            kind: self.id.kind,
            name: self.name.clone(),
            worker: self.worker,
            waiting: life.waiting(),
            load: life.pace.load(),
        }
    }

    /// Returns what is known of it without asking it, so that a stuck actor can be seen.
    pub fn snapshot(&self) -> ActorSnapshot {
        let life = self.life();
        let busy = Duration::from_nanos(life.busy_ns()).as_secs_f64();
        ActorSnapshot {
            id: self.id.to_string(),
            kind: self.id.kind,
            name: self.name.clone(),
            worker: self.worker,
            parent: self.parent.map(|parent| parent.to_string()),
            state: life.state,
            uptime_seconds: life.since.elapsed().as_secs(),
            restarts: life.starts.saturating_sub(1 + life.starts_by_hand),
            restarts_by_hand: life.starts_by_hand,
            panics: life.panics,
            handled: life.handled(),
            waiting: life.waiting(),
            waiting_highest: life.highest_before.max(life.count(MailCounter::highest)),
            load: life.pace.load(),
            busy_seconds: rounded(busy, 1e6),
            handlers: None,
            last_error: life.last_error.clone(),
            detail: None,
            responding: true,
        }
    }

    /// Returns its times by type of message, the type with the most first.
    pub fn handlers(&self) -> Vec<TimesSnapshot> {
        self.times.snapshots()
    }
}
