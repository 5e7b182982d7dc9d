//! TFRecord framing.

use std::io::{Read, Write};

/// Bytes around the content of a record.
pub(super) const FRAME: u64 = 16;

/// The longest record that is read; scalars take less than a kilobyte, and pictures of others must fit too.
const MAX_RECORD: u64 = 64 << 20;

pub(super) fn write(out: &mut impl Write, bytes: &[u8]) -> std::io::Result<()> {
    let length = (bytes.len() as u64).to_le_bytes();
    out.write_all(&length)?;
    out.write_all(&masked_crc(&length).to_le_bytes())?;
    out.write_all(bytes)?;
    out.write_all(&masked_crc(bytes).to_le_bytes())
}

/// The content of the next record, of which `left` bytes of the file are at hand; `None` at the end.
pub(super) fn read(input: &mut impl Read, left: u64) -> Result<Option<Vec<u8>>, String> {
    if left == 0 {
        return Ok(None);
    }
    let length: [u8; 8] = take(input)?;
    if take(input)? != masked_crc(&length).to_le_bytes() {
        return Err("the checksum of a record's length does not match".into());
    }
    let length = u64::from_le_bytes(length);
    if length > MAX_RECORD || length + FRAME > left {
        return Err(format!("a record of {length} bytes, with {left} bytes of the file left"));
    }
    let mut bytes = vec![0; length as usize];
    input.read_exact(&mut bytes).map_err(|error| error.to_string())?;
    if take(input)? != masked_crc(&bytes).to_le_bytes() {
        return Err("the checksum of a record does not match".into());
    }
    Ok(Some(bytes))
}

fn take<const N: usize>(input: &mut impl Read) -> Result<[u8; N], String> {
    let mut bytes = [0; N];
    input.read_exact(&mut bytes).map_err(|_| "a record is cut off".to_owned())?;
    Ok(bytes)
}

/// CRC-32C, rotated and shifted, so that the checksum of data that contains checksums stays good.
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}
