//! The files: one flow log as AWS delivers it to S3, and the labels beside it. All I/O of the module is here.
//!
//! `AWSLogs/ACCOUNT/vpcflowlogs/REGION/YYYY/MM/DD/ACCOUNT_vpcflowlogs_REGION_FLOWLOG_YYYYMMDDTHHmmZ_HASH.log.gz`:
//! gzip, a header line, and the records whose `end` lies in the five minutes from the stamp on. As at AWS, a file ends
//! early at 75 MB of text, and its successor has the same stamp and another hash. Records come in order of time, so
//! one file is open at any moment.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::dice::stable_hash;
use super::scenario::Label;
use super::{GenerateError, at};

/// Seconds that one file covers.
const DELIVERY: i64 = 300;
/// Text in one file, in bytes.
const MOST_TEXT: usize = 75_000_000;
/// The labels' file in the output folder.
const LABELS: &str = "labels.csv";

/// Where a line went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    /// Index of the file.
    file: usize,
    /// Number of the line in the file, from 1; the header is line 1.
    line: u64,
}

/// The files of one flow log.
pub(super) struct LogFiles {
    out: PathBuf,
    account: String,
    region: String,
    flow_log: String,
    header: String,
    /// Paths relative to the output folder, with `/`.
    names: Vec<String>,
    open: Option<Open>,
}

struct Open {
    stamp: i64,
    path: PathBuf,
    /// Lines are gathered first: compressing each alone costs more than all the rest.
    gzip: BufWriter<GzEncoder<File>>,
    text: usize,
    lines: u64,
}

impl LogFiles {
    /// A flow log in this folder, which must not hold an older one.
    pub(super) fn create(
        out: &Path,
        account: &str,
        region: &str,
        flow_log: String,
        header: &str,
    ) -> Result<Self, GenerateError> {
        fs::create_dir_all(out).map_err(at(out))?;
        for old in ["AWSLogs", LABELS] {
            if out.join(old).exists() {
                return Err(GenerateError::NotEmpty { path: out.join(old) });
            }
        }
        Ok(Self {
            out: out.to_owned(),
            account: account.to_owned(),
            region: region.to_owned(),
            flow_log,
            header: header.to_owned(),
            names: Vec::new(),
            open: None,
        })
    }

    /// Appends a line (with its line end) of a record that ends at this second.
    pub(super) fn write(&mut self, end: i64, line: &[u8]) -> Result<Position, GenerateError> {
        let stamp = end - end.rem_euclid(DELIVERY);
        let mut open = match self.open.take() {
            Some(open) if open.stamp == stamp && open.text + line.len() <= MOST_TEXT => open,
            before => {
                before.map_or(Ok(()), Open::close)?;
                self.begin(stamp)?
            }
        };
        open.append(line)?;
        let position = Position { file: self.names.len() - 1, line: open.lines };
        self.open = Some(open);
        Ok(position)
    }

    fn begin(&mut self, stamp: i64) -> Result<Open, GenerateError> {
        let (account, region, flow_log) = (&self.account, &self.region, &self.flow_log);
        let time = jiff::Timestamp::from_second(stamp).map_err(|_| GenerateError::BadStart)?;
        let day = time.strftime("%Y/%m/%d");
        let minute = time.strftime("%Y%m%dT%H%MZ");
        let hash = stable_hash(&[flow_log.as_bytes(), &(self.names.len() as u64).to_le_bytes()]) as u32;
        let folder = format!("AWSLogs/{account}/vpcflowlogs/{region}/{day}");
        let name = format!("{folder}/{account}_vpcflowlogs_{region}_{flow_log}_{minute}_{hash:08x}.log.gz");
        let folder = self.out.join(folder);
        fs::create_dir_all(&folder).map_err(at(&folder))?;
        let path = self.out.join(&name);
        let file = File::create_new(&path).map_err(at(&path))?;
        self.names.push(name);
        let gzip = BufWriter::with_capacity(1 << 16, GzEncoder::new(file, Compression::fast()));
        let mut open = Open { stamp, path, gzip, text: 0, lines: 0 };
        open.append(self.header.as_bytes())?;
        open.gzip.write_all(b"\n").map_err(at(&open.path))?;
        Ok(open)
    }

    /// Closes the last file and writes the labels. The number of files.
    pub(super) fn finish(mut self, labels: &[(Position, Label)]) -> Result<usize, GenerateError> {
        self.open.take().map_or(Ok(()), Open::close)?;
        let path = self.out.join(LABELS);
        write_labels(&path, &self.names, labels).map_err(at(&path))?;
        Ok(self.names.len())
    }
}

impl Open {
    fn append(&mut self, line: &[u8]) -> Result<(), GenerateError> {
        self.gzip.write_all(line).map_err(at(&self.path))?;
        self.text += line.len();
        self.lines += 1;
        Ok(())
    }

    fn close(self) -> Result<(), GenerateError> {
        let gzip = self.gzip.into_inner().map_err(|error| at(&self.path)(error.into_error()))?;
        gzip.finish().map(drop).map_err(at(&self.path))
    }
}

/// One row per planted record, in the order of the log.
fn write_labels(path: &Path, names: &[String], labels: &[(Position, Label)]) -> io::Result<()> {
    let mut csv = csv::Writer::from_path(path)?;
    csv.write_record([
        "file",
        "line",
        "scenario",
        "verdict",
        "detector",
        "client_addr",
        "server_addr",
        "server_port",
        "protocol",
        "note",
    ])?;
    let text = |value: Option<String>| value.unwrap_or_default();
    for (position, label) in labels {
        csv.write_record([
            names[position.file].as_str(),
            &position.line.to_string(),
            label.scenario,
            label.verdict.as_str(),
            label.detector,
            &text(label.path.map(|path| path.client.to_string())),
            &text(label.path.map(|path| path.server.to_string())),
            &text(label.path.map(|path| path.port.to_string())),
            &text(label.path.map(|path| path.protocol.to_string())),
            label.note,
        ])?;
    }
    csv.flush()
}
