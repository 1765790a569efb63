//! Where flow logs come from: local files, standard input, S3, and what a queue or a stream tells of.

mod delivery;
mod file;
mod input;
pub mod kinesis;
mod layout;
mod notification;
mod queue;
mod s3;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};

pub use delivery::{InputFilter, TimeSpan};
pub use file::spool_standard_input;
pub use input::{InputError, InputObject, Inputs, Location};
pub use queue::{Batch, BatchLimits, NotificationQueue, pause, stopped};

use crate::aws::s3::{S3, SCHEME};

/// Ways to where input lies. Without S3, local files are all there is.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    s3: Option<S3>,
}

impl Sources {
    /// Local files, and S3.
    pub fn with_s3(s3: S3) -> Self {
        Self { s3: Some(s3) }
    }

    /// Finds the objects of the inputs: files, folders, patterns, and places in S3. What a lake is made of is never
    /// an input.
    ///
    /// # Errors
    /// Each input must give at least something to read; the error says what is missing where.
    pub fn find(&self, inputs: &[String], filter: &InputFilter) -> Result<Inputs, InputError> {
        let (remote, local): (Vec<_>, Vec<_>) = inputs.iter().partition(|input| input.starts_with(SCHEME));
        let mut found = Inputs::default();
        let mut by_uri = BTreeMap::new();
        file::find(&local, filter, &mut found, &mut by_uri)?;
        for place in remote {
            s3::find(self.s3.as_ref(), place, filter, &mut found, &mut by_uri)?;
        }
        found.objects = by_uri.into_values().collect();
        if found.objects.is_empty() { Err(found.nothing(inputs)) } else { Ok(found) }
    }

    /// Opens an object. It is read in bounded memory, by threads that may block.
    ///
    /// # Errors
    /// When it is not there, or is not the one any more that was found.
    pub fn open(&self, object: &InputObject) -> io::Result<Box<dyn Read + Send>> {
        match &object.location {
            Location::File(path) => Ok(Box::new(File::open(path)?)),
            Location::S3 { uri, etag } => s3::open(self.s3.as_ref(), uri, etag, object.size),
        }
    }

    /// The object of a URI as it is now, if it is still there.
    ///
    /// # Errors
    /// When that cannot be told.
    pub fn again(&self, uri: &str) -> io::Result<Option<InputObject>> {
        if uri.starts_with(SCHEME) { s3::again(self.s3.as_ref(), uri) } else { Ok(file::again(uri)) }
    }
}
