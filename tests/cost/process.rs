//! The gateway's process: this program again, with an allocator that counts.

use std::alloc::System;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use game_gateway::config;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

/// Names the gateway's configuration, in the environment of its process only.
pub(crate) const CONFIGURATION: &str = "COST_CONFIGURATION";
/// Names the address at which the test asks for counts, likewise.
pub(crate) const QUESTIONS: &str = "COST_QUESTIONS";
/// Begins the line that says the process's id and the players' port.
pub(crate) const READY: &str = "ready: ";
/// The first word of an answer, by which a log of system calls shows where a window begins and ends.
pub(crate) const ANSWER: &str = "counted";

/// Longer than timers count, so that all clients wait in the last tick there is. A client that is alone in its tick holds
/// more, and which one is depends on how fast they come.
const ENDLESS: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Serves in a process that was started for that; elsewhere there is nothing to do.
#[test]
fn serves() {
    let Some(file) = std::env::var_os(CONFIGURATION) else {
        return;
    };
    let config = config::load(Some(Path::new(&file)), std::iter::empty());
    let mut config = config.expect("a configuration");
    config.listen.sniff_timeout = ENDLESS;
    config.session.idle_timeout = ENDLESS;
    let running = game_gateway::run::start(config).expect("it starts");
    let address = std::env::var(QUESTIONS).expect("an address");
    let mut answers = TcpStream::connect(address).expect("the test");
    answers.set_nodelay(true).expect("set");
    // On a line of its own, whatever the test harness has begun to say.
    println!("\n{READY}{} {}", std::process::id(), running.players);
    let mut question = [0];
    let mut answer = [0; 64];
    // The end of the questions is the end of the process.
    while answers.read(&mut question).is_ok_and(|read| read > 0) {
        let now = ALLOCATOR.stats();
        let allocations = now.allocations + now.reallocations;
        let held = now.bytes_allocated - now.bytes_deallocated;
        // An answer allocates nothing, for it would be counted.
        let mut rest = answer.as_mut_slice();
        writeln!(rest, "{ANSWER} {allocations} {held}").expect("room");
        let left = rest.len();
        answers
            .write_all(&answer[..answer.len() - left])
            .expect("told");
    }
}
