//! Models side by side: a table, and their bits per byte as bars with intervals.

use std::fmt::Write;

use inkstone_recipe::StageReport;
use serde::Serialize;
use serde_json::Value;

use crate::printer::{bytes, duration, short, thousands};

/// What the report shows of a `compare` stage.
#[derive(Debug, Serialize)]
pub(super) struct Comparison {
    name: String,
    over: String,
    rows: Vec<Row>,
    chart: String,
}

/// A model or a mixture.
#[derive(Debug, Serialize)]
struct Row {
    name: String,
    kind: String,
    bits: String,
    interval: String,
    perplexity: String,
    parameters: String,
    size: String,
    seconds: String,
    speed: String,
    #[serde(skip)]
    bar: [f64; 3],
}

pub(super) fn comparison(stage: &StageReport, stages: &[StageReport]) -> Option<Comparison> {
    let path = stage.artifact.folder.join(inkstone_eval::COMPARISON_FILE);
    let text = inkstone_recipe::fs::read_to_string(&path, super::MAX_LOG_BYTES).ok()?;
    let value: Value = serde_json::from_str(&text).ok()?;
    let models = value["models"].as_array()?;
    let rows = models.iter().map(|model| model_row(model, stage, stages));
    let rows: Vec<Row> = rows.chain(value["mixtures"].as_array()?.iter().map(mixture_row)).collect();
    let figures = &models.first()?["figures"];
    let number = |key: &str| figures[key].as_u64().unwrap_or(0);
    Some(Comparison {
        name: stage.name.clone(),
        over: format!("{} held-out tokens, {}", thousands(number("tokens")), bytes(number("bytes"))),
        chart: draw(&rows),
        rows,
    })
}

fn model_row(model: &Value, stage: &StageReport, stages: &[StageReport]) -> Row {
    let name = model["name"].as_str().unwrap_or_default();
    let made = stages.iter().find(|other| other.name == name);
    let metric = |key: &str| made?.artifact.manifest.metrics.get(key)?.as_f64();
    let speed = stage.artifact.manifest.metrics.get(&format!("{name} tokens_per_second")).and_then(Value::as_f64);
    let text = |value: Option<String>| value.unwrap_or_default();
    Row {
        kind: model["kind"].as_str().unwrap_or_default().to_owned(),
        parameters: text(metric("parameters").or_else(|| metric("ngrams")).map(short)),
        size: text(made.map(|made| bytes(weights(made)))),
        seconds: text(made.map(|made| duration(seconds(made, stages)))),
        speed: text(speed.map(|speed| format!("{}/s", short(speed)))),
        ..row(name.to_owned(), &model["figures"])
    }
}

fn mixture_row(mixture: &Value) -> Row {
    let names = mixture["models"].as_array().into_iter().flatten();
    let weights = mixture["weights"].as_array().into_iter().flatten();
    let part = |(name, weight): (&Value, &Value)| {
        format!("{:.2} {}", weight.as_f64().unwrap_or(f64::NAN), name.as_str().unwrap_or_default())
    };
    let name = names.zip(weights).map(part).collect::<Vec<_>>().join(" + ");
    Row { kind: "mixture".to_owned(), ..row(name, &mixture["figures"]) }
}

/// What models and mixtures have both.
fn row(name: String, figures: &Value) -> Row {
    let number = |key: &str| figures[key].as_f64().unwrap_or(f64::NAN);
    let bar = [number("bits_per_byte_low"), number("bits_per_byte"), number("bits_per_byte_high")];
    Row {
        name,
        kind: String::new(),
        bits: format!("{:.3}", bar[1]),
        interval: format!("{:.3} to {:.3}", bar[0], bar[2]),
        perplexity: format!("{:.1}", number("perplexity")),
        parameters: String::new(),
        size: String::new(),
        seconds: String::new(),
        speed: String::new(),
        bar,
    }
}

/// Bytes of what a model is, without its tokenizer and its own records.
fn weights(stage: &StageReport) -> u64 {
    let is_model = |name: &str| matches!(name.rsplit_once('.'), Some((_, "safetensors" | "ngram")));
    stage.artifact.manifest.files.iter().filter(|file| is_model(&file.path)).map(|file| file.bytes).sum()
}

/// Seconds that a model took, with those of the word vectors that it was made from.
fn seconds(stage: &StageReport, stages: &[StageReport]) -> f64 {
    let made = |other: &&StageReport| {
        let manifest = &other.artifact.manifest;
        manifest.kind == "word2vec" && stage.artifact.manifest.inputs.values().any(|input| *input == manifest.id())
    };
    let before: f64 = stages.iter().filter(made).map(|other| other.artifact.manifest.cost.seconds).sum();
    before + stage.artifact.manifest.cost.seconds
}

const WIDTH: f64 = 640.0;
const LINE: f64 = 40.0;
const TOP: f64 = 30.0;
const RIGHT: f64 = 64.0;

/// The bars of models and mixtures.
fn draw(rows: &[Row]) -> String {
    let bar = |row: &Row| Bar {
        name: row.name.clone(),
        class: if row.kind == "mixture" { "dot1" } else { "dot0" },
        ends: row.bar,
        label: row.bits.clone(),
    };
    let bars: Vec<Bar> = rows.iter().map(bar).collect();
    draw_bars("bits per byte of held-out text (less is better), with 95 % intervals", &bars)
}

/// How often the models of the recipe are right about examples, side by side; nothing of fewer than two.
pub(super) fn accuracies(stages: &[StageReport]) -> Option<String> {
    let bar = |stage: &StageReport| {
        let manifest = &stage.artifact.manifest;
        let metric = |key: &str| manifest.metrics.get(key)?.as_f64();
        let ends = [metric("accuracy_low")?, metric("accuracy")?, metric("accuracy_high")?];
        let label = format!("{:.1} %", ends[1] * 100.0);
        matches!(&*manifest.kind, "finetune" | "score").then(|| Bar {
            name: stage.name.clone(),
            class: "dot0",
            ends,
            label,
        })
    };
    let bars: Vec<Bar> = stages.iter().filter_map(bar).collect();
    (bars.len() > 1).then(|| draw_bars("right about held-out examples, with 95 % intervals", &bars))
}

/// A number with its interval.
struct Bar {
    name: String,
    class: &'static str,
    /// Low end, number, high end.
    ends: [f64; 3],
    label: String,
}

/// A bar for each number, from 0 on, with its interval.
fn draw_bars(title: &str, bars: &[Bar]) -> String {
    let height = TOP + LINE * bars.len() as f64;
    let most = bars.iter().map(|bar| bar.ends[2]).filter(|x| x.is_finite()).fold(1e-9, f64::max);
    let scale = (WIDTH - RIGHT) / most;
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{title}\">");
    let _ = write!(svg, "<text class=\"title\" x=\"0\" y=\"14\">{title}</text>");
    for (n, Bar { name, class, ends, label }) in bars.iter().enumerate().filter(|(_, bar)| bar.ends[1].is_finite()) {
        let y = TOP + LINE * n as f64;
        let [low, middle, high] = ends.map(|x| x * scale);
        let _ = write!(svg, "<text x=\"0\" y=\"{:.1}\">{}</text>", y + 11.0, escaped(name));
        let _ = write!(
            svg,
            "<rect class=\"{class}\" x=\"0\" y=\"{:.1}\" width=\"{middle:.1}\" height=\"14\" rx=\"2\"/>\
             <line class=\"whisker\" x1=\"{low:.1}\" x2=\"{high:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/>\
             <text class=\"value\" x=\"{:.1}\" y=\"{:.1}\">{label}</text>",
            y + 16.0,
            y + 23.0,
            y + 23.0,
            high + 6.0,
            y + 28.0
        );
    }
    svg + "</svg>"
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The picture of a `word2vec` stage: the drawing out of its page.
pub(super) fn map(stage: &StageReport) -> Option<String> {
    let path = stage.artifact.folder.join(inkstone_classic::word2vec::MAP_FILE);
    let page = inkstone_recipe::fs::read_to_string(&path, super::MAX_LOG_BYTES).ok()?;
    let (start, end) = (page.find("<svg")?, page.rfind("</svg>")? + "</svg>".len());
    page.get(start..end).map(str::to_owned)
}
