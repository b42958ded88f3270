//! Every kind of mistake with its place, and the values of documents without mistakes.

use super::*;
use proptest::prelude::*;

fn told(mistakes: &[Mistake]) -> Vec<String> {
    mistakes.iter().map(Mistake::to_string).collect()
}

/// Returns the mistakes of a rule for `game` on line 1.
fn told_of_rule(rule: &str) -> Vec<String> {
    told(&parse_rules(&format!("{{\"game\": {rule}}}")).unwrap_err())
}

fn name(text: &str) -> EndpointName {
    text.parse().unwrap()
}

#[test]
fn a_whole_document() {
    let text = r#"{
      "rules": {
        "account": {"strategy": "round_robin", "endpoints": ["a:1", "10.0.0.1:2"]},
        "chat.eu": {
          "strategy": "consistent_hash", "hash_key": "realm_id", "require_bind": true, "may_bind": true,
          "max_connections": 4294967295,
          "max_sessions": 500, "assignable": ["10.1.0.0/16", "2001:db8::/32"],
          "endpoints": [{"address": "b:1", "weight": 100}, {"weight": 1, "address": "[::1]:2"}]
        },
        "game": {"strategy": "realm_based"},
        "lobby": {"strategy": "realm_based", "endpoints": []}
      },
      "realms": {"1": "c:1", "4294967295": "a:1"}
    }"#;
    let parsed = parse_file(text).unwrap();
    assert_eq!(parsed.warnings, []);
    let data = parsed.data;
    assert_eq!(data.rules.len(), 4);
    let chat = Rule {
        strategy: StrategyKind::ConsistentHash,
        endpoints: vec![
            WeightedEndpoint {
                address: name("b:1"),
                weight: 100,
            },
            WeightedEndpoint {
                address: name("[::1]:2"),
                weight: 1,
            },
        ],
        hash_key: HashKey::RealmId,
        require_bind: true,
        may_bind: Some(true),
        max_connections: Some(u32::MAX),
        max_sessions: Some(500),
        assignable: "10.1.0.0/16,2001:db8::/32".parse().unwrap(),
        assignments: None,
    };
    assert_eq!(data.rules["chat.eu"], chat);
    let account = &data.rules["account"];
    assert_eq!(account.endpoints[0].weight, 1);
    assert_eq!(account.hash_key, HashKey::UserId);
    assert!(!account.require_bind);
    assert_eq!(
        (account.max_connections, account.max_sessions),
        (None, None)
    );
    assert_eq!(data.realms.get(u32::MAX), Some(&name("a:1")));
    let names: Vec<String> = data
        .endpoint_names()
        .iter()
        .map(|n| n.to_string())
        .collect();
    assert_eq!(names, ["10.0.0.1:2", "[::1]:2", "a:1", "b:1", "c:1"]);
    // A written document is read back unchanged.
    let text = serde_json::to_string(&data).unwrap();
    assert_eq!(parse_file(&text).unwrap().data, data);
}

#[test]
fn every_mistake_at_once_with_its_place() {
    let text = r#"{
      "rules": {
        "game": {
          "strategy": "random",
          "endpoints": [
            "host",
            {"address": "a:1", "weight": 0},
            {"address": "a:0", "weight": 101},
            {"address": ":1", "weight": 1.5},
            {"weight": "1"},
            7,
            "a:2",
            "A:2"
          ],
          "hash_key": "ip",
          "require_bind": "yes",
          "max_connections": 0
        },
        "Game": {"strategy": "round_robin", "endpoints": []},
        "game": {}
      },
      "realms": {"0": "a:1", "x": "a", "01": "a:1", "4294967296": "a:1", "1": "a:1", "1": "a:1"}
    }"#;
    let expected = [
        r#"line 4: rules.game.strategy: must be one of round_robin, consistent_hash, realm_based, assigned, not "random""#,
        r#"line 6: rules.game.endpoints[0]: invalid endpoint "host": missing port, expected host:port"#,
        "line 7: rules.game.endpoints[1].weight: must be 1 to 100, not 0",
        r#"line 8: rules.game.endpoints[2].address: invalid endpoint "a:0": invalid port "0", expected 1 to 65535"#,
        "line 8: rules.game.endpoints[2].weight: must be 1 to 100, not 101",
        r#"line 9: rules.game.endpoints[3].address: invalid endpoint ":1": missing host, expected host:port"#,
        "line 9: rules.game.endpoints[3].weight: must be a whole number, not 1.5",
        "line 10: rules.game.endpoints[4].weight: must be a number, not a string",
        "line 10: rules.game.endpoints[4].address: missing, expected host:port",
        r#"line 11: rules.game.endpoints[5]: must be "host:port" or an object with address and weight, not a number"#,
        "line 13: rules.game.endpoints[7]: duplicate endpoint a:2, first in endpoints[6]",
        r#"line 15: rules.game.hash_key: must be one of user_id, session_id, realm_id, not "ip""#,
        "line 16: rules.game.require_bind: must be true or false, not a string",
        "line 17: rules.game.max_connections: must be 1 to 4294967295, not 0",
        "line 19: rules.Game: invalid service name, expected [a-z0-9][a-z0-9._-]*, at most 64 characters",
        "line 19: rules.Game.endpoints: round_robin requires at least one endpoint",
        "line 22: realms.0: invalid realm id, expected a number from 1 to 4294967295",
        "line 22: realms.x: invalid realm id, expected a number from 1 to 4294967295",
        r#"line 22: realms.x: invalid endpoint "a": missing port, expected host:port"#,
        "line 22: realms.01: invalid realm id, expected a number from 1 to 4294967295",
        "line 22: realms.4294967296: invalid realm id, expected a number from 1 to 4294967295",
    ];
    let mut told = told(&parse_file(text).unwrap_err());
    // Doubles are seen before the members are looked into.
    for twice in [
        "line 20: rules.game: duplicate key, first on line 3",
        "line 22: realms.1: duplicate key, first on line 22",
    ] {
        let at = told.iter().position(|text| text == twice);
        told.remove(at.unwrap_or_else(|| panic!("{twice} in {told:#?}")));
    }
    assert_eq!(told, expected);
}

#[test]
fn what_is_not_json_or_another_shape() {
    for (text, expected) in [
        ("", "line 1: invalid JSON: EOF while parsing a value"),
        (
            "{\n\"rules\": {},\n}",
            "line 3: invalid JSON: key must be a string",
        ),
        ("{} {}", "line 1: invalid JSON: trailing characters"),
        ("[]", "line 1: must be an object, not a list"),
        ("null", "line 1: must be an object, not null"),
        ("{}", "line 1: rules: missing, expected an object"),
        (
            r#"{"rules": []}"#,
            "line 1: rules: must be an object, not a list",
        ),
        (
            r#"{"rules": {"\ud800": 1}}"#,
            "line 1: rules: invalid JSON: unexpected end of hex escape",
        ),
        (
            r#"{"rules": {"a": 1}}"#,
            "line 1: rules.a: must be an object, not a number",
        ),
        (
            "{\"rules\": {}, \"realms\":\n{\"1\": 2}}",
            "line 2: realms.1: must be a string, not a number",
        ),
    ] {
        assert_eq!(told(&parse_file(text).unwrap_err()), [expected], "{text}");
    }
    assert!(parse_file("\u{feff}{\"rules\": {}}").is_ok());
}

#[test]
fn rules_alone() {
    assert_eq!(
        told(&parse_rules("{\n7").unwrap_err()),
        ["line 2: rules: invalid JSON: key must be a string"]
    );
    assert_eq!(
        told_of_rule("{}"),
        [
            "line 1: rules.game.strategy: missing, expected one of round_robin, consistent_hash, realm_based, assigned"
        ]
    );
    assert_eq!(
        told_of_rule(r#"{"strategy": "consistent_hash"}"#),
        ["line 1: rules.game.endpoints: consistent_hash requires at least one endpoint"]
    );
    assert_eq!(
        told_of_rule(r#"{"strategy": "realm_based", "max_sessions": 0}"#),
        ["line 1: rules.game.max_sessions: must be 1 to 4294967295, not 0"]
    );
    assert_eq!(
        told_of_rule(r#"{"strategy": "realm_based", "endpoints": {}, "max_connections": -1}"#),
        [
            "line 1: rules.game.endpoints: must be a list, not an object",
            "line 1: rules.game.max_connections: must be 1 to 4294967295, not -1"
        ]
    );
    let endpoint = |members: &str| {
        let rule = format!(r#"{{"strategy": "round_robin", "endpoints": [{{{members}}}]}}"#);
        told_of_rule(&rule)
    };
    assert_eq!(
        endpoint(r#""address": "a:1", "address": "b:1", "weight": null"#),
        [
            "line 1: rules.game.endpoints[0].address: duplicate key, first on line 1",
            "line 1: rules.game.endpoints[0].weight: must be a number, not null"
        ]
    );
    let long = "x".repeat(65);
    let text = format!(r#"{{"{long}": {{"strategy": "realm_based"}}, "": 1}}"#);
    assert_eq!(parse_rules(&text).unwrap_err().len(), 3);
}

#[test]
fn unknown_members_are_warnings() {
    let text = r#"{"rules": {"game": {"strategy": "round_robin", "sticky": 1,
        "endpoints": [{"address": "a:1", "zone": "b"}]}}, "comment x": ""}"#;
    let parsed = parse_file(text).unwrap();
    assert_eq!(parsed.data.rules.len(), 1);
    let expected = [
        "line 1: rules.game.sticky: unknown member, ignored",
        "line 2: rules.game.endpoints[0].zone: unknown member, ignored",
        "line 2: \"comment x\": unknown member, ignored",
    ];
    assert_eq!(told(&parsed.warnings), expected);
    let (_, warnings) = parse_rules(r#"{"a": {"strategy": "realm_based", "b": 1}}"#).unwrap();
    assert_eq!(
        told(&warnings),
        ["line 1: rules.a.b: unknown member, ignored"]
    );
}

fn realms(pairs: &[(&str, &str)]) -> Result<RealmMap, Vec<Mistake>> {
    let mut parser = RealmsParser::default();
    for (id, address) in pairs {
        parser.add(id, address);
    }
    parser.finish()
}

#[test]
fn realms_from_pairs() {
    assert_eq!(
        realms(&[("1", "a:1"), ("2", "[::1]:2"), ("1", "a:1")]).unwrap(),
        RealmMap::from_iter([(1, name("a:1")), (2, name("[::1]:2"))])
    );
    let expected = [
        "realms.\"1 \": invalid realm id, expected a number from 1 to 4294967295",
        "realms.\"1 \": invalid endpoint \"a\": missing port, expected host:port",
        "realms.-1: invalid realm id, expected a number from 1 to 4294967295",
        "realms.0: invalid realm id, expected a number from 1 to 4294967295",
    ];
    let wrong = [("0", "a:1"), ("1 ", "a"), ("1", "a:1"), ("-1", "b:1")];
    assert_eq!(told(&realms(&wrong).unwrap_err()), expected);
}

#[test]
fn long_foreign_text_is_cut() {
    let text = format!(r#"{{"a": {{"strategy": "{}"}}}}"#, "é".repeat(10_000));
    let mistakes = parse_rules(&text).unwrap_err();
    assert!(mistakes[0].message.len() < 300, "{}", mistakes[0]);
    assert!(mistakes[0].message.ends_with('…'));
}

/// Generates text that is nearly a document.
fn nearly_routes() -> impl Strategy<Value = String> {
    let token = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\n",
        " ",
        "\"rules\"",
        "\"realms\"",
        "\"game\"",
        "\"1\"",
        "\"strategy\"",
        "\"round_robin\"",
        "\"endpoints\"",
        "\"a:1\"",
        "\"weight\"",
        "0",
        "1.5",
        "-1",
        "1e999",
        "null",
        "true",
        "\"\\ud800\"",
        "\"é\"",
        "\u{feff}",
    ]);
    prop::collection::vec(token, 0..40).prop_map(|tokens| tokens.concat())
}

proptest! {
    #[test]
    fn any_text_never_panics(text in prop_oneof![".{0,60}", nearly_routes()]) {
        for mistakes in [parse_file(&text).err(), parse_rules(&text).err()].into_iter().flatten() {
            prop_assert!(!mistakes.is_empty());
            let lines = text.lines().count().max(1) + 1;
            prop_assert!(mistakes.iter().all(|m| m.line.is_some_and(|l| (1..=lines).contains(&l))));
        }
        let _ = realms(&[(text.as_str(), text.as_str())]);
    }

    /// A document that is cut somewhere, or has one character replaced, is refused or read, never
    /// more.
    #[test]
    fn a_damaged_document_never_panics(at in 0_usize..700, by in any::<char>()) {
        let good = include_str!("../../config/routes.json");
        let mut text: Vec<char> = good.chars().collect();
        prop_assert!(parse_file(&text[..at.min(text.len() - 2)].iter().collect::<String>()).is_err());
        let at = at % text.len();
        text[at] = by;
        let _ = parse_file(&text.iter().collect::<String>());
    }
}

#[test]
fn the_example_of_the_documentation() {
    let page = include_str!("../../docs/routing.md");
    let (_, rest) = page.split_once("```json\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let parsed = parse_file(example).unwrap();
    assert_eq!(parsed.warnings, []);
    assert_eq!(parsed.data.rules.len(), 3);
}

#[test]
fn many_mistakes_are_counted() {
    let many = 3 * super::super::reader::MAX_MISTAKES;
    let wrong: Vec<String> = (0..many).map(|n| format!("\"x{n}\":\"a:1\"")).collect();
    let text = format!(r#"{{"rules":{{}},"realms":{{{}}}}}"#, wrong.join(","));
    let mut parser = RealmsParser::default();
    (0..many).for_each(|n| parser.add(&format!("x{n}"), "a:1"));
    for mistakes in [parse_file(&text).unwrap_err(), parser.finish().unwrap_err()] {
        assert_eq!(mistakes.len(), 1_001);
        assert_eq!(mistakes[1_000].to_string(), "and 2000 more");
    }
}

#[test]
fn an_assigned_rule_leads_somewhere() {
    let parse = |rest: &str| {
        let text = format!(r#"{{"rules": {{"battle": {{"strategy": "assigned"{rest}}}}}}}"#);
        parse_file(&text)
    };
    let mistakes = parse("").expect_err("nobody could be assigned");
    let said: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    let expected =
        "line 1: rules.battle.assignable: assigned requires endpoints or assignable networks";
    assert_eq!(said, [expected]);
    for rest in [
        r#", "assignable": ["10.1.0.0/16"]"#,
        r#", "endpoints": ["10.1.0.1:1"]"#,
    ] {
        parse(rest).expect("a rule");
    }
}

#[test]
fn assignments_in_redis() {
    let rule = |strategy: &str, assignments: &str| {
        let text = format!(
            r#"{{"rules":{{"battle":{{"strategy":"{strategy}","endpoints":["h:1"],"assignments":{assignments}}}}}}}"#
        );
        parse_file(&text)
    };
    let mut parsed = rule("assigned", r#""redis""#).unwrap();
    assert_eq!(parsed.warnings, []);
    assert!(parsed.data.rules["battle"].reads_assignments());
    let json = serde_json::to_string(&parsed.data).unwrap();
    assert_eq!(parse_file(&json).unwrap().data, parsed.data);
    parsed.warn_without_redis();
    let warning = "rules.battle.assignments: no assignments without Redis (routes.source = \"redis\"): only ASSIGN and \
                   operators assign";
    assert_eq!(parsed.warnings[0].to_string(), warning);

    let mut parsed = rule("round_robin", r#""redis""#).unwrap();
    assert!(!parsed.data.rules["battle"].reads_assignments());
    let warning = "line 1: rules.battle.assignments: ignored, only the strategy assigned uses it";
    assert_eq!(parsed.warnings[0].to_string(), warning);
    parsed.warn_without_redis();
    assert_eq!(parsed.warnings.len(), 1);

    let mistakes = rule("assigned", r#""file""#).unwrap_err();
    let text = "line 1: rules.battle.assignments: must be one of redis, not \"file\"";
    assert_eq!(mistakes[0].to_string(), text);
}
