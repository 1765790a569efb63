//! A unit of work on its way to a commit: staged files get their final names here, and nowhere else.

use super::chain::Chain;
use super::commit::{Commit, FileEntry};
use super::error::LakeError;
use super::parquet_file::{Origin, ParquetFile, Staged, writer_properties};
use super::partition::{Day, Hour};
use super::quarantine::QUARANTINE_FOLDER;
use super::schema::{alerts_schema, flows_schema};
use super::store::Store;

/// Gathers the files of the next commit.
pub struct Unit {
    name: String,
    /// Where its files are staged.
    pub staging: String,
    files: Vec<FileEntry>,
}

impl Unit {
    /// The unit that will be the chain's next commit. The first of a lake brings a file without rows for each
    /// table, so that a query on a lake without alerts answers with none.
    pub fn begin<S: Store>(chain: &Chain<'_, S>, store: &S) -> Result<Self, LakeError> {
        let mut unit = Self::empty(chain);
        if chain.next_number() == 1 {
            let properties = writer_properties(&Origin::default());
            for (table, folder, schema) in [
                ("flows", format!("flows/{}", Hour::of(None)), flows_schema()),
                ("alerts", format!("alerts/{}", Day::of(None)), alerts_schema()),
            ] {
                let path = format!("{}/empty-{table}.parquet", unit.staging);
                unit.add(ParquetFile::create(store, path, folder, schema, &properties)?.finish()?);
            }
        }
        Ok(unit)
    }

    /// The unit that will be the chain's next commit, in a lake that has its first files from another chain.
    pub fn empty<S: Store>(chain: &Chain<'_, S>) -> Self {
        Self { name: chain.unit(), staging: chain.staging(), files: Vec::new() }
    }

    /// Adds a staged file; its final name follows from the unit, its folder and its kind.
    pub fn add(&mut self, staged: Staged) {
        let extension = staged.staged.rsplit_once('.').map_or("", |(_, extension)| extension);
        let folder = format!("{}/", staged.folder);
        // a unit has many files of a table, and one quarantine
        let path = match self.files.iter().filter(|file| file.path.starts_with(&folder)).count() {
            0 if staged.folder == QUARANTINE_FOLDER => format!("{folder}{}.{extension}", self.name),
            place => format!("{folder}{}-{place}.{extension}", self.name),
        };
        self.files.push(FileEntry { staged: staged.staged, path, rows: staged.rows, bytes: staged.bytes });
    }

    /// The commit, with the unit's files.
    pub fn into_commit(self, mut commit: Commit) -> Commit {
        commit.files = self.files;
        commit
    }
}
