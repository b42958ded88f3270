//! Tables that fit the terminal, in colours where there are any.

use std::io::{IsTerminal, stdout};

/// The space between columns.
const GAP: usize = 2;

/// What a cell's colour says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Dim,
    Strong,
    Good,
    Warn,
    Bad,
}

impl Tone {
    /// The parameters of ECMA-48's SGR.
    fn code(self) -> &'static str {
        match self {
            Tone::Plain => "",
            Tone::Dim => "2",
            Tone::Strong => "1",
            Tone::Good => "32",
            Tone::Warn => "33",
            Tone::Bad => "31;1",
        }
    }
}

fn paint(text: &str, tone: Tone, colours: bool) -> String {
    match (colours, tone.code()) {
        (false, _) | (true, "") => text.to_owned(),
        (true, code) => format!("\x1b[{code}m{text}\x1b[0m"),
    }
}

/// A cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cell {
    /// The lines of a tree, in front of the text.
    stem: String,
    text: String,
    tone: Tone,
    right: bool,
}

impl Cell {
    pub(super) fn text(text: String, tone: Tone) -> Cell {
        Cell {
            stem: String::new(),
            text,
            tone,
            right: false,
        }
    }

    /// A cell that is right-aligned.
    pub(super) fn number(text: String, tone: Tone) -> Cell {
        Cell {
            right: true,
            ..Cell::text(text, tone)
        }
    }

    /// Puts the lines of a tree in front.
    pub(super) fn behind(self, stem: &str) -> Cell {
        let stem = stem.to_owned();
        Cell { stem, ..self }
    }

    fn width(&self) -> usize {
        self.stem.chars().count() + self.text.chars().count()
    }

    fn draw(&self, width: usize, colours: bool) -> String {
        let space = " ".repeat(width.saturating_sub(self.width()));
        let stem = paint(&self.stem, Tone::Dim, colours);
        let text = paint(&self.text, self.tone, colours);
        match self.right {
            true => format!("{stem}{space}{text}"),
            false => format!("{stem}{text}{space}"),
        }
    }
}

/// A table.
#[derive(Debug)]
pub(super) struct Grid {
    /// Titles, and how soon each goes where there is no room: the largest first, 0 never.
    columns: Vec<(&'static str, u8)>,
    rows: Vec<Vec<Cell>>,
}

impl Grid {
    pub(super) fn new(columns: &[(&'static str, u8)]) -> Grid {
        Grid {
            columns: columns.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row with a cell for each column.
    pub(super) fn push(&mut self, row: Vec<Cell>) {
        self.rows.push(row);
    }

    /// Formats the table for lines of so many characters: columns go until it fits, the last with the others like it.
    pub(super) fn text(&self, width: Option<usize>, colours: bool) -> String {
        let widths: Vec<usize> = (0..self.columns.len()).map(|at| self.width(at)).collect();
        let mut kept: Vec<usize> = (0..widths.len()).collect();
        let needed = |kept: &[usize]| kept.iter().map(|at| widths[*at] + GAP).sum::<usize>();
        while let Some(width) = width
            && needed(&kept) > width + GAP
            && let Some(least) = kept
                .iter()
                .rev()
                .copied()
                .filter(|at| self.columns[*at].1 > 0)
                .max_by_key(|at| self.columns[*at].1)
        {
            kept.retain(|at| *at != least);
        }
        let mut text = String::new();
        let titles: Vec<Cell> = self.titles();
        for row in std::iter::once(&titles).chain(&self.rows) {
            let cells = kept
                .iter()
                .filter_map(|at| Some((row.get(*at)?, widths[*at])));
            let cells: Vec<String> = cells.map(|(cell, w)| cell.draw(w, colours)).collect();
            text.push_str(cells.join(&" ".repeat(GAP)).trim_end());
            text.push('\n');
        }
        text
    }

    fn titles(&self) -> Vec<Cell> {
        let right = |at: usize| {
            let mut cells = self.rows.iter().filter_map(|row| row.get(at)).peekable();
            cells.peek().is_some() && cells.all(|cell| cell.right)
        };
        let title = |(at, (title, _)): (usize, &(&str, u8))| match right(at) {
            true => Cell::number((*title).to_owned(), Tone::Dim),
            false => Cell::text((*title).to_owned(), Tone::Dim),
        };
        self.columns.iter().enumerate().map(title).collect()
    }

    fn width(&self, at: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(at));
        let widest = cells.map(Cell::width).max().unwrap_or(0);
        widest.max(self.columns[at].0.len())
    }
}

/// Cuts a line to so many characters. Colours take no room, and end where they would have.
pub(super) fn cut(line: &str, columns: usize) -> String {
    let (mut text, mut shown, mut in_code) = (String::new(), 0, false);
    for c in line.chars() {
        in_code = in_code || c == '\x1b';
        if in_code {
            text.push(c);
            in_code = c != 'm';
        } else if shown < columns {
            text.push(c);
            shown += 1;
        }
    }
    text
}

/// Returns how many characters a line of the reader's terminal has, and whether colours are welcome there. Whoever
/// reads a pipe gets whole lines and no colours.
pub(super) fn terminal() -> (Option<usize>, bool) {
    if !stdout().is_terminal() {
        return (None, false);
    }
    let size = ratatui::crossterm::terminal::size().ok();
    let width = size.map(|(columns, _)| usize::from(columns));
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    // https://no-color.org
    let plain = set("NO_COLOR").is_some() || set("TERM").is_some_and(|term| term == "dumb");
    (width, !plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Grid {
        let mut grid = Grid::new(&[("ID", 0), ("NAME", 1), ("N", 2), ("BUSY", 0)]);
        let number = |text: &str, tone| Cell::number(text.to_owned(), tone);
        let text = |text: &str| Cell::text(text.to_owned(), Tone::Plain);
        grid.push(vec![
            text("a"),
            text("router"),
            number("9", Tone::Plain),
            number("▌ 7", Tone::Bad),
        ]);
        grid.push(vec![
            text("bb").behind("└─ "),
            text("-"),
            number("100", Tone::Plain),
            number("0", Tone::Plain),
        ]);
        grid
    }

    #[test]
    fn columns_are_aligned() {
        let all = "ID     NAME      N  BUSY\na      router    9   ▌ 7\n└─ bb  -       100     0\n";
        assert_eq!(grid().text(None, false), all);
        assert_eq!(grid().text(Some(24), false), all);
    }

    #[test]
    fn what_matters_least_goes_first_where_there_is_no_room() {
        let narrow = "ID     NAME    BUSY\na      router   ▌ 7\n└─ bb  -          0\n";
        assert_eq!(grid().text(Some(23), false), narrow);
        let narrowest = "ID     BUSY\na       ▌ 7\n└─ bb     0\n";
        assert_eq!(grid().text(Some(18), false), narrowest);
        // What must be there stays.
        assert_eq!(grid().text(Some(3), false), narrowest);
    }

    #[test]
    fn colours_take_no_room_where_a_line_is_cut() {
        assert_eq!(cut("a\x1b[31;1mbcd\x1b[0mef", 3), "a\x1b[31;1mbc\x1b[0m");
        assert_eq!(cut("abc", 3), "abc");
    }

    #[test]
    fn colours_do_not_move_columns() {
        let text = grid().text(None, true);
        let (mut plain, mut rest) = (String::new(), text.as_str());
        while let Some((before, code)) = rest.split_once("\x1b[") {
            plain.push_str(before);
            rest = code.split_once('m').expect("an end").1;
        }
        plain.push_str(rest);
        let plain: Vec<&str> = plain.lines().map(str::trim_end).collect();
        let uncoloured = grid().text(None, false);
        assert_eq!(plain, uncoloured.lines().collect::<Vec<_>>());
        assert!(text.contains("\x1b[31;1m▌ 7\x1b[0m"), "{text:?}");
    }
}
