//! Findings about a map as a person reads them: the message, the lines of the file with a mark, a hint.

use std::fmt;
use std::ops::Range;

use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, MietteSpanContents, Severity,
    SourceCode, SourceSpan, SpanContents,
};

use super::model::{MapFile, Place};

/// How much a finding matters; ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Worth knowing.
    Note,
    /// Probably not meant.
    Warning,
    /// The map contradicts itself, or cannot hold what it promises.
    Error,
}

impl Level {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One finding, borrowed from whoever found it.
#[derive(Debug, Clone, Copy)]
pub struct Report<'a> {
    /// How much it matters.
    pub level: Level,
    /// A code that documentation explains, such as `L06`; printed as `warning[L06]`.
    pub code: Option<&'a str>,
    /// Where it is.
    pub place: &'a Place,
    /// What is wrong: a lowercase fragment without a final stop.
    pub message: &'a str,
    /// What to do about it.
    pub hint: Option<&'a str>,
    /// Other places that belong to it, each with a label.
    pub related: &'a [(Place, String)],
}

/// Renders one report, lines ending in `\n`, with the marked lines of the map's files.
///
/// A place outside the files (a map that was built, not read) gives a report without lines. Long entries are marked
/// by their first line alone.
pub fn render(files: &[MapFile], report: &Report<'_>, color: bool) -> String {
    let theme = if color { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_width(110)
        .with_links(false)
        .with_context_lines(1)
        .with_show_related_as_nested(true)
        .without_syntax_highlighting();
    let mut text = String::new();
    match handler.render_report(&mut text, &Finding::new(files, report)) {
        Ok(()) => text,
        // A `String` takes every write, so this is for form: the message is never lost.
        Err(fmt::Error) => format!("{}: {}\n", report.level, report.message),
    }
}

/// The line and the column of a place, both from 1, the column in characters.
pub fn line_column(files: &[MapFile], place: &Place) -> Option<(usize, usize)> {
    let text = &files.get(usize::from(place.file))?.text;
    let before = text.get(..clip(text, &place.span).start)?;
    let line = before.rsplit('\n').next().unwrap_or_default();
    Some((before.matches('\n').count() + 1, line.chars().count() + 1))
}

/// The part of the span that lies in the text, on character boundaries and on its first line.
fn clip(text: &str, span: &Range<usize>) -> Range<usize> {
    let start = text.floor_char_boundary(span.start.min(text.len()));
    let end = text.floor_char_boundary(span.end.clamp(start, text.len()));
    let first_line = text.get(start..end).and_then(|marked| marked.lines().next()).map_or(0, str::len);
    start..start + first_line
}

/// A report in miette's terms.
#[derive(Debug)]
struct Finding<'a> {
    level: Level,
    code: Option<&'a str>,
    message: &'a str,
    hint: Option<&'a str>,
    source: Option<Source<'a>>,
    labels: Vec<LabeledSpan>,
    elsewhere: Vec<Finding<'a>>,
}

impl<'a> Finding<'a> {
    fn new(files: &'a [MapFile], report: &Report<'a>) -> Self {
        let source = files.get(usize::from(report.place.file)).map(Source);
        let mut labels = Vec::new();
        if let Some(Source(file)) = source {
            // Among several marks a reader needs to see which one the message is about.
            let label = (!report.related.is_empty()).then(|| "here".to_owned());
            labels.push(LabeledSpan::new_primary_with_span(label, clip(&file.text, &report.place.span)));
        }
        let mut elsewhere = Vec::new();
        for (place, label) in report.related {
            let Some(file) = files.get(usize::from(place.file)) else { continue };
            let span = clip(&file.text, &place.span);
            if place.file == report.place.file {
                labels.push(LabeledSpan::new_with_span(Some(label.clone()), span));
            } else {
                elsewhere.push(Self {
                    level: Level::Note,
                    code: None,
                    message: label,
                    hint: None,
                    source: Some(Source(file)),
                    labels: vec![LabeledSpan::new_with_span(None, span)],
                    elsewhere: Vec::new(),
                });
            }
        }
        Self {
            level: report.level,
            code: report.code,
            message: report.message,
            hint: report.hint,
            source,
            labels,
            elsewhere,
        }
    }
}

impl fmt::Display for Finding<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message)
    }
}

impl std::error::Error for Finding<'_> {}

impl Diagnostic for Finding<'_> {
    fn code<'b>(&'b self) -> Option<Box<dyn fmt::Display + 'b>> {
        self.code.map(|code| Box::new(format!("{}[{code}]", self.level)) as Box<dyn fmt::Display>)
    }

    fn severity(&self) -> Option<Severity> {
        Some(match self.level {
            Level::Note => Severity::Advice,
            Level::Warning => Severity::Warning,
            Level::Error => Severity::Error,
        })
    }

    fn help<'b>(&'b self) -> Option<Box<dyn fmt::Display + 'b>> {
        self.hint.map(|hint| Box::new(hint) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|source| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.labels.iter().cloned()))
    }

    fn related<'b>(&'b self) -> Option<Box<dyn Iterator<Item = &'b dyn Diagnostic> + 'b>> {
        Some(Box::new(self.elsewhere.iter().map(|finding| finding as &dyn Diagnostic)))
    }
}

/// A file with its name; borrowed, where miette's own `NamedSource` wants a copy for every report.
#[derive(Debug, Clone, Copy)]
struct Source<'a>(&'a MapFile);

impl SourceCode for Source<'_> {
    fn read_span<'b>(
        &'b self,
        span: &SourceSpan,
        lines_before: usize,
        lines_after: usize,
    ) -> Result<Box<dyn SpanContents<'b> + 'b>, MietteError> {
        let inner = self.0.text.as_str().read_span(span, lines_before, lines_after)?;
        Ok(Box::new(MietteSpanContents::new_named(
            self.0.name.clone(),
            inner.data(),
            *inner.span(),
            inner.line(),
            inner.column(),
            // miette counts the lines before the span too, and then shows all that lies between two marks
            inner.data().iter().filter(|byte| **byte == b'\n').count() + 1,
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Vec<MapFile> {
        let file = |name: &str, text: &str| MapFile { name: name.to_owned(), text: text.to_owned() };
        vec![
            file("map.toml", "[zone.a]\ncidrs = [\"10.0.0.0/24\"]\n\n\n\n\n\n[zone.β]\ncidrs = [\"10.0.0.0/24\"]\n"),
            file("more.toml", "[zone.c]\n"),
        ]
    }

    fn report<'a>(place: &'a Place, related: &'a [(Place, String)]) -> Report<'a> {
        let hint = Some("give one of them a parent");
        Report {
            level: Level::Warning,
            code: Some("L01"),
            place,
            message: "two zones claim 10.0.0.0/24",
            hint,
            related,
        }
    }

    #[test]
    fn shows_message_lines_hint_and_what_is_related() {
        let place = Place { file: 0, span: 38..71 };
        let related = [
            (Place { file: 0, span: 0..8 }, "the other zone".to_owned()),
            (Place { file: 1, span: 0..8 }, "and one elsewhere".to_owned()),
        ];
        insta::assert_snapshot!(render(&files(), &report(&place, &related), false), @r#"
        warning[L01]

          ⚠ two zones claim 10.0.0.0/24
           ╭─[map.toml:1:1]
         1 │ [zone.a]
           · ────┬───
           ·     ╰── the other zone
         2 │ cidrs = ["10.0.0.0/24"]
           ╰────
           ╭─[map.toml:8:1]
         7 │ 
         8 │ [zone.β]
           · ────┬───
           ·     ╰── here
         9 │ cidrs = ["10.0.0.0/24"]
           ╰────
          help: give one of them a parent
          ╰─▶   ☞ and one elsewhere
                 ╭─[more.toml:1:1]
               1 │ [zone.c]
                 · ────────
                 ╰────
        "#);
    }

    #[test]
    fn what_lies_between_two_marks_is_left_out() {
        let text: String = (1..=60).map(|line| format!("line{line:02}\n")).collect();
        let files = [MapFile { name: "map.toml".to_owned(), text }];
        // seven bytes a line: lines 31 and 51
        let place = Place { file: 0, span: 210..216 };
        let related = [(Place { file: 0, span: 350..356 }, "the other".to_owned())];
        let text = render(&files, &report(&place, &related), false);
        let shown: Vec<_> = text.split_whitespace().filter(|word| word.starts_with("line")).collect();
        assert_eq!(shown, ["line30", "line31", "line32", "line50", "line51", "line52"], "{text}");
    }

    #[test]
    fn a_place_outside_the_files_still_gives_the_message() {
        for place in [
            Place { file: 9, span: 0..1 },
            Place { file: 0, span: 5000..6000 },
            Place { file: 0, span: Range { start: 8, end: 2 } },
        ] {
            let text = render(&files(), &report(&place, &[]), true);
            assert!(text.contains("two zones claim 10.0.0.0/24") && !text.contains("Failed"), "{text}");
        }
    }

    #[test]
    fn a_span_that_cuts_a_character_is_widened_to_it() {
        let text = "aβc";
        assert_eq!(clip(text, &(2..3)), 1..3);
        assert_eq!(clip(text, &(0..2)), 0..1);
    }

    #[test]
    fn line_and_column_count_from_one() {
        assert_eq!(line_column(&files(), &Place { file: 0, span: 38..47 }), Some((8, 1)));
        assert_eq!(line_column(&files(), &Place { file: 0, span: 46..47 }), Some((8, 8)));
        assert_eq!(line_column(&files(), &Place { file: 7, span: 0..1 }), None);
    }
}
