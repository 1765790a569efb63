//! What is there.

use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::operation::list_objects_v2::builders::ListObjectsV2FluentBuilder;

use super::{S3, S3Error, S3ErrorKind, S3Uri};

/// Times that a check is tried.
const CHECK_ATTEMPTS: u32 = 4;

/// An object as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Object {
    /// Its key.
    pub key: String,
    /// Length in bytes.
    pub size: u64,
    /// What tells one content from another, in the quotes that S3 gives it.
    pub etag: String,
}

/// What lies below a prefix.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct S3Listing {
    /// Objects, in the order of their keys.
    pub objects: Vec<S3Object>,
    /// With a delimiter: prefixes of what lies deeper, each with its `/`.
    pub folders: Vec<String>,
}

impl S3 {
    /// Everything below a prefix; of what lies behind a further `/` only the folders, where `by_folder`.
    ///
    /// # Errors
    /// When the bucket is not there, or does not answer.
    pub async fn list(&self, prefix: &S3Uri, by_folder: bool) -> Result<S3Listing, S3Error> {
        let mut listing = S3Listing::default();
        let mut token = None;
        loop {
            let request = self.client.list_objects_v2().bucket(&prefix.bucket).prefix(&prefix.key);
            let page = request
                .set_delimiter(by_folder.then(|| "/".to_owned()))
                .set_continuation_token(token)
                .set_request_payer(self.payer.clone())
                .send()
                .await
                .map_err(|error| S3Error::of(&prefix.bucket, &error))?;
            listing.objects.extend(objects(&page));
            let folders = page.common_prefixes().iter().filter_map(|folder| folder.prefix());
            listing.folders.extend(folders.map(str::to_owned));
            token = page.next_continuation_token;
            if token.is_none() {
                return Ok(listing);
            }
        }
    }

    /// The first object whose key begins so.
    ///
    /// # Errors
    /// When the bucket is not there, or does not answer.
    pub async fn first(&self, prefix: &S3Uri) -> Result<Option<S3Object>, S3Error> {
        let page = self.ask_for_first(prefix).send().await;
        let page = page.map_err(|error| S3Error::of(&prefix.bucket, &error))?;
        Ok(objects(&page).next())
    }

    /// Whether the bucket is there and may be listed, or why not, without the patience that a run under way has.
    ///
    /// # Errors
    /// What is wrong. A bucket that answers is fine, be it that it is not able to at this moment.
    pub async fn check(&self, prefix: &S3Uri) -> Result<(), S3Error> {
        let impatient = RetryConfig::standard().with_max_attempts(CHECK_ATTEMPTS);
        let impatient = aws_sdk_s3::config::Builder::new().retry_config(impatient);
        match self.ask_for_first(prefix).customize().config_override(impatient).send().await {
            Ok(_) => Ok(()),
            Err(error) => match S3Error::of(&prefix.bucket, &error) {
                error if error.kind == S3ErrorKind::Unanswered => Ok(()),
                error => Err(error),
            },
        }
    }

    fn ask_for_first(&self, prefix: &S3Uri) -> ListObjectsV2FluentBuilder {
        let request = self.client.list_objects_v2().bucket(&prefix.bucket).prefix(&prefix.key).max_keys(1);
        request.set_request_payer(self.payer.clone())
    }

    /// An object, without its content.
    ///
    /// # Errors
    /// [`super::S3ErrorKind::NoKey`] when it is not there.
    pub async fn head(&self, uri: &S3Uri) -> Result<S3Object, S3Error> {
        let request = self.client.head_object().bucket(&uri.bucket).key(&uri.key);
        let head = request.set_request_payer(self.payer.clone()).send().await;
        let head = head.map_err(|error| S3Error::of(&uri.bucket, &error))?;
        Ok(S3Object {
            key: uri.key.clone(),
            size: head.content_length().and_then(|length| u64::try_from(length).ok()).unwrap_or(0),
            etag: head.e_tag.unwrap_or_default(),
        })
    }
}

fn objects(page: &ListObjectsV2Output) -> impl Iterator<Item = S3Object> {
    page.contents().iter().filter_map(|object| {
        Some(S3Object {
            key: object.key()?.to_owned(),
            size: object.size().and_then(|size| u64::try_from(size).ok()).unwrap_or(0),
            etag: object.e_tag().unwrap_or_default().to_owned(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Answer, serve};

    #[tokio::test]
    async fn a_listing_has_every_page() {
        let page = |object: &str, folder: &str, more: &str| {
            Answer::new(
                200,
                format!(
                    "<ListBucketResult><Contents><Key>{object}</Key><Size>7</Size><ETag>&quot;e&quot;</ETag></Contents>\
                     <CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>{more}</ListBucketResult>"
                ),
            )
        };
        let (s3, log) = serve(move |asked| {
            if asked.line.contains("continuation-token=next") {
                page("a/2.gz", "a/y/", "<IsTruncated>false</IsTruncated>")
            } else {
                page(
                    "a/1.gz",
                    "a/x/",
                    "<IsTruncated>true</IsTruncated><NextContinuationToken>next</NextContinuationToken>",
                )
            }
        })
        .await;
        let listing = s3.list(&"s3://logs/a/".parse().unwrap(), true).await.unwrap();
        let keys: Vec<_> = listing.objects.iter().map(|object| object.key.as_str()).collect();
        assert_eq!((keys, listing.folders), (vec!["a/1.gz", "a/2.gz"], vec!["a/x/".to_owned(), "a/y/".to_owned()]));
        assert_eq!((listing.objects[0].size, listing.objects[0].etag.as_str()), (7, "\"e\""));
        assert!(log.lock().unwrap().iter().all(|asked| asked.line.contains("delimiter=%2F")));
    }

    #[tokio::test]
    async fn a_check_tells_what_is_wrong_and_is_patient_with_what_is_not() {
        let prefix = "s3://logs/a/".parse().unwrap();
        for (answer, fine) in [
            (Answer::new(200, "<ListBucketResult></ListBucketResult>"), true),
            (Answer::error(503, "SlowDown"), true),
            (Answer::error(404, "NoSuchBucket"), false),
            (Answer::error(403, "AccessDenied"), false),
        ] {
            let (s3, _) = serve(move |_| answer.clone()).await;
            assert_eq!(s3.check(&prefix).await.is_ok(), fine);
        }
    }
}
