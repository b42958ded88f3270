//! The repository checks itself: the rules of CONTRIBUTING.md that a compiler does not know.
//!
//! Each rule is a function from one source file to its breaches, so that a test can show that the
//! rule bites; `the_repository_keeps_the_rules` then applies all of them to all of `src/`.

mod arrows;
mod bounds;
mod paths;
mod rules;
mod source;

use std::collections::BTreeMap;
use std::fs;

use arrows::Arrows;
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

fn document(name: &str) -> String {
    let path = format!("{}/{name}", env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(path).expect("a document of the repository")
}

#[test]
fn imports_follow_the_arrows_of_the_architecture() {
    let (arrows, sources) = (Arrows::of(&document("ARCHITECTURE.md")), sources("src"));
    let mut breaches = arrows.mistakes(&sources);
    breaches.extend(sources.iter().flat_map(|source| arrows.breaches(source)));
    assert!(breaches.is_empty(), "\n{}", breaches.join("\n"));
}

#[test]
fn arrows_bite() {
    let arrows = Arrows::of(
        "\n## Code map\n\n| folder | job | may use |\n| --- | --- | --- |\n\
         | `src/codec/` | bytes | |\n| `src/scope.rs` | state | codec |\n\
         | `src/actors/` | actors | scope |\n\n## Actors\n\n1. `link`: lowest\n2. `pool`\n\n## Life\n3. `x`\n",
    );
    let check = |path: &str, text: &str, expected: usize| {
        let breaches = arrows.breaches(&Source::new(path, text));
        assert_eq!(breaches.len(), expected, "{path} {text:?}: {breaches:?}");
    };
    check("src/scope.rs", "use crate::codec::A;", 0);
    check("src/scope.rs", "use crate::actors::link::Link;", 1);
    check("src/codec/a.rs", "fn f(s: &crate::scope::Scope) {}", 1);
    check("src/codec/a.rs", "// crate::scope::Scope", 0);
    check("src/actors/pool/mod.rs", "use super::link::Link;", 0);
    check("src/actors/link/mod.rs", "use super::pool::Pool;", 1);
    check("src/actors/link/a.rs", "use super::pool::Pool;", 0);
    check("src/actors/link/a.rs", "use super::super::pool::Pool;", 1);
    check(
        "src/actors/link/a.rs",
        "use crate::{\n    actors::{link::A, pool::{B, C}},\n    scope,\n};",
        2,
    );
    check(
        "src/actors/pool/a.rs",
        "use crate::actors::{link, pool};\nuse crate::codec;",
        1,
    );

    let there = [
        "src/codec/a.rs",
        "src/scope.rs",
        "src/actors/link/mod.rs",
        "src/actors/pool.rs",
    ];
    let there = there.map(|path| Source::new(path, ""));
    assert_eq!(arrows.mistakes(&there), [""; 0]);
    let moved = [
        "src/codec/a.rs",
        "src/net/a.rs",
        "src/actors/link.rs",
        "src/actors/gate.rs",
    ];
    let moved = moved.map(|path| Source::new(path, ""));
    // gate and net are not listed; scope and pool are gone.
    assert_eq!(arrows.mistakes(&moved).len(), 4);
    let upwards = "\n## Code map\n| `src/a/` | | b |\n| `src/b/` | | |\n\n## Actors\n";
    let both = ["src/a/x.rs", "src/b/x.rs"].map(|path| Source::new(path, ""));
    assert_eq!(Arrows::of(upwards).mistakes(&both).len(), 1);
}

#[test]
fn documents_name_what_is_there() {
    let repository = paths::repository();
    let lost: Vec<String> = ["ARCHITECTURE.md", "CONTRIBUTING.md"]
        .iter()
        .flat_map(|name| paths::lost(name, &document(name), &repository))
        .collect();
    assert!(lost.is_empty(), "\n{}", lost.join("\n"));

    let known = ["src/", "src/net/", "src/net/pipe.rs", "docs/", "docs/a.md"].map(str::to_owned);
    let lost = |text| paths::lost("a.md", text, &known);
    let right =
        "`src/net/` `net/pipe.rs` `pipe.rs` `net::pipe` `Link` `/ready` `a / b` [a](docs/a.md#b)";
    assert_eq!(lost(right), [""; 0]);
    for wrong in [
        "`src/lost/`",
        "`lost.rs`",
        "`net::lost`",
        "`docs/b.md`",
        "[b](docs/b.md)",
    ] {
        assert_eq!(lost(wrong).len(), 1, "{wrong}");
    }
}

/// A queue that nobody has thought of is how one client takes all memory.
#[test]
fn whatever_grows_has_a_bound() {
    let list = document("tests/project_rules/bounds.toml");
    let list: BTreeMap<String, String> = toml::from_str(&list).expect("fields and their bounds");
    let breaches = bounds::unbounded(&sources("src"), &list);
    assert!(breaches.is_empty(), "\n{}", breaches.join("\n"));

    let text = "struct A {\n    pub(super) queue: VecDeque<u8>,\n    count: usize,\n}\n\
                enum B {\n    C {\n        ids: Vec<u64>,\n    },\n}\nfn f(x: Vec<u8>) {}\n";
    let source = [Source::new("src/net/a.rs", text)];
    let bound = |field: &str| (field.to_owned(), "8".to_owned());
    let check = |bounds: &[&str], expected: &[&str]| {
        let list = bounds.iter().map(|field| bound(field)).collect();
        assert_eq!(bounds::unbounded(&source, &list), expected);
    };
    check(&["src/net/a.rs::queue", "src/net/a.rs::ids"], &[]);
    check(
        &["src/net/a.rs::ids", "src/net/b.rs::queue"],
        &[
            "src/net/a.rs:2: src/net/a.rs::queue grows, and has no bound",
            "bounds.toml: src/net/b.rs::queue is gone, or does not grow",
        ],
    );
    let elsewhere = Source::new("src/cli/a.rs", text);
    assert_eq!(bounds::growing(&elsewhere), []);
}

/// `scripts/mutate` finds the place of each deliberate fault by its text.
#[test]
fn deliberate_faults_have_their_place() {
    let faults: toml::Table = document("scripts/mutants.toml").parse().expect("TOML");
    let faults = faults["mutant"].as_array().expect("a list of faults");
    assert!(!faults.is_empty());
    for fault in faults {
        let text = |key: &str| fault[key].as_str().expect("a text");
        let (file, old) = (text("file"), text("old"));
        let found = document(file).matches(old).count();
        assert_eq!(
            found,
            1,
            "{file}: {:?} stands there {found} times",
            text("name")
        );
        assert_ne!(old, text("new"), "{:?} changes nothing", text("name"));
        if let Some(test) = fault.get("test").and_then(toml::Value::as_str) {
            let (part, name) = test.split_once("::").expect("file::test");
            let transcripts = document(&format!("src/session/core/tests/{part}.rs"));
            assert!(transcripts.contains(&format!("fn {name}()")), "{test}");
        }
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
