//! The admin API's answers as tables.

use serde_json::Value;

use super::table::table;

/// A column: its title, and the JSON pointer to its value in a row.
pub(super) type Column = (&'static str, &'static str);

pub(super) const SESSIONS: [Column; 11] = [
    ("SESSION", "/session_id"),
    ("USER", "/user_id"),
    ("REALM", "/realm_id"),
    ("IDENTITY", "/identity"),
    ("STATE", "/state"),
    ("CLIENT", "/client"),
    ("WORKER", "/worker"),
    ("AGE", "/age_seconds"),
    ("IN", "/frames_in"),
    ("OUT", "/frames_out"),
    ("SERVICES", "/services"),
];

pub(super) const BANS: [Column; 7] = [
    ("BAN", "/id"),
    ("AGE", "/age_seconds"),
    ("LEFT", "/remaining_seconds"),
    ("REFUSALS", "/refusals"),
    ("ENDED", "/ended_sessions"),
    ("BY", "/by"),
    ("REASON", "/reason"),
];

pub(super) const BACKENDS: [Column; 24] = [
    ("SERVICE", "/service"),
    ("ENDPOINT", "/endpoint"),
    ("IN RULES", "/in_rules"),
    ("HEALTH", "/health"),
    ("BREAKER", "/breaker"),
    ("OPERATOR", "/operator_state"),
    ("LINKS", "/links"),
    ("SESSIONS", "/sessions"),
    ("WAITING", "/waiting_sessions"),
    ("MOVED", "/evacuation/moved"),
    ("MOVING", "/evacuation/under_way"),
    ("RTT US", "/rtt_us"),
    ("PING AGE US", "/ping_age_us"),
    ("CONNECT P50 US", "/connect/p50_us"),
    ("FIRST P50 US", "/first_answer/p50_us"),
    ("FIRST P99 US", "/first_answer/p99_us"),
    ("ANSWER P50 US", "/answer/p50_us"),
    ("ANSWER P99 US", "/answer/p99_us"),
    ("AWAITED US", "/awaited_us"),
    ("SLOW", "/slow"),
    ("QUEUED", "/queued_bytes"),
    ("BYTES IN", "/bytes_in"),
    ("BYTES OUT", "/bytes_out"),
    ("LAST ERROR", "/last_error"),
];

const RULES: [Column; 4] = [
    ("STRATEGY", "/strategy"),
    ("HASH KEY", "/hash_key"),
    ("BOUND", "/require_bind"),
    ("ENDPOINTS", "/endpoints"),
];

const CANDIDATES: [Column; 5] = [
    ("ENDPOINT", "/endpoint"),
    ("WEIGHT", "/weight"),
    ("HEALTH", "/health"),
    ("OPERATOR", "/operator_state"),
    ("ELIGIBLE", "/eligible"),
];

const GATEWAYS: [Column; 9] = [
    ("GATEWAY", "/gateway_id"),
    ("ADDRESS", "/address"),
    ("STATE", "/info/state"),
    ("VERSION", "/info/version"),
    ("SESSIONS", "/info/sessions"),
    ("CONNECTIONS", "/info/connections"),
    ("UPTIME", "/info/uptime_seconds"),
    ("DRAIN LEFT", "/info/drain/remaining_seconds"),
    ("WHY NOT", "/why_not"),
];

/// Returns the entries of a list in an answer; none if there is no such list.
pub(super) fn list<'a>(answer: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    answer[name].as_array().into_iter().flatten()
}

/// Formats a value as a cell.
pub(in crate::cli) fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        // Foreign text must not control the terminal.
        Value::String(text) => text
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect(),
        Value::Array(values) => {
            let cells: Vec<String> = values.iter().map(cell).collect();
            if cells.is_empty() {
                "-".to_owned()
            } else {
                cells.join(" ")
            }
        }
        Value::Object(members) => {
            // A session's service, a rule's endpoint, or something that later versions have.
            let text = |name: &str| members.get(name).map(cell);
            match (
                text("service"),
                text("endpoint"),
                text("address"),
                text("weight"),
            ) {
                (Some(service), Some(endpoint), ..) => format!("{service}={endpoint}"),
                (_, _, Some(address), Some(weight)) if weight == "1" => address,
                (_, _, Some(address), Some(weight)) => format!("{address}*{weight}"),
                _ => values_of(members),
            }
        }
    }
}

/// Formats an object in a cell; what is not there is left out.
fn values_of(members: &serde_json::Map<String, Value>) -> String {
    let there = members.iter().filter(|(_, value)| !value.is_null());
    let one = |(name, value): (&String, &Value)| match value {
        Value::Object(members) => format!("{name} ({})", values_of(members)),
        value => format!("{name} {}", cell(value)),
    };
    let text = there.map(one).collect::<Vec<_>>().join(", ");
    if text.is_empty() {
        "-".to_owned()
    } else {
        text
    }
}

pub(super) fn row(entry: &Value, columns: &[Column]) -> Vec<String> {
    let at = |(title, pointer): &Column| match entry.pointer(pointer) {
        // Links are counted here; `--json` has each.
        Some(Value::Array(links)) if *title == "LINKS" => links.len().to_string(),
        Some(value) => cell(value),
        None => "-".to_owned(),
    };
    columns.iter().map(at).collect()
}

fn titles(columns: &[Column]) -> Vec<&'static str> {
    columns.iter().map(|(title, _)| *title).collect()
}

pub(super) fn listing<'a>(columns: &[Column], entries: impl Iterator<Item = &'a Value>) -> String {
    let rows: Vec<Vec<String>> = entries.map(|entry| row(entry, columns)).collect();
    table(&titles(columns), &rows)
}

pub(super) fn sessions(page: &Value) -> String {
    // Of all gateways: then the session's number alone does not say where it is.
    let mut columns = SESSIONS;
    if page["unanswered"].is_array() {
        columns[0].1 = "/global_id";
    }
    listing(&columns, list(page, "sessions"))
}

pub(super) fn gateways(answer: &Value) -> String {
    listing(&GATEWAYS, list(answer, "gateways"))
}

pub(super) fn bans(page: &Value) -> String {
    listing(&BANS, list(page, "bans"))
}

pub(super) fn backends(answer: &Value) -> String {
    listing(&BACKENDS, list(answer, "backends"))
}

/// Formats the progress of a drain as one line.
pub(super) fn progress(answer: &Value) -> String {
    let count = |name: &str| cell(&answer[name]);
    format!(
        "{}: {} connections are here, {} have left, {} were cut off; {} sessions have moved, {} wait for their players",
        count("state"),
        count("connections"),
        count("left"),
        count("cut_off"),
        count("moved"),
        count("suspended"),
    )
}

/// Formats how far a backend's sessions have been moved as one line.
pub(super) fn evacuation(answer: &Value) -> String {
    let (sessions, progress) = (cell(&answer["sessions"]), &answer["evacuation"]);
    let count = |name: &str| cell(&progress[name]);
    let stay = progress["stay"].as_object().into_iter().flatten();
    let stay: String = stay
        .filter(|(_, count)| **count != 0)
        .map(|(why, count)| format!(", {} cannot: {why}", cell(count)))
        .collect();
    let (moved, under_way) = (count("moved"), count("under_way"));
    format!("{sessions} sessions are left, {moved} moved, {under_way} under way{stay}")
}

/// Formats a drain that is over, and how many it cut off.
pub(super) fn drained(answer: &Value) -> String {
    let cut_off = cell(&answer["cut_off"]);
    format!(
        "{}\ndrained; {cut_off} connections were cut off\n",
        members(answer)
    )
}

/// Formats what was removed; the reasons for others go to stderr.
pub(super) fn removed(answer: &Value, done: &str) -> String {
    let line = |id: &Value| format!("{done} {}\n", cell(id));
    list(answer, done).map(line).collect()
}

/// Formats the rules and their source.
pub(super) fn routes(answer: &Value) -> String {
    let mut head = answer.clone();
    let parts = head
        .as_object_mut()
        .map(|members| (members.remove("rules"), members.remove("realms")));
    let (rules, realms) = parts.unwrap_or_default();
    let mut text = members(&head);
    let named = |members: Option<Value>| match members {
        Some(Value::Object(members)) => members.into_iter().collect(),
        _ => Vec::new(),
    };
    let rows: Vec<Vec<String>> = named(rules)
        .into_iter()
        .map(|(service, rule)| std::iter::once(service).chain(row(&rule, &RULES)).collect())
        .collect();
    let all: Vec<&str> = std::iter::once("SERVICE").chain(titles(&RULES)).collect();
    text.push('\n');
    text.push_str(&table(&all, &rows));
    let realms: Vec<Vec<String>> = named(realms)
        .into_iter()
        .map(|(realm, endpoint)| vec![realm, cell(&endpoint)])
        .collect();
    if !realms.is_empty() {
        text.push('\n');
        text.push_str(&table(&["REALM", "ENDPOINT"], &realms));
    }
    text
}

/// Formats the route of a session, and the candidates.
pub(super) fn resolution(answer: &Value) -> String {
    let mut head = answer.clone();
    if let Some(members) = head.as_object_mut() {
        members.remove("candidates");
    }
    let candidates = listing(&CANDIDATES, list(answer, "candidates"));
    format!("{}\n{candidates}", members(&head))
}

/// Formats an object, one line per member.
pub(super) fn members(answer: &Value) -> String {
    let members = answer.as_object().into_iter().flatten();
    let lines: Vec<(&str, String)> = members
        .map(|(name, value)| (name.as_str(), cell(value)))
        .collect();
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let line = |(name, value): &(&str, String)| format!("{name:<width$}  {value}\n");
    lines.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn cells() {
        for (value, text) in [
            (json!(null), "-"),
            (json!(""), "-"),
            (json!("a\u{1b}[2Jb"), "a [2Jb"),
            (json!(7), "7"),
            (json!(true), "yes"),
            (json!([]), "-"),
            (
                json!([{"service": "game", "endpoint": "1.2.3.4:5"}]),
                "game=1.2.3.4:5",
            ),
            (
                json!([{"address": "h:1", "weight": 1}, {"address": "i:1", "weight": 9}]),
                "h:1 i:1*9",
            ),
            (json!({"other": 1, "none": null}), "other 1"),
            (
                json!({"moved": 3, "stay": {"no_backend": 1}, "more": {}}),
                "more (-), moved 3, stay (no_backend 1)",
            ),
        ] {
            assert_eq!(cell(&value), text);
        }
    }

    #[test]
    fn links_are_counted() {
        let backend = json!({"service": "game", "endpoint": "1.2.3.4:5", "links": [{}, {}]});
        let text = backends(&json!({"backends": [backend]}));
        let cells: Vec<&str> = text
            .lines()
            .nth(1)
            .expect("a row")
            .split_whitespace()
            .collect();
        assert_eq!(&cells[..7], ["game", "1.2.3.4:5", "-", "-", "-", "-", "2"]);
    }
}
