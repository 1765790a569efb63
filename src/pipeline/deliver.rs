//! Delivery: after windows were closed, what the commits say is brought to every sink, in their order.
//!
//! A sink that fails holds nobody up: the lake goes on, and the next closing begins where it stopped.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::alert::deliver::{SendError, Sink};
use crate::lake::{LakeError, Outbox, Store, side_by_side};
use crate::telemetry::Metrics;

/// Time for one alert with all retries, and for the first one to a sink that failed the last time.
const PATIENCE: Duration = Duration::from_secs(60);
const LITTLE_PATIENCE: Duration = Duration::from_secs(10);

/// Alerts after which is marked how far a sink is: what comes twice at most.
const MARK_EVERY: usize = 100;

/// Brings alerts to sinks.
#[derive(Debug, Default)]
pub struct Deliverer {
    sinks: Vec<Sink>,
    metrics: Arc<Metrics>,
    /// Names of sinks that failed the last time.
    failing: Mutex<BTreeSet<String>>,
}

/// What a round came to for one sink.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Delivery {
    /// Name of the sink.
    pub sink: String,
    /// Alerts that it got.
    pub delivered: u64,
    /// Why it did not get all, if so.
    pub failure: Option<String>,
    /// Commits of which it does not have every alert.
    pub behind: u64,
}

#[derive(Debug, thiserror::Error)]
enum DeliverError {
    #[error(transparent)]
    Send(#[from] SendError),
    #[error(transparent)]
    Lake(#[from] LakeError),
}

impl Deliverer {
    /// For these sinks; counted there.
    pub fn new(sinks: Vec<Sink>, metrics: Arc<Metrics>) -> Self {
        Self { sinks, metrics, failing: Mutex::default() }
    }

    /// Whether there is nobody to deliver to.
    pub fn is_empty(&self) -> bool {
        self.sinks.is_empty()
    }

    /// Notes where sinks begin that are new to a chain. What is committed from now on is theirs.
    ///
    /// # Errors
    /// When the lake cannot be read or written.
    pub(super) async fn begin<S: Store>(&self, store: &S, chain: &str) -> Result<(), LakeError> {
        for sink in &self.sinks {
            Outbox::open(store, sink.name(), chain).await?;
        }
        Ok(())
    }

    /// Delivers what each sink does not have of a chain.
    pub(super) async fn deliver<S: Store>(&self, store: &S, chain: &str) -> Vec<Delivery> {
        let sinks: Vec<&Sink> = self.sinks.iter().collect();
        let rounds = side_by_side(&sinks, |sink| {
            let sink = *sink;
            async move { Ok::<_, Infallible>(self.deliver_to(store, chain, sink).await) }
        });
        match rounds.await {
            Ok(deliveries) => deliveries,
        }
    }

    async fn deliver_to<S: Store>(&self, store: &S, chain: &str, sink: &Sink) -> Delivery {
        let mut delivery = Delivery { sink: sink.name().to_owned(), ..Delivery::default() };
        if let Err(error) = self.send_all(store, chain, sink, &mut delivery).await {
            let (sink, error) = (sink.name(), error.to_string());
            tracing::warn!(
                sink,
                error,
                behind = delivery.behind,
                "alerts are not delivered; tried again after the next closing"
            );
            self.metrics.delivery_failure(sink);
            delivery.failure = Some(error);
        }
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        match delivery.failure {
            Some(_) => failing.insert(delivery.sink.clone()),
            None => failing.remove(&delivery.sink),
        };
        self.metrics.undelivered(&delivery.sink, delivery.behind);
        delivery
    }

    async fn send_all<S: Store>(
        &self,
        store: &S,
        chain: &str,
        sink: &Sink,
        delivery: &mut Delivery,
    ) -> Result<(), DeliverError> {
        let mut outbox = Outbox::open(store, sink.name(), chain).await?;
        let sent = self.send_pages(&mut outbox, sink, delivery).await;
        if sent.is_err() {
            // of no consequence: it is told how far behind the sink is, if that can be told
            delivery.behind = outbox.behind().await.unwrap_or(1).max(1);
        }
        // what was delivered before an error, and commits without an alert for this sink
        outbox.mark().await?;
        sent
    }

    async fn send_pages<S: Store>(
        &self,
        outbox: &mut Outbox<'_, S>,
        sink: &Sink,
        delivery: &mut Delivery,
    ) -> Result<(), DeliverError> {
        let failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner).contains(sink.name());
        let mut patience = if failing { LITTLE_PATIENCE } else { PATIENCE };
        while let Some(page) = outbox.page(|alert| sink.wants(alert)).await? {
            for (count, (row, alert)) in (1..).zip(&page.alerts) {
                sink.send(alert, patience).await?;
                patience = PATIENCE;
                outbox.delivered(*row);
                delivery.delivered += 1;
                self.metrics.delivered(sink.name());
                if count % MARK_EVERY == 0 {
                    outbox.mark().await?;
                }
            }
            outbox.passed(&page);
            outbox.mark().await?;
        }
        Ok(())
    }
}

/// What two rounds came to: what was delivered adds up, and how it stands is what the later one says.
pub(super) fn merge(earlier: Vec<Delivery>, later: Vec<Delivery>) -> Vec<Delivery> {
    if later.is_empty() {
        return earlier;
    }
    let before = |name: &str| earlier.iter().find(|delivery| delivery.sink == name).map_or(0, |found| found.delivered);
    later
        .into_iter()
        .map(|delivery| Delivery { delivered: delivery.delivered + before(&delivery.sink), ..delivery })
        .collect()
}
