//! Making the tables, on demand capacity, with the keys that the Kinesis Client Library gives them.

use std::time::Duration;

use aws_sdk_dynamodb::operation::create_table::CreateTableError;
use aws_sdk_dynamodb::operation::describe_table::DescribeTableError;
use aws_sdk_dynamodb::operation::update_table::UpdateTableError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, CreateGlobalSecondaryIndexAction, GlobalSecondaryIndex,
    GlobalSecondaryIndexUpdate, IndexStatus, KeySchemaElement, KeyType, Projection, ProjectionType,
    ProvisionedThroughput, ScalarAttributeType, TableDescription, TableStatus,
};
use tokio::time::{Instant, sleep};

use super::super::error::LeaseError;
use super::{DynamoTable, OWNER_INDEX, item, service};

/// How long a table or index may take to be made. An index of a table that has leases takes minutes.
const PATIENCE: Duration = Duration::from_secs(600);
const POLL: Duration = Duration::from_secs(1);

/// Makes what is missing, and waits until all can be used.
pub(super) async fn make_tables(tables: &DynamoTable) -> Result<(), LeaseError> {
    for (table, key) in
        [(&tables.leases, item::LEASE_KEY), (&tables.workers, item::WORKER), (&tables.state, item::STATE_KEY)]
    {
        match describe(tables, table).await? {
            None => create(tables, table, key).await?,
            Some(found) => check_key(table, &found, key)?,
        }
    }
    for table in [&tables.leases, &tables.workers, &tables.state] {
        wait(tables, table, is_active).await?;
    }
    let leases = describe(tables, &tables.leases).await?;
    if leases.is_some_and(|table| index_status(&table).is_none()) {
        add_index(tables, &leases_billing(tables).await?).await?;
    }
    wait(tables, &tables.leases, |table| is_active(table) && index_status(table) == Some(&IndexStatus::Active)).await
}

async fn describe(tables: &DynamoTable, table: &str) -> Result<Option<TableDescription>, LeaseError> {
    match tables.client.describe_table().table_name(table).send().await {
        Ok(output) => Ok(output.table),
        Err(error) if error.as_service_error().is_some_and(DescribeTableError::is_resource_not_found_exception) => {
            Ok(None)
        }
        Err(error) => Err(service("describe", table)(error)),
    }
}

fn is_active(table: &TableDescription) -> bool {
    matches!(table.table_status(), Some(TableStatus::Active | TableStatus::Updating))
}

fn index_status(table: &TableDescription) -> Option<&IndexStatus> {
    let index = table.global_secondary_indexes().iter().find(|index| index.index_name() == Some(OWNER_INDEX))?;
    index.index_status()
}

/// A table of that name with another key is not the library's.
fn check_key(table: &str, found: &TableDescription, key: &str) -> Result<(), LeaseError> {
    let keys: Vec<&str> = found.key_schema().iter().map(KeySchemaElement::attribute_name).collect();
    if keys == [key] {
        return Ok(());
    }
    Err(LeaseError::Unfit { place: table.to_owned(), detail: format!("its key is {}, not {key}", keys.join(", ")) })
}

async fn wait(
    tables: &DynamoTable,
    table: &str,
    is_ready: impl Fn(&TableDescription) -> bool,
) -> Result<(), LeaseError> {
    let began = Instant::now();
    let mut told = false;
    while !describe(tables, table).await?.is_some_and(|found| is_ready(&found)) {
        if began.elapsed() > PATIENCE {
            return Err(LeaseError::NotReady { table: table.to_owned(), seconds: PATIENCE.as_secs() });
        }
        if !std::mem::replace(&mut told, true) {
            tracing::info!(table, "waiting for a DynamoDB table");
        }
        sleep(POLL).await;
    }
    Ok(())
}

fn malformed(table: &str) -> impl FnOnce(aws_sdk_dynamodb::error::BuildError) -> LeaseError {
    service("describe", table)
}

fn attribute(table: &str, name: &str) -> Result<AttributeDefinition, LeaseError> {
    let attribute = AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S);
    attribute.build().map_err(malformed(table))
}

fn key(table: &str, name: &str, kind: KeyType) -> Result<KeySchemaElement, LeaseError> {
    KeySchemaElement::builder().attribute_name(name).key_type(kind).build().map_err(malformed(table))
}

fn keys_of_index(table: &str) -> Result<Vec<KeySchemaElement>, LeaseError> {
    Ok(vec![key(table, item::LEASE_OWNER, KeyType::Hash)?, key(table, item::LEASE_KEY, KeyType::Range)?])
}

fn keys_alone() -> Projection {
    Projection::builder().projection_type(ProjectionType::KeysOnly).build()
}

async fn create(tables: &DynamoTable, table: &str, name: &str) -> Result<(), LeaseError> {
    let mut request = tables
        .client
        .create_table()
        .table_name(table)
        .billing_mode(BillingMode::PayPerRequest)
        .key_schema(key(table, name, KeyType::Hash)?)
        .attribute_definitions(attribute(table, name)?);
    if table == tables.leases {
        let index = GlobalSecondaryIndex::builder()
            .index_name(OWNER_INDEX)
            .set_key_schema(Some(keys_of_index(table)?))
            .projection(keys_alone());
        request = request
            .attribute_definitions(attribute(table, item::LEASE_OWNER)?)
            .global_secondary_indexes(index.build().map_err(malformed(table))?);
    }
    match request.send().await {
        Ok(_) => {
            tracing::info!(table, "made a DynamoDB table");
            Ok(())
        }
        // another worker was first
        Err(error) if error.as_service_error().is_some_and(CreateTableError::is_resource_in_use_exception) => Ok(()),
        Err(error) => Err(service("create", table)(error)),
    }
}

/// The capacity that an index needs in a table that is not on demand.
async fn leases_billing(tables: &DynamoTable) -> Result<Option<ProvisionedThroughput>, LeaseError> {
    let table = describe(tables, &tables.leases).await?;
    let on_demand = |table: &TableDescription| {
        table.billing_mode_summary().and_then(|billing| billing.billing_mode()) == Some(&BillingMode::PayPerRequest)
    };
    let provisioned = table.filter(|table| !on_demand(table)).and_then(|table| {
        let throughput = table.provisioned_throughput?;
        throughput.read_capacity_units.zip(throughput.write_capacity_units).filter(|(read, _)| *read > 0)
    });
    let build = |(read, write)| {
        let throughput = ProvisionedThroughput::builder().read_capacity_units(read).write_capacity_units(write);
        throughput.build().map_err(malformed(&tables.leases))
    };
    provisioned.map(build).transpose()
}

/// Adds the index to a table that an older library made.
async fn add_index(tables: &DynamoTable, throughput: &Option<ProvisionedThroughput>) -> Result<(), LeaseError> {
    let table = &tables.leases;
    let index = CreateGlobalSecondaryIndexAction::builder()
        .index_name(OWNER_INDEX)
        .set_key_schema(Some(keys_of_index(table)?))
        .projection(keys_alone())
        .set_provisioned_throughput(throughput.clone());
    let update = GlobalSecondaryIndexUpdate::builder().create(index.build().map_err(malformed(table))?).build();
    let request = tables
        .client
        .update_table()
        .table_name(table)
        .attribute_definitions(attribute(table, item::LEASE_KEY)?)
        .attribute_definitions(attribute(table, item::LEASE_OWNER)?)
        .global_secondary_index_updates(update);
    match request.send().await {
        Ok(_) => {
            tracing::info!(table, index = OWNER_INDEX, "made an index of a DynamoDB table");
            Ok(())
        }
        Err(error) if error.as_service_error().is_some_and(UpdateTableError::is_resource_in_use_exception) => Ok(()),
        Err(error) => Err(service("make an index of", table)(error)),
    }
}
