//! The routing data's reader: what it takes, written as JSON and read again, is the same, without a
//! warning; what it refuses, it refuses with at least one mistake, each with words and a line that
//! exists.

#![no_main]

use game_gateway::routing::parse_file;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match parse_file(text) {
        Ok(parsed) => {
            let json = serde_json::to_string(&parsed.data).unwrap_or_default();
            match parse_file(&json) {
                Ok(again) => {
                    assert_eq!(again.data, parsed.data);
                    assert!(again.warnings.is_empty(), "{:?}", again.warnings);
                }
                Err(mistakes) => panic!("{json}: {mistakes:?}"),
            }
        }
        Err(mistakes) => {
            assert!(!mistakes.is_empty());
            let lines = text.split('\n').count();
            for mistake in mistakes {
                assert!(!mistake.message.is_empty());
                let line = mistake.line.unwrap_or(1);
                assert!((1..=lines).contains(&line), "{mistake} of {lines} lines");
            }
        }
    }
});
