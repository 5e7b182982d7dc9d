//! Which encoding the first bytes of a file tell of.

/// The length of the UTF-8 byte order mark to pass over, or the name of the other encoding.
pub(crate) fn check(sample: &[u8]) -> Result<usize, &'static str> {
    match sample {
        [0xEF, 0xBB, 0xBF, ..] => Ok(3),
        [0xFF, 0xFE, 0, 0, ..] | [0, 0, 0xFE, 0xFF, ..] => Err("UTF-32"),
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => Err("UTF-16"),
        _ => without_mark(sample).map_or(Ok(0), Err),
    }
}

fn without_mark(sample: &[u8]) -> Option<&'static str> {
    utf16(sample)
        .or_else(|| is_gb18030(sample).then_some("GB18030"))
        .or_else(|| is_western(sample).then_some("WINDOWS-1252"))
}

/// Latin text in UTF-16 has a zero in every other byte.
fn utf16(sample: &[u8]) -> Option<&'static str> {
    let zeros = |parity: usize| sample.iter().skip(parity).step_by(2).filter(|&&b| b == 0).count();
    let (even, odd, many) = (zeros(0), zeros(1), sample.len() / 5);
    match (sample.len() >= 8, odd > many && odd > 4 * even, even > many && even > 4 * odd) {
        (true, true, _) => Some("UTF-16LE"),
        (true, _, true) => Some("UTF-16BE"),
        _ => None,
    }
}

/// How many wrong sequences are enough for a guess: a stray wrong byte in a good file must not count.
const ENOUGH: usize = 8;

/// Whether the bytes are mostly wrong as UTF-8, and right as the two-byte codes of GBK/GB18030.
fn is_gb18030(sample: &[u8]) -> bool {
    let (wrong, right) = verdicts(sample);
    wrong > right && gb_pairs(sample).is_some_and(|pairs| pairs >= ENOUGH)
}

/// Whether the bytes are mostly wrong as UTF-8, and a text all the same: single high bytes among ASCII.
fn is_western(sample: &[u8]) -> bool {
    let (wrong, right) = verdicts(sample);
    let binary = sample.iter().any(|&byte| byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x0C | 0x1B));
    wrong >= ENOUGH && wrong > right && !binary
}

/// Sequences of bytes that are wrong as UTF-8, and characters beyond ASCII that are right.
fn verdicts(sample: &[u8]) -> (usize, usize) {
    sample.utf8_chunks().fold((0, 0), |(wrong, right), chunk| {
        let beyond_ascii = chunk.valid().chars().filter(|c| !c.is_ascii()).count();
        (wrong + usize::from(!chunk.invalid().is_empty()), right + beyond_ascii)
    })
}

/// The number of two-byte codes, `None` if there is a byte that can't be one. A code cut by the
/// end of the sample is let through.
fn gb_pairs(sample: &[u8]) -> Option<usize> {
    let (mut pairs, mut at) = (0, 0);
    while at < sample.len() {
        match (sample[at], sample.get(at + 1)) {
            (0..=0x7F, _) | (0x81..=0xFE, None) => at += 1,
            (0x81..=0xFE, Some(0x40..=0x7E | 0x80..=0xFE)) => (pairs, at) = (pairs + 1, at + 2),
            (0x81..=0xFE, Some(0x30..=0x39)) => at += 4,
            _ => return None,
        }
    }
    Some(pairs)
}

/// How the complaint about a wrong byte begins.
pub(crate) const NOT_UTF8: &str = "not UTF-8";

/// Where and how `bytes` stop being UTF-8, for a bad record.
pub(crate) fn complaint(error: std::str::Utf8Error, bytes: &[u8]) -> String {
    let at = error.valid_up_to();
    format!("{NOT_UTF8}: byte 0x{:02X} at column {}", bytes.get(at).copied().unwrap_or_default(), at + 1)
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn tells_encodings_apart() {
        assert_eq!(check("\u{feff}abc".as_bytes()), Ok(3));
        assert_eq!(check("山中何所有，岭上多白云".as_bytes()), Ok(0));
        assert_eq!(check(b"\xff\xfea\0b\0"), Err("UTF-16"));
        assert_eq!(check(b"h\0e\0l\0l\0o\0 \0y\0o\0u\0"), Err("UTF-16LE"));
        assert_eq!(check(b"\0h\0e\0l\0l\0o\0 \0y\0o\0u"), Err("UTF-16BE"));
        let gbk = b"\xc9\xbd\xd6\xd0\xba\xce\xcb\xf9\xd3\xd0\xa3\xac\xc1\xeb\xc9\xcf\xb6\xe0\xb0\xd7\xd4\xc6";
        assert_eq!(check(gbk), Err("GB18030"));
        assert_eq!(check(&b"caf\xe9 na\xefve d\xe9j\xe0 vu\n".repeat(3)), Err("WINDOWS-1252"));
        assert_eq!(check(&b"\x7fELF\x02\x01\x00\xe9\xef\xe0".repeat(9)), Ok(0));
    }

    #[test]
    fn a_stray_byte_is_not_another_encoding() {
        assert_eq!(check(b"good line\nbad \xff\xff line\ngood line"), Ok(0));
        assert_eq!(check(b"caf\xe9 au lait, d\xe9j\xe0 vu"), Ok(0));
    }
}
