//! Text in columns.

use std::fmt::Write as _;

/// A table whose columns are as wide as what is in them.
pub(super) fn table(heads: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let heads = heads.iter().map(|head| (*head).to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(heads).chain(rows).collect();
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or_default()
    };
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            // Writing to a String cannot fail.
            let _ = write!(line, "{cell:<width$}  ", width = width(column));
        }
        text.push('\n');
        text.push_str(line.trim_end());
    }
    text
}

/// A number with three digits that mean something, or all before the point.
pub(super) fn number(value: f64) -> String {
    let decimals = match value.abs() {
        100.0.. => 0,
        10.0.. => 1,
        1.0.. => 2,
        _ => 3,
    };
    let text = format!("{value:.decimals$}");
    let (whole, rest) = text.split_once('.').map_or((text.as_str(), ""), |(whole, rest)| (whole, rest));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        let left = whole.len() - index;
        if index > 0 && left.is_multiple_of(3) && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if rest.is_empty() { grouped } else { format!("{grouped}.{rest}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        let written = [1_234_567.8, 999.6, 12.345, 1.0, 0.01234, 0.0, -1234.0].map(number);
        assert_eq!(written, ["1,234,568", "1,000", "12.3", "1.00", "0.012", "0.000", "-1,234"]);
    }

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let rows = [vec!["1".to_owned(), "two".to_owned()]];
        assert_eq!(table(&["one", ""], rows.into_iter()), "\none\n1    two");
    }
}
