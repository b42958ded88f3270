//! Aligned columns.

/// The space between columns.
const GAP: &str = "  ";

/// Formats a table: titles above, one line per row, columns as wide as necessary. Columns of numbers are
/// right-aligned.
pub(in crate::cli) fn table(titles: &[&str], rows: &[Vec<String>]) -> String {
    let cells = |column: usize| rows.iter().filter_map(move |row| row.get(column));
    let number = |cell: &String| cell == "-" || cell.bytes().all(|b| b.is_ascii_digit());
    let columns: Vec<(usize, bool)> = titles
        .iter()
        .enumerate()
        .map(|(column, title)| {
            let widths = cells(column).map(|cell| cell.chars().count());
            let width = widths.max().unwrap_or(0).max(title.chars().count());
            (width, cells(column).all(number))
        })
        .collect();
    let titles: Vec<String> = titles.iter().map(|title| (*title).to_owned()).collect();
    let mut text = String::new();
    for row in std::iter::once(&titles).chain(rows) {
        let cells: Vec<String> = columns
            .iter()
            .zip(row)
            .map(|((width, number), cell)| match number {
                true => format!("{cell:>width$}"),
                false => format!("{cell:<width$}"),
            })
            .collect();
        text.push_str(cells.join(GAP).trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let rows = [
            row(["├ a", "9", "x"]),
            row(["bb", "-", ""]),
            row(["c", "100", "yy"]),
        ];
        let expected = "ID     N  NAME\n├ a    9  x\nbb     -\nc    100  yy\n";
        assert_eq!(table(&["ID", "N", "NAME"], &rows), expected);
        assert_eq!(table(&["ID"], &[]), "ID\n");
    }
}
