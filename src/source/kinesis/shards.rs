//! The shards of a stream, as ListShards has them.

use std::error::Error;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::{HashKeyRange, Shard};

use super::lease::ShardList;
use super::{ReadError, explain};

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

/// The shards of one stream.
#[derive(Debug, Clone)]
pub struct StreamShards {
    client: Client,
    stream: String,
}

impl StreamShards {
    /// Those of this stream.
    pub fn new(client: Client, stream: String) -> Self {
        Self { client, stream }
    }

    /// The stream's name.
    pub fn stream(&self) -> &str {
        &self.stream
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
                None => request.stream_name(&self.stream),
            };
            let output = request
                .send()
                .await
                .map_err(|error| ReadError::List { stream: self.stream.clone(), detail: explain(&error) })?;
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
