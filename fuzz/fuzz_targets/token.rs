//! Resume tokens: nothing that was not sealed is opened, and what was sealed is not when any of it has
//! changed.

#![no_main]

use std::sync::LazyLock;

use game_gateway::codec::link::Bind;
use game_gateway::session::token::{Binding, Keyring, TokenBody};
use libfuzzer_sys::fuzz_target;

static RING: LazyLock<Keyring> =
    LazyLock::new(|| Keyring::new(&[[7; 32]]).expect("a key of 32 bytes"));
static TOKEN: LazyLock<Vec<u8>> = LazyLock::new(|| {
    RING.seal(&TokenBody {
        session_id: 1,
        epoch: 2,
        bound: Bind::default(),
        newest: Bind::default(),
        bindings: vec![Binding {
            service: "game".into(),
            endpoint: ([127, 0, 0, 1], 9300).into(),
        }],
        owner: "gw-0".into(),
        peer: String::new(),
        assigned: Vec::new(),
        expires: u64::MAX,
    })
});

fuzz_target!(|data: &[u8]| {
    assert!(RING.open(data, 0).is_err());
    let mut changed = TOKEN.clone();
    for (byte, change) in changed.iter_mut().zip(data) {
        *byte ^= change;
    }
    assert_eq!(RING.open(&changed, 0).is_ok(), changed == *TOKEN);
});
