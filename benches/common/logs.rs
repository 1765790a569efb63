//! Generated logs of the `artos` map, as AWS delivers them.

use std::io::Read as _;
use std::path::Path;

use flowbound::boundary::{BoundaryMap, load_map};
use flowbound::decode::{DecodeOptions, Decoder, Piece};
use flowbound::record::{LineChunk, LogFormat};
use flowbound::source::{InputFilter, InputObject, Sources};
use flowbound::synth::{GenerateOptions, generate};

/// The map of a reference system.
pub(crate) fn artos() -> BoundaryMap {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/artos/boundary.toml");
    load_map(path.to_str().unwrap(), &mut |path| std::fs::read_to_string(path)).unwrap()
}

/// Log files with the fields up to version 2 or 5, over a day or so many minutes.
pub(crate) fn objects(folder: &Path, version: u8, records: u64, minutes: Option<u32>) -> Vec<InputObject> {
    let mut options = GenerateOptions::new(records);
    options.minutes = minutes;
    if version == 2 {
        options.format = LogFormat::default();
    }
    generate(&artos(), &options, folder).unwrap();
    let input = folder.join("AWSLogs").display().to_string();
    Sources::default().find(&[input], &InputFilter::default()).unwrap().objects
}

/// The bytes of the objects.
pub(crate) fn read(objects: &[InputObject]) -> Vec<Vec<u8>> {
    let read = |object: &InputObject| {
        let mut bytes = Vec::new();
        Sources::default().open(object).unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    };
    objects.iter().map(read).collect()
}

/// Their lines.
pub(crate) fn decode(objects: &[Vec<u8>]) -> Vec<LineChunk> {
    let mut chunks = Vec::new();
    for object in objects {
        let mut decoder = Decoder::new(DecodeOptions::default());
        let mut keep = |piece: Piece| {
            if let Piece::Lines(chunk) = piece {
                chunks.push(chunk);
            }
        };
        decoder.push(object, &mut keep).unwrap();
        decoder.finish(&mut keep).unwrap();
    }
    chunks
}
