//! A stream and its shards, as DescribeStreamSummary and ListShards have them.

use std::error::Error;
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::{HashKeyRange, Shard};
use sha2::{Digest as _, Sha256};

use super::lease::ShardList;
use super::{ReadError, explain};

/// A stream, told from every other one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamInfo {
    /// Its name: unique in an account and a region, as long as it is there.
    pub name: String,
    /// Its ARN, with account and region.
    pub arn: String,
    /// When it was made: seconds since 1970. A stream of the same name that is made anew has none of the old records.
    pub created: i64,
    /// How long its records stay.
    pub retention: Duration,
}

impl StreamInfo {
    /// The name and eight digits of a digest: another stream has other ones, also in another account or region, and a
    /// stream that is deleted and made anew.
    pub fn id(&self) -> String {
        let digest = Sha256::digest(format!("{} {}", self.arn, self.created));
        let tag: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        format!("{}-{tag}", self.name)
    }
}

/// Hash keys of partition keys that go to a shard: 128-bit numbers, both ends included.
pub type HashRange = std::ops::RangeInclusive<u128>;

/// A shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardInfo {
    /// Its id.
    pub id: String,
    /// The shard it was split from, or the two it was merged from.
    pub parents: Vec<String>,
    /// Its part of the hash keys.
    pub hash_range: Option<HashRange>,
}

/// A shard that follows a closed one.
pub type ChildShard = ShardInfo;

fn hash_range(range: Option<&HashKeyRange>) -> Option<HashRange> {
    let range = range?;
    Some(range.starting_hash_key.parse().ok()?..=range.ending_hash_key.parse().ok()?)
}

impl From<&Shard> for ShardInfo {
    fn from(shard: &Shard) -> Self {
        let parents = [shard.parent_shard_id(), shard.adjacent_parent_shard_id()];
        Self {
            id: shard.shard_id.clone(),
            parents: parents.into_iter().flatten().map(str::to_owned).collect(),
            hash_range: hash_range(shard.hash_key_range()),
        }
    }
}

impl From<&aws_sdk_kinesis::types::ChildShard> for ChildShard {
    fn from(shard: &aws_sdk_kinesis::types::ChildShard) -> Self {
        Self {
            id: shard.shard_id.clone(),
            parents: shard.parent_shards.clone(),
            hash_range: hash_range(shard.hash_key_range()),
        }
    }
}

impl ShardList for StreamShards {
    async fn list(&self) -> Result<Vec<ShardInfo>, Box<dyn Error + Send + Sync>> {
        Ok(self.all().await?)
    }
}

/// What the stream of this name is now.
async fn describe(client: &Client, name: &str) -> Result<StreamInfo, ReadError> {
    let failed = |detail| ReadError::Describe { stream: name.to_owned(), detail };
    let answer = client.describe_stream_summary().stream_name(name).send().await;
    let output = answer.map_err(|error| failed(explain(&error)))?;
    let summary = output.stream_description_summary.ok_or_else(|| failed("the answer is empty".to_owned()))?;
    let hours = u64::try_from(summary.retention_period_hours).unwrap_or_default();
    Ok(StreamInfo {
        name: summary.stream_name,
        arn: summary.stream_arn,
        created: summary.stream_creation_timestamp.secs(),
        retention: Duration::from_secs(hours * 3600),
    })
}

/// The shards of one stream.
#[derive(Debug, Clone)]
pub struct StreamShards {
    client: Client,
    stream: StreamInfo,
}

impl StreamShards {
    /// Those of the stream of this name.
    ///
    /// # Errors
    /// When there is no such stream, or the caller may not look at it.
    pub async fn of(client: Client, name: &str) -> Result<Self, ReadError> {
        Ok(Self { stream: describe(&client, name).await?, client })
    }

    /// The stream.
    pub fn stream(&self) -> &StreamInfo {
        &self.stream
    }

    /// Whether what has just been given by name is of this stream, and not of one that was made in its place.
    ///
    /// # Errors
    /// [`ReadError::Remade`] if so; and when that cannot be told.
    pub(super) async fn is_the_same(&self) -> Result<(), ReadError> {
        let now = describe(&self.client, &self.stream.name).await?;
        if now.id() == self.stream.id() { Ok(()) } else { Err(ReadError::Remade { stream: now.name }) }
    }

    /// Every shard that still has records, closed ones too.
    pub async fn all(&self) -> Result<Vec<ShardInfo>, ReadError> {
        let mut shards = Vec::new();
        let mut next: Option<String> = None;
        loop {
            // AWS refuses a name beside a token
            let request = self.client.list_shards();
            let request = match next {
                Some(token) => request.next_token(token),
                None => request.stream_name(&self.stream.name),
            };
            let output = request
                .send()
                .await
                .map_err(|error| ReadError::List { stream: self.stream.name.clone(), detail: explain(&error) })?;
            shards.extend(output.shards().iter().map(ShardInfo::from));
            next = output.next_token;
            if next.is_none() {
                return Ok(shards);
            }
        }
    }

    /// What a shard that is not found means. It is gone only if the stream can be listed and does not have it: a stream
    /// that was deleted, or a consumer that is not registered, answers the same.
    pub(super) async fn not_found(&self, shard: &str, detail: String) -> ReadError {
        if let Err(error) = self.is_the_same().await {
            return error;
        }
        match self.all().await {
            Ok(shards) if shards.iter().all(|there| there.id != shard) => {
                ReadError::Gone { shard: shard.to_owned(), children: following(shard, shards) }
            }
            Ok(_) => ReadError::Failed { shard: shard.to_owned(), detail },
            Err(error) => error,
        }
    }

    /// The shards that follow this one.
    pub async fn children_of(&self, parent: &str) -> Result<Vec<ChildShard>, ReadError> {
        Ok(following(parent, self.all().await?))
    }
}

fn following(parent: &str, shards: Vec<ShardInfo>) -> Vec<ChildShard> {
    shards.into_iter().filter(|shard| shard.parents.iter().any(|id| id == parent)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_one_name_are_told_apart() {
        let stream = |region: &str, created| StreamInfo {
            name: "flow-logs".to_owned(),
            arn: format!("arn:aws:kinesis:{region}:123456789012:stream/flow-logs"),
            created,
            retention: Duration::from_secs(86_400),
        };
        let id = stream("us-east-1", 1_795_219_200).id();
        assert!(id.starts_with("flow-logs-") && id.len() == "flow-logs-".len() + 8, "{id}");
        assert_eq!(id, StreamInfo { retention: Duration::ZERO, ..stream("us-east-1", 1_795_219_200) }.id());
        assert_ne!(id, stream("us-east-2", 1_795_219_200).id());
        assert_ne!(id, stream("us-east-1", 1_795_219_201).id());
    }
}
