//! An object as a stream, in bounded memory: range after range, the next one fetched while this one is read.

use std::io::{self, BufRead, Read};

use tokio::task::JoinHandle;

use super::{Fetched, S3, S3Error, S3Uri};
use crate::aws::blocking::wait;

/// Reads one object from its begin. Two ranges at most are in memory. Made for threads that may block.
#[derive(Debug)]
pub struct RangeReader {
    s3: S3,
    uri: S3Uri,
    /// Every range must be of the same content; that of the first, if none was named before.
    etag: Option<String>,
    range_bytes: u64,
    current: Vec<u8>,
    at: usize,
    next: Option<JoinHandle<Result<Fetched, S3Error>>>,
    next_start: u64,
    /// An error stays: what comes after it would be taken for the object's end.
    failed: Option<S3Error>,
}

impl RangeReader {
    /// Begins to fetch. What is wrong shows when the first byte is read, or in [`Self::ready`].
    pub fn start(s3: &S3, uri: S3Uri, etag: Option<String>, range_bytes: u64) -> Self {
        let mut reader = Self {
            s3: s3.clone(),
            uri,
            etag,
            range_bytes: range_bytes.max(1),
            current: Vec::new(),
            at: 0,
            next: None,
            next_start: 0,
            failed: None,
        };
        reader.fetch_next(Vec::new());
        reader
    }

    /// Waits for the first bytes.
    ///
    /// # Errors
    /// When the object is not there, or is not the one that was meant, or cannot be read.
    pub fn ready(mut self) -> io::Result<Self> {
        self.fill_buf()?;
        Ok(self)
    }

    fn fetch_next(&mut self, buffer: Vec<u8>) {
        let (s3, uri, etag) = (self.s3.clone(), self.uri.clone(), self.etag.clone());
        let range = self.next_start..self.next_start.saturating_add(self.range_bytes);
        self.next =
            Some(self.s3.runtime().spawn(async move { s3.get_range(&uri, etag.as_deref(), range, buffer).await }));
    }

    fn advance(&mut self) -> io::Result<()> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone().into());
        }
        let Some(next) = self.next.take() else { return Ok(()) };
        match wait(self.s3.runtime(), next)?.map_err(S3Error::ended).flatten() {
            Ok(fetched) => {
                self.next_start += fetched.bytes.len() as u64;
                let spent = std::mem::replace(&mut self.current, fetched.bytes);
                self.at = 0;
                self.etag = Some(fetched.etag);
                if self.next_start < fetched.size {
                    self.fetch_next(spent);
                }
                Ok(())
            }
            Err(error) => Err(self.failed.insert(error).clone().into()),
        }
    }
}

impl BufRead for RangeReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at >= self.current.len() {
            self.advance()?;
        }
        Ok(self.current.get(self.at..).unwrap_or_default())
    }

    fn consume(&mut self, bytes: usize) {
        self.at += bytes;
    }
}

impl Read for RangeReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut ready = self.fill_buf()?;
        let read = ready.read(out)?;
        self.consume(read);
        Ok(read)
    }
}

impl Drop for RangeReader {
    fn drop(&mut self) {
        if let Some(next) = &self.next {
            next.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Answer, Asked, Log, serve};
    use super::*;

    fn object(bytes: usize) -> Vec<u8> {
        (0..bytes).map(|place| (place * 31 % 251) as u8).collect()
    }

    async fn reader(answer: impl FnMut(&Asked) -> Answer + Send + 'static) -> (RangeReader, Log) {
        let (s3, log) = serve(answer).await;
        (RangeReader::start(&s3, "s3://logs/a.gz".parse().unwrap(), None, 1000), log)
    }

    fn read(reader: &mut RangeReader) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).map(|_| bytes)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn ranges_make_the_object() {
        for size in [1, 999, 1000, 1001, 5500] {
            let (mut reader, log) = reader(move |asked| Answer::range_of(&object(size), asked)).await;
            assert_eq!(read(&mut reader).unwrap(), object(size));
            let log = log.lock().unwrap();
            assert_eq!(log.len(), size.div_ceil(1000));
            assert!(!log[0].headers.contains_key("if-match"));
            assert!(log[1..].iter().all(|asked| asked.headers["if-match"] == "\"one\""), "of one content");
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn what_breaks_off_is_asked_again_from_there() {
        let mut requests = 0;
        let (mut reader, log) = reader(move |asked| {
            requests += 1;
            // every second body breaks off, each at another place, some before their first byte
            let cut = if requests % 2 == 1 { requests * 97 % 400 } else { usize::MAX };
            Answer::range_of(&object(5500), asked).cut_at(cut)
        })
        .await;
        assert_eq!(read(&mut reader).unwrap(), object(5500));
        let log = log.lock().unwrap();
        assert_eq!(
            (log[0].headers["range"].as_str(), log[1].headers["range"].as_str()),
            ("bytes=0-999", "bytes=97-999")
        );
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn an_empty_object_is_empty() {
        let (mut reader, _) = reader(|asked| Answer::range_of(&[], asked)).await;
        assert_eq!(read(&mut reader).unwrap(), b"");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn an_object_that_changes_is_no_end() {
        let mut requests = 0;
        let (mut reader, _) = reader(move |asked| {
            requests += 1;
            if requests > 2 { Answer::error(412, "PreconditionFailed") } else { Answer::range_of(&object(5500), asked) }
        })
        .await;
        for _ in 0..2 {
            let error = read(&mut reader).unwrap_err();
            assert!(error.to_string().contains("it changed meanwhile"), "{error}");
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn what_is_missing_shows_before_the_first_byte() {
        let (reader, _) = reader(|_| Answer::error(404, "NoSuchKey")).await;
        assert_eq!(reader.ready().unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
