//! Compression of pages, with one context for all of them.

use std::io;

use bytes::Bytes;
use parquet::basic::Compression;
use parquet::errors::{ParquetError, Result};

/// Compresses pages as a file's properties say: with zstd, or not at all.
pub(super) struct Compressor {
    compression: Compression,
    zstd: Option<zstd::bulk::Compressor<'static>>,
    compressed: Vec<u8>,
    spare: Vec<u8>,
}

impl Compressor {
    pub(super) fn new(compression: Compression) -> Result<Self> {
        let zstd = match compression {
            Compression::UNCOMPRESSED => None,
            Compression::ZSTD(level) => Some(zstd::bulk::Compressor::new(level.compression_level()).map_err(external)?),
            other => return Err(ParquetError::NYI(format!("pages compressed by {other}"))),
        };
        Ok(Self { compression, zstd, compressed: Vec::new(), spare: Vec::new() })
    }

    pub(super) fn compression(&self) -> Compression {
        self.compression
    }

    /// An empty buffer, to be given back.
    pub(super) fn buffer(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.spare)
    }

    pub(super) fn give_back(&mut self, mut buffer: Vec<u8>) {
        buffer.clear();
        self.spare = buffer;
    }

    pub(super) fn compress(&mut self, page: &[u8]) -> Result<Bytes> {
        let Some(zstd) = &mut self.zstd else { return Ok(Bytes::copy_from_slice(page)) };
        self.compressed.clear();
        self.compressed.reserve(zstd::zstd_safe::compress_bound(page.len()));
        zstd.compress_to_buffer(page, &mut self.compressed).map_err(external)?;
        Ok(Bytes::copy_from_slice(&self.compressed))
    }
}

fn external(error: io::Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}
