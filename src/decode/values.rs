//! Values of rows and of JSON records, written as a text log would have them.

/// Appends a value. One without content is `-`. Blanks and control characters are percent-encoded, as AWS does in the
/// tag fields of its text logs: they would shift the columns otherwise.
pub(super) fn write_value(value: &[u8], text: &mut Vec<u8>) {
    if value.is_empty() {
        text.push(b'-');
    } else if value.iter().all(|byte| stands_for_itself(*byte)) {
        text.extend_from_slice(value);
    } else {
        const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
        for byte in value {
            if stands_for_itself(*byte) {
                text.push(*byte);
            } else {
                text.extend([b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
            }
        }
    }
}

fn stands_for_itself(byte: u8) -> bool {
    byte > b' ' && byte != 0x7f
}

/// A whole number without its fraction; anything else as it is, for parsing to refuse.
pub(super) fn float(value: f64) -> String {
    /// Every whole number up to 2^53 is exact.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() <= EXACT { format!("{}", value as i64) } else { value.to_string() }
}
