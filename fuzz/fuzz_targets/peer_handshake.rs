//! The peer channel's handshake from both ends: whatever a stranger says, it is refused, and has learned a HELLO.

#![no_main]

use game_gateway::net::peer::{self, Hello};
use game_gateway::session::token::Keyring;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.expect("a runtime");
    let keys = Keyring::new(&["k".repeat(32)]).expect("a key");
    let hello = || Hello::new(&keys, "gw", "10.0.0.1:7001");
    let own = hello();
    let len = own.encode().len();

    let mut stream = tokio::io::join(data, Vec::new());
    let answered = runtime.block_on(peer::answer(&mut stream, &keys, own));
    assert!(answered.is_err());
    let (_, said) = stream.into_inner();
    assert!(said.is_empty() || said.len() == len);

    // Behind the HELLO of a gateway that the caller believes to have a common key there is the caller's proof.
    let mut stream = tokio::io::join(data, Vec::new());
    let called = runtime.block_on(peer::call(&mut stream, &keys, hello()));
    assert!(called.is_err());
    let (_, said) = stream.into_inner();
    assert!(said.len() <= len + 2 + 48);
});
