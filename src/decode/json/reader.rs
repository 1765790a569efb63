//! Objects to lines.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::lines::Sink;
use super::kinds::kind;
use super::members::{Events, Members, is_object, text};
use super::shapes::{Shapes, write_line};
use super::splitter::{Part, Splitter};
use crate::record::{LogFormat, ParseErrorKind};

/// Objects in the text of an object in the text of an object: more often than this is no sender's doing.
const MOST_NESTED: usize = 4;

/// The formats of lines whose envelope says where they are from.
#[derive(Debug, Clone, Default)]
pub(in crate::decode) struct Formats {
    /// The format of a log group that is not in `groups`.
    pub(in crate::decode) default: Arc<LogFormat>,
    /// By CloudWatch log group.
    pub(in crate::decode) groups: BTreeMap<String, Arc<LogFormat>>,
}

/// Reads objects and gathers their lines, as long as these are in one format.
#[derive(Debug)]
pub(in crate::decode) struct Reader {
    formats: Formats,
    chunk_bytes: usize,
    shapes: Shapes,
    /// For use again.
    events: Events,
    /// Lines that wait, and their format; `None` for text that may have headers.
    text: Vec<u8>,
    format: Option<Arc<LogFormat>>,
    /// Messages of CloudWatch Logs without an event: control messages, which say that the stream is there.
    pub(in crate::decode) control: u64,
}

impl Reader {
    /// A reader that hands out lines when it has about so many bytes of them.
    pub(in crate::decode) fn new(formats: Formats, chunk_bytes: usize) -> Self {
        Self {
            formats,
            chunk_bytes,
            shapes: Shapes::default(),
            events: Events::default(),
            text: Vec::new(),
            format: None,
            control: 0,
        }
    }

    /// Reads a whole text of objects.
    pub(in crate::decode) fn read_text(&mut self, text: &[u8], sink: &mut Sink<'_>) {
        let (line, control) = (sink.lines.count(), self.control);
        // nearly always it is one object
        match self.try_read(text, 0, sink) {
            Ok(()) => {}
            Err(ParseErrorKind::BadJson(_)) => {
                let mut splitter = Splitter::new(usize::MAX);
                let mut rest = text;
                while let Some(part) = splitter.next(rest, true) {
                    let (bytes, later) = rest.split_at(part.length().min(rest.len()));
                    match part {
                        Part::Between(_) => {}
                        Part::Object(_) => self.read(bytes, sink),
                        Part::Broken(_, kind) => self.reject(bytes, kind, sink),
                    }
                    rest = later;
                }
            }
            Err(kind) => self.reject(text, kind, sink),
        }
        self.flush(sink);
        if (line, control) == (sink.lines.count(), self.control) {
            self.reject(text, ParseErrorKind::OtherKind("JSON without an object".to_owned()), sink);
        }
    }

    /// Reads one object.
    pub(super) fn read(&mut self, object: &[u8], sink: &mut Sink<'_>) {
        if let Err(kind) = self.try_read(object, 0, sink) {
            self.reject(object, kind, sink);
        }
    }

    /// Rejects what cannot be read, in its place between the lines.
    pub(super) fn reject(&mut self, raw: &[u8], kind: ParseErrorKind, sink: &mut Sink<'_>) {
        self.flush(sink);
        sink.lines.reject(raw.strip_suffix(b"\n").unwrap_or(raw), kind, sink.out);
    }

    /// Hands out the lines that wait.
    pub(super) fn flush(&mut self, sink: &mut Sink<'_>) {
        if !self.text.is_empty() {
            let text = std::mem::replace(&mut self.text, sink.pool.empty());
            sink.lines.take(text, self.format.as_ref(), sink.pool, sink.out);
        }
    }

    /// Reads one object; where that fails, nothing of it has gone out.
    fn try_read(&mut self, object: &[u8], depth: usize, sink: &mut Sink<'_>) -> Result<(), ParseErrorKind> {
        if depth > MOST_NESTED {
            return Err(ParseErrorKind::TooNested { limit: MOST_NESTED });
        }
        let mut events = std::mem::take(&mut self.events);
        events.clear();
        let result = match Members::read(object, &mut events) {
            Ok(members) => self.read_members(&members, &events, depth, sink),
            Err(error) => Err(bad_json(&error)),
        };
        self.events = events;
        result
    }

    fn read_members(
        &mut self,
        members: &Members<'_>,
        events: &Events,
        depth: usize,
        sink: &mut Sink<'_>,
    ) -> Result<(), ParseErrorKind> {
        match members.text("messageType").as_deref() {
            Some("CONTROL_MESSAGE") => {
                self.control += 1;
                return Ok(());
            }
            Some("DATA_MESSAGE") => {
                self.read_events(members, events, depth, sink);
                return Ok(());
            }
            _ => {}
        }
        if let Some(format) = self.shapes.format(members) {
            let text = self.page(Some(&format), sink);
            let start = text.len();
            return write_line(members, text).map_err(|error| {
                text.truncate(start);
                bad_json(&error)
            });
        }
        match members.value("message") {
            Some(message) if is_object(message.as_bytes()) => self.try_read(message.as_bytes(), depth + 1, sink),
            Some(message) => match text(message).map_err(|error| bad_json(&error))? {
                Some(message) if is_object(message.as_bytes()) => self.try_read(message.as_bytes(), depth + 1, sink),
                Some(message) => {
                    self.push_text(message.as_bytes(), sink);
                    Ok(())
                }
                None => Err(ParseErrorKind::OtherKind(kind(members))),
            },
            None => Err(ParseErrorKind::OtherKind(kind(members))),
        }
    }

    /// The events of an envelope: mostly lines, which are taken over together.
    fn read_events(&mut self, members: &Members<'_>, events: &Events, depth: usize, sink: &mut Sink<'_>) {
        if events.text.is_empty() {
            self.control += 1;
            return;
        }
        let group = members.text("logGroup").and_then(|group| self.formats.groups.get(group.as_ref()));
        let format = group.unwrap_or(&self.formats.default).clone();
        let mut done = 0;
        for place in &events.json {
            let message = events.text.get(place.clone()).unwrap_or_default();
            self.push_events(events.text.get(done..place.start).unwrap_or_default(), &format, sink);
            if let Err(kind) = self.try_read(message, depth + 1, sink) {
                self.reject(message, kind, sink);
            }
            // behind the line end
            done = place.end + 1;
        }
        self.push_events(events.text.get(done..).unwrap_or_default(), &format, sink);
    }

    /// Adds the lines of neighbouring events, each with its end; there may be none.
    fn push_events(&mut self, lines: &[u8], format: &Arc<LogFormat>, sink: &mut Sink<'_>) {
        if !lines.is_empty() {
            self.page(Some(format), sink).extend_from_slice(lines);
        }
    }

    /// Adds a text as of a file: lines, the last one with its end or without. One without content is a blank line.
    fn push_text(&mut self, lines: &[u8], sink: &mut Sink<'_>) {
        let text = self.page(None, sink);
        text.extend_from_slice(lines);
        if !lines.ends_with(b"\n") {
            text.push(b'\n');
        }
    }

    /// Where lines of this format go.
    fn page(&mut self, format: Option<&Arc<LogFormat>>, sink: &mut Sink<'_>) -> &mut Vec<u8> {
        if self.text.len() >= self.chunk_bytes || self.format.as_ref() != format {
            self.flush(sink);
            self.format = format.cloned();
        }
        &mut self.text
    }
}

fn bad_json(error: &serde_json::Error) -> ParseErrorKind {
    ParseErrorKind::BadJson(error.to_string())
}
