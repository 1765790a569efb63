//! Replays the corpora of the fuzz targets, so that what fuzzing once found stays found on a stable compiler.

use flowbound::fuzzing;

use super::support::{files, testdata};

fn replay(target: &str, run: fn(&[u8])) {
    let files = files(&testdata(&format!("fuzz/{target}")));
    assert!(files.len() >= 20, "the corpus of {target} has {} files", files.len());
    for file in files {
        let data = std::fs::read(&file).unwrap();
        if std::panic::catch_unwind(|| run(&data)).is_err() {
            panic!("{} breaks a promise, see above", file.display());
        }
    }
}

#[test]
fn objects() {
    replay("decode", fuzzing::decode);
}

#[test]
fn messages() {
    replay("message", fuzzing::message);
}

#[test]
fn lines() {
    replay("parse", fuzzing::parse);
}

#[test]
fn maps() {
    replay("map", fuzzing::map);
}
