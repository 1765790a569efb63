//! What is wrong with a map: every problem of a run, each with its place and what to do.

use std::fmt;

use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, MietteSpanContents, SourceCode,
    SourceSpan, SpanContents,
};

use super::super::model::{MapFile, Place};

/// Reports longer than this end with the number of the problems that are left out: nobody reads on, and a file of
/// garbage has as many problems as lines.
pub(super) const SHOWN: usize = 100;

/// Characters of a line on both sides of a place that a report shows: JSON made by a program may be one long line.
const MARGIN: usize = 160;

/// All problems of a map that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapProblems {
    /// The files that were read, the first being the one that was named.
    pub files: Vec<MapFile>,
    /// The problems by place; never empty.
    pub problems: Vec<Problem>,
}

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it is.
    pub place: Place,
    /// What happened: a lowercase fragment.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Other places that have to do with it.
    pub related: Vec<Related>,
}

/// A second place of a problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Related {
    /// Where it is.
    pub place: Place,
    /// What is there: a lowercase fragment.
    pub message: String,
}

impl Problem {
    /// Says what to do.
    pub(super) fn hint(&mut self, hint: impl Into<String>) -> &mut Self {
        self.hint = Some(hint.into());
        self
    }

    /// Points at a second place.
    pub(super) fn related(&mut self, place: &Place, message: impl Into<String>) -> &mut Self {
        self.related.push(Related { place: place.clone(), message: message.into() });
        self
    }
}

impl MapProblems {
    /// The problems as a report for people: each with its source line, the place in it and the hint; with colours
    /// where `color` is set.
    pub fn report(&self, color: bool) -> String {
        let theme = if color { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        let handler = GraphicalReportHandler::new_themed(theme).with_width(120).with_links(false).with_context_lines(0);
        let mut text = String::new();
        for problem in self.problems.iter().take(SHOWN) {
            // Formatting into a string fails only where the place cannot be shown: then the line alone has to do.
            if handler.render_report(&mut text, &Report { problem, files: &self.files }).is_err() {
                text.push_str(&format!("{}: {}\n", self.position(&problem.place), problem.message));
            }
            text.push('\n');
        }
        if let Some(more) = self.hidden() {
            text.push_str(&format!("and {more} more\n"));
        }
        text
    }

    /// Number of problems that a report leaves out, if it does.
    fn hidden(&self) -> Option<usize> {
        self.problems.len().checked_sub(SHOWN).filter(|&more| more > 0)
    }

    /// `file:line:column`, counted from 1, the column in characters.
    pub fn position(&self, place: &Place) -> String {
        position(&self.files, place)
    }
}

fn position(files: &[MapFile], place: &Place) -> String {
    let Some(file) = files.get(usize::from(place.file)) else { return String::new() };
    let before = file.text.get(..place.span.start).unwrap_or_default();
    let line = newlines(before) + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("{}:{line}:{column}", file.name)
}

/// One line per problem, for logs; [`MapProblems::report`] is for people.
impl fmt::Display for MapProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().take(SHOWN).enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{}: {}", self.position(&problem.place), problem.message)?;
            if let Some(hint) = &problem.hint {
                write!(f, " ({hint})")?;
            }
        }
        if let Some(more) = self.hidden() {
            write!(f, "\nand {more} more")?;
        }
        Ok(())
    }
}

impl std::error::Error for MapProblems {}

/// The problems found so far.
#[derive(Debug, Default)]
pub(super) struct Sink {
    problems: Vec<Problem>,
    /// Problems that may be no more than the echo of a syntax error: something seems to be missing.
    echoes: Vec<usize>,
    /// A syntax error may have hidden a part of a file.
    broken: bool,
}

impl Sink {
    /// Number of problems.
    pub(super) fn len(&self) -> usize {
        self.problems.len()
    }

    /// Adds a problem.
    pub(super) fn add(&mut self, place: &Place, message: impl Into<String>) -> &mut Problem {
        // Messages quote the map, in which anything may stand; a terminal must not obey it.
        let message = message.into().replace(char::is_control, "\u{fffd}");
        self.problems.push_mut(Problem { place: place.clone(), message, hint: None, related: Vec::new() })
    }

    /// Adds a problem that says that something is missing: not reported when a syntax error may have hidden it.
    pub(super) fn missing(&mut self, place: &Place, message: impl Into<String>) -> &mut Problem {
        self.echoes.push(self.problems.len());
        self.add(place, message)
    }

    /// Adds a syntax error, after which a part of the file may be lost.
    pub(super) fn broken(&mut self, place: &Place, message: impl Into<String>) -> &mut Problem {
        self.broken = true;
        self.add(place, message)
    }

    /// The problems by place, or nothing where there is none.
    pub(super) fn finish(self, files: Vec<MapFile>) -> Result<Vec<MapFile>, MapProblems> {
        let Self { problems, echoes, broken } = self;
        let mut kept: Vec<Problem> = Vec::with_capacity(problems.len());
        let mut echoes = echoes.into_iter().peekable();
        for (index, problem) in problems.into_iter().enumerate() {
            let echo = echoes.next_if_eq(&index).is_some();
            if !(broken && echo) {
                kept.push(problem);
            }
        }
        kept.sort_by_key(|problem| (problem.place.file, problem.place.span.start));
        if kept.is_empty() { Ok(files) } else { Err(MapProblems { files, problems: kept }) }
    }
}

/// A problem with its files, as miette wants it.
#[derive(Debug)]
struct Report<'a> {
    problem: &'a Problem,
    files: &'a [MapFile],
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem.message)?;
        match self.files.get(usize::from(self.problem.place.file)) {
            // A file that could not be read has no line to show.
            Some(file) if file.text.is_empty() && !file.name.is_empty() => write!(f, " [{}]", file.name),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for Report<'_> {}

impl Diagnostic for Report<'_> {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        // miette shows labels of one file only; a place in another file is named in words.
        let elsewhere = self.problem.related.iter().filter(|related| related.place.file != self.problem.place.file);
        let mut lines: Vec<String> = self.problem.hint.iter().cloned().collect();
        for Related { place, message } in elsewhere {
            lines.push(format!("{message}: {}", position(self.files, place)));
        }
        (!lines.is_empty()).then(|| Box::new(lines.join("\n")) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        let file = self.files.get(usize::from(self.problem.place.file))?;
        (!file.text.is_empty()).then_some(self)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let file = self.files.get(usize::from(self.problem.place.file))?;
        let label = |message: Option<String>, place: &Place| {
            let (start, len) = visible(&file.text, place);
            LabeledSpan::new(message, start, len)
        };
        let primary = label(None, &self.problem.place);
        let here = self.problem.related.iter().filter(|related| related.place.file == self.problem.place.file);
        let related = here.map(move |related| label(Some(related.message.clone()), &related.place));
        Some(Box::new(std::iter::once(primary).chain(related)))
    }
}

/// The lines of a span: miette's own reading of a text without context cuts the lines to the span, and counts lines
/// from the beginning of the file, which joins labels that are far from each other.
impl SourceCode for Report<'_> {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        _before: usize,
        _after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let file = self.files.get(usize::from(self.problem.place.file)).ok_or(MietteError::OutOfBounds)?;
        let text = file.text.as_str();
        let end = span.offset() + span.len();
        let before = text.get(..span.offset()).ok_or(MietteError::OutOfBounds)?;
        let after = text.get(end..).ok_or(MietteError::OutOfBounds)?;
        let head = before.rsplit('\n').next().unwrap_or_default();
        let tail = after.lines().next().unwrap_or_default();
        let first = span.offset() - last_chars(head, MARGIN).len();
        let last = end + first_chars(tail, MARGIN).len();
        let shown = text.get(first..last).ok_or(MietteError::OutOfBounds)?;
        Ok(Box::new(MietteSpanContents::new_named(
            file.name.clone(),
            shown.as_bytes(),
            (first, shown.len()).into(),
            newlines(before),
            head.chars().count(),
            newlines(shown) + 1,
        )))
    }
}

/// The first so many characters.
fn first_chars(text: &str, count: usize) -> &str {
    text.char_indices().nth(count).and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}

/// The last so many characters.
fn last_chars(text: &str, count: usize) -> &str {
    text.char_indices().nth_back(count.saturating_sub(1)).and_then(|(start, _)| text.get(start..)).unwrap_or(text)
}

fn newlines(text: &str) -> usize {
    memchr::memchr_iter(b'\n', text.as_bytes()).count()
}

/// Start and length of a place, kept inside the text, on whole characters and on one line: a label over many lines
/// hides more than it shows. Nothing at the end of a line is shown as the character before it.
fn visible(text: &str, place: &Place) -> (usize, usize) {
    let mut start = text.floor_char_boundary(place.span.start);
    let rest = text.get(start..).unwrap_or_default();
    let line = rest.lines().next().unwrap_or_default();
    let mut len = line.floor_char_boundary(place.span.end.saturating_sub(start));
    if line.is_empty()
        && let Some(before) = text.get(..start).and_then(|before| before.chars().next_back()).filter(|&c| c != '\n')
    {
        len = before.len_utf8();
        start -= len;
    }
    (start, len)
}
