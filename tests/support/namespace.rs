//! A test in a network namespace of its own, where it may cut paths.

#![allow(dead_code, reason = "each test crate uses its own part of this")]

use std::process::Command;

/// Set in the process that has a namespace of its own.
const MARK: &str = "GAME_GATEWAY_TEST_NAMESPACE";

/// Takes `$0` as the flag of `unshare` where users may have namespaces, else needs to be root.
const ENTER: &str = "unshare -rn true 2>/dev/null && flags=-rn || flags=-n\n\
                     exec unshare $flags sh -c 'ip link set lo up && exec \"$@\"' sh \"$@\"";

/// Tells whether this process has a namespace of its own.
pub(crate) fn is_own() -> bool {
    std::env::var_os(MARK).is_some()
}

/// Runs `body` in a process of its own, which is this test again, in a network namespace with a loopback of its
/// own. `test`: its full name.
pub(crate) fn alone<F: Future<Output = ()>>(test: &str, body: impl FnOnce() -> F) {
    if is_own() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build();
        return runtime.expect("a runtime").block_on(body());
    }
    let own = std::env::current_exe().expect("this program");
    let output = Command::new("sh")
        .args(["-c", ENTER, "sh"])
        .arg(own)
        .args(["--exact", test, "--nocapture"])
        .env(MARK, "1")
        .output()
        .expect("sh");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    // A name that is no test's would pass for ever.
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}"
    );
    print!("{said}");
}

/// Drops every packet from and to this port from now on, without a word to anybody.
pub(crate) fn cut(port: u16) {
    treat(port, "drop");
}

/// Resets every connection from and to this port from now on, as soon as anybody says a word.
pub(crate) fn reset(port: u16) {
    // What resets a connection must arrive.
    treat(port, "tcp flags & rst == 0 reject with tcp reset");
}

fn treat(port: u16, verdict: &str) {
    nft("add table inet cut");
    nft("add chain inet cut input { type filter hook input priority 0 ; }");
    for end in ["sport", "dport"] {
        nft(&format!(
            "add rule inet cut input tcp {end} {port} {verdict}"
        ));
    }
}

/// Lets all packets through again.
pub(crate) fn mend() {
    nft("delete table inet cut");
}

fn nft(command: &str) {
    let path = format!("{}:/usr/sbin:/sbin", env!("PATH"));
    let status = Command::new("nft")
        .env("PATH", path)
        .args(command.split(' '))
        .status();
    assert!(status.expect("nft").success(), "{command}");
}
