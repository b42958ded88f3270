//! From keys and news to frames, without a terminal.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::gateway::{Contact, Figures, News};
use super::lists::{By, View};
use super::scrape::Scrape;
use super::screen;
use super::state::{Key, Mode, State};
use super::theme::Theme;

const PLAIN: Theme = Theme { colours: false };

fn state(gateways: usize) -> State {
    let urls = (0..gateways).map(|n| format!("http://10.0.0.{n}:9090"));
    State::new(urls, Duration::from_secs(2), Instant::now())
}

/// A look in which players have sent this many frames so far.
fn look(id: &str, frames: u32, at: Instant) -> News {
    let metrics = format!(
        "game_gateway_connections 120\ngame_gateway_connections_limit 1000\ngame_gateway_sessions 110\n\
         game_gateway_client_in_frames_total {frames}\ngame_gateway_endpoints_down 2\n\
         game_gateway_endpoint_slow{{service_type=\"game\",endpoint_address=\"10.1.0.1:7000\"}} 1\n\
         game_gateway_route_seconds_bucket{{outcome=\"found\",le=\"0.001\"}} {frames}\n\
         game_gateway_route_seconds_bucket{{outcome=\"found\",le=\"+Inf\"}} {frames}\n\
         game_gateway_refused_frames_total{{code=\"404\"}} {}\n",
        frames / 10
    );
    News::Figures(Box::new(Figures {
        info: json!({"gateway_id": id, "state": "serving", "uptime_seconds": 61, "workers": 2, "version": "9.9"}),
        memory: json!({"held_bytes": 1024, "limit_bytes": 2048, "pressure": "rings"}),
        drain: json!({"state": "refusing", "connections_at_begin": 200, "connections": 50, "left": 150,
            "by": "admin", "asked_by": "anna at 10.0.0.9:5", "reason": "upgrade",
            "remaining": {"resumable": 40, "plain": 10, "http": 0, "newcomers": 0}}),
        scrape: Scrape::parse(&metrics, at),
    }))
}

/// A state that has two looks of its first gateway.
fn looked(gateways: usize) -> State {
    let mut state = state(gateways);
    let now = Instant::now();
    state.heard(0, look("gw-a", 1000, now), now);
    let later = now + Duration::from_secs(2);
    state.heard(0, look("gw-a", 3000, later), later);
    state
}

fn backends() -> Value {
    json!({"backends": [
        {"service": "game", "endpoint": "10.1.0.1:7000", "health": "up", "sessions": 5, "links": [{}],
         "first_answer": {"p50_us": 900, "p99_us": 1500}},
        {"service": "game", "endpoint": "10.1.0.2:7000", "health": "down", "sessions": 0, "links": [],
         "last_error": "Connection refused"},
        {"service": "chat", "endpoint": "10.1.0.3:7000", "health": "up", "sessions": 12_345, "links": [{}, {}]},
    ]})
}

fn frame(state: &State, width: u16, height: u16) -> String {
    screen::text(state, PLAIN, width, height).expect("a frame")
}

fn keys(state: &mut State, keys: &str) {
    for key in keys.chars() {
        state.pressed(Key::Char(key));
    }
}

#[test]
fn the_overview_shows_figures_rates_and_percentiles() {
    let text = frame(&looked(1), 100, 40);
    for part in [
        "gw-a serving  up 1m01s  2 workers  v9.9",
        "of 1,000",
        "pressure: rings",
        "           0 up  2 down  slow: 10.1.0.1:7000",
        "players              1,000",
        "≤1.0 ms",
        "ERROR to players       100        300",
    ] {
        assert!(text.contains(part), "{part:?} in\n{text}");
    }
}

/// The titles of a view of eighty columns, as a terminal has them by default.
fn eighty(view: char, list: View, answer: Value) -> String {
    let mut state = looked(1);
    keys(&mut state, &view.to_string());
    let now = Instant::now();
    let news = News::List(list, answer);
    state.heard(0, news, now);
    frame(&state, 80, 12)
}

#[test]
fn eighty_columns_keep_what_answers() {
    let backend = json!({"service": "account", "endpoint": "127.0.0.1:21050", "health": "up", "operator_state": "ready",
        "breaker": "closed", "sessions": 12_345, "links": [{}], "rtt_us": 1500, "queued_bytes": 7,
        "first_answer": {"p50_us": 900, "p99_us": 1500}, "answer": {"p50_us": 721_000, "p99_us": 800_000},
        "slow": "late"});
    let session = json!({"session_id": "12609851555456989313", "user_id": "7001", "realm_id": 7, "state": "suspended",
        "transport": "tcp", "client": "127.0.0.1:35216", "age_seconds": 277, "frames_in": 9, "frames_out": 9,
        "services": [{"service": "game", "endpoint": "127.0.0.1:21040"}]});
    let talker = json!({"name": "11236328980475089644", "user_id": "7001", "address": "127.0.0.1",
        "frames_in_per_second": 1, "frames_out_per_second": 1, "bytes_in_per_second": 38, "bytes_out_per_second": 100});
    let refusal = json!({"code": 404, "reason": "no such service, and whatever else there is to be said of it",
        "service": "account", "realm_id": 7, "count": 3545, "age_seconds": 277, "last_user_id": "7001",
        "last_client": "127.0.0.1:35216"});
    for (view, list, answer, parts) in [
        (
            '2',
            View::Backends,
            json!({"backends": [backend]}),
            ["ANSWER p50", "721 ms", "late"],
        ),
        (
            '3',
            View::Sessions,
            json!({"sessions": [session]}),
            ["USER", "game=127.0.0.1:21040", "suspended"],
        ),
        (
            '4',
            View::Talkers,
            json!({"talkers": [talker]}),
            ["USER", "BYTES IN/s", "7001"],
        ),
        (
            '6',
            View::Refusals,
            json!({"refusals": [refusal]}),
            ["REALM", "LAST USER", "7001"],
        ),
    ] {
        let text = eighty(view, list, answer);
        for part in parts {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        assert!(
            text.lines().all(|line| line.chars().count() <= 80),
            "{text}"
        );
    }
}

#[test]
fn eighty_by_twenty_four_has_all_of_it() {
    let text = frame(&looked(1), 80, 24);
    for part in [
        "Players",
        "Backends",
        "Each second",
        "event loop lag",
        "actors panicked",
    ] {
        assert!(text.contains(part), "{part:?} in\n{text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 80));
}

#[test]
fn any_size_has_a_frame() {
    let mut state = looked(2);
    state.heard(0, News::List(View::Backends, backends()), Instant::now());
    for view in View::ALL {
        state.wanted.view = view;
        for mode in [Mode::Browsing, Mode::Filtering, Mode::Help] {
            state.mode = mode;
            for (width, height) in [(1, 1), (19, 5), (20, 5), (40, 10), (79, 23), (300, 90)] {
                frame(&state, width, height);
            }
        }
    }
}

#[test]
fn a_narrow_table_keeps_what_matters() {
    let mut state = looked(1);
    state.heard(0, News::List(View::Backends, backends()), Instant::now());
    keys(&mut state, "2");
    let (wide, narrow) = (frame(&state, 160, 20), frame(&state, 50, 20));
    assert!(
        wide.contains("Connection refused") && wide.contains("12,345"),
        "{wide}"
    );
    for part in ["10.1.0.2:7000", "down", "SESSIONS"] {
        assert!(narrow.contains(part), "{part} in\n{narrow}");
    }
    assert!(!narrow.contains("LAST ERROR"), "{narrow}");
}

/// The endpoints in the order in which they are shown.
fn endpoints(state: &State) -> Vec<char> {
    let text = frame(state, 160, 20);
    let endpoints = text.lines().filter_map(|line| line.split("10.1.0.").nth(1));
    endpoints.filter_map(|rest| rest.chars().next()).collect()
}

#[test]
fn rows_are_ordered_and_filtered() {
    let mut state = looked(1);
    state.heard(0, News::List(View::Backends, backends()), Instant::now());
    keys(&mut state, "2");
    assert_eq!(endpoints(&state), ['1', '2', '3']);
    let sessions = View::Backends
        .columns()
        .iter()
        .position(|column| column.title == "SESSIONS");
    for _ in 0..=sessions.expect("a column") {
        keys(&mut state, "s");
    }
    assert_eq!(endpoints(&state), ['3', '1', '2']);
    assert!(frame(&state, 160, 20).contains("SESSIONS▼"));
    keys(&mut state, "r");
    assert_eq!(endpoints(&state), ['2', '1', '3']);
    keys(&mut state, "/GAMEx");
    assert_eq!(endpoints(&state), [' '; 0]);
    assert!(frame(&state, 160, 20).contains("with \"GAMEx\""));
    state.pressed(Key::Backspace);
    state.pressed(Key::Enter);
    assert_eq!(endpoints(&state), ['2', '1']);
    // The filter is kept, and keys are keys again; Esc forgets both filter and order.
    keys(&mut state, "1");
    assert_eq!(state.wanted.view, View::Overview);
    keys(&mut state, "2");
    state.pressed(Key::Escape);
    assert_eq!(endpoints(&state), ['1', '2', '3']);
    // From the last column on, back to how they came.
    keys(&mut state, "S");
    assert!(frame(&state, 160, 20).contains("ordered by LAST ERROR"));
    keys(&mut state, "s");
    assert!(!frame(&state, 160, 20).contains("ordered by"));
}

#[test]
fn the_selected_row_stays_in_sight() {
    let mut state = looked(1);
    let rows: Vec<Value> = (0..50)
        .map(|n| json!({"code": 404, "reason": format!("r{n}")}))
        .collect();
    state.heard(
        0,
        News::List(View::Refusals, json!({"refusals": rows})),
        Instant::now(),
    );
    keys(&mut state, "6");
    state.page = 10;
    state.pressed(Key::End);
    assert!(frame(&state, 80, 12).contains("r49"));
    state.pressed(Key::PageUp);
    assert_eq!(state.table().selected, 39);
    state.pressed(Key::Down);
    state.pressed(Key::Up);
    keys(&mut state, "k");
    assert_eq!(state.table().selected, 38);
    state.pressed(Key::Home);
    let text = frame(&state, 80, 12);
    assert!(text.lines().any(|line| line.ends_with("r0")), "{text}");
    state.pressed(Key::Up);
    assert_eq!(state.table().selected, 0);
    // Rows that are gone do not leave the selection behind the end.
    state.pressed(Key::End);
    state.heard(
        0,
        News::List(
            View::Refusals,
            json!({"refusals": [{"code": 1, "reason": "only"}]}),
        ),
        Instant::now(),
    );
    assert!(frame(&state, 80, 12).contains("only"));
}

#[test]
fn the_tree_and_the_drain_are_drawn() {
    let mut state = looked(1);
    let actor = |id: &str, children: Value| {
        json!({"id": id, "state": "running", "restarts": 3, "messages_per_second": 1074.7, "busy_percent": 93.66,
            "clients_load": {"messages_per_second": 3.25, "busy_percent": 6.9}, "children": children})
    };
    let tree = actor(
        "gateway-0",
        json!([actor("peers-0", json!([])), actor("worker-0", json!([]))]),
    );
    state.heard(
        0,
        News::List(View::Actors, json!({"tree": tree})),
        Instant::now(),
    );
    keys(&mut state, "5");
    let text = frame(&state, 100, 20);
    assert!(
        text.contains("├─ peers-0") && text.contains("└─ worker-0"),
        "{text}"
    );
    for load in ["MSGS/s", "1,075", "93.7%", "CLIENTS BUSY", "6.9%"] {
        assert!(text.contains(load), "{load:?} in\n{text}");
    }
    keys(&mut state, "7");
    let text = frame(&state, 100, 20);
    for part in [
        "refusing",
        "75%  50 of 200 left",
        "asked to resume elsewhere",
        "anna at 10.0.0.9:5",
        "upgrade",
    ] {
        assert!(text.contains(part), "{part:?} in\n{text}");
    }
}

#[test]
fn a_gateway_that_goes_away_is_said_to_be_until_it_is_back() {
    let mut state = looked(2);
    let begun = Instant::now();
    let refused = || News::Failed("http://10.0.0.0:9090: io: Connection refused".to_owned());
    state.heard(0, refused(), begun);
    state.heard(0, refused(), begun + Duration::from_secs(4));
    let Contact::Away { since, .. } = &state.gateways[0].contact else {
        panic!("{:?}", state.gateways[0].contact);
    };
    assert_eq!(*since, begun);
    let text = frame(&state, 100, 30);
    // What was known of it stays in sight.
    assert!(
        text.contains("gw-a AWAY for 0s, asked again: io: Connection refused"),
        "{text}"
    );
    assert!(
        text.contains("✗ gw-a") && text.contains("of 1,000"),
        "{text}"
    );
    state.heard(0, look("gw-a", 0, begun), begun);
    assert!(frame(&state, 100, 30).contains("gw-a serving"));
}

#[test]
fn gateways_and_views_are_chosen() {
    let mut state = looked(3);
    assert!(frame(&state, 100, 30).contains("● gw-a 120"));
    state.pressed(Key::Tab);
    assert!(frame(&state, 100, 30).contains("10.0.0.1:9090 asked 0s ago"));
    state.pressed(Key::BackTab);
    state.pressed(Key::BackTab);
    assert_eq!(state.shown, 2);
    keys(&mut state, "]");
    assert_eq!(state.shown, 0);
    state.pressed(Key::Left);
    assert_eq!(state.wanted.view, View::Drain);
    state.pressed(Key::Right);
    keys(&mut state, "9");
    assert_eq!(state.wanted.view, View::Overview);
    keys(&mut state, "4bb");
    assert_eq!(
        (state.wanted.view, state.wanted.by),
        (View::Talkers, By::Address)
    );
    keys(&mut state, "+++ u");
    assert_eq!(state.wanted.every, Duration::from_secs(30));
    assert!(state.wanted.paused && state.wanted.refresh == 1);
    assert!(frame(&state, 100, 30).contains("PAUSED"));
    keys(&mut state, "-----p?");
    assert_eq!(
        (state.wanted.every, state.wanted.paused),
        (Duration::from_secs(1), false)
    );
    assert!(frame(&state, 100, 30).contains("turn the order around"));
    keys(&mut state, "q");
    assert_eq!((state.mode, state.quit), (Mode::Browsing, false));
    keys(&mut state, "q");
    assert!(state.quit);
}

#[test]
fn ctrl_c_ends_it_wherever_one_is() {
    for key in ['/', '?'] {
        let mut state = looked(1);
        keys(&mut state, &format!("2{key}"));
        state.pressed(Key::Interrupt);
        assert!(state.quit);
    }
}

#[test]
fn text_of_others_does_not_control_the_terminal() {
    let mut state = looked(1);
    let reason = "a\u{1b}[2Jb\nc";
    state.heard(
        0,
        News::List(View::Refusals, json!({"refusals": [{"reason": reason}]})),
        Instant::now(),
    );
    state.heard(0, News::Failed("\u{1b}[2J".to_owned()), Instant::now());
    keys(&mut state, "6");
    let text = frame(&state, 80, 12);
    assert!(!text.contains('\u{1b}'), "{text:?}");
}
