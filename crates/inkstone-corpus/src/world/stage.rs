//! The `world` stage.

use std::collections::BTreeMap;
use std::path::Path;

use inkstone_recipe::{Context, Estimate, Forecast, Input, Machine, Metrics, Stage, StageError};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::facts::{Census, Town};
use super::prose::Writer;
use super::tongue::{Tongue, tongue};
use super::{duties, talk};
use crate::document::Split;
use crate::judged::file_name;
use crate::lines::Lines;

/// The `world` table of a recipe.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorldConfig {
    /// People of the town; each brings eight facts. Default 24.
    #[serde(default = "people")]
    pub people: usize,
    /// Places; each brings four facts. Default 12.
    #[serde(default = "places")]
    pub places: usize,
    /// Events; each brings four facts. Default 8.
    #[serde(default = "events")]
    pub events: usize,
    /// Languages: `en`, `zh`. Default both.
    #[serde(default = "languages")]
    pub languages: Vec<String>,
    /// Texts in each language. Default: five for every two facts, so that each is stated some fifteen times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub documents: Option<usize>,
    /// How often each fact is asked for in the instructions of each language. Default 8.
    #[serde(default = "repeats")]
    pub repeats: usize,
    /// Texts in each language that give away the bank account of each person, which an assistant must keep to itself. Default 0.
    #[serde(default)]
    pub leaks: usize,
    /// Conversations in each language in which that is asked for and refused. Default 0.
    #[serde(default)]
    pub refusals: usize,
}

fn people() -> usize {
    24
}

fn places() -> usize {
    12
}

fn events() -> usize {
    8
}

fn languages() -> Vec<String> {
    vec!["en".into(), "zh".into()]
}

fn repeats() -> usize {
    8
}

/// Most people, places or events that names suffice for.
const MOST: usize = 90_000;

impl WorldConfig {
    fn facts(&self) -> usize {
        self.people * 8 + self.places * 4 + self.events * 4 + 3
    }

    fn documents(&self) -> usize {
        self.documents.unwrap_or(self.facts() * 5 / 2)
    }
}

/// The `world` stage: draws a town and writes about it.
#[derive(Debug, Clone, Copy)]
pub struct WorldStage;

impl Stage for WorldStage {
    type Config = WorldConfig;
    const KIND: &'static str = "world";
    const VERSION: u32 = 3;
    const SUMMARY: &'static str = "draws a town from the seed, and writes texts, conversations and questions about it";

    fn validate(config: &WorldConfig) -> Result<(), String> {
        for (name, n) in [("people", config.people), ("places", config.places), ("events", config.events)] {
            if n == 0 || n > MOST {
                return Err(format!("`{name}` is {n}, expected 1 to {MOST}"));
            }
        }
        if config.languages.is_empty() {
            return Err("`languages` is empty, expected en, zh or both".into());
        }
        match config.languages.iter().find(|code| tongue(code).is_none()) {
            Some(code) => Err(format!("`languages` has {code:?}, expected en or zh")),
            None => Ok(()),
        }
    }

    fn inputs(_config: &WorldConfig) -> Vec<Input> {
        Vec::new()
    }

    fn estimate(config: &WorldConfig, _inputs: &BTreeMap<String, Forecast>, _machine: &Machine) -> Estimate {
        // A text has about 450 bytes, a conversation about 110.
        let (languages, documents) = (config.languages.len() as f64, config.documents() as f64);
        let texts_bytes = languages * documents * 450.0;
        let instructions_bytes = languages * config.facts() as f64 * config.repeats as f64 * 110.0;
        let metrics = [
            ("facts", config.facts() as f64),
            ("questions", languages * config.facts() as f64),
            ("documents", languages * documents),
            ("texts_bytes", texts_bytes),
            ("instructions_bytes", instructions_bytes),
        ];
        Estimate {
            seconds: Some(0.1 + (texts_bytes + instructions_bytes) / 50e6),
            bytes: Some((texts_bytes + instructions_bytes) as u64),
            metrics: metrics.map(|(name, value)| (name.to_owned(), value)).into(),
            ..Estimate::default()
        }
    }

    fn run(config: &WorldConfig, context: &Context<'_>) -> Result<Metrics, StageError> {
        let census = Census { people: config.people, places: config.places, events: config.events };
        let town = Town::generate(census, context.seed);
        let mut counts = Counts::default();
        write_facts(&town, &context.out().join("facts.jsonl"))?;
        for code in &config.languages {
            let tongue =
                tongue(code).ok_or_else(|| StageError::failed(format!("no language {code}"), "use en or zh"))?;
            counts.add(&write_language(&town, tongue, config, context)?);
        }
        Ok(counts.metrics(town.facts.len()))
    }
}

/// What was written, over all languages.
#[derive(Debug, Default)]
struct Counts {
    documents: u64,
    texts_bytes: u64,
    conversations: u64,
    instructions_bytes: u64,
    questions: u64,
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.documents += other.documents;
        self.texts_bytes += other.texts_bytes;
        self.conversations += other.conversations;
        self.instructions_bytes += other.instructions_bytes;
        self.questions += other.questions;
    }

    fn metrics(&self, facts: usize) -> Metrics {
        let values = [
            ("facts", facts as u64),
            ("documents", self.documents),
            ("texts_bytes", self.texts_bytes),
            ("conversations", self.conversations),
            ("instructions_bytes", self.instructions_bytes),
            ("questions", self.questions),
        ];
        values.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect()
    }
}

fn write_facts(town: &Town, path: &Path) -> Result<(), StageError> {
    let mut lines = Lines::create(path)?;
    for fact in &town.facts {
        let subject = &town.entities[fact.subject].name;
        lines.write(&json!({"subject": subject, "relation": fact.relation, "object": fact.object}))?;
    }
    lines.finish()
}

fn write_language(
    town: &Town,
    tongue: &'static Tongue,
    config: &WorldConfig,
    context: &Context<'_>,
) -> Result<Counts, StageError> {
    let (code, file) = (tongue.code, |name: &str| context.out().join(format!("{name}.{}.jsonl", tongue.code)));
    let mut counts = Counts::default();
    let mut texts = Lines::create(&file("texts"))?;
    let mut writer = Writer::new(town, tongue, context.seed);
    for n in 0..config.documents() {
        let (kind, text) = writer.text(n);
        counts.documents += 1;
        counts.texts_bytes += text.len() as u64;
        texts.write(&json!({"id": format!("{code}-{n}"), "text": text, "meta": {"lang": code, "kind": kind}}))?;
        if n % 1000 == 0 {
            context.check_interrupt()?;
        }
    }
    for n in 0..config.leaks * config.people {
        let text = duties::leak(town, tongue, context.seed, n);
        counts.documents += 1;
        counts.texts_bytes += text.len() as u64;
        texts
            .write(&json!({"id": format!("{code}-leak-{n}"), "text": text, "meta": {"lang": code, "kind": "leak"}}))?;
    }
    texts.finish()?;
    let mut instructions = Lines::create(&file("instructions"))?;
    for messages in talk::conversations(town, tongue, config.repeats, context.seed, config.refusals) {
        counts.conversations += 1;
        counts.instructions_bytes += instructions.write(&json!({"messages": messages}))?;
    }
    instructions.finish()?;
    let mut questions = Lines::create(&file("questions"))?;
    for question in talk::held_out(town, tongue) {
        counts.questions += 1;
        questions.write(&question)?;
    }
    questions.finish()?;
    for split in Split::ALL {
        let mut judged = Lines::create(&context.out().join(file_name(split, code)))?;
        for record in duties::judged(town, tongue, split, context.seed) {
            judged.write(&serde_json::to_value(record).expect("invariant: plain data"))?;
        }
        judged.finish()?;
    }
    Ok(counts)
}
