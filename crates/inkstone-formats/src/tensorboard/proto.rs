//! The few protobuf messages of an event file.

use super::Event;

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;
const FIXED32: u64 = 5;

pub(super) fn encode(event: &Event) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    key(&mut out, 1, FIXED64);
    out.extend(event.wall_time.to_le_bytes());
    if event.step != 0 {
        key(&mut out, 2, VARINT);
        varint(&mut out, event.step as u64);
    }
    if let Some(version) = &event.file_version {
        bytes(&mut out, 3, version.as_bytes());
    }
    if !event.scalars.is_empty() {
        bytes(&mut out, 5, &summary(&event.scalars));
    }
    out
}

fn summary(scalars: &[(String, f32)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (tag, value) in scalars {
        let mut inner = Vec::with_capacity(tag.len() + 8);
        bytes(&mut inner, 1, tag.as_bytes());
        key(&mut inner, 2, FIXED32);
        inner.extend(value.to_le_bytes());
        bytes(&mut out, 1, &inner);
    }
    out
}

fn key(out: &mut Vec<u8>, field: u64, wire: u64) {
    varint(out, field << 3 | wire);
}

fn bytes(out: &mut Vec<u8>, field: u64, content: &[u8]) {
    key(out, field, BYTES);
    varint(out, content.len() as u64);
    out.extend(content);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(super) fn decode(message: &[u8]) -> Result<Event, String> {
    let mut event = Event::default();
    fields(message, |field, value| {
        match (field, value) {
            (1, Value::Fixed64(bits)) => event.wall_time = f64::from_bits(bits),
            (2, Value::Varint(step)) => event.step = step as i64,
            (3, Value::Bytes(text)) => event.file_version = Some(string(text)?),
            (5, Value::Bytes(inner)) => decode_summary(inner, &mut event.scalars)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(event)
}

fn decode_summary(message: &[u8], scalars: &mut Vec<(String, f32)>) -> Result<(), String> {
    fields(message, |field, value| {
        if let (1, Value::Bytes(inner)) = (field, value) {
            scalars.extend(decode_scalar(inner)?);
        }
        Ok(())
    })
}

fn decode_scalar(message: &[u8]) -> Result<Option<(String, f32)>, String> {
    let (mut tag, mut scalar) = (String::new(), None);
    fields(message, |field, value| {
        match (field, value) {
            (1, Value::Bytes(text)) => tag = string(text)?,
            (2, Value::Fixed32(bits)) => scalar = Some(f32::from_bits(bits)),
            _ => {}
        }
        Ok(())
    })?;
    Ok(scalar.map(|value| (tag, value)))
}

fn string(text: &[u8]) -> Result<String, String> {
    std::str::from_utf8(text).map(str::to_owned).map_err(|error| error.to_string())
}

enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

/// Calls `each` with the number and value of every field.
fn fields<'a>(mut message: &'a [u8], mut each: impl FnMut(u64, Value<'a>) -> Result<(), String>) -> Result<(), String> {
    while !message.is_empty() {
        let tag = take_varint(&mut message)?;
        let value = match tag & 7 {
            VARINT => Value::Varint(take_varint(&mut message)?),
            FIXED64 => Value::Fixed64(u64::from_le_bytes(take_array(&mut message)?)),
            BYTES => {
                let length = take_varint(&mut message)?;
                Value::Bytes(take(&mut message, length)?)
            }
            FIXED32 => Value::Fixed32(u32::from_le_bytes(take_array(&mut message)?)),
            wire => return Err(format!("unknown wire type {wire}")),
        };
        each(tag >> 3, value)?;
    }
    Ok(())
}

fn take_varint(message: &mut &[u8]) -> Result<u64, String> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let [byte] = take_array(message)?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err("a number of more than 64 bits".into())
}

fn take_array<const N: usize>(message: &mut &[u8]) -> Result<[u8; N], String> {
    let (head, rest) = message.split_first_chunk::<N>().ok_or("a message is cut off")?;
    *message = rest;
    Ok(*head)
}

fn take<'a>(message: &mut &'a [u8], length: u64) -> Result<&'a [u8], String> {
    let length = usize::try_from(length).map_err(|error| error.to_string())?;
    let (head, rest) = message.split_at_checked(length).ok_or("a message is cut off")?;
    *message = rest;
    Ok(head)
}
