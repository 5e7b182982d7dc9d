//! `cargo xtask bodies`: damaged requests for every route of our server, which must answer or refuse each of them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::draws::Draws;
use crate::program::Program;
use crate::served::{KEY, ModelArguments, Served};
use crate::{Verdict, repo};

/// Senders.
const SENDERS: u64 = 4;
/// Memory that the server may take, in bytes.
const MEMORY: u64 = 2 << 30;

/// How long.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    /// Seconds
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// Seed of the damage
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What came of the requests.
#[derive(Debug, Default)]
struct Outcomes {
    answered: AtomicU64,
    refused: AtomicU64,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Verdict> {
    let (program, scratch) = (Program::build()?, repo::scratch("bodies")?);
    let model = arguments.model.folder(&program, &scratch)?;
    let served = Served::start(&program, &model, &scratch, &["--cache-memory", "64"])?;
    let (outcomes, end) = (Outcomes::default(), Instant::now() + Duration::from_secs(arguments.seconds));
    let failures: Vec<String> = std::thread::scope(|scope| {
        let sender = |n| {
            let (served, outcomes) = (&served, &outcomes);
            scope.spawn(move || send_until(end, served, Draws(arguments.seed << 32 | n), outcomes))
        };
        let senders: Vec<_> = (0..SENDERS).map(sender).collect();
        senders.into_iter().filter_map(|sender| sender.join().ok()?.err()).map(|error| format!("{error:#}")).collect()
    });
    let (answered, refused) = (outcomes.answered.load(Ordering::Relaxed), outcomes.refused.load(Ordering::Relaxed));
    println!("answered {answered}, refused {refused}; memory {} MiB at the end", served.bytes()? >> 20);
    for failure in &failures {
        println!("FAIL {failure}");
    }
    Ok((failures.is_empty() && !served.panicked() && answered > 0 && refused > 0).into())
}

/// Sends damaged requests until `end`, or until the server does what it must not.
fn send_until(end: Instant, served: &Served, mut draws: Draws, outcomes: &Outcomes) -> Result<()> {
    let good = requests();
    while Instant::now() < end {
        let (path, body) = &good[draws.below(good.len())];
        let body = if draws.below(2) == 0 { odd_value(body, &mut draws) } else { damaged(body, &mut draws) };
        let status = ask(&served.address, path, &body)
            .with_context(|| format!("{path} with {:?}", String::from_utf8_lossy(&body[..body.len().min(2000)])))?;
        match status {
            200 => outcomes.answered.fetch_add(1, Ordering::Relaxed),
            400..=499 | 503 => outcomes.refused.fetch_add(1, Ordering::Relaxed),
            _ => bail!("{path}: {status} for {:?}", String::from_utf8_lossy(&body)),
        };
        if served.panicked() {
            bail!("a panic near {path} with {:?}", String::from_utf8_lossy(&body));
        }
        if served.bytes()? > MEMORY {
            bail!("too much memory after {path} with {:?}", String::from_utf8_lossy(&body));
        }
    }
    Ok(())
}

/// A good request of each kind.
fn requests() -> Vec<(&'static str, Value)> {
    let messages = json!([{ "role": "system", "content": "Be kind." }, { "role": "user", "content": "你好" }]);
    let tool = json!([{ "type": "function", "function": { "name": "f", "description": "d", "parameters": {
        "type": "object", "properties": { "x": { "type": "integer" } }, "required": ["x"] } } }]);
    let schema = json!({ "type": "json_schema", "json_schema": { "name": "n", "strict": true, "schema": {
        "type": "object", "properties": { "a": { "enum": ["b", "c"] } }, "required": ["a"], "additionalProperties": false } } });
    vec![
        (
            "/v1/chat/completions",
            json!({ "messages": messages, "max_tokens": 4, "temperature": 0.7, "top_p": 0.9,
            "seed": 3, "n": 2, "stop": ["x"], "logprobs": true, "top_logprobs": 2, "logit_bias": { "5": 1.5 } }),
        ),
        (
            "/v1/chat/completions",
            json!({ "messages": messages, "max_tokens": 4, "stream": true, "tools": tool,
            "tool_choice": "auto", "stream_options": { "include_usage": true } }),
        ),
        ("/v1/chat/completions", json!({ "messages": messages, "max_tokens": 8, "response_format": schema })),
        (
            "/v1/completions",
            json!({ "prompt": ["The town", "A river"], "max_tokens": 4, "echo": true, "logprobs": 2,
            "best_of": 2, "presence_penalty": 0.5, "frequency_penalty": -0.5 }),
        ),
        ("/v1/completions", json!({ "prompt": [1, 2, 3], "max_tokens": 4, "stream": true })),
        ("/v1/embeddings", json!({ "input": ["one", "two"], "encoding_format": "base64" })),
        ("/v1/responses", json!({ "input": messages, "max_output_tokens": 4, "instructions": "Short." })),
        (
            "/v1/messages",
            json!({ "messages": [{ "role": "user", "content": [{ "type": "text", "text": "Hi" }] }],
            "max_tokens": 4, "system": "Be kind.", "stop_sequences": ["x"] }),
        ),
        ("/tokenize", json!({ "prompt": "砚 town", "add_special_tokens": true })),
        ("/detokenize", json!({ "tokens": [1, 2, 3] })),
    ]
}

/// The request with one of its values replaced.
fn odd_value(good: &Value, draws: &mut Draws) -> Vec<u8> {
    let mut body = good.clone();
    let places = count(&body);
    let odd = odd(draws);
    replace(&mut body, &mut draws.below(places), &odd);
    body.to_string().into_bytes()
}

fn odd(draws: &mut Draws) -> Value {
    let deep = |levels: usize| (0..levels).fold(json!(1), |inside, _| json!([inside]));
    match draws.below(14) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(-1),
        3 => json!(u64::MAX),
        4 => json!(1e308),
        5 => json!(0),
        6 => json!(""),
        7 => json!("\u{0}\u{feff}\u{202e}砚🜁"),
        8 => json!("a ".repeat(20_000)),
        9 => json!({}),
        10 => json!([]),
        11 => deep(100),
        12 => Value::from((0..3000).collect::<Vec<u32>>()),
        _ => json!({ "type": "object", "$ref": "#", "pattern": "(a*)*$", "role": "user", "content": "x" }),
    }
}

/// Values in a value, itself counted.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(fields) => fields.values().map(count).sum(),
        _ => 0,
    }
}

/// Replaces the value of number `left`, in order of depth first.
fn replace(value: &mut Value, left: &mut usize, odd: &Value) -> bool {
    if *left == 0 {
        *value = odd.clone();
        return true;
    }
    *left -= 1;
    match value {
        Value::Array(items) => items.iter_mut().any(|item| replace(item, left, odd)),
        Value::Object(fields) => fields.values_mut().any(|field| replace(field, left, odd)),
        _ => false,
    }
}

/// The request's bytes with a few of: a flipped bit, a cut end, a repeated piece, a missing piece, bytes that parsers dislike.
fn damaged(good: &Value, draws: &mut Draws) -> Vec<u8> {
    let mut bytes = good.to_string().into_bytes();
    for _ in 0..=draws.below(3) {
        let at = draws.below(bytes.len() + 1);
        let end = at + draws.below(bytes.len() - at + 1);
        match draws.below(5) {
            0 if at < bytes.len() => bytes[at] ^= 1 << draws.below(8),
            1 => bytes.truncate(at),
            2 => bytes.extend_from_within(at..end),
            3 => drop(bytes.drain(at..end)),
            _ => {
                let nasty: [&[u8]; 6] = [b"\0", b"\xff\xff", b"\\ud83d", b"[[[[[[[[", b"-1e999", b"\"}\n{"];
                bytes.splice(at..at, nasty[draws.below(6)].iter().copied());
            }
        }
    }
    bytes
}

/// The status of the answer, which is read to its end.
fn ask(address: &str, path: &str, body: &[u8]) -> Result<u16> {
    let mut stream = TcpStream::connect(address.trim_start_matches("http://"))?;
    stream.set_read_timeout(Some(Duration::from_mins(1)))?;
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {KEY}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).context("reading the answer")?;
    let line = String::from_utf8_lossy(&answer[..answer.len().min(64)]).into_owned();
    line.split(' ').nth(1).and_then(|status| status.parse().ok()).with_context(|| format!("no status in {line:?}"))
}
