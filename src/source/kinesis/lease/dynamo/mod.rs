//! Leases in DynamoDB, in the tables of the Kinesis Client Library 3.
//!
//! `APPLICATION` has the leases, `APPLICATION-WorkerMetricStats` the workers' signs of life, and
//! `APPLICATION-CoordinatorState` the leader's lock. Items are updated, never put, so attributes that only others know
//! stay. `sup` is never written: that holds Java workers back from moving everything into one table (their 3.5),
//! which flowbound does not do.

mod expression;
mod item;
mod setup;

use std::collections::HashMap;
use std::error::Error;
use std::time::{Duration, SystemTime};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};

use self::expression::Expression;
use self::item::Item;
use super::error::LeaseError;
use super::options::Work;
use super::record::{Lease, LeaseWrite};
use super::table::{LeaderLock, LeaseTable, WorkerBeat, Written};
use crate::source::kinesis::explain;

/// The index by which a worker finds its leases.
const OWNER_INDEX: &str = "LeaseOwnerToLeaseKeyIndex";
/// The key of what the leases are for. Java workers pass over it.
const WORK: &str = "flowbound";
/// The lock's key.
const LEADER: &str = "Leader";

/// The tables of one application as a [`LeaseTable`].
#[derive(Debug, Clone)]
pub struct DynamoTable {
    client: Client,
    leases: String,
    workers: String,
    state: String,
}

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

impl DynamoTable {
    /// The tables of an application for this work, which are made if they are not there; returns when they can be used.
    ///
    /// # Errors
    /// When they cannot be made, are not the library's, or are of other work.
    pub async fn open(client: Client, application: &str, work: &Work) -> Result<Self, LeaseError> {
        let table = Self {
            client,
            leases: application.to_owned(),
            workers: format!("{application}-WorkerMetricStats"),
            state: format!("{application}-CoordinatorState"),
        };
        setup::make_tables(&table).await?;
        table.bind(work).await?;
        Ok(table)
    }

    /// Writes down what the leases are for, where that is not written yet.
    async fn bind(&self, work: &Work) -> Result<(), LeaseError> {
        let key = (item::STATE_KEY, WORK);
        let found = match self.update(&self.state, key, expression::work(work)).await? {
            Ok(_) => return Ok(()),
            Err(Some(found)) => Some(found),
            // a stand-in that does not say which
            Err(None) => self.item(&self.state, key).await?,
        };
        match found.as_ref().and_then(item::to_work) {
            Some(was) if was == *work => Ok(()),
            Some(was) => Err(LeaseError::OtherWork { place: self.leases.clone(), was, is: work.clone() }),
            None => {
                let detail = format!("the item {WORK} does not say what its leases are for");
                Err(LeaseError::Unfit { place: self.state.clone(), detail })
            }
        }
    }

    /// Updates an item if the expression's condition holds: the item then, or `Err` with the item as it is.
    async fn update(
        &self,
        table: &str,
        key: (&str, &str),
        expression: Expression,
    ) -> Result<Result<Item, Option<Item>>, LeaseError> {
        let request = self.client.update_item().table_name(table).key(key.0, text(key.1));
        let update = expression.update();
        let condition = expression.condition();
        let sent = request
            .update_expression(update)
            .set_condition_expression(condition)
            .set_expression_attribute_names(Some(expression.names))
            .set_expression_attribute_values(Some(expression.values).filter(|values| !values.is_empty()))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        match sent {
            Ok(output) => Ok(Ok(output.attributes.unwrap_or_default())),
            Err(SdkError::ServiceError(context)) if context.err().is_conditional_check_failed_exception() => {
                let UpdateItemError::ConditionalCheckFailedException(refused) = context.into_err() else {
                    return Ok(Err(None));
                };
                Ok(Err(refused.item))
            }
            Err(error) => Err(service("write to", table)(error)),
        }
    }

    async fn scan(&self, table: &str) -> Result<Vec<Item>, LeaseError> {
        let scan = self.client.scan().table_name(table).consistent_read(true).into_paginator().items().send();
        scan.try_collect().await.map_err(service("read", table))
    }

    async fn item(&self, table: &str, key: (&str, &str)) -> Result<Option<Item>, LeaseError> {
        let request = self.client.get_item().table_name(table).key(key.0, text(key.1)).consistent_read(true);
        let output = request.send().await.map_err(service("read", table))?;
        Ok(output.item.filter(|item| !item.is_empty()))
    }

    /// Deletes an item if an attribute has a value; otherwise it stays, and that is fine.
    async fn delete_if(
        &self,
        table: &str,
        key: (&str, &str),
        attribute: (&str, AttributeValue),
    ) -> Result<(), LeaseError> {
        let request = self.client.delete_item().table_name(table).key(key.0, text(key.1));
        let sent = request
            .condition_expression("#attribute = :value")
            .expression_attribute_names("#attribute", attribute.0)
            .expression_attribute_values(":value", attribute.1)
            .send()
            .await;
        match sent {
            Err(error)
                if !error.as_service_error().is_some_and(DeleteItemError::is_conditional_check_failed_exception) =>
            {
                Err(service("delete from", table)(error))
            }
            _ => Ok(()),
        }
    }

    /// An item of the lease table as a lease; none if it is something else.
    fn lease(&self, item: &Item) -> Result<Option<Lease>, LeaseError> {
        item::to_lease(item).map_err(|detail| LeaseError::Unfit { place: self.leases.clone(), detail })
    }
}

/// Names action and table in an error of the service.
fn service<E: Error + 'static>(action: &'static str, table: &str) -> impl FnOnce(E) -> LeaseError {
    move |error| LeaseError::Service { action, table: table.to_owned(), detail: explain(&error) }
}

impl LeaseTable for DynamoTable {
    async fn list(&self) -> Result<Vec<Lease>, LeaseError> {
        let items = self.scan(&self.leases).await?;
        items.iter().filter_map(|item| self.lease(item).transpose()).collect()
    }

    async fn get(&self, shard: &str) -> Result<Option<Lease>, LeaseError> {
        let item = self.item(&self.leases, (item::LEASE_KEY, shard)).await?;
        item.map_or(Ok(None), |item| self.lease(&item))
    }

    async fn owned_by(&self, worker: &str) -> Result<Vec<String>, LeaseError> {
        let query = self.client.query().table_name(&self.leases).index_name(OWNER_INDEX);
        let items = query
            .key_condition_expression("#owner = :worker")
            .expression_attribute_names("#owner", item::LEASE_OWNER)
            .expression_attribute_values(":worker", text(worker))
            .into_paginator()
            .items()
            .send();
        let items: Vec<Item> = items.try_collect().await.map_err(service("look for leases in", &self.leases))?;
        Ok(items.into_iter().filter_map(|item| item.get(item::LEASE_KEY)?.as_s().ok().cloned()).collect())
    }

    async fn create(&self, lease: &Lease) -> Result<bool, LeaseError> {
        let key = (item::LEASE_KEY, lease.shard.as_str());
        Ok(self.update(&self.leases, key, expression::create(lease)).await?.is_ok())
    }

    async fn write(&self, seen: &Lease, write: &LeaseWrite) -> Result<Written, LeaseError> {
        let shard = seen.shard.as_str();
        let key = (item::LEASE_KEY, shard);
        let unreadable = || LeaseError::Unfit {
            place: self.leases.clone(),
            detail: format!("the item {shard} is not a lease any more"),
        };
        match self.update(&self.leases, key, expression::write(seen, write)).await? {
            Ok(item) => Ok(Written::Done(self.lease(&item)?.ok_or_else(unreadable)?)),
            Err(Some(item)) => Ok(Written::Refused(self.lease(&item)?)),
            // none, or a stand-in that does not say which
            Err(None) => Ok(Written::Refused(self.get(shard).await?)),
        }
    }

    async fn delete(&self, seen: &Lease) -> Result<(), LeaseError> {
        let counter = AttributeValue::N(seen.counter.to_string());
        self.delete_if(&self.leases, (item::LEASE_KEY, &seen.shard), (item::LEASE_COUNTER, counter)).await
    }

    async fn workers(&self) -> Result<Vec<WorkerBeat>, LeaseError> {
        Ok(self.scan(&self.workers).await?.iter().filter_map(item::to_worker).collect())
    }

    async fn beat(&self, worker: &str) -> Result<(), LeaseError> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let expression = Expression::default()
            .set(item::BEAT, AttributeValue::N(now.as_secs().to_string()))
            // no metrics: Java leaders then go by the leases' throughput
            .set("sts", AttributeValue::M(HashMap::new()))
            .set("opr", AttributeValue::M(HashMap::new()));
        self.update(&self.workers, (item::WORKER, worker), expression).await.map(|_| ())
    }

    async fn remove_worker(&self, worker: &str) -> Result<(), LeaseError> {
        self.delete_if(&self.workers, (item::WORKER, worker), (item::WORKER, text(worker))).await
    }

    async fn leader(&self) -> Result<Option<LeaderLock>, LeaseError> {
        let item = self.item(&self.state, (item::STATE_KEY, LEADER)).await?;
        let read = |item: Item| {
            item::to_lock(&item).ok_or_else(|| LeaseError::Unfit {
                place: self.state.clone(),
                detail: format!("the item {LEADER} is no lock"),
            })
        };
        item.map(read).transpose()
    }

    async fn set_leader(&self, seen: Option<&str>, lock: &LeaderLock) -> Result<bool, LeaseError> {
        Ok(self.update(&self.state, (item::STATE_KEY, LEADER), expression::lock(seen, lock)).await?.is_ok())
    }

    async fn remove_leader(&self, worker: &str) -> Result<(), LeaseError> {
        self.delete_if(&self.state, (item::STATE_KEY, LEADER), (item::LOCK_OWNER, text(worker))).await
    }
}
