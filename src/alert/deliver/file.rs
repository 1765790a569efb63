//! Alerts as files in a folder: `<alert_id>-<revision>.json` each.
//!
//! A file of its own, and not lines at the end of one: it is there whole or not at all, delivering it again changes
//! nothing, and whoever takes alerts away deletes what he has read.

use std::fs;
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use tempfile::Builder;

use super::{Message, SendError};

/// A folder; it is made if it is not there.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

impl Folder {
    /// The folder at this path.
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub(super) async fn send(&self, message: &Message<'_>) -> Result<(), SendError> {
        let extension = if message.form.is_json() { "json" } else { "txt" };
        let (folder, name) = (self.0.clone(), format!("{}.{extension}", message.key()));
        let body = format!("{}\n", message.body);
        let path = folder.join(&name).display().to_string();
        let written = tokio::task::spawn_blocking(move || write(&folder, &name, body.as_bytes())).await;
        let cannot = |error: io::Error| SendError(format!("cannot write {path}: {error}"));
        written.map_err(io::Error::other).and_then(|written| written).map_err(cannot)
    }
}

/// Written beside its name, whole and durable, and then given it; there already is fine.
fn write(folder: &Path, name: &str, body: &[u8]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut file = Builder::new().prefix(".flowbound-").suffix(".tmp").tempfile_in(folder)?;
    file.write_all(body)?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(folder.join(name)) {
        Err(error) if error.error.kind() != ErrorKind::AlreadyExists => return Err(error.error),
        _ => {}
    }
    fs::File::open(folder)?.sync_all()
}
