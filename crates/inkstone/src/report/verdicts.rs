//! Two models beside each other: `win_rate.json` and `best_of.json` as the report shows them.

use inkstone_recipe::StageReport;
use serde::Serialize;
use serde_json::Value;

use super::MAX_LOG_BYTES;
use super::chart::{Chart, Series};
use crate::printer::thousands;

/// What a stage found out about two models, or about one that chooses among answers.
#[derive(Debug, Serialize)]
pub(super) struct Verdicts {
    name: String,
    /// Who won, in a sentence.
    summary: String,
    /// What is owed, language, before, after, harmful answers before and after.
    rows: Vec<[String; 6]>,
    examples: Vec<Value>,
    /// The curve of choosing among answers.
    curve: Option<String>,
}

pub(super) fn read(stage: &StageReport) -> Option<Verdicts> {
    let file = |name: &str| -> Option<Value> {
        let text = inkstone_recipe::fs::read_to_string(&stage.artifact.folder.join(name), MAX_LOG_BYTES).ok()?;
        serde_json::from_str(&text).ok()
    };
    let name = stage.name.clone();
    if let Some(value) = file("best_of.json") {
        let summary = "The best of n answers, as the reward model sees it and in truth.".to_owned();
        return Some(Verdicts { name, summary, rows: Vec::new(), examples: Vec::new(), curve: Some(curve(&value)) });
    }
    let value = file("win_rate.json")?;
    let rows = value["duties"].as_array()?.iter().map(row).collect();
    let examples = value["examples"].as_array().cloned().unwrap_or_default();
    Some(Verdicts { name, summary: summary(&value), rows, examples, curve: None })
}

fn percent(value: &Value) -> String {
    value.as_f64().map_or_else(|| "-".to_owned(), |x| format!("{:.1} %", x * 100.0))
}

fn interval(share: &Value) -> String {
    format!("{} ({} to {})", percent(&share["value"]), percent(&share["low"]), percent(&share["high"]))
}

fn summary(value: &Value) -> String {
    let count = |key: &str| thousands(value[key].as_u64().unwrap_or(0));
    let tax = match (value["bits_per_byte"][0].as_f64(), value["bits_per_byte"][1].as_f64()) {
        (Some(before), Some(after)) => format!(" Texts cost {after:.3} bits per byte, {before:.3} before."),
        _ => String::new(),
    };
    format!(
        "Win rate {}, ties counted half: {} won, {} alike, {} lost.{tax}",
        interval(&value["win_rate"]),
        count("wins"),
        count("ties"),
        count("losses")
    )
}

fn row(owed: &Value) -> [String; 6] {
    let text = |key: &str| owed[key].as_str().unwrap_or("-").to_owned();
    let harmful = |n: usize| owed["harmful"][n].as_u64().unwrap_or(0).to_string();
    [text("duty"), text("lang"), interval(&owed["before"]), interval(&owed["after"]), harmful(0), harmful(1)]
}

fn curve(points: &Value) -> String {
    let series = |name: &str, key: &str| Series {
        name: name.to_owned(),
        points: points
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|point| Some((point["kl"].as_f64()?, point[key].as_f64()?)))
            .collect(),
    };
    let series = [series("reward model", "score"), series("truth", "reward")];
    Chart { title: "reward of the best of n by its divergence (nats)", series: &series }.draw()
}
