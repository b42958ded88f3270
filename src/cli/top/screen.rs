//! The terminal: what is drawn there, the keys that come from it, and that it is as it was afterwards.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::{DefaultTerminal, Terminal};
use tokio::signal::unix::{SignalKind, signal};

use super::poll::Pollers;
use super::state::{Key, State};
use super::theme::Theme;
use super::view;

/// The longest that a key, news or a signal wait for their turn.
const TURN: Duration = Duration::from_millis(100);
/// Time that a signal gives the screen to end by itself.
const LAST_CHANCE: Duration = Duration::from_secs(1);
/// The ages on the screen are of whole seconds.
const REDRAW: Duration = Duration::from_secs(1);

/// Shows the state until somebody quits. The terminal is restored, also after a panic.
///
/// # Errors
/// The terminal cannot be used.
pub(super) fn run(mut state: State, pollers: &Pollers, theme: Theme) -> io::Result<()> {
    let ended = ended_by_signal()?;
    let mut terminal = ratatui::try_init()?;
    let shown = show(&mut terminal, &mut state, pollers, theme, &ended);
    let restored = ratatui::try_restore();
    shown.and(restored)
}

/// Returns what becomes true when a signal wants the end. Ctrl-C is a key.
fn ended_by_signal() -> io::Result<Arc<AtomicBool>> {
    let ended = Arc::new(AtomicBool::new(false));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let entered = runtime.enter();
    let (mut terminate, mut interrupt, mut hang_up) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
        signal(SignalKind::hangup())?,
    );
    drop(entered);
    let told = Arc::clone(&ended);
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                    _ = hang_up.recv() => {}
                }
            });
            told.store(true, Ordering::Relaxed);
            std::thread::sleep(LAST_CHANCE);
            // A terminal that has hung up: reading from it may never come back.
            let _ = ratatui::try_restore();
            std::process::exit(0);
        })?;
    Ok(ended)
}

fn show(
    terminal: &mut DefaultTerminal,
    state: &mut State,
    pollers: &Pollers,
    theme: Theme,
    ended: &AtomicBool,
) -> io::Result<()> {
    let mut wanted = state.wanted;
    let mut drawn: Option<Instant> = None;
    while !state.quit && !ended.load(Ordering::Relaxed) {
        let mut changed = drawn.is_none_or(|drawn| drawn.elapsed() >= REDRAW);
        for (gateway, news) in pollers.news() {
            state.heard(gateway, news, Instant::now());
            changed = true;
        }
        if changed {
            state.page = view::body_height(state, terminal.size()?.height);
            let now = Instant::now();
            terminal.draw(|frame| view::draw(frame, state, theme, now))?;
            drawn = Some(now);
        }
        // All keys that are there, so that a pasted text is one change.
        let mut wait = TURN;
        while event::poll(wait)? {
            wait = Duration::ZERO;
            if let Event::Key(key) = event::read()?
                && let Some(key) = key_of(key)
            {
                #[cfg(feature = "fault-injection")]
                assert!(key != Key::Char('!'), "fault injection");
                state.pressed(key);
            }
            drawn = None;
        }
        if state.wanted != wanted {
            wanted = state.wanted;
            pollers.want(wanted);
        }
    }
    Ok(())
}

fn key_of(key: KeyEvent) -> Option<Key> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return matches!(key.code, KeyCode::Char('c' | 'C')).then_some(Key::Interrupt);
    }
    Some(match key.code {
        KeyCode::Char(c) => Key::Char(c),
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Tab => Key::Tab,
        KeyCode::BackTab => Key::BackTab,
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::Left => Key::Left,
        KeyCode::Right => Key::Right,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        _ => return None,
    })
}

/// Returns one frame as text, without what is empty at its end.
///
/// # Errors
/// Never in practice: nothing is written.
pub(super) fn text(state: &State, theme: Theme, width: u16, height: u16) -> io::Result<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).map_err(io::Error::other)?;
    let now = Instant::now();
    let drawn = terminal.draw(|frame| view::draw(frame, state, theme, now));
    let buffer = drawn.map_err(io::Error::other)?.buffer.clone();
    let row = |y: u16| -> String {
        let cells = (0..width).filter_map(|x| buffer.cell((x, y)));
        cells.map(ratatui::buffer::Cell::symbol).collect()
    };
    let rows: Vec<String> = (0..height).map(row).collect();
    let mut text = String::new();
    // The keys are of no use there.
    for line in &rows[..rows.len().saturating_sub(1)] {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    Ok(format!("{}\n", text.trim_end()))
}
