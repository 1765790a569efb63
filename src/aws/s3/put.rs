//! Writing objects: whole, in parts, as copies; and deleting them.

use std::time::Duration;

use aws_sdk_s3::config::Config;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart, Delete, ObjectIdentifier, ServerSideEncryption};
use bytes::Bytes;

use super::error::{S3Error, S3ErrorKind};
use super::{S3, S3Uri};
use crate::aws::backoff::back_off;

/// The largest object that one CopyObject takes.
pub const MAX_COPY_BYTES: u64 = 5 << 30;

/// Keys that one DeleteObjects takes.
const DELETE_KEYS: usize = 1000;

/// Times that a key is tried that S3 does not delete for the moment.
const DELETE_ATTEMPTS: u32 = 6;

/// Time for one copy. S3 answers when it is done, and five gigabytes take their time.
const COPY_TIME: Duration = Duration::from_secs(900);

/// An upload in parts. It is nowhere to be seen before it is completed.
#[derive(Debug, Clone)]
pub struct PartUpload {
    uri: S3Uri,
    id: String,
}

impl S3 {
    fn encryption(&self) -> Option<ServerSideEncryption> {
        self.sse_kms_key_id.as_ref().map(|_| ServerSideEncryption::AwsKms)
    }

    /// Writes an object; with `if_absent` only if there is none.
    ///
    /// # Errors
    /// [`S3ErrorKind::Precondition`]: there is one. [`S3ErrorKind::Conflict`]: it is being written.
    /// One that [is open](S3Error::is_open): it may have been written or not.
    pub async fn put(&self, uri: &S3Uri, bytes: Bytes, if_absent: bool) -> Result<(), S3Error> {
        let request = self.client.put_object().bucket(&uri.bucket).key(&uri.key).body(ByteStream::from(bytes));
        let request = request.set_if_none_match(if_absent.then(|| "*".to_owned()));
        let request = request.set_server_side_encryption(self.encryption());
        let done = request.set_ssekms_key_id(self.sse_kms_key_id.clone()).send().await;
        done.map(|_| ()).map_err(|error| S3Error::of(&uri.bucket, &error))
    }

    /// Begins an upload in parts.
    ///
    /// # Errors
    /// When S3 refuses.
    pub async fn begin_parts(&self, uri: &S3Uri) -> Result<PartUpload, S3Error> {
        let request = self.client.create_multipart_upload().bucket(&uri.bucket).key(&uri.key);
        let request = request.set_server_side_encryption(self.encryption());
        let begun = request.set_ssekms_key_id(self.sse_kms_key_id.clone()).send().await;
        let begun = begun.map_err(|error| S3Error::of(&uri.bucket, &error))?;
        let id = begun.upload_id.ok_or_else(|| S3Error::new(S3ErrorKind::Other, "S3 gave the upload no id"))?;
        Ok(PartUpload { uri: uri.clone(), id })
    }

    /// Uploads a part (numbers from 1; at least 5 MiB but for the last); what completing it needs.
    ///
    /// # Errors
    /// When S3 refuses.
    pub async fn put_part(&self, upload: &PartUpload, number: i32, bytes: Bytes) -> Result<CompletedPart, S3Error> {
        let request = self.client.upload_part().bucket(&upload.uri.bucket).key(&upload.uri.key);
        let request = request.upload_id(&upload.id).part_number(number).body(ByteStream::from(bytes));
        let done = request.send().await.map_err(|error| S3Error::of(&upload.uri.bucket, &error))?;
        Ok(CompletedPart::builder()
            .part_number(number)
            .set_e_tag(done.e_tag)
            .set_checksum_crc32(done.checksum_crc32)
            .set_checksum_crc32_c(done.checksum_crc32_c)
            .set_checksum_crc64_nvme(done.checksum_crc64_nvme)
            .build())
    }

    /// Makes one object of the parts.
    ///
    /// # Errors
    /// When S3 refuses. An upload that was completed before, the answer lost, is gone: `NoSuchUpload`, as `NoKey`.
    pub async fn complete_parts(&self, upload: &PartUpload, parts: Vec<CompletedPart>) -> Result<(), S3Error> {
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let request = self.client.complete_multipart_upload().bucket(&upload.uri.bucket).key(&upload.uri.key);
        let done = request.upload_id(&upload.id).multipart_upload(parts).send().await;
        done.map(|_| ()).map_err(|error| S3Error::of(&upload.uri.bucket, &error))
    }

    /// Throws an upload in parts away.
    ///
    /// # Errors
    /// When S3 refuses.
    pub async fn abort_parts(&self, upload: &PartUpload) -> Result<(), S3Error> {
        let request = self.client.abort_multipart_upload().bucket(&upload.uri.bucket).key(&upload.uri.key);
        let done = request.upload_id(&upload.id).send().await;
        done.map(|_| ()).map_err(|error| S3Error::of(&upload.uri.bucket, &error))
    }

    /// Uploads in parts below a prefix that nobody completed: what killed runs left, and what runs now.
    ///
    /// # Errors
    /// When S3 refuses.
    pub async fn unfinished_parts(&self, prefix: &S3Uri) -> Result<Vec<PartUpload>, S3Error> {
        let mut found = Vec::new();
        let (mut key, mut id) = (None, None);
        loop {
            let request = self.client.list_multipart_uploads().bucket(&prefix.bucket).prefix(&prefix.key);
            let request = request.set_key_marker(key).set_upload_id_marker(id);
            let page = request.send().await.map_err(|error| S3Error::of(&prefix.bucket, &error))?;
            found.extend(page.uploads().iter().filter_map(|upload| {
                Some(PartUpload { uri: prefix.with_key(upload.key()?), id: upload.upload_id()?.to_owned() })
            }));
            if page.is_truncated() != Some(true) || page.next_key_marker().is_none() {
                return Ok(found);
            }
            (key, id) = (page.next_key_marker, page.next_upload_id_marker);
        }
    }

    /// Copies an object to another key of its bucket.
    ///
    /// # Errors
    /// [`S3ErrorKind::NoKey`] when it is not there.
    pub async fn copy(&self, from: &S3Uri, to: &S3Uri) -> Result<(), S3Error> {
        let request = self.client.copy_object().copy_source(from.copy_source()).bucket(&to.bucket).key(&to.key);
        let request = request.set_server_side_encryption(self.encryption());
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(COPY_TIME).build();
        let request = request.set_ssekms_key_id(self.sse_kms_key_id.clone()).customize();
        let done = request.config_override(Config::builder().timeout_config(timeouts)).send().await;
        done.map(|_| ()).map_err(|error| S3Error::of(&to.bucket, &error))
    }

    /// Deletes objects of a bucket; those that are not there are fine.
    ///
    /// # Errors
    /// When S3 refuses one of them.
    pub async fn delete(&self, bucket: &str, keys: &[String]) -> Result<(), S3Error> {
        for keys in keys.chunks(DELETE_KEYS) {
            let mut left = keys.to_vec();
            let mut attempt = 0;
            // under load single keys of a request are refused for the moment, and the SDK takes the answer for a success
            while let Some(error) = self.delete_once(bucket, &mut left).await? {
                attempt += 1;
                if error.kind != S3ErrorKind::Unanswered || attempt >= DELETE_ATTEMPTS {
                    return Err(error);
                }
                back_off(attempt).await;
            }
        }
        Ok(())
    }

    /// Deletes what it can of these keys and leaves the others; what S3 says of one of them.
    async fn delete_once(&self, bucket: &str, keys: &mut Vec<String>) -> Result<Option<S3Error>, S3Error> {
        let malformed = |error: aws_sdk_s3::error::BuildError| S3Error::new(S3ErrorKind::Other, error.to_string());
        let named = keys.iter().map(|key| ObjectIdentifier::builder().key(key).build());
        let named = named.collect::<Result<Vec<_>, _>>().map_err(malformed)?;
        let named = Delete::builder().set_objects(Some(named)).quiet(true).build().map_err(malformed)?;
        let done = self.client.delete_objects().bucket(bucket).delete(named).send().await;
        let done = done.map_err(|error| S3Error::of(bucket, &error))?;
        let refused = |error: &&aws_sdk_s3::types::Error| error.code() != Some("NoSuchKey");
        let refused: Vec<_> = done.errors().iter().filter(refused).collect();
        keys.retain(|key| refused.iter().any(|error| error.key() == Some(key)));
        Ok(refused.first().map(|error| {
            let (key, code) = (error.key().unwrap_or_default(), error.code().unwrap_or("no reason"));
            let kind = match code {
                "AccessDenied" => S3ErrorKind::Denied,
                "InternalError" | "SlowDown" | "ServiceUnavailable" => S3ErrorKind::Unanswered,
                _ => S3ErrorKind::Other,
            };
            S3Error::new(kind, format!("S3 does not delete {key} ({code})"))
        }))
    }
}
