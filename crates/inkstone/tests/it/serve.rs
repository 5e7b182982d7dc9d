//! The server as its clients meet it: bytes over a socket.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::Place;

/// A running server; it ends when this is dropped.
struct Served {
    child: Child,
    address: String,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Served {
    fn start(place: &Place, arguments: &[&str]) -> Self {
        let mut command = place.command(&["serve", "-m", "tiny=tiny/model", "--port", "0"]);
        let mut child = command.args(arguments).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let listening = lines.next().unwrap().unwrap();
        let address = listening.split("://").nth(1).unwrap().to_owned();
        assert!(lines.any(|line| line.unwrap().contains("ready")), "it never got ready");
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    fn send(&self, path: &str, headers: &str, body: &str) -> TcpStream {
        let mut stream = self.connect();
        let verb = if body.is_empty() { "GET" } else { "POST" };
        let length = body.len();
        let head = format!(
            "{verb} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
        );
        stream.write_all((head + body).as_bytes()).unwrap();
        stream
    }

    /// Status, headers and body, chunks put together.
    fn ask(&self, path: &str, headers: &str, body: &str) -> (u16, String, String) {
        let mut text = String::new();
        self.send(path, headers, body).read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let chunked = head.to_lowercase().contains("transfer-encoding: chunked");
        (status, head.to_lowercase(), if chunked { unchunked(body) } else { body.to_owned() })
    }

    fn json(&self, path: &str, body: &Value) -> (u16, Value) {
        let (status, _, text) = self.ask(path, "", &body.to_string());
        (status, serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")))
    }

    fn metric(&self, name: &str) -> f64 {
        let text = self.ask("/metrics", "", "").2;
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in {text}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }
}

fn unchunked(body: &str) -> String {
    let (mut out, mut rest) = (Vec::new(), body.as_bytes());
    while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        out.extend(&rest[end + 2..end + 2 + size]);
        rest = &rest[end + 4 + size..];
    }
    String::from_utf8(out).unwrap()
}

fn question() -> Value {
    json!({ "messages": [{ "role": "user", "content": "Who?" }], "max_tokens": 12, "seed": 4, "temperature": 1.0 })
}

#[test]
fn programs_are_answered_or_refused_properly() {
    let place = Place::trained();
    let served = Served::start(&place, &[]);
    let with = |name: &str, value: Value| {
        let mut asked = question();
        asked[name] = value;
        asked
    };
    let (status, whole) = served.json("/v1/chat/completions", &question());
    assert_eq!((status, &whole["object"]), (200, &json!("chat.completion")));
    let said = whole["choices"][0]["message"]["content"].as_str().unwrap();

    let (_, _, events) = served.ask("/v1/chat/completions", "", &with("stream", true.into()).to_string());
    let data: Vec<&str> = events.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    assert_eq!(data.last(), Some(&"[DONE]"));
    let chunks = data[..data.len() - 1].iter().map(|data| serde_json::from_str::<Value>(data).unwrap());
    let streamed: String =
        chunks.filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str().map(str::to_owned)).collect();
    assert_eq!(streamed, said, "the same seed says the same, whole or in pieces");

    for (path, body, status, part) in [
        ("/v1/chat/completions", with("model", "none".into()), 404, "model_not_found"),
        ("/v1/chat/completions", with("temperature", 5.into()), 400, "temperature"),
        ("/v1/chat/completions", with("reasoning_effort", "low".into()), 400, "unsupported_parameter"),
        ("/v1/chat/completions", with("messages", json!([])), 400, "messages"),
        ("/v1/chat/completions", with("tool_choice", json!({ "function": { "name": "f" } })), 200, "choices"),
        ("/v1/chat/completions", with("response_format", json!({ "type": "xml" })), 400, "response_format"),
        ("/v1/chat/completions", with("anything_else", 1.into()), 200, "choices"),
        ("/v1/completions", json!({ "prompt": [1, 99_999_999] }), 400, "vocabulary"),
        ("/v1/completions", json!({ "prompt": "a", "suffix": "b" }), 400, "suffix"),
        ("/v1/embeddings", json!({ "input": [] }), 400, "input"),
        ("/detokenize", json!({ "tokens": [99_999_999] }), 400, "99999999"),
        ("/v1/nowhere", json!({ "a": 1 }), 404, "openapi"),
        ("/health", json!({ "a": 1 }), 405, "methods"),
    ] {
        let (got, answer) = served.json(path, &body);
        assert_eq!(got, status, "{path} {body}: {answer}");
        assert!(answer.to_string().contains(part), "{path} {body}: no {part} in {answer}");
    }
    let (status, _, text) = served.ask("/v1/completions", "", "{\"prompt\": \u{0}garbage");
    assert_eq!(status, 400, "{text}");
    served.connect().write_all(b"\x16\x03\x01 not http at all\r\n\r\n").unwrap();
    assert_eq!(served.ask("/", "", "").0, 200);
    assert_eq!(served.metric("inkstone_blocks_held"), 0.0);
}

#[test]
fn a_schema_and_a_call_come_out_whatever_the_model_would_say() {
    let place = Place::trained();
    let served = Served::start(&place, &[]);
    let schema = json!({
        "type": "object", "properties": { "n": { "type": "integer", "minimum": 0, "maximum": 9 } }, "required": ["n"],
        "additionalProperties": false,
    });
    let mut asked = question();
    asked["max_tokens"] = 40.into();
    asked["response_format"] = json!({ "type": "json_schema", "json_schema": { "name": "x", "schema": schema } });
    let (_, answer) = served.json("/v1/chat/completions", &asked);
    let text = answer["choices"][0]["message"]["content"].as_str().unwrap();
    let value: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert!(value["n"].as_u64().is_some_and(|n| n < 10), "{value}");
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
}

#[test]
fn who_goes_away_leaves_nothing_behind() {
    let place = Place::trained();
    let served = Served::start(&place, &[]);
    let endless = json!({
        "prompt": "The", "max_tokens": 60, "ignore_eos": true, "n": 16, "stream": true, "temperature": 1.0,
    });
    for _ in 0..4 {
        let mut stream = served.send("/v1/completions", "", &endless.to_string());
        let mut some = [0; 64];
        let _ = stream.read(&mut some);
        let _ = stream.shutdown(Shutdown::Both);
    }
    let begin = Instant::now();
    while served.metric("inkstone_sequences_running") + served.metric("inkstone_blocks_held") > 0.0 {
        assert!(begin.elapsed() < Duration::from_secs(20), "blocks are stuck");
    }
}

/// Bodies of every route, to be damaged.
fn bodies() -> Vec<(&'static str, Value)> {
    let messages = json!([{ "role": "user", "content": [{ "type": "text", "text": "Who?" }] }]);
    let tools = json!([{ "type": "function", "function": { "name": "f", "parameters": { "type": "object" } } }]);
    let bias = json!({ "5": -3.5 });
    vec![
        (
            "/v1/chat/completions",
            json!({ "messages": messages, "max_tokens": 3, "tools": tools, "stop": ["a", "b"], "top_logprobs": 2, "logprobs": true }),
        ),
        (
            "/v1/completions",
            json!({ "prompt": [[1, 2], [3]], "max_tokens": 2, "echo": true, "logprobs": 1, "logit_bias": bias }),
        ),
        ("/v1/embeddings", json!({ "input": ["one", "two"], "encoding_format": "base64" })),
        ("/v1/responses", json!({ "input": "Who?", "max_output_tokens": 3, "instructions": "Be brief." })),
        (
            "/v1/messages",
            json!({ "messages": [{ "role": "user", "content": "Who?" }], "max_tokens": 3, "system": "Be brief." }),
        ),
        ("/tokenize", json!({ "prompt": "砚 and ink", "add_special_tokens": false })),
        ("/detokenize", json!({ "tokens": [5, 6, 7] })),
    ]
}

#[test]
fn damaged_bodies_are_answered_or_refused_and_nothing_breaks() {
    let place = Place::trained();
    let served = Served::start(&place, &[]);
    let mut draw = 7_u64;
    let mut below = |n: usize| {
        draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (draw >> 33) as usize % n.max(1)
    };
    let pieces = [
        "null",
        "-1",
        "1e999",
        "[]",
        "{}",
        "\"\"",
        "true",
        "99999999999999999999",
        "\"\\ud800\"",
        ",",
        "}",
        "[[[[[[[[",
    ];
    for (path, body) in bodies().iter().cycle().take(280) {
        let mut text = body.to_string();
        for _ in 0..=below(2) {
            let places: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
            let (from, to) = (places[below(places.len())], places[below(places.len())]);
            let (from, to) = (from.min(to), from.max(to));
            let to = places.iter().copied().filter(|&at| at <= from + 12).fold(from, usize::max).min(to);
            text.replace_range(from..to, pieces[below(pieces.len())]);
        }
        let text: String = text.chars().filter(|c| c.is_ascii() || c.is_alphanumeric()).collect();
        let (status, _, answer) = served.ask(path, "", &text);
        assert!(status < 500, "{path} {text}: {status} {answer}");
    }
    assert_eq!(served.ask("/health", "", "").0, 200);
    assert_eq!(served.metric("inkstone_blocks_held"), 0.0);
}

#[test]
fn pages_of_other_origins_are_let_in_only_when_asked() {
    let place = Place::trained();
    let theirs = "Origin: https://notes.example\r\n";
    let closed = Served::start(&place, &[]);
    let (_, head, _) = closed.ask("/v1/models", theirs, "");
    assert!(!head.contains("access-control-allow-origin"), "{head}");
    let open = Served::start(&place, &["--cors", "https://notes.example"]);
    let (status, head, _) = open.ask("/v1/models", theirs, "");
    assert_eq!(status, 200);
    assert!(head.contains("access-control-allow-origin: https://notes.example"), "{head}");
    let (_, head, _) = open.ask("/v1/models", "Origin: https://other.example\r\n", "");
    assert!(!head.contains("access-control-allow-origin"), "{head}");
    let mut stream = open.connect();
    let asked =
        "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization, content-type\r\n";
    let preflight =
        format!("OPTIONS /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{theirs}{asked}\r\n");
    stream.write_all(preflight.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let answer = answer.to_lowercase();
    assert!(answer.starts_with("http/1.1 2") && answer.contains("access-control-allow-headers"), "{answer}");
}

#[test]
#[expect(clippy::print_stderr, reason = "says that it tests nothing")]
fn with_a_certificate_nothing_goes_in_the_clear() {
    if std::process::Command::new("curl").arg("--version").output().is_err() {
        eprintln!("skipped: no curl");
        return;
    }
    let place = Place::trained();
    let tls = |name: &str| format!("{}/../../fixtures/tls/{name}", env!("CARGO_MANIFEST_DIR"));
    let (cert, key) = (tls("cert.pem"), tls("key.pem"));
    let served = Served::start(&place, &["--tls-cert", &cert, "--tls-key", &key]);
    let url = format!("https://{}/health", served.address);
    let asked =
        |arguments: &[&str]| std::process::Command::new("curl").args(["-s", &url]).args(arguments).output().unwrap();
    let trusted = asked(&["--cacert", &cert]);
    assert!(trusted.status.success(), "{trusted:?}");
    assert!(!asked(&[]).status.success(), "an unknown certificate was taken");
    let mut stream = served.connect();
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(!answer.windows(4).any(|bytes| bytes == b"HTTP"), "answered in the clear");
    place.fails(&["serve", "-m", "tiny/model", "--tls-cert", &key, "--tls-key", &cert], &["no items found", "PEM"]);
}

#[test]
fn keys_limits_and_the_way_down() {
    let place = Place::trained();
    place.write("keys.txt", "# one key\nsesame-sesame-sesame\n");
    place.fails(&["serve", "-m", "tiny/model", "--host", "0.0.0.0"], &["0.0.0.0", "no key", "--api-key"]);
    place.fails(&["serve", "-m", "a=tiny/model", "-m", "a=tiny/model"], &["two models are called a", "NAME=MODEL"]);
    place.write("short.txt", "short\n");
    place.fails(&["serve", "-m", "tiny/model", "--api-key", "short.txt"], &["line 1", "fewer than 16"]);
    let mut served = Served::start(&place, &["--api-key", "keys.txt", "--requests-per-minute", "3"]);
    let key = "Authorization: Bearer sesame-sesame-sesame\r\n";
    assert_eq!(served.ask("/v1/models", "", "").0, 401);
    assert_eq!(served.ask("/v1/models", "Authorization: Bearer sesame\r\n", "").0, 401);
    assert_eq!(served.ask("/health", "", "").0, 200);
    for _ in 0..3 {
        assert_eq!(served.ask("/v1/models", key, "").0, 200);
    }
    let (status, head, _) = served.ask("/v1/models", key, "");
    assert_eq!(status, 429);
    assert!(head.contains("retry-after: "), "{head}");
    let asked = std::process::Command::new("kill").args(["-INT", &served.child.id().to_string()]).status().unwrap();
    assert!(asked.success());
    assert_eq!(served.child.wait().unwrap().code(), Some(0));
}
