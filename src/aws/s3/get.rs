//! Reading an object, or a range of it, whole: a body that breaks off is asked again from where it broke.

use std::ops::Range;

use aws_sdk_s3::operation::get_object::GetObjectOutput;

use super::error::{S3Error, S3ErrorKind};
use super::{S3, S3Uri};
use crate::aws::backoff::back_off;

/// Bodies in a row that may break off without a byte.
const EMPTY_BODIES: u32 = 8;

/// Bytes of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// All bytes of the range that the object has.
    pub bytes: Vec<u8>,
    /// Of which content.
    pub etag: String,
    /// Length of the whole object.
    pub size: u64,
}

impl S3 {
    /// Reads an object.
    ///
    /// # Errors
    /// [`S3ErrorKind::NoKey`] when it is not there.
    pub async fn get(&self, uri: &S3Uri) -> Result<Fetched, S3Error> {
        self.get_range(uri, None, 0..u64::MAX, Vec::new()).await
    }

    /// Reads a range of an object into this buffer; beyond its end there is nothing. With an ETag the object must
    /// still be that one.
    ///
    /// # Errors
    /// [`S3ErrorKind::NoKey`] when it is not there, [`S3ErrorKind::Precondition`] when it changed.
    pub(super) async fn get_range(
        &self,
        uri: &S3Uri,
        etag: Option<&str>,
        range: Range<u64>,
        mut buffer: Vec<u8>,
    ) -> Result<Fetched, S3Error> {
        buffer.clear();
        let mut fetched = Fetched { bytes: buffer, etag: etag.unwrap_or_default().to_owned(), size: 0 };
        let Range { start, end } = range;
        let mut failures = 0;
        loop {
            let from = start + fetched.bytes.len() as u64;
            let before = fetched.bytes.len();
            let broken = match self.ask(uri, &fetched.etag, from, end).await? {
                Some(mut answer) => {
                    fetched.size = size_of(uri, &answer, from)?;
                    fetched.etag = answer.e_tag.take().unwrap_or_default();
                    let wanted = usize::try_from(end.min(fetched.size).saturating_sub(start)).unwrap_or(usize::MAX);
                    collect(answer, wanted, &mut fetched.bytes).await
                }
                None => None,
            };
            let Some(broken) = broken else { return Ok(fetched) };
            failures = if fetched.bytes.len() > before { 1 } else { failures + 1 };
            if failures > EMPTY_BODIES {
                return Err(S3Error::new(S3ErrorKind::Unanswered, format!("the answer breaks off ({broken})")));
            }
            tracing::debug!(%uri, at = start + fetched.bytes.len() as u64, broken, "asked again");
            back_off(failures).await;
        }
    }

    /// One request; `None`: the object is empty.
    async fn ask(&self, uri: &S3Uri, etag: &str, from: u64, end: u64) -> Result<Option<GetObjectOutput>, S3Error> {
        let range = match (from, end) {
            (0, u64::MAX) => None,
            (from, u64::MAX) => Some(format!("bytes={from}-")),
            (from, end) => Some(format!("bytes={from}-{}", end.saturating_sub(1))),
        };
        let request = self.client.get_object().bucket(&uri.bucket).key(&uri.key).set_range(range);
        let request = request.set_if_match((!etag.is_empty()).then(|| etag.to_owned()));
        match request.set_request_payer(self.payer.clone()).send().await {
            Ok(answer) => Ok(Some(answer)),
            Err(error) => match S3Error::of(&uri.bucket, &error) {
                // an empty object has no first byte to begin a range with
                error if error.kind == S3ErrorKind::Range && from == 0 => Ok(None),
                error => Err(error),
            },
        }
    }
}

/// Length of the whole object, of which the answer may be a range.
fn size_of(uri: &S3Uri, answer: &GetObjectOutput, from: u64) -> Result<u64, S3Error> {
    let length = answer.content_length().and_then(|length| u64::try_from(length).ok());
    let size = match answer.content_range() {
        // `bytes 0-99/1234`
        Some(range) => range.rsplit_once('/').and_then(|(_, size)| size.parse().ok()),
        None if from == 0 => length,
        None => None,
    };
    size.ok_or_else(|| S3Error::new(S3ErrorKind::Other, format!("the answer does not tell which part of {uri} it is")))
}

/// Takes the body until there are so many bytes in all; why there are not, if it breaks off before.
async fn collect(mut answer: GetObjectOutput, wanted: usize, bytes: &mut Vec<u8>) -> Option<String> {
    bytes.reserve_exact(wanted.saturating_sub(bytes.len()).min(RESERVE));
    loop {
        match answer.body.try_next().await {
            Ok(Some(more)) => bytes.extend_from_slice(&more),
            Ok(None) if bytes.len() >= wanted => {
                bytes.truncate(wanted);
                return None;
            }
            Ok(None) => return Some("it ended early".to_owned()),
            Err(error) => {
                if bytes.len() >= wanted {
                    // all came, and their checksum is wrong
                    bytes.clear();
                }
                return Some(aws_sdk_s3::error::DisplayErrorContext(error).to_string());
            }
        }
    }
}

/// Bytes that memory is taken for before they come; an answer may promise anything.
const RESERVE: usize = 16 << 20;
