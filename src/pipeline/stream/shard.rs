//! Following one shard: read, record, commit, move the checkpoint; until it ends, or is handed over, or is lost.
//!
//! The lake's chain says where to read on, never the lease: a checkpoint is a hint that other consumers understand.
//! The chain is fenced before the first record is read, so a worker that was here before and only stalled can commit
//! nothing more; and this one, should it stall, finds out in the same way.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::{Context, Wish};
use crate::decode::{MessageDecoder, MessageOptions, Piece};
use crate::lake::{
    Chain, Commit, CommitKind, LakeError, Origin, Quarantine, ShardPosition, ShardSpan, Store, Unit, append_quarantine,
    in_place, writer_properties,
};
use crate::pipeline::recorder::{Recorder, write_histories};
use crate::record::ParseError;
use crate::source::kinesis::lease::{Lease, LeaseError};
use crate::source::kinesis::{
    Checkpoint, ChildShard, Page, Position, ReadError, Record, SequenceNumber, StartAt, Streams,
};

/// How the following of a shard ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Everything that was read is committed; another worker may go on.
    Drained,
    /// The shard is closed and everything in it is committed; these follow it.
    Ended(Vec<ChildShard>),
    /// Another worker has it. What was not committed is its work now.
    Lost,
    /// There is another stream of that name now.
    Remade(ReadError),
}

/// Why the following of a shard stopped. It is tried again: nothing is lost.
#[derive(Debug, thiserror::Error)]
pub(super) enum ShardError {
    #[error(transparent)]
    Lake(#[from] LakeError),
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// The name of a shard's chain of commits, with the stream's [`id`](crate::source::kinesis::StreamInfo::id): another
/// stream of the same name has other chains.
pub(super) fn chain_name(stream: &str, shard: &str) -> String {
    format!("{stream}.{shard}")
}

/// Follows a shard as long as that is wished.
pub(super) async fn follow<S: Store, K: Streams>(
    context: Arc<Context<S, K>>,
    lease: Lease,
    mut wish: watch::Receiver<Wish>,
) -> Result<Outcome, ShardError> {
    let store = &*context.store;
    let shard = lease.shard.as_str();
    // what was read before and not committed is read again
    context.metrics.uncommitted(shard, 0, 0);
    let name = chain_name(&context.stream.id(), shard);
    let mut chain = Chain::open_head(store, &name).await?;
    // fixed once: a second start shall not begin later than the first
    let latest = lease.checkpoint == Checkpoint::Latest;
    let first = latest.then(|| ShardSpan {
        stream: context.stream.arn.clone(),
        shard: shard.to_owned(),
        since: Some(now()),
        ..ShardSpan::default()
    });
    loop {
        // a worker that stood still since it was given the shard would throw out whoever has it now
        if !context.leases.holds(shard) {
            return Ok(Outcome::Lost);
        }
        match chain.fence(first.clone()).await {
            // of the worker before, or its late commit
            Err(LakeError::Conflict(_)) => chain = Chain::open_head(store, &name).await?,
            fenced => break fenced?,
        }
    }
    let head = chain.head().and_then(|head| head.shard.clone());
    let (start, resume) = start_at(head.as_ref(), &lease.checkpoint, context.options.start.clone());
    let mut reader = context.streams.reader(shard, start);
    let messages = MessageOptions { hash_range: lease.hash_range.clone(), ..context.options.messages.clone() };
    let decoder = MessageDecoder::new(messages);
    let parents = lease.parents.iter().cloned().collect();
    let mut outlived = head.as_ref().is_some_and(|head| has_outlived(head, now(), context.stream.retention));
    let last = end_of(head.as_ref());
    let mut follower = Follower { context: &context, shard, parents, chain, decoder, head, last, resume, unit: None };
    loop {
        let due = follower.unit.as_ref().map(|unit| unit.began + context.options.commit_age);
        let (page, room) = tokio::select! {
            biased;
            changed = wish.changed() => {
                let now = *wish.borrow_and_update();
                match now {
                    Wish::Follow if changed.is_ok() => continue,
                    Wish::Follow | Wish::Drain => return follower.drain().await,
                    Wish::Stop => return Ok(Outcome::Lost),
                }
            }
            () = reached(due) => {
                if follower.commit(false).await? == Committed::Lost {
                    return Ok(Outcome::Lost);
                }
                continue;
            }
            page = context.read(&mut reader) => match page {
                Err(error @ ReadError::UnknownPosition { .. }) => {
                    tracing::error!(shard, error = error.to_string(), "records may be missing; read from the oldest");
                    context.metrics.data_gap(shard);
                    reader = context.streams.reader(shard, StartAt::Horizon);
                    continue;
                }
                // nothing more of it will ever come, and the chain says so: its children need not wait
                Err(error @ ReadError::Gone { .. }) => {
                    tracing::warn!(shard, error = error.to_string(), "records may be missing; read on in what follows");
                    context.metrics.data_gap(shard);
                    let ReadError::Gone { children, .. } = error else { continue };
                    return follower.end(children).await;
                }
                page => page?,
            },
        };
        if let Some(behind) = page.behind {
            context.metrics.lag(shard, behind);
        }
        if let Some(retried) = page.retried {
            context.metrics.retried(shard, retried.as_str());
            continue;
        }
        if std::mem::take(&mut outlived) {
            tracing::error!(
                shard,
                retention_hours = context.stream.retention.as_secs() / 3600,
                "the last record in the lake is older than the stream's retention: records after it may be missing"
            );
            context.metrics.data_gap(shard);
        }
        let full = follower.record(&page)?;
        drop(room);
        if let Some(children) = page.end {
            return follower.end(children).await;
        }
        if full && follower.commit(false).await? == Committed::Lost {
            return Ok(Outcome::Lost);
        }
    }
}

/// Milliseconds since 1970, by this machine's clock; a second less, because AWS refuses a time to come.
fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX) - 1000
}

/// Whether records that came after this span may be gone. A shard that was only quiet looks the same: Kinesis does not
/// tell what it has dropped.
fn has_outlived(span: &ShardSpan, now: i64, retention: Duration) -> bool {
    let kept = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
    span.arrived.is_some_and(|arrived| now.saturating_sub(arrived) > kept)
}

/// Waits for a time; for ever, if there is none.
async fn reached(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Where to begin: after the lake's last record; where it has none, at the lease's checkpoint, of which another
/// consumer's may lie inside of an aggregate.
fn start_at(head: Option<&ShardSpan>, checkpoint: &Checkpoint, start: StartAt) -> (StartAt, Option<Position>) {
    if let Some(sequence) = end_of(head) {
        return (StartAt::After(sequence), None);
    }
    if let Some(since) = head.and_then(|span| span.since) {
        return (StartAt::Time(since), None);
    }
    match checkpoint {
        Checkpoint::Sequence(position) => (StartAt::At(position.clone()), Some(position.clone())),
        Checkpoint::Latest => (StartAt::Latest, None),
        Checkpoint::AtTimestamp => (start, None),
        Checkpoint::TrimHorizon | Checkpoint::ShardEnd => (StartAt::Horizon, None),
    }
}

/// The last record that the lake has.
fn end_of(head: Option<&ShardSpan>) -> Option<SequenceNumber> {
    head?.end.as_ref()?.sequence.parse().ok()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Committed {
    Done,
    /// Another worker has the shard.
    Lost,
}

/// What is gathered for the next commit.
struct OpenUnit<'f, S: Store> {
    unit: Unit,
    recorder: Recorder<'f, S>,
    quarantine: Quarantine<'f, S>,
    span: ShardSpan,
    began: Instant,
    bytes: u64,
}

struct Follower<'f, S: Store, K: Streams> {
    context: &'f Context<S, K>,
    shard: &'f str,
    /// The shards that it came from.
    parents: Vec<String>,
    decoder: MessageDecoder,
    chain: Chain<'f, S>,
    /// The span of the chain's last commit.
    head: Option<ShardSpan>,
    /// The last record that was recorded.
    last: Option<SequenceNumber>,
    /// What another consumer has read of the first record.
    resume: Option<Position>,
    unit: Option<OpenUnit<'f, S>>,
}

impl<'f, S: Store, K: Streams> Follower<'f, S, K> {
    /// Records a page; whether it is time to commit.
    fn record(&mut self, page: &Page) -> Result<bool, ShardError> {
        if page.records.is_empty() {
            return Ok(false);
        }
        let mut unit = match self.unit.take() {
            Some(unit) => unit,
            None => self.begin()?,
        };
        in_place(|| page.records.iter().try_for_each(|record| self.record_one(&mut unit, record)))?;
        let full = unit.bytes >= self.context.options.commit_bytes;
        self.context.metrics.uncommitted(self.shard, unit.span.records, unit.recorder.open_files());
        self.unit = Some(unit);
        Ok(full)
    }

    fn begin(&self) -> Result<OpenUnit<'f, S>, LakeError> {
        let context = self.context;
        let unit = Unit::empty(&self.chain);
        let carried = self.head.as_ref().map(ShardSpan::carried_on);
        let span = ShardSpan {
            stream: context.stream.arn.clone(),
            shard: self.shard.to_owned(),
            parents: self.parents.clone(),
            ..carried.unwrap_or_default()
        };
        let properties = writer_properties(&Origin::of(context.map.as_ref()));
        let boundary = context.boundary.as_deref();
        let recorder = Recorder::new(
            &*context.store,
            unit.staging.clone(),
            boundary,
            properties,
            context.options.limits,
            context.options.detect_bytes,
            context.options.detect.gathers(),
        );
        let quarantine = Quarantine::new(&*context.store, &unit.staging);
        Ok(OpenUnit { unit, recorder, quarantine, span, began: Instant::now(), bytes: 0 })
    }

    fn record_one(&mut self, open: &mut OpenUnit<'f, S>, record: &Record) -> Result<(), LakeError> {
        // read again from the oldest on: what is in the lake stays there once
        if self.last.as_ref().is_some_and(|last| record.sequence <= *last) {
            return Ok(());
        }
        let OpenUnit { recorder, quarantine, span, .. } = open;
        let metrics = &self.context.metrics;
        let source = format!("kinesis://{}/{}/{}", self.context.stream.name, self.shard, record.sequence);
        let after = self.resume.as_ref().filter(|read| read.sequence == record.sequence).map(|read| read.sub);
        let mut failed = Ok(());
        let mut lines = 0;
        let mut quarantined = 0;
        let mut spent = Vec::new();
        recorder.arrived(record.arrived);
        let mut reject = |rejected: &[(i64, &[u8], &ParseError)]| {
            let mut text = Vec::new();
            for (line, raw, error) in rejected {
                append_quarantine(&mut text, &source, *line, raw, error);
                metrics.quarantined(error.kind.reason());
            }
            quarantined += rejected.len() as u64;
            quarantine.write(&text, rejected.len() as u64)
        };
        let summary = self.decoder.decode(&record.data, after, &mut |piece| {
            if failed.is_ok() {
                failed = match piece {
                    Piece::Lines(chunk) => {
                        let recorded = recorder.record(&source, &chunk, &mut reject);
                        spent.push(chunk.bytes);
                        recorded.map(|rows| lines += rows)
                    }
                    Piece::Rejected { line, raw, error } => reject(&[(line, &raw, &error)]),
                };
            }
        });
        spent.into_iter().for_each(|buffer| self.decoder.recycle(buffer));
        failed?;
        span.records += 1;
        span.lines += lines + quarantined;
        span.quarantined += quarantined;
        span.arrived = record.arrived.or(span.arrived);
        span.end =
            Some(ShardPosition { sequence: record.sequence.to_string(), sub: summary.user_records.saturating_sub(1) });
        self.last = Some(record.sequence.clone());
        open.bytes += record.data.len() as u64 + summary.bytes_out;
        metrics.record(self.shard, record.data.len() as u64);
        metrics.passed_over(summary.control, summary.out_of_range);
        metrics.late(self.shard, recorder.take_late());
        Ok(())
    }

    /// Commits what was read and moves the checkpoint. The last commit of a shard is made even of nothing.
    ///
    /// A worker that stood still, and has lost the lease by its own clock, does not even try: whoever has it now would
    /// be thrown out for nothing.
    async fn commit(&mut self, closed: bool) -> Result<Committed, ShardError> {
        if !self.context.leases.holds(self.shard) {
            return Ok(Committed::Lost);
        }
        let open = match self.unit.take() {
            Some(open) => open,
            None if closed => self.begin()?,
            None => return Ok(Committed::Done),
        };
        let OpenUnit { mut unit, recorder, quarantine, mut span, .. } = open;
        let (recorded, quarantined) = in_place(|| {
            let (mut recorded, histories) = recorder.finish()?;
            recorded.staged.extend(write_histories(histories, &*self.context.store, &unit.staging)?);
            Ok::<_, LakeError>((recorded, quarantine.finish()?))
        })?;
        let number = self.chain.next_number();
        let mut commit = Commit::new(number, CommitKind::Data, self.context.map.clone(), &recorded.conserved);
        commit.verdicts = recorded.verdicts;
        recorded.staged.into_iter().chain(quarantined).for_each(|staged| unit.add(staged));
        span.closed = closed;
        commit.shard = Some(span.clone());
        let rows = commit.rows;
        match self.chain.commit_next(unit.into_commit(commit)).await {
            Err(LakeError::Conflict(_)) => {
                self.context.metrics.conflict(self.shard);
                return Ok(Committed::Lost);
            }
            committed => committed?,
        }
        self.context.metrics.commit(self.shard, rows);
        let end = span.end.clone();
        self.head = Some(span);
        let Some((sequence, sub)) = end.and_then(|end| Some((end.sequence.parse().ok()?, end.sub))) else {
            return Ok(Committed::Done);
        };
        // at the end of a shard the checkpoint goes to SHARD_END, once its children have their leases
        if closed {
            return Ok(Committed::Done);
        }
        match self.context.leases.checkpoint(self.shard, Position { sequence, sub }).await {
            Ok(()) => Ok(Committed::Done),
            // the lake has it; the next owner begins after it
            Err(LeaseError::Lost(_)) => Ok(Committed::Lost),
            // a checkpoint is a hint to others: the next one says it, too
            Err(error) => {
                tracing::warn!(shard = self.shard, error = error.to_string(), "checkpoint not moved");
                Ok(Committed::Done)
            }
        }
    }

    async fn end(mut self, children: Vec<ChildShard>) -> Result<Outcome, ShardError> {
        Ok(match self.commit(true).await? {
            Committed::Lost => Outcome::Lost,
            Committed::Done => Outcome::Ended(children),
        })
    }

    async fn drain(mut self) -> Result<Outcome, ShardError> {
        Ok(match self.commit(false).await? {
            Committed::Lost => Outcome::Lost,
            Committed::Done => Outcome::Drained,
        })
    }
}
