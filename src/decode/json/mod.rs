//! JSON to lines: every shape in which flow logs come as objects.
//!
//! ```text
//! text ──> Splitter ──> one object ──> Members ──> an envelope of CloudWatch Logs: its events are lines
//!           (only if there are many)           ├─> a flow log record: its values are a line
//!                                              ├─> {"message": …}: the text of lines, or an object again
//!                                              └─> of another kind: rejected, with what it seems to be
//! ```
//!
//! What is decided here, and why:
//!
//! - An object is known whole before anything of it goes out: one that is broken is rejected whole.
//! - Objects follow each other with a line end, a comma or nothing between, in an array or bare: Firehose writes them
//!   without line ends.
//! - An event of CloudWatch Logs is one line, so its number is that of the event, from 1. A message of several lines
//!   (no flow log has such) is so many; one without text is a blank line.
//! - Which fields a JSON record has is told by its keys. Most of them must be names that AWS documents, and an address
//!   or an interface among them: `{"type": "alarm", "region": "eu-west-1"}` has only names that AWS documents too.

mod kinds;
mod members;
mod reader;
mod shapes;
mod splitter;
mod stream;

pub(super) use reader::{Formats, Reader};
pub(super) use stream::Stream;
