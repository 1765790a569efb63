//! Replaying what a queue of S3's notifications names, as long as it is wished: gather, commit, delete; and close
//! windows now and then.
//!
//! A message is deleted when the lake has what it names, and never before. So whatever fails, and whenever, comes
//! again, and what the lake has by then is known by its object.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::replay::{Replay, ReplayError, Session};
use super::summary::{Skipped, Summary};
use crate::aws::sqs::{SqsError, SqsErrorKind};
use crate::lake::{LakeError, Store};
use crate::source::{Batch, BatchLimits, NotificationQueue, pause};

/// Times in a row that something may be gone because another worker was faster.
const MISSED: u32 = 50;

/// How to follow a queue.
#[derive(Debug, Clone, Copy)]
pub struct QueueOptions {
    /// When to commit what came.
    pub limits: BatchLimits,
    /// Time between two closings of windows, at least.
    pub close_every: Duration,
}

/// Why a queue is not followed any more. What was committed stays, and what was not comes again.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The queue, before it ever answered.
    #[error(transparent)]
    Queue(#[from] SqsError),
    /// The lake.
    #[error(transparent)]
    Replay(#[from] ReplayError),
}

impl<S: Store> Replay<'_, S> {
    /// Replays what a queue names until this shall stop; then what was begun is finished.
    ///
    /// # Errors
    /// When the lake cannot be written, be it at the start or later, or the queue cannot be read at the start. What
    /// passes (a service that does not answer, another worker that was faster) is waited for.
    pub async fn follow(
        &self,
        queue: &mut NotificationQueue,
        options: QueueOptions,
        stop: watch::Receiver<bool>,
    ) -> Result<Summary, QueueError> {
        let started = Instant::now();
        let mut follower = Follower { replay: self, session: None, stop, summary: Summary::default() };
        // what is wrong with the lake or the map shows now, not when the first message comes
        follower.attempt(async |_| Ok(())).await?;
        follower.deliver().await;
        tracing::info!("following");
        follower.until_stopped(queue, options).await?;
        follower.close().await?;
        Ok(Summary { elapsed: started.elapsed(), ..follower.summary })
    }
}

struct Follower<'r, S: Store> {
    replay: &'r Replay<'r, S>,
    session: Option<Session<'r, S>>,
    stop: watch::Receiver<bool>,
    summary: Summary,
}

impl<'r, S: Store> Follower<'r, S> {
    async fn until_stopped(
        &mut self,
        queue: &mut NotificationQueue,
        QueueOptions { limits, close_every }: QueueOptions,
    ) -> Result<(), QueueError> {
        let mut closed = Instant::now();
        let mut answered = false;
        let mut failures = 0;
        while !*self.stop.borrow() {
            match queue.gather(&limits, &mut self.stop).await {
                Ok(batch) => {
                    (answered, failures) = (true, 0);
                    self.work(queue, batch).await?;
                }
                Err(error) if !answered && error.kind != SqsErrorKind::Busy => return Err(error.into()),
                Err(error) => {
                    tracing::warn!(error = error.to_string(), "no messages received; tried again");
                    failures += 1;
                    pause(failures, &mut self.stop).await;
                }
            }
            if closed.elapsed() >= close_every {
                self.close().await?;
                closed = Instant::now();
            }
        }
        Ok(())
    }

    /// Commits what a batch names, and deletes its messages.
    async fn work(&mut self, queue: &NotificationQueue, mut batch: Batch) -> Result<(), ReplayError> {
        if batch.is_empty() {
            return Ok(());
        }
        // what comes again is listed again, if it still cannot be read
        self.summary.skipped.retain(|skipped| !batch.names(&skipped.uri));
        let objects = batch.objects();
        let round = self.attempt(async |session| session.work(objects.clone()).await).await?;
        for Skipped { uri, why } in &round.skipped {
            tracing::warn!(object = uri, why, "not read: its message stays in the queue");
            batch.leave(uri);
        }
        self.summary.merge(round);
        queue.finish(batch).await;
        Ok(())
    }

    async fn close(&mut self) -> Result<(), ReplayError> {
        let alerts = self.attempt(async |session| session.close().await).await?;
        self.summary.merge(Summary { alerts, ..Summary::default() });
        self.deliver().await;
        Ok(())
    }

    async fn deliver(&mut self) {
        let deliveries = self.replay.deliver().await;
        self.summary.merge(Summary { deliveries, ..Summary::default() });
    }

    /// Does something with the lake, again and again as long as what hinders it passes.
    async fn attempt<T>(
        &mut self,
        work: impl AsyncFn(&mut Session<'r, S>) -> Result<T, ReplayError>,
    ) -> Result<T, ReplayError> {
        let (mut failures, mut missed) = (0, 0);
        loop {
            let error = match self.once(&work).await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            self.session = None;
            failures += 1;
            match &error {
                ReplayError::Lake(LakeError::Conflict(_)) => {
                    missed = 0;
                    tracing::info!("another worker committed first; done again on top of that");
                }
                ReplayError::Lake(LakeError::Io { source, .. }) if self.passes(source.kind(), &mut missed) => {
                    tracing::warn!(error = error.to_string(), "not committed; tried again");
                }
                _ => return Err(error),
            }
            pause(failures, &mut self.stop).await;
        }
    }

    async fn once<T>(
        &mut self,
        work: &impl AsyncFn(&mut Session<'r, S>) -> Result<T, ReplayError>,
    ) -> Result<T, ReplayError> {
        if let Some(session) = &self.session
            && session.is_behind().await?
        {
            // another worker, or a replay, has committed
            self.session = None;
        }
        let session = match &mut self.session {
            Some(session) => session,
            None => self.session.insert(Session::open(self.replay).await?.of_what_comes_again()?),
        };
        work(session).await
    }

    /// Whether an error is one to wait for.
    fn passes(&self, error: ErrorKind, missed: &mut u32) -> bool {
        match error {
            // who stops cannot wait for a service to come back
            ErrorKind::TimedOut => {
                *missed = 0;
                !*self.stop.borrow()
            }
            // another worker that has the number clears what was staged for it; more often, something is missing
            ErrorKind::NotFound => {
                *missed += 1;
                *missed <= MISSED
            }
            _ => false,
        }
    }
}
