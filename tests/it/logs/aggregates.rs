//! Aggregates of the Kinesis Producer Library: many user records in one record of a stream.

use flowbound::decode::MessageOptions;
use md5::{Digest as _, Md5};

use super::framing::gzip;
use super::messages::{LINE, REPLY, envelope, ports, read, read_with, reasons};
use super::support::Log;

fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length > 127 {
        out.push((length & 127) as u8 | 128);
        length >>= 7;
    }
    out.push(length as u8);
    [out.as_slice(), bytes].concat()
}

/// An aggregate as the Kinesis Producer Library writes it, of (partition key, explicit hash key, data).
pub(crate) fn aggregate(keys: &[&str], hash_keys: &[&str], users: &[(u64, Option<u64>, &[u8])]) -> Vec<u8> {
    let mut message = Vec::new();
    for key in keys {
        message.extend(field(1, key.as_bytes()));
    }
    for key in hash_keys {
        message.extend(field(2, key.as_bytes()));
    }
    for (key, hash_key, data) in users {
        let mut user = vec![8, *key as u8];
        if let Some(hash_key) = hash_key {
            user.extend([16, *hash_key as u8]);
        }
        user.extend(field(3, data));
        message.extend(field(3, &user));
    }
    sealed(&message)
}

fn sealed(message: &[u8]) -> Vec<u8> {
    [b"\xf3\x89\x9a\xc2", message, Md5::digest(message).as_slice()].concat()
}

#[test]
fn an_aggregate_is_read_from_any_user_record_on() {
    let packed = gzip(&envelope("g", &[LINE, REPLY]));
    let users: [(u64, Option<u64>, &[u8]); 4] =
        [(0, None, &packed), (1, None, LINE.as_bytes()), (0, None, b"{}"), (1, None, REPLY.as_bytes())];
    let record = aggregate(&["eni-0a", "eni-0b"], &[], &users);
    let all = [(1, 443), (2, 49152), (3, 443), (5, 49152)];
    for (after, from, rejected) in [(None, 0, 1), (Some(0), 2, 1), (Some(1), 3, 1), (Some(2), 3, 0), (Some(3), 4, 0)] {
        let (log, summary) = read_with(MessageOptions::default(), after, &record);
        assert_eq!(ports(&log), all[from..], "after {after:?}");
        assert_eq!((summary.user_records, summary.rejected), (4, rejected));
    }
    // what is no aggregate is the user record 0
    assert_eq!(read_with(MessageOptions::default(), Some(0), LINE.as_bytes()).0, Log::default());
}

#[test]
fn user_records_of_another_shard_are_dropped_and_counted() {
    // as md5sum says
    let (low, low_hash) = ("eni-0b", 0x81fb_bead_0e06_09ec_1d51_d46e_c67f_3839_u128);
    let (high, high_hash) = ("eni-0a", 0x9349_f5c7_67da_5ae3_9024_6146_4f42_e2f7_u128);
    let last = u128::MAX.to_string();
    let users: [(u64, Option<u64>, &[u8]); 4] = [
        (0, None, LINE.as_bytes()),
        (1, None, REPLY.as_bytes()),
        (0, Some(0), LINE.as_bytes()),
        (1, Some(1), REPLY.as_bytes()),
    ];
    let record = aggregate(&[low, high], &[&last, "0"], &users);
    for (range, expected) in [
        (0..=u128::MAX, vec![1, 2, 3, 4]),
        (0..=low_hash, vec![1, 4]),
        (high_hash..=u128::MAX, vec![2, 3]),
        (1..=low_hash - 1, vec![]),
    ] {
        let options = MessageOptions { hash_range: Some(range.clone()), ..MessageOptions::default() };
        let (log, summary) = read_with(options.clone(), None, &record);
        assert_eq!((log.lines(), summary.out_of_range), (expected.clone(), 4 - expected.len() as u64));
        // a record that is no aggregate lies where it belongs
        assert_eq!(read_with(options, None, LINE.as_bytes()).1.lines, 1);
    }
}

#[test]
fn what_does_not_keep_to_the_format_of_aggregates_is_none() {
    let good = aggregate(&["a"], &["5"], &[(0, Some(0), LINE.as_bytes())]);
    assert_eq!(ports(&read(&good).0), [(1, 443)]);
    let user = |bytes: &[u8]| sealed(&[field(1, b"a"), field(3, bytes)].concat());
    let mut wrong_sum = good.clone();
    *wrong_sum.last_mut().unwrap() ^= 1;
    for record in [
        wrong_sum,
        good[..good.len() - 1].to_vec(),
        good[..10].to_vec(),
        aggregate(&["a"], &[], &[(1, None, LINE.as_bytes())]),
        aggregate(&["a"], &["5"], &[(0, Some(1), LINE.as_bytes())]),
        aggregate(&["a"], &["five"], &[(0, Some(0), LINE.as_bytes())]),
        user(&field(3, LINE.as_bytes())),
        user(&[8, 0]),
        user(&[8, 0, 26, 99, b'x']),
        sealed(&[0xff; 12]),
        sealed(b"\x0b"),
        sealed(b""),
        sealed(&field(1, b"a")),
    ] {
        let (log, summary) = read(&record);
        assert_eq!((reasons(&log), summary.user_records), (vec![(1, "not_text")], 1));
        assert_eq!(log.rejected[0].1, record);
    }
    // fields of tomorrow are passed over
    let tomorrow = [field(1, b"a"), vec![0x20, 0x96, 1, 0x2d, 1, 2, 3, 4, 0x31, 1, 2, 3, 4, 5, 6, 7, 8]].concat();
    let tomorrow = [tomorrow, field(3, &[&[8, 0, 0x20, 1][..], &field(3, LINE.as_bytes())].concat())].concat();
    assert_eq!(ports(&read(&sealed(&tomorrow)).0), [(1, 443)]);
}
