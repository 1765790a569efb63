//! What is there.

use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;

use super::{S3, S3Error, S3Uri};

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
        let request = self.client.list_objects_v2().bucket(&prefix.bucket).prefix(&prefix.key).max_keys(1);
        let page = request.set_request_payer(self.payer.clone()).send().await;
        let page = page.map_err(|error| S3Error::of(&prefix.bucket, &error))?;
        Ok(objects(&page).next())
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
