//! The repository checks itself: the rules of CONTRIBUTING.md that a compiler does not know.
//!
//! Each rule is a function from one source file to its breaches, so that a test can show that the
//! rule bites; `the_repository_keeps_the_rules` then applies all of them to all of `src/`.

mod rules;
mod source;

use std::fs;

use rules::{
    HOT, PURE, RULES, Rule, hot_modules_are_marked, names_say_something, nothing_unwraps,
    pure_cores_import_no_io, short_enough,
};
use source::{Source, sources};

#[test]
fn the_repository_keeps_the_rules() {
    let sources = sources("src");
    let breaches: Vec<String> = sources
        .iter()
        .flat_map(|source| RULES.iter().flat_map(move |rule| rule(source)))
        .collect();
    assert!(breaches.is_empty(), "\n{}", breaches.join("\n"));
    // A rule about a file that has moved would hold for ever.
    for hot in HOT {
        assert!(sources.iter().any(|s| s.path == *hot), "{hot} is gone");
    }
    for (core, _) in PURE {
        assert!(
            sources.iter().any(|s| s.path.starts_with(core)),
            "{core} is gone"
        );
    }
}

#[test]
fn every_metric_is_documented() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
    let page = fs::read_to_string(page).expect("docs/metrics.md");
    // Words rather than substrings: `links` is not documented by `links_started`.
    let documented: Vec<&str> = page
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .collect();
    for family in game_gateway::admin::FAMILIES {
        let name = format!("game_gateway_{}", family.name);
        let counter = format!("{name}_total");
        let found = documented
            .iter()
            .any(|word| *word == name || *word == counter);
        assert!(found, "docs/metrics.md:1: {name} is missing");
    }
}

/// Each rule bites, names the place, and lets the same through where it is right.
#[test]
#[expect(clippy::too_many_lines, reason = "a table: one line a rule")]
fn the_rules_bite() {
    let check = |rule: Rule, path: &str, text: &str, expected: &[&str]| {
        let breaches = rule(&Source::new(path, text));
        assert_eq!(
            breaches.len(),
            expected.len(),
            "{path} {text:?}: {breaches:?}"
        );
        for (breach, place) in breaches.iter().zip(expected) {
            assert!(breach.starts_with(place), "{breach} is not at {place}");
        }
    };
    check(short_enough, "src/a.rs", &"\n".repeat(400), &[]);
    check(
        short_enough,
        "src/a.rs",
        &"\n".repeat(401),
        &["src/a.rs:401: 401 lines"],
    );

    let pure = pure_cores_import_no_io;
    check(
        pure,
        "src/codec/a.rs",
        "use tokio::net;",
        &["src/codec/a.rs:1: tokio::net"],
    );
    check(
        pure,
        "src/codec/a.rs",
        "\nfn f(s: &crate::session::S) {}",
        &["src/codec/a.rs:2: crate::session"],
    );
    check(
        pure,
        "src/routing/a.rs",
        "use actix_codec::Decoder;",
        &["src/routing/a.rs:1:"],
    );
    check(pure, "src/codec/a.rs", "use actix_codec::Decoder;", &[]);
    check(
        pure,
        "src/session/a.rs",
        "use crate::codec::code::Code; // not tokio",
        &[],
    );
    check(pure, "src/net/a.rs", "use tokio::net;", &[]);

    let hot = hot_modules_are_marked;
    check(
        hot,
        HOT[0],
        "//! Fast.",
        &["src/session/core/inbound.rs:1:"],
    );
    check(
        hot,
        HOT[0],
        "//! Hot path.\nuse std::sync::Mutex;",
        &["src/session/core/inbound.rs:2: Mutex"],
    );
    check(hot, HOT[0], "//! Hot path.", &[]);
    check(hot, "src/other.rs", "use std::sync::Mutex;", &[]);

    let unwraps = nothing_unwraps;
    let tests = "#[cfg(test)]\nmod tests {\n    fn f() {\n        x.unwrap();\n    }\n}\n";
    check(
        unwraps,
        "src/a.rs",
        &format!("{tests}let a = b.expect(\"c\");"),
        &["src/a.rs:7: .expect("],
    );
    check(
        unwraps,
        "src/a.rs",
        "#[cfg(test)]\nmod tests;\nx.unwrap();",
        &["src/a.rs:3: .unwrap()"],
    );
    check(
        unwraps,
        "src/a.rs",
        &format!("// x.unwrap()\nx.unwrap_or(1);\n{tests}"),
        &[],
    );
    check(unwraps, "src/a_tests.rs", "x.unwrap();", &[]);

    let names = names_say_something;
    check(
        names,
        "src/a.rs",
        "\npub(crate) struct SessionManager<T>(T);",
        &["src/a.rs:2: SessionManager"],
    );
    check(
        names,
        "src/a.rs",
        "mod link_utils;",
        &["src/a.rs:1: link_utils"],
    );
    check(names, "src/common/a.rs", "", &["src/common/a.rs:1: common"]);
    check(
        names,
        "src/a.rs",
        "    type Context = Context<Self>;\nstruct Commonwealth;",
        &[],
    );
}
