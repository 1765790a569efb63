//! What the public face of the decoder promises beyond the logs in `testdata` (those are in `tests/logs`).

use super::{DecodeOptions, Decoder, Piece};

const LINE: &[u8] = b"2 123456789012 eni-0a 10.0.1.5 10.0.2.9 49152 443 6 1 40 1790640000 1790640058 ACCEPT OK\n";

fn options(chunk_bytes: usize) -> DecodeOptions {
    DecodeOptions { chunk_bytes, max_line: 100, ..DecodeOptions::default() }
}

#[test]
fn chunks_are_whole_lines_of_about_the_size_asked_for() {
    let text = LINE.repeat(1000);
    let mut chunks = Vec::new();
    let mut out = |piece| match piece {
        Piece::Lines(chunk) => chunks.push(chunk),
        Piece::Rejected { line, .. } => panic!("line {line}"),
    };
    let mut decoder = Decoder::new(options(10_000));
    decoder.push(&text, &mut out).unwrap();
    decoder.finish(&mut out).unwrap();
    assert_eq!(chunks.iter().flat_map(|chunk| chunk.bytes.clone()).collect::<Vec<_>>(), text);
    let mut line = 1;
    for chunk in &chunks {
        assert!(chunk.bytes.len() <= 10_000 && chunk.bytes.ends_with(b"OK\n"));
        assert_eq!(chunk.first_line, line);
        line += (chunk.bytes.len() / LINE.len()) as i64;
    }
    assert!(chunks[..chunks.len() - 1].iter().all(|chunk| chunk.bytes.len() > 10_000 - LINE.len()));
}

#[test]
fn a_buffer_that_is_given_back_is_used_again() {
    let mut decoder = Decoder::new(options(10_000));
    let mut addresses = std::collections::BTreeSet::new();
    let mut chunks = 0;
    for _ in 0..100 {
        let mut done = Vec::new();
        decoder
            .push(&LINE.repeat(100), &mut |piece| {
                if let Piece::Lines(chunk) = piece {
                    done.push(chunk.bytes);
                }
            })
            .unwrap();
        for buffer in done {
            chunks += 1;
            addresses.insert(buffer.as_ptr() as usize);
            decoder.recycle(buffer);
        }
    }
    assert!(chunks > 80 && addresses.len() <= 3, "{} buffers for {chunks} chunks", addresses.len());
}

#[test]
fn a_header_in_every_other_line_takes_no_quadratic_time() {
    let text = [b"srcaddr dstaddr\n".as_slice(), b"10.0.0.1 10.0.0.2\n"].concat().repeat(30_000);
    let mut chunks = 0;
    let mut decoder = Decoder::new(DecodeOptions::default());
    let mut out = |_| chunks += 1;
    decoder.push(&text, &mut out).unwrap();
    let summary = decoder.finish(&mut out).unwrap();
    assert_eq!((chunks, summary.headers), (30_000, 30_000));
}
