//! The state machine: what the pushed bytes are, and where they go.

use super::json;
use super::lines::{Lines, Out, Pool, Sink};
use super::rows;
use super::sniff::{BYTE_ORDER_MARK, Kind, WINDOW, sniff};
use super::unpack::Unpacker;
use super::{Compression, Content, DecodeError, DecodeOptions, DecodeSummary, Piece};

/// Compressions around one object that are taken off.
const MOST_NESTED: usize = 2;

/// Room for what is unpacked before it is known to be text.
const SCRATCH: usize = 64 << 10;

/// Decodes one object; see the [module](super) for what it accepts.
///
/// ```
/// use flowbound::decode::{DecodeOptions, Decoder, Piece};
///
/// let mut chunks = Vec::new();
/// let mut out = |piece| match piece {
///     Piece::Lines(chunk) => chunks.push(chunk),
///     Piece::Rejected { .. } => panic!("no line here is bad"),
/// };
/// let mut decoder = Decoder::new(DecodeOptions::default());
/// decoder.push(b"srcaddr dsta", &mut out)?;
/// decoder.push(b"ddr\n10.0.0.1 10.0.0.2\n", &mut out)?;
/// let summary = decoder.finish(&mut out)?;
/// assert_eq!((summary.lines, summary.headers), (2, 1));
/// assert_eq!(chunks[0].bytes, b"10.0.0.1 10.0.0.2\n");
/// assert_eq!(chunks[0].first_line, 2);
/// # Ok::<(), flowbound::decode::DecodeError>(())
/// ```
pub struct Decoder {
    stage: Stage,
    core: Core,
    failed: Option<DecodeError>,
}

/// What the bytes at one level of compression are.
enum Stage {
    /// Not known yet; the bytes so far, fewer than [`WINDOW`].
    Unknown(Vec<u8>),
    Text,
    Json(Box<json::Stream>),
    Parquet(Vec<u8>),
    Packed(Box<Packed>),
}

struct Packed {
    unpacker: Unpacker,
    scratch: Vec<u8>,
    inner: Stage,
}

/// What all levels share.
struct Core {
    options: DecodeOptions,
    pool: Pool,
    lines: Lines,
    summary: DecodeSummary,
}

impl Decoder {
    /// A decoder for one object.
    pub fn new(options: DecodeOptions) -> Self {
        let lines = Lines::new(&options);
        let core = Core { options, pool: Pool::default(), lines, summary: DecodeSummary::default() };
        Self { stage: Stage::Unknown(Vec::new()), core, failed: None }
    }

    /// Takes the next bytes of the object and hands out what they complete.
    ///
    /// # Errors
    ///
    /// A fault of the object. Everything before it has then been handed out, and each further call repeats the error.
    pub fn push(&mut self, bytes: &[u8], out: &mut dyn FnMut(Piece)) -> Result<(), DecodeError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        self.core.summary.bytes_in += bytes.len() as u64;
        let result = self.stage.push(bytes, &mut self.core, out);
        self.settle(result, out)
    }

    /// The object is complete: hands out the rest.
    ///
    /// # Errors
    ///
    /// A fault of the object, among them that it is cut short. Everything before it has then been handed out.
    pub fn finish(mut self, out: &mut dyn FnMut(Piece)) -> Result<DecodeSummary, DecodeError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let result = self.stage.finish(&mut self.core, out);
        self.settle(result, out)?;
        Ok(self.summary())
    }

    /// What was seen so far.
    pub fn summary(&self) -> DecodeSummary {
        let Core { lines, summary, .. } = &self.core;
        DecodeSummary {
            lines: summary.lines + lines.count(),
            headers: lines.headers,
            rejected: summary.rejected + lines.rejected,
            ..summary.clone()
        }
    }

    /// Gives the buffer of a chunk back, so that the next chunk need not allocate one.
    pub fn recycle(&mut self, buffer: Vec<u8>) {
        self.core.pool.put(buffer);
    }

    fn settle(&mut self, result: Result<(), DecodeError>, out: Out<'_>) -> Result<(), DecodeError> {
        if let Err(error) = &result {
            self.failed = Some(error.clone());
            self.stage.abort(&mut self.core, out);
        }
        result
    }
}

impl Core {
    fn sink<'s>(&'s mut self, out: Out<'s>) -> Sink<'s> {
        Sink { lines: &mut self.lines, pool: &mut self.pool, out }
    }

    /// Counts decoded bytes against the limit.
    fn count(&mut self, bytes: usize) -> Result<(), DecodeError> {
        self.summary.bytes_out += bytes as u64;
        let limit = self.options.max_inflated;
        if self.summary.bytes_out > limit { Err(DecodeError::TooLarge { limit }) } else { Ok(()) }
    }
}

impl Stage {
    fn push(&mut self, bytes: &[u8], core: &mut Core, out: Out<'_>) -> Result<(), DecodeError> {
        match self {
            Self::Unknown(head) => {
                let (now, later) = bytes.split_at(bytes.len().min(WINDOW - head.len().min(WINDOW)));
                head.extend_from_slice(now);
                match sniff(head, false)? {
                    None => Ok(()),
                    Some(kind) => {
                        self.become_known(kind, core, out)?;
                        self.push(later, core, out)
                    }
                }
            }
            Self::Text => {
                core.lines.push(bytes, &mut core.pool, out);
                core.count(bytes.len())
            }
            Self::Json(objects) => {
                objects.push(bytes, &mut core.sink(out));
                core.summary.control = objects.control();
                core.count(bytes.len())
            }
            Self::Parquet(object) => {
                let limit = core.options.max_parquet;
                if object.len().saturating_add(bytes.len()) > limit {
                    return Err(DecodeError::TooLarge { limit: limit as u64 });
                }
                object.extend_from_slice(bytes);
                Ok(())
            }
            Self::Packed(packed) => packed.push(bytes, core, out),
        }
    }

    /// Leaves `Unknown`: its bytes go where the rest will go.
    fn become_known(&mut self, kind: Kind, core: &mut Core, out: Out<'_>) -> Result<(), DecodeError> {
        let next = match kind {
            Kind::Packed(compression) => {
                core.summary.compression.push(compression);
                if core.summary.compression.len() > MOST_NESTED {
                    return Err(DecodeError::TooNested);
                }
                Self::Packed(Box::new(Packed::new(compression)))
            }
            Kind::Plain(content) => {
                core.summary.content = content;
                match content {
                    Content::Parquet => Self::Parquet(Vec::new()),
                    Content::Json => Self::Json(Box::new(json::Stream::new(&core.options))),
                    Content::Text | Content::Empty => Self::Text,
                }
            }
        };
        let Self::Unknown(head) = std::mem::replace(self, next) else { return Ok(()) };
        let head = match self {
            Self::Text | Self::Json(_) => head.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&head),
            _ => &head,
        };
        self.push(head, core, out)
    }

    fn finish(&mut self, core: &mut Core, out: Out<'_>) -> Result<(), DecodeError> {
        if let Self::Unknown(head) = self
            && let Some(kind) = sniff(head, true)?
        {
            self.become_known(kind, core, out)?;
        }
        match self {
            Self::Unknown(_) => Ok(()),
            Self::Text => {
                core.lines.finish(&mut core.pool, out);
                Ok(())
            }
            Self::Json(objects) => {
                objects.finish(&mut core.sink(out));
                core.summary.control = objects.control();
                Ok(())
            }
            Self::Parquet(object) => {
                let counts = &mut core.summary;
                rows::decode(std::mem::take(object), &core.options, &mut core.pool, counts, out)
            }
            Self::Packed(packed) if packed.unpacker.is_open() => {
                Err(DecodeError::Truncated(packed.unpacker.compression()))
            }
            Self::Packed(packed) => packed.inner.finish(core, out),
        }
    }

    /// Hands out what is whole. Of Parquet that is nothing: its directory stands at its end.
    fn abort(&mut self, core: &mut Core, out: Out<'_>) {
        match self {
            Self::Unknown(head) => {
                if let Ok(Some(kind @ Kind::Plain(Content::Text | Content::Json))) = sniff(head, true) {
                    // text is never refused once it is known to be text, except for its size
                    let fits = self.become_known(kind, core, out);
                    debug_assert!(fits.is_ok() || core.summary.bytes_out > core.options.max_inflated);
                    self.abort(core, out);
                }
            }
            Self::Json(objects) => objects.abort(&mut core.sink(out)),
            Self::Text => core.lines.abort(&mut core.pool, out),
            Self::Parquet(_) => {}
            Self::Packed(packed) => packed.inner.abort(core, out),
        }
    }
}

impl Packed {
    fn new(compression: Compression) -> Self {
        Self { unpacker: Unpacker::new(compression), scratch: Vec::new(), inner: Stage::Unknown(Vec::new()) }
    }

    fn push(&mut self, mut input: &[u8], core: &mut Core, out: Out<'_>) -> Result<(), DecodeError> {
        loop {
            let direct = matches!(self.inner, Stage::Text);
            let room = if direct {
                core.lines.room(&mut core.pool)
            } else {
                self.scratch.resize(SCRATCH, 0);
                &mut self.scratch
            };
            let size = room.len();
            let (step, result) = self.unpacker.step(input, room);
            input = input.get(step.used..).unwrap_or_default();
            if direct {
                core.lines.commit(step.written, &mut core.pool, out);
                core.count(step.written)?;
            } else {
                let unpacked = self.scratch.get(..step.written).unwrap_or_default();
                self.inner.push(unpacked, core, out)?;
            }
            result?;
            if input.is_empty() && step.written < size {
                return Ok(());
            }
        }
    }
}
