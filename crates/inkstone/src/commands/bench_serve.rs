//! `inkstone bench serve`: streams of a server that speaks OpenAI's API, ours or another one.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use inkstone_recipe::Progress as _;
use serde_json::{Value, json};

use crate::cli::serve::BenchServe;
use crate::hint::hinted;
use crate::printer::Printer;

/// A server that says nothing for so long is given up.
const PATIENCE: Duration = Duration::from_mins(5);

/// One answer.
struct Answer {
    first: f64,
    seconds: f64,
    tokens: usize,
    /// Tokens of the prompt, and those that were computed before.
    prompt: (usize, usize),
    text: String,
}

pub(crate) fn bench_serve(args: &BenchServe, printer: &Printer) -> anyhow::Result<ExitCode> {
    let task = printer.task("answers", Some(args.requests as u64), "answers");
    let (next, done, begin) = (AtomicUsize::new(0), AtomicUsize::new(0), Instant::now());
    let work = || -> anyhow::Result<Vec<Answer>> {
        let mut answers = Vec::new();
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            if n >= args.requests {
                return Ok(answers);
            }
            answers.push(ask(args, n)?);
            task.set(done.fetch_add(1, Ordering::Relaxed) as u64 + 1);
        }
    };
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..args.streams.max(1)).map(|_| scope.spawn(work)).collect();
        let outcomes =
            threads.into_iter().map(|thread| thread.join().map_err(|_| anyhow::anyhow!("a client failed"))?);
        outcomes.collect::<anyhow::Result<Vec<_>>>().map(|all| all.into_iter().flatten().collect())
    })?;
    drop(task);
    report(args, &answers, begin.elapsed().as_secs_f64(), printer)
}

fn report(args: &BenchServe, answers: &[Answer], seconds: f64, printer: &Printer) -> anyhow::Result<ExitCode> {
    let tokens: usize = answers.iter().map(|answer| answer.tokens).sum();
    let mut firsts: Vec<f64> = answers.iter().map(|answer| answer.first).collect();
    firsts.sort_by(f64::total_cmp);
    let share = |p: f64| firsts.get(((firsts.len() as f64 * p) as usize).min(firsts.len().saturating_sub(1))).copied();
    // Over all together: an answer that comes in one piece has no time after its first token.
    let behind: usize = answers.iter().map(|answer| answer.tokens.saturating_sub(1)).sum();
    let each = behind as f64 / answers.iter().map(|answer| answer.seconds - answer.first).sum::<f64>().max(1e-9);
    let bytes: usize = answers.iter().map(|answer| answer.text.len()).sum();
    let prompt: usize = answers.iter().map(|answer| answer.prompt.0).sum();
    let computed = prompt - answers.iter().map(|answer| answer.prompt.1).sum::<usize>().min(prompt);
    let report = json!({
        "prompt_tokens": prompt, "prompt_tokens_computed": computed, "tokens_per_second": tokens as f64 / seconds, "tokens_per_second_each": each, "tokens": tokens, "bytes": bytes,
        "seconds": seconds, "requests": answers.len(), "streams": args.streams,
        "first_token_seconds": share(0.5), "first_token_seconds_p95": share(0.95),
    });
    if args.json {
        printer.json(&report)?;
        return Ok(ExitCode::SUCCESS);
    }
    printer.data(&format!(
        "{:.1} tokens/s together, {each:.1} in each of {} streams",
        tokens as f64 / seconds,
        args.streams
    ))?;
    let milliseconds = |p: f64| share(p).unwrap_or(f64::NAN) * 1000.0;
    printer.data(&format!(
        "first token after {:.0} ms (median), {:.0} ms (p95)",
        milliseconds(0.5),
        milliseconds(0.95)
    ))?;
    printer.data(&format!("{tokens} tokens in {} answers, {seconds:.1} s", answers.len()))?;
    printer.data(&format!("{computed} of {prompt} tokens of prompts computed, the others shared"))?;
    Ok(ExitCode::SUCCESS)
}

impl Answer {
    /// Takes note of a chunk's numbers of tokens, where it has them.
    fn count(&mut self, usage: &Value) {
        let number = |value: &Value, before: usize| value.as_u64().map_or(before, |n| n as usize);
        self.tokens = number(&usage["completion_tokens"], self.tokens);
        let cached = &usage["prompt_tokens_details"]["cached_tokens"];
        self.prompt = (number(&usage["prompt_tokens"], self.prompt.0), number(cached, self.prompt.1));
    }
}

/// The prompt of request `n`: the shared beginning, then words of its own.
fn prompt(args: &BenchServe, n: usize) -> String {
    let words = |count: usize, salt: usize| {
        let word =
            |i: usize| ["the", "town", "of", "a", "river", "and", "its", "baker"][(i * 7 + salt * 3 + i / 5) % 8];
        (0..count).map(word).collect::<Vec<_>>().join(" ")
    };
    format!("{} {n} {}", words(args.shared_words, 0), words(args.words, n))
}

fn ask(args: &BenchServe, n: usize) -> anyhow::Result<Answer> {
    let body = json!({
        "model": args.model, "prompt": prompt(args, n), "max_tokens": args.max_tokens, "temperature": 0, "stream": true,
        "ignore_eos": true, "stream_options": { "include_usage": true },
    });
    let begin = Instant::now();
    let mut lines = BufReader::new(send(args, &body.to_string())?).lines();
    let status = lines.next().context("the server said nothing")??;
    if status.split(' ').nth(1) != Some("200") {
        let last = lines.map_while(Result::ok).last().unwrap_or_default();
        return Err(hinted(
            format!("{status}: {last}"),
            "is it a server of OpenAI's API, and is --model one of its models?",
        ));
    }
    let mut answer = Answer { first: f64::NAN, seconds: 0.0, tokens: 0, prompt: (0, 0), text: String::new() };
    let mut pieces = 0;
    for line in lines {
        let line = line?;
        let Some(data) = line.strip_prefix("data: ") else { continue };
        if data == "[DONE]" {
            break;
        }
        let chunk: Value = serde_json::from_str(data)?;
        if let Some(text) = chunk["choices"][0]["text"].as_str().filter(|text| !text.is_empty()) {
            if pieces == 0 {
                answer.first = begin.elapsed().as_secs_f64();
            }
            pieces += 1;
            answer.text.push_str(text);
        }
        answer.count(&chunk["usage"]);
    }
    answer.seconds = begin.elapsed().as_secs_f64();
    answer.tokens = answer.tokens.max(pieces);
    if answer.first.is_nan() {
        answer.first = answer.seconds;
    }
    Ok(answer)
}

fn send(args: &BenchServe, body: &str) -> anyhow::Result<TcpStream> {
    let host = args.url.trim_start_matches("http://").trim_end_matches('/');
    let stream = TcpStream::connect(host).with_context(|| format!("connecting to {host}"));
    let mut stream = stream.map_err(|error| hinted(format!("{error:#}"), "start one with `inkstone serve`"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let key = args.api_key.as_ref().map(|key| format!("Authorization: Bearer {key}\r\n")).unwrap_or_default();
    let length = body.len();
    // HTTP/1.0, so that the answer comes without chunks.
    let head = format!(
        "POST /v1/completions HTTP/1.0\r\nHost: {host}\r\nContent-Type: application/json\r\n{key}Content-Length: {length}\r\n\r\n"
    );
    stream.write_all((head + body).as_bytes())?;
    Ok(stream)
}
