use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;

use actix::ActorFutureExt as _;
use tokio::sync::Notify;
use tokio::task::{LocalSet, yield_now};

use super::*;

/// What an actor has done, in order.
type Log = Rc<std::cell::RefCell<Vec<&'static str>>>;

struct Tried {
    log: Log,
    /// The pump is at its end.
    is_dry: Rc<Cell<bool>>,
    goes_on: bool,
}

#[derive(Message)]
#[rtype(result = "u32")]
struct Ask;

#[derive(Message)]
#[rtype(result = "()")]
struct Do(fn(&mut Pumped<Tried>));

impl Actor for Tried {
    type Context = Pumped<Self>;

    fn started(&mut self, _: &mut Self::Context) {
        self.log.borrow_mut().push("started");
    }

    fn stopping(&mut self, _: &mut Self::Context) -> actix::Running {
        match std::mem::take(&mut self.goes_on) {
            true => actix::Running::Continue,
            false => actix::Running::Stop,
        }
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.log.borrow_mut().push("stopped");
    }
}

impl Drop for Tried {
    fn drop(&mut self) {
        self.log.borrow_mut().push("dropped");
    }
}

impl Pump for Tried {
    fn pump(&mut self, _: &mut Self::Context, _: &mut TaskContext<'_>) -> Poll<()> {
        self.log.borrow_mut().push("pump");
        match self.is_dry.get() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}

impl Handler<Ask> for Tried {
    type Result = u32;

    fn handle(&mut self, _: Ask, _: &mut Self::Context) -> u32 {
        self.log.borrow_mut().push("ask");
        7
    }
}

impl Handler<Do> for Tried {
    type Result = ();

    fn handle(&mut self, Do(what): Do, ctx: &mut Self::Context) {
        self.log.borrow_mut().push("do");
        what(ctx);
    }
}

fn run(goes_on: bool, work: impl AsyncFnOnce(Addr<Tried>, Log, Rc<Cell<bool>>)) {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    LocalSet::new().block_on(&runtime.unwrap(), async {
        let (log, is_dry) = (Log::default(), Rc::new(Cell::new(false)));
        let addr = Pumped::start(Tried {
            log: Rc::clone(&log),
            is_dry: Rc::clone(&is_dry),
            goes_on,
        });
        work(addr, log, is_dry).await;
    });
}

/// Lets the actor run, and returns what it has done since the last time.
async fn done(log: &Log) -> Vec<&'static str> {
    for _ in 0..5 {
        yield_now().await;
    }
    log.take()
}

#[test]
fn messages_come_before_the_pump() {
    run(false, async |addr, log, _| {
        assert_eq!(addr.send(Ask).await.unwrap(), 7);
        assert_eq!(done(&log).await, ["started", "ask", "pump"]);
        addr.do_send(Ask);
        addr.do_send(Ask);
        assert_eq!(done(&log).await, ["ask", "ask", "pump"]);
    });
}

#[test]
fn what_has_been_spawned_has_the_pump_look_again() {
    run(false, async |addr, log, _| {
        done(&log).await;
        addr.do_send(Do(|ctx| {
            let note = async {}.into_actor_note("spawned");
            ctx.spawn(note);
        }));
        assert_eq!(done(&log).await, ["do", "pump", "spawned", "pump"]);
        addr.do_send(Do(|ctx| ctx.notify(Do(|_| {}))));
        assert_eq!(done(&log).await, ["do", "pump", "do", "pump"]);
    });
}

#[test]
fn messages_wait_for_what_holds_them() {
    run(false, async |addr, log, _| {
        done(&log).await;
        thread_local! { static GATE: Rc<Notify> = Rc::default(); }
        addr.do_send(Do(|ctx| {
            let gate = GATE.with(Rc::clone);
            ctx.wait(async move { gate.notified().await }.into_actor_note("opened"));
        }));
        addr.do_send(Ask);
        assert_eq!(done(&log).await, ["do"]);
        GATE.with(|gate| gate.notify_one());
        assert_eq!(done(&log).await, ["opened", "ask", "pump"]);
    });
}

#[test]
fn a_pump_that_is_ready_is_left_alone() {
    run(false, async |addr, log, is_dry| {
        is_dry.set(true);
        assert_eq!(done(&log).await, ["started", "pump"]);
        addr.do_send(Ask);
        assert_eq!(done(&log).await, ["ask"]);
    });
}

#[test]
fn an_actor_lives_without_addresses_until_it_stops() {
    run(true, async |addr, log, _| {
        let weak = addr.downgrade();
        drop(addr);
        assert_eq!(done(&log).await, ["started", "pump"]);
        let addr = weak.upgrade().unwrap();
        addr.do_send(Do(|ctx| ctx.stop()));
        assert_eq!(
            done(&log).await,
            ["do", "pump"],
            "it goes on the first time"
        );
        addr.do_send(Do(|ctx| {
            ctx.address().do_send(Ask);
            ctx.stop();
        }));
        assert_eq!(done(&log).await, ["do", "stopped", "dropped"]);
        assert!(!addr.connected() && weak.upgrade().is_none());
    });
}

trait IntoActorNote: Future<Output = ()> + Sized + 'static {
    /// Becomes a future of the actor that logs its end.
    fn into_actor_note(self, note: &'static str) -> impl ActorFuture<Tried, Output = ()> + 'static {
        actix::fut::wrap_future::<_, Tried>(self)
            .map(move |(), actor, _| actor.log.borrow_mut().push(note))
    }
}

impl<F: Future<Output = ()> + 'static> IntoActorNote for F {}

#[test]
fn a_panic_drops_the_actor() {
    run(false, async |addr, log, _| {
        done(&log).await;
        addr.do_send(Do(|_| panic!("tried")));
        assert_eq!(done(&log).await, ["do", "dropped"]);
        let gone = poll_fn(|_| Poll::Ready(addr.connected())).await;
        assert!(!gone);
    });
}
