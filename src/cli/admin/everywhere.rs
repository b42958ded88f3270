//! Answers of all gateways of a deployment, which the gateway that is asked has gathered.

use serde_json::Value;

use super::api::Failure;
use super::args::Command;
use super::show;

/// Returns the reason why a command cannot be put to all gateways, as far as it is known here.
pub(super) fn contradiction(command: &Command) -> Option<&'static str> {
    let waits = match command {
        Command::Drain(args) => args.wait,
        Command::Backend(args) => args.wait,
        Command::Gateways => return Some("gateways lists all of them anyway"),
        _ => false,
    };
    waits.then_some("--wait waits for one gateway; with --deployment look again later")
}

/// Tells whether an answer is one of all gateways.
pub(super) fn is_of_all(answer: &Value) -> bool {
    answer["gateways"].is_array() && answer["unanswered"].is_number()
}

/// Returns what each gateway has answered; of one gateway alone its answer.
pub(super) fn parts(answer: &mut Value) -> Vec<&mut Value> {
    if !is_of_all(answer) {
        return vec![answer];
    }
    let rows = answer["gateways"].as_array_mut().into_iter().flatten();
    rows.map(|row| &mut row["answer"]).collect()
}

/// Formats each gateway's answer under its name.
pub(super) fn text(answer: &Value, table: impl Fn(&Value) -> String) -> String {
    let mut text = String::new();
    for row in show::list(answer, "gateways").filter(|row| is_good(row)) {
        let gap = if text.is_empty() { "" } else { "\n" };
        text.push_str(&format!("{gap}== {}\n", name(row)));
        if !row["answer"].is_null() {
            text.push_str(&table(&row["answer"]));
        }
        if row["cut"] == true {
            text.push_str("there are more: its answer was too long\n");
        }
    }
    text
}

/// Says which gateways have not answered, or with an error. `whatever`: also where others have what was asked for.
pub(super) fn failure(answer: &Value, whatever: bool) -> Option<Failure> {
    let rows: Vec<&Value> = show::list(answer, "gateways").collect();
    let found = rows.iter().any(|row| is_good(row));
    let counts = |row: &&&Value| !is_good(row) && (whatever || !found || row["status"] != 404);
    let mut failed: Vec<String> = rows.iter().filter(counts).map(|row| why(row)).collect();
    failed.extend(show::list(answer, "unresolved").map(show::cell));
    if answer["left_out"].as_u64() > Some(0) {
        failed.push("some addresses were left out".to_owned());
    }
    let message = failed.join("; ");
    (!failed.is_empty()).then(|| Failure::answer(message))
}

/// Says which gateways of a list of them have not answered.
pub(super) fn silent(answer: &Value) -> Option<Failure> {
    let rows = show::list(answer, "gateways").filter(|row| row["answered"] == false);
    let silent: Vec<String> = rows.map(why).collect();
    (!silent.is_empty()).then(|| Failure::answer(silent.join("; ")))
}

fn is_good(row: &Value) -> bool {
    row["status"].as_u64().is_some_and(|status| status < 300)
}

/// Returns a gateway's id, or where it was asked if that is not known.
pub(super) fn name(row: &Value) -> String {
    let known = |member: &str| Some(&row[member]).filter(|value| !value.is_null());
    let named = known("gateway_id").or_else(|| known("address"));
    named.map_or_else(|| "this gateway".to_owned(), show::cell)
}

fn why(row: &Value) -> String {
    format!("{}: {}", name(row), reason(row))
}

/// Returns the reason why a gateway has not answered, or its error.
pub(super) fn reason(row: &Value) -> String {
    show::cell(match &row["why_not"] {
        Value::Null => &row["answer"]["error"]["message"],
        why => why,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn partial_answers_say_who_is_missing() {
        let all = json!({"unanswered": 1, "left_out": 0, "unresolved": ["peers: no answer"], "gateways": [
            {"gateway_id": "gw-a", "status": 200, "cut": true, "answer": {"n": 1}},
            {"gateway_id": "gw-b", "status": 404, "answer": {"error": {"message": "none\u{1b} there"}}},
            {"gateway_id": null, "address": "10.0.0.3:7001", "why_not": "too old", "status": null},
        ]});
        assert!(is_of_all(&all) && !is_of_all(&json!({"gateways": [], "configured": true})));
        let shown = text(&all, |answer| format!("{answer}\n"));
        assert_eq!(
            shown,
            "== gw-a\n{\"n\":1}\nthere are more: its answer was too long\n"
        );
        let failure = |whatever| failure(&all, whatever).expect("a failure").to_string();
        assert_eq!(
            failure(true),
            "gw-b: none  there; 10.0.0.3:7001: too old; peers: no answer"
        );
        // It was removed somewhere: that others do not have it is no failure.
        assert_eq!(failure(false), "10.0.0.3:7001: too old; peers: no answer");
    }
}
