//! `cargo xtask load`: many clients at once, some slow, some cut off, some with garbage.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::program::Program;
use crate::served::{KEY, ModelArguments, Served};
use crate::{Verdict, repo};

/// Of the memory between the first quarter and the end, at most this much may be added.
const GROWTH: f64 = 1.1;

/// How hard.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    /// Clients
    #[arg(long, default_value_t = 200)]
    clients: u64,
    /// Seconds
    #[arg(long, default_value_t = 300)]
    seconds: u64,
}

/// What clients met.
#[derive(Debug, Default)]
struct Met {
    answered: AtomicU64,
    refused: AtomicU64,
    cut: AtomicU64,
    /// Connections that ended without an answer that was owed.
    lost: AtomicU64,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Verdict> {
    let (program, scratch) = (Program::build()?, repo::scratch("load")?);
    let model = arguments.model.folder(&program, &scratch)?;
    let served = Served::start(&program, &model, &scratch, &["--cache-memory", "64"])?;
    let (met, over) = (Met::default(), AtomicBool::new(false));
    let time = Duration::from_secs(arguments.seconds);
    let (early, late) = std::thread::scope(|scope| {
        for client in 0..arguments.clients {
            let (address, met, over) = (&served.address, &met, &over);
            scope.spawn(move || {
                for turn in 0.. {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    act(address, client + turn * 7, met);
                }
            });
        }
        std::thread::sleep(time / 4);
        let early = served.bytes();
        std::thread::sleep(time / 4 * 3);
        let late = served.bytes();
        over.store(true, Ordering::Relaxed);
        (early, late)
    });
    judge(&served, &met, (early?, late?))
}

fn judge(served: &Served, met: &Met, (early, late): (u64, u64)) -> Result<Verdict> {
    let begin = Instant::now();
    let held = loop {
        let metrics =
            talk(&served.address, &request("GET", "/metrics", ""), usize::MAX).context("asking for metrics")?;
        let line = metrics.lines().find(|line| line.starts_with("inkstone_blocks_held{")).unwrap_or_default();
        let held = line.rsplit(' ').next().unwrap_or_default().to_owned();
        if held == "0" || begin.elapsed() > Duration::from_secs(30) {
            break held;
        }
    };
    let count = |n: &AtomicU64| n.load(Ordering::Relaxed);
    println!(
        "answered {}, refused {}, cut off {}, lost {}",
        count(&met.answered),
        count(&met.refused),
        count(&met.cut),
        count(&met.lost)
    );
    println!("memory {} MiB early, {} MiB late; blocks held at the end: {held}", early >> 20, late >> 20);
    let flat = late as f64 <= early as f64 * GROWTH + f64::from(16 << 20);
    Ok((flat && !served.panicked() && held == "0" && count(&met.lost) == 0 && count(&met.answered) > 0).into())
}

fn request(verb: &str, path: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{verb} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {KEY}\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

/// One client's turn; which kind it is follows from its number.
fn act(address: &str, number: u64, met: &Met) {
    let prompt = format!(
        "{{\"prompt\": \"The town {number}\", \"max_tokens\": 40, \"stream\": {}, \"n\": 2}}",
        number.is_multiple_of(2)
    );
    let whole = request("POST", "/v1/completions", &prompt);
    let outcome = match number % 8 {
        // Goes away in the middle of an answer, or of its own question.
        0 => talk(address, &whole, 300).map(|_| &met.cut),
        1 => talk(address, &whole[..whole.len() / 2], 0).map(|_| &met.cut),
        // Garbage: no HTTP, no JSON, no sense.
        2 => talk(address, "\u{0}\u{1}\u{2}garbage\r\n\r\n", usize::MAX).map(|_| &met.refused),
        3 => talk(address, &request("POST", "/v1/chat/completions", "{\"messages\": [[[[{"), usize::MAX)
            .map(|_| &met.refused),
        // Reads slowly.
        4 => slowly(address, &whole).map(|answer| kind(&answer, met)),
        _ => talk(address, &whole, usize::MAX).map(|answer| kind(&answer, met)),
    };
    outcome.unwrap_or(&met.lost).fetch_add(1, Ordering::Relaxed);
}

fn kind<'a>(answer: &str, met: &'a Met) -> &'a AtomicU64 {
    match answer.split(' ').nth(1) {
        Some("200") => &met.answered,
        Some("429" | "503") => &met.refused,
        _ => &met.lost,
    }
}

fn connect(address: &str, request: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address.trim_start_matches("http://"))?;
    stream.set_read_timeout(Some(Duration::from_mins(2)))?;
    stream.write_all(request.as_bytes())?;
    Ok(stream)
}

/// Sends, and reads at most so many bytes of the answer.
fn talk(address: &str, request: &str, most: usize) -> Result<String> {
    let mut bytes = Vec::new();
    connect(address, request)?.take(most as u64).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn slowly(address: &str, request: &str) -> Result<String> {
    let (mut stream, mut bytes, mut some) = (connect(address, request)?, Vec::new(), [0; 256]);
    loop {
        match stream.read(&mut some)? {
            0 => return Ok(String::from_utf8_lossy(&bytes).into_owned()),
            n => bytes.extend(&some[..n]),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
