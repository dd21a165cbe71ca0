//! Plain columns, as kubectl prints them.

use std::borrow::Cow;
use std::io::{self, Write};

/// Spaces between two columns.
const GAP: usize = 3;

/// A table that is printed page by page: a column never gets narrower than it was.
pub(crate) struct Table {
    headers: Vec<&'static str>,
    widths: Vec<usize>,
    began: bool,
}

impl Table {
    pub(crate) fn new(headers: impl Into<Vec<&'static str>>) -> Self {
        let headers = headers.into();
        Self { widths: headers.iter().map(|header| header.len()).collect(), headers, began: false }
    }

    /// Prints some rows, the headers above the first; nothing at all without rows.
    pub(crate) fn print(&mut self, out: &mut dyn Write, rows: &[Vec<String>]) -> io::Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        for row in rows {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(printable(cell).chars().count());
            }
        }
        if !self.began {
            self.line(out, &self.headers)?;
            self.began = true;
        }
        rows.iter().try_for_each(|row| self.line(out, row))
    }

    fn line<S: AsRef<str>>(&self, out: &mut dyn Write, cells: &[S]) -> io::Result<()> {
        let mut line = String::new();
        for (width, cell) in self.widths.iter().zip(cells) {
            line.push_str(&format!("{:<width$}", printable(cell.as_ref()), width = width + GAP));
        }
        writeln!(out, "{}", line.trim_end())
    }
}

/// The text without what could steer a terminal: it may come from any node of the fleet.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let escaped = text.chars().flat_map(|character| {
        let escaped = character.is_control().then(|| character.escape_default());
        escaped.into_iter().flatten().chain((!character.is_control()).then_some(character))
    });
    Cow::Owned(escaped.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stay_aligned_over_pages() {
        let mut out = Vec::new();
        let mut table = Table::new(["NAME", "AGE"]);
        table.print(&mut out, &[]).unwrap();
        table.print(&mut out, &[vec!["long-name".into(), "1s".into()]]).unwrap();
        table.print(&mut out, &[vec!["a".into(), "2s".into()]]).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "NAME        AGE\nlong-name   1s\na           2s\n");
    }

    #[test]
    fn text_of_others_cannot_steer_the_terminal() {
        assert_eq!(printable("\u{1b}[31mrot\n"), "\\u{1b}[31mrot\\n");
        assert_eq!(printable("Überlauf"), "Überlauf");
    }
}
