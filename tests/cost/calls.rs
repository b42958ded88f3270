//! System calls, from the log of `strace`.

use std::collections::BTreeMap;
use std::path::Path;

use crate::process::ANSWER;

/// Calls by their name.
pub(crate) type Calls = BTreeMap<String, u64>;

/// Returns the calls between each two answers of the gateway's process, except those of the thread that answers.
pub(crate) fn windows(log: &Path) -> Vec<Calls> {
    let log = std::fs::read_to_string(log).expect("a log");
    let answer = format!("\"{ANSWER} ");
    let first = log.lines().find(|line| line.contains(&answer));
    let (thread, _) = first
        .and_then(|line| line.split_once(' '))
        .expect("an answer");
    let mut windows = vec![Calls::new()];
    for line in log.lines() {
        let Some((of, call)) = line.split_once(' ') else {
            continue;
        };
        if of != thread {
            let window = windows.last_mut().expect("a window");
            if let Some(name) = name(call.trim_start()) {
                *window.entry(name.to_owned()).or_default() += 1;
            }
        } else if call.contains(&answer) {
            windows.push(Calls::new());
        }
    }
    // Before the first answer is the start, behind the last one the end.
    windows.pop();
    windows.split_off(1)
}

/// Returns the name of a call that begins here. One that others interrupt in the log goes on as
/// `<... name resumed>` elsewhere.
fn name(call: &str) -> Option<&str> {
    let (name, _) = call.split_once('(')?;
    let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_name.then_some(name)
}

/// Returns the window with the fewest calls.
pub(crate) fn fewest(windows: &[Calls]) -> &Calls {
    let fewest = windows
        .iter()
        .min_by_key(|calls| calls.values().sum::<u64>());
    fewest.expect("a window")
}
