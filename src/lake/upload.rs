//! A staged file on its way to S3: in parts, a few at a time, or at once where it is small.

use std::io::{self, Write};
use std::sync::Arc;

use aws_sdk_s3::types::CompletedPart;
use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::store::StagedFile;
use crate::aws::blocking::wait;
use crate::aws::s3::{MAX_COPY_BYTES, PartUpload, S3, S3Error, S3ErrorKind, S3Uri};

/// Bytes of a part. The largest file that can be published (see [`MAX_COPY_BYTES`]) has 640 of them, and S3 allows
/// 10,000.
const PART_BYTES: usize = 8 << 20;
/// Parts that are uploaded at a time, over all files of a lake; a writer that is faster waits.
pub(super) const PARTS_IN_FLIGHT: usize = 4;

/// A file being written. Dropped before it is finished, it never was.
pub(super) struct Upload {
    s3: S3,
    uri: S3Uri,
    permits: Arc<Semaphore>,
    part: Vec<u8>,
    length: u64,
    /// Begun with the first full part.
    upload: Option<PartUpload>,
    parts: Vec<JoinHandle<Result<CompletedPart, S3Error>>>,
}

impl Upload {
    pub(super) fn new(s3: S3, uri: S3Uri, permits: Arc<Semaphore>) -> Self {
        Self { s3, uri, permits, part: Vec::new(), length: 0, upload: None, parts: Vec::new() }
    }

    /// Sends the part at hand on its way, when there is room on it.
    fn send_part(&mut self) -> io::Result<()> {
        let runtime = self.s3.runtime().clone();
        let upload = match &self.upload {
            Some(upload) => upload.clone(),
            None => self.upload.insert(wait(&runtime, self.s3.begin_parts(&self.uri))??).clone(),
        };
        // a file of several parts fills the next one, too; made in one piece, it leaves no holes where it grew
        let bytes = Bytes::from(std::mem::replace(&mut self.part, Vec::with_capacity(PART_BYTES)));
        let permit = wait(&runtime, Arc::clone(&self.permits).acquire_owned())?.map_err(io::Error::other)?;
        let number = i32::try_from(self.parts.len() + 1).map_err(io::Error::other)?;
        let s3 = self.s3.clone();
        self.parts.push(runtime.spawn(async move {
            let done = s3.put_part(&upload, number, bytes).await;
            drop(permit);
            done
        }));
        Ok(())
    }

    /// Waits for every part and makes one object of them.
    fn complete(&mut self, upload: &PartUpload) -> io::Result<()> {
        let parts = std::mem::take(&mut self.parts);
        let (s3, uri, length) = (&self.s3, &self.uri, self.length);
        wait(s3.runtime(), async {
            let mut completed = Vec::with_capacity(parts.len());
            for part in parts {
                completed.push(part.await.map_err(io::Error::other)??);
            }
            match s3.complete_parts(upload, completed).await {
                // it was completed before, and the answer lost
                Err(error) if error.kind == S3ErrorKind::NoKey => match s3.head(uri).await {
                    Ok(object) if object.size == length => Ok(()),
                    _ => Err(error.into()),
                },
                done => Ok(done?),
            }
        })?
    }
}

impl Write for Upload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = PART_BYTES.saturating_sub(self.part.len());
        let taken = bytes.get(..room).unwrap_or(bytes);
        self.part.extend_from_slice(taken);
        self.length += taken.len() as u64;
        if self.length > MAX_COPY_BYTES {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a file of a lake in S3 has at most 5 GiB: lower --file-mib",
            ));
        }
        if self.part.len() >= PART_BYTES {
            self.send_part()?;
        }
        Ok(taken.len())
    }

    /// What was written is safe when it is finished, and not before.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl StagedFile for Upload {
    fn finish(mut self: Box<Self>) -> io::Result<u64> {
        if self.upload.is_none() {
            let bytes = Bytes::from(std::mem::take(&mut self.part));
            wait(self.s3.runtime(), self.s3.put(&self.uri, bytes, false))??;
            return Ok(self.length);
        }
        if !self.part.is_empty() {
            self.send_part()?;
        }
        if let Some(upload) = self.upload.clone() {
            self.complete(&upload)?;
        }
        // completed: nothing to throw away
        self.upload = None;
        Ok(self.length)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let Some(upload) = self.upload.take() else { return };
        let (s3, parts) = (self.s3.clone(), std::mem::take(&mut self.parts));
        // S3 keeps the parts of an upload for ever; what is not thrown away here, because the program ends, is when
        // its staging is cleared
        self.s3.runtime().spawn(async move {
            for part in parts {
                let _whatever = part.await;
            }
            let _best_effort = s3.abort_parts(&upload).await;
        });
    }
}
