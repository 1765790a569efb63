//! gzip and zstd: the decompressors are libraries, the framing around them is here.
//!
//! A stream is members (gzip) or frames (zstd), one after the other; see the module `decode` for what may stand
//! between and after them. [`Unpacker::step`] fills a buffer as far as it goes, so that output never has to be
//! held elsewhere, and makes steps small enough that a fault loses nothing that was decoded before it.

use flate2::{Decompress, FlushDecompress, Status};
use zstd::stream::raw::{DParameter, Decoder as Frames, InBuffer, Operation, OutBuffer};

use super::{Compression, DecodeError};

/// 2^27 bytes is the window that every zstd level asks for at most (without `--ultra --long`); it bounds memory.
const ZSTD_WINDOW_LOG: u32 = 27;

/// What one step did.
#[derive(Debug, Default)]
pub(super) struct Step {
    /// Bytes of input used.
    pub(super) used: usize,
    /// Bytes of output written; to be taken over even if the step failed.
    pub(super) written: usize,
}

enum Codec {
    /// Between two members.
    Between,
    Gzip(Box<Decompress>),
    /// The decoder, and how much input it wants next: more than that at once, and an error in a later block would
    /// discard the earlier ones.
    Zstd(Frames<'static>, usize),
}

/// Takes a compressed stream apart.
pub(super) struct Unpacker {
    compression: Compression,
    codec: Codec,
    /// A zstd decoder to be used again.
    spare: Option<Frames<'static>>,
    members: u64,
    consumed: u64,
}

impl Unpacker {
    pub(super) fn new(compression: Compression) -> Self {
        Self { compression, codec: Codec::Between, spare: None, members: 0, consumed: 0 }
    }

    pub(super) fn compression(&self) -> Compression {
        self.compression
    }

    /// True inside a member: the end of the input here is a fault.
    pub(super) fn is_open(&self) -> bool {
        !matches!(self.codec, Codec::Between) || self.members == 0
    }

    /// Decodes from `input` into `output`. The caller repeats while there is input, or the output was filled up.
    pub(super) fn step(&mut self, input: &[u8], output: &mut [u8]) -> (Step, Result<(), DecodeError>) {
        let mut step = Step::default();
        let result = self.advance(input, output, &mut step);
        self.consumed += step.used as u64;
        (step, result)
    }

    fn advance(&mut self, input: &[u8], output: &mut [u8], step: &mut Step) -> Result<(), DecodeError> {
        match &mut self.codec {
            Codec::Between => {
                step.used = if self.members > 0 { input.iter().take_while(|byte| **byte == 0).count() } else { 0 };
                match input.get(step.used) {
                    None => Ok(()),
                    Some(first) if self.may_begin_with(*first) => self.begin(),
                    Some(_) => Err(DecodeError::TrailingBytes {
                        compression: self.compression,
                        at: self.consumed + step.used as u64,
                    }),
                }
            }
            Codec::Gzip(inflate) => {
                let (used, written) = (inflate.total_in(), inflate.total_out());
                let result = inflate.decompress(input, output, FlushDecompress::None);
                step.used = (inflate.total_in() - used) as usize;
                step.written = (inflate.total_out() - written) as usize;
                match result {
                    Ok(Status::StreamEnd) => {
                        self.end(None);
                        Ok(())
                    }
                    // neither input nor output moved although there is both: the stream asks for what cannot be
                    Ok(_) if step.used + step.written == 0 && !input.is_empty() && !output.is_empty() => {
                        Err(self.damaged("no progress", step))
                    }
                    Ok(_) => Ok(()),
                    Err(error) => Err(self.damaged(error.message().unwrap_or("not a deflate stream"), step)),
                }
            }
            Codec::Zstd(frames, wanted) => {
                let input = input.get(..*wanted).unwrap_or(input);
                let (mut from, mut to) = (InBuffer::around(input), OutBuffer::around(output));
                let result = frames.run(&mut from, &mut to);
                (step.used, step.written) = (from.pos(), to.pos());
                match result {
                    Ok(0) => {
                        let Codec::Zstd(frames, _) = std::mem::replace(&mut self.codec, Codec::Between) else {
                            return Ok(());
                        };
                        self.end(Some(frames));
                        Ok(())
                    }
                    Ok(hint) => {
                        *wanted = hint;
                        Ok(())
                    }
                    Err(error) => Err(self.damaged(&error.to_string(), step)),
                }
            }
        }
    }

    fn may_begin_with(&self, byte: u8) -> bool {
        match self.compression {
            Compression::Gzip => byte == 0x1f,
            Compression::Zstd => matches!(byte, 0x28 | 0x50..=0x5f),
        }
    }

    fn begin(&mut self) -> Result<(), DecodeError> {
        self.codec = match self.compression {
            Compression::Gzip => Codec::Gzip(Box::new(Decompress::new_gzip(15))),
            Compression::Zstd => {
                let frames = match self.spare.take() {
                    Some(frames) => Ok(frames),
                    None => Frames::new().and_then(|mut frames| {
                        frames.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG))?;
                        Ok(frames)
                    }),
                };
                // a frame header is at least this long
                Codec::Zstd(frames.map_err(|error| self.damaged(&error.to_string(), &Step::default()))?, 5)
            }
        };
        Ok(())
    }

    fn end(&mut self, spare: Option<Frames<'static>>) {
        self.codec = Codec::Between;
        self.spare = spare;
        self.members += 1;
    }

    fn damaged(&self, detail: &str, step: &Step) -> DecodeError {
        let at = self.consumed + step.used as u64;
        DecodeError::Damaged { compression: self.compression, at, detail: detail.to_owned() }
    }
}
