//! A drain: how far it is, and who is left.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::super::gateway::Gateway;
use super::super::lists::View;
use super::super::theme::{Theme, mood_of};
use super::super::units;
use super::{bar, members, waiting};

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, gateway: &Gateway, theme: Theme) {
    let Some(drain) = gateway.list(View::Drain) else {
        return waiting(frame, area, theme);
    };
    let state = drain["state"].as_str().unwrap_or("?").to_owned();
    let count = |name: &str| drain[name].as_f64();
    let mut lines = vec![
        Line::from(vec![
            Span::styled(" state  ", theme.label()),
            Span::styled(state.clone(), theme.mood(mood_of(&state))),
        ]),
        Line::default(),
    ];
    if state == "serving" {
        let text = " no drain; `game-gateway admin drain` begins one, `--undo` cancels it";
        lines.push(Line::styled(text, theme.quiet()));
    }
    if let Some(at_begin) = count("connections_at_begin") {
        let now = count("connections").unwrap_or(0.0);
        let share = if at_begin > 0.0 {
            1.0 - now / at_begin
        } else {
            1.0
        };
        let room = usize::from(area.width).saturating_sub(34).clamp(8, 60);
        let (now, began) = (units::count(now), units::count(at_begin));
        lines.push(Line::from(vec![
            Span::styled(format!(" {}", bar(share, room)), theme.mood(mood_of("up"))),
            Span::raw(format!(
                " {:3.0}%  {now} of {began} left",
                share.clamp(0.0, 1.0) * 100.0
            )),
        ]));
        lines.push(Line::default());
    }
    lines.extend(members(
        drain,
        &[
            ("by", "begun by"),
            ("asked_by", "asked by"),
            ("reason", "reason"),
            ("window", "window"),
            ("remaining_seconds", "seconds left"),
            ("connections", "connections"),
            ("left", "have left"),
            ("moved", "sessions moved"),
            ("suspended", "wait for players"),
            ("cut_off", "cut off"),
        ],
        theme,
    ));
    if drain["remaining"].is_object() {
        lines.push(Line::default());
        lines.push(Line::styled(" who is left", theme.strong()));
        lines.extend(members(
            &drain["remaining"],
            &[
                ("resumable", "asked to resume elsewhere"),
                ("plain", "cannot resume: until they leave or are cut off"),
                ("http", "HTTP requests under way"),
                ("newcomers", "have no session yet"),
            ],
            theme,
        ));
    }
    frame.render_widget(Paragraph::new(lines), area);
}
