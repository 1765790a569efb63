//! `flowbound replay --sqs`: what a queue names, instead of inputs.

use std::time::Duration;

use aws_config::SdkConfig;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::aws::parse_url;
use super::stream::{seconds, signalled};
use super::{Exit, Failure, tell};
use crate::aws::s3::S3;
use crate::aws::sqs::Queue;
use crate::lake::Store;
use crate::pipeline::{QueueError, QueueOptions, Replay, ReplayError, Summary};
use crate::source::{BatchLimits, InputFilter, NotificationQueue};

/// A queue to follow. More workers on one lake in S3 are safe, but not faster: one commits at a time.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Queue")]
pub(super) struct QueueArgs {
    /// Follow this SQS queue of notifications of S3 instead of reading INPUT: from S3 itself, through SNS, or by
    /// EventBridge. Several workers on one lake in S3 are safe, but no faster than one
    #[arg(long, env = "FLOWBOUND_SQS", value_name = "URL", value_parser = parse_url)]
    sqs: Option<String>,
    /// With --sqs: seconds for which messages are kept from other workers at a time; extended while work goes on
    #[arg(long, env = "FLOWBOUND_SQS_VISIBILITY", value_name = "SECONDS", default_value_t = 300)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=43_200))]
    sqs_visibility: u32,
    /// With --sqs: seconds after which what came is committed at the latest; sooner when no more comes
    #[arg(long, env = "FLOWBOUND_COMMIT_AGE", value_name = "SECONDS", default_value_t = 60.0)]
    commit_age: f64,
    /// With --sqs: seconds between two looks at the windows for alerts
    #[arg(long, env = "FLOWBOUND_CLOSE_EVERY", value_name = "SECONDS", default_value_t = 60.0)]
    close_every: f64,
}

/// A queue about to be followed. Signals are heard from now on.
pub(super) struct OpenQueue {
    queue: Queue,
    s3: S3,
    filter: InputFilter,
    options: QueueOptions,
    stop: watch::Receiver<bool>,
}

impl QueueArgs {
    pub(super) fn is_given(&self) -> bool {
        self.sqs.is_some()
    }

    /// The queue, if one is given.
    pub(super) fn open(
        &self,
        config: &SdkConfig,
        s3: &S3,
        filter: &InputFilter,
        commit_bytes: u64,
        runtime: &Runtime,
    ) -> Result<Option<OpenQueue>, Failure> {
        let Some(url) = self.sqs.clone() else { return Ok(None) };
        let limits = BatchLimits { bytes: commit_bytes, age: seconds("commit-age", self.commit_age)? };
        Ok(Some(OpenQueue {
            queue: Queue::new(config, url, Duration::from_secs(self.sqs_visibility.into())),
            s3: s3.clone(),
            filter: filter.clone(),
            options: QueueOptions { limits, close_every: seconds("close-every", self.close_every)? },
            stop: stop_on_signal(runtime)?,
        }))
    }
}

impl OpenQueue {
    /// Follows it until a signal comes.
    pub(super) async fn follow(self, replay: &Replay<'_, impl Store>) -> Result<Summary, Failure> {
        let mut queue = NotificationQueue::new(self.queue, self.s3, self.filter);
        replay.follow(&mut queue, self.options, self.stop).await.map_err(|error| match error {
            QueueError::Replay(ReplayError::Plan(error)) => Failure::usage(error),
            other => Failure::failed(other),
        })
    }
}

/// Becomes true with the first signal to end. The second one ends the program: the thread that works is inside of a
/// unit that nothing interrupts, and what is not committed comes again as after any other end.
fn stop_on_signal(runtime: &Runtime) -> Result<watch::Receiver<bool>, Failure> {
    let _inside = runtime.enter();
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::failed)?;
    let (told, stop) = watch::channel(false);
    runtime.spawn(async move {
        signalled(&mut terminate, &mut interrupt).await;
        tracing::info!("finishing what was begun; again to end at once");
        told.send_replace(true);
        signalled(&mut terminate, &mut interrupt).await;
        let exit: Exit =
            tell(Failure::failed("ended at once: what was not committed comes again, nothing is lost or doubled"));
        std::process::exit(i32::from(exit as u8));
    });
    Ok(stop)
}
