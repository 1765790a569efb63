//! S3 that answers as a test says.

use tokio::runtime::Handle;

use super::{S3, S3Options};
use crate::aws::fake;
pub(crate) use crate::aws::fake::{Answer, Asked, Log};

/// A client of a server that answers so; it does not retry by itself.
pub(crate) async fn serve(answer: impl FnMut(&Asked) -> Answer + Send + 'static) -> (S3, Log) {
    let (config, log) = fake::serve(answer).await;
    (S3::new(&config, &S3Options::default(), Handle::current()), log)
}
