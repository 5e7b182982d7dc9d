//! Toy stages, and a bench to run them on.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use inkstone_recipe::{
    Artifact, Context, Estimate, Forecast, ImplicitStage, Input, Interrupt, Machine, Metrics, Options, Progress,
    Recipe, RecipeError, Registry, RunEnvironment, RunReport, Silent, Stage, StageError, Store, Task, run,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

const TEXT: &[&str] = &["words", "upper", "slow", "noisy"];

fn text_of(context: &Context<'_>, field: &str) -> String {
    fs::read_to_string(context.input(field).folder.join("text.txt")).unwrap()
}

fn finish(context: &Context<'_>, text: &str) -> Result<Metrics, StageError> {
    let path = context.out().join("text.txt");
    fs::write(&path, text).map_err(|e| StageError::from_error(e, None))?;
    let logs = context.out().join("logs");
    fs::create_dir_all(&logs).unwrap();
    fs::write(logs.join("time.txt"), format!("{:?}", std::time::SystemTime::now())).unwrap();
    Ok(Metrics::from_iter([("bytes".to_owned(), json!(text.len()))]))
}

fn bytes_estimate(inputs: &BTreeMap<String, Forecast>, field: &str) -> Estimate {
    let bytes = inputs[field].metrics.get("bytes").copied().unwrap_or(0.0);
    let metrics = BTreeMap::from([("bytes".to_owned(), bytes)]);
    Estimate { seconds: Some(1.0), bytes: Some(bytes as u64), metrics, ..Estimate::default() }
}

/// Concatenates source files.
pub(crate) struct Words;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WordsConfig {
    paths: Vec<String>,
    #[serde(default)]
    repeat: Option<u32>,
}

impl Stage for Words {
    type Config = WordsConfig;
    const KIND: &'static str = "words";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "concatenates files";

    fn validate(config: &WordsConfig) -> Result<(), String> {
        if config.paths.is_empty() { Err("`paths` is empty; name at least one file".to_owned()) } else { Ok(()) }
    }

    fn inputs(_: &WordsConfig) -> Vec<Input> {
        Vec::new()
    }

    fn sources(config: &WordsConfig, base: &Path) -> Result<Vec<PathBuf>, StageError> {
        Ok(config.paths.iter().map(|p| base.join(p)).collect())
    }

    fn estimate(_: &WordsConfig, _: &BTreeMap<String, Forecast>, _: &Machine) -> Estimate {
        let metrics = BTreeMap::from([("bytes".to_owned(), 40.0)]);
        Estimate { seconds: Some(2.0), metrics, ..Estimate::default() }
    }

    fn run(config: &WordsConfig, context: &Context<'_>) -> Result<Metrics, StageError> {
        let read = |p: &String| fs::read_to_string(context.base.join(p)).unwrap();
        let text: String = config.paths.iter().map(read).collect();
        finish(context, &text.repeat(config.repeat.unwrap_or(1) as usize))
    }
}

/// Upper case, or as `style` says.
pub(crate) struct Upper;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpperConfig {
    from: String,
    #[serde(default = "one")]
    times: u32,
    #[serde(default)]
    rate: f64,
    #[serde(default)]
    style: Style,
    #[serde(default)]
    options: UpperOptions,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Style {
    #[default]
    Upper,
    Lower,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct UpperOptions {
    prefix: String,
    wide: bool,
}

fn one() -> u32 {
    1
}

impl Stage for Upper {
    type Config = UpperConfig;
    const KIND: &'static str = "upper";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "changes case";

    fn inputs(config: &UpperConfig) -> Vec<Input> {
        vec![Input { field: "from", stage: config.from.clone(), kinds: TEXT }]
    }

    fn estimate(_: &UpperConfig, inputs: &BTreeMap<String, Forecast>, _: &Machine) -> Estimate {
        bytes_estimate(inputs, "from")
    }

    fn run(config: &UpperConfig, context: &Context<'_>) -> Result<Metrics, StageError> {
        let text = text_of(context, "from");
        let text = match config.style {
            Style::Upper => text.to_uppercase(),
            Style::Lower => text.to_lowercase(),
        };
        finish(context, &format!("{}{}", config.options.prefix, text.repeat(config.times as usize)))
    }
}

/// Counts the letters of its implicit `upper` stage.
pub(crate) struct Count;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CountConfig {
    corpus: String,
}

impl Stage for Count {
    type Config = CountConfig;
    const KIND: &'static str = "count";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "counts letters";

    fn inputs(_: &CountConfig) -> Vec<Input> {
        vec![Input { field: "upper", stage: ".upper".to_owned(), kinds: &["upper"] }]
    }

    fn implicit(config: &CountConfig) -> Vec<ImplicitStage> {
        vec![ImplicitStage {
            suffix: "upper",
            kind: "upper",
            config: json!({ "from": config.corpus, "options": { "prefix": ":" } }),
        }]
    }

    fn estimate(_: &CountConfig, inputs: &BTreeMap<String, Forecast>, _: &Machine) -> Estimate {
        bytes_estimate(inputs, "upper")
    }

    fn run(_: &CountConfig, context: &Context<'_>) -> Result<Metrics, StageError> {
        finish(context, &text_of(context, "upper").chars().count().to_string())
    }
}

/// Takes its time, and keeps where it was.
pub(crate) struct Slow;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SlowConfig {
    from: String,
    steps: u64,
    #[serde(default)]
    pause_ms: u64,
    /// Stops by itself before this step when it starts from the beginning.
    #[serde(default)]
    fail_at: Option<u64>,
}

impl Stage for Slow {
    type Config = SlowConfig;
    const KIND: &'static str = "slow";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "mixes letters slowly";

    fn inputs(config: &SlowConfig) -> Vec<Input> {
        vec![Input { field: "from", stage: config.from.clone(), kinds: TEXT }]
    }

    fn estimate(_: &SlowConfig, inputs: &BTreeMap<String, Forecast>, _: &Machine) -> Estimate {
        bytes_estimate(inputs, "from")
    }

    fn run(config: &SlowConfig, context: &Context<'_>) -> Result<Metrics, StageError> {
        assert_eq!(fs::read_dir(context.out()).unwrap().count(), 0, "out is empty at every start");
        let text = text_of(context, "from");
        let checkpoint = context.state().join("checkpoint.json");
        let saved = fs::read_to_string(&checkpoint).ok();
        let (start, mut sum): (u64, u64) = saved.map_or((0, context.seed), |s| serde_json::from_str(&s).unwrap());
        fs::write(context.out().join("half-made"), "x").unwrap();
        for step in start..config.steps {
            context.check_interrupt()?;
            if start == 0 && config.fail_at == Some(step) {
                return Err(StageError::failed("the toy broke", "mend it"));
            }
            sum = text.bytes().fold(sum, |s, b| s.wrapping_mul(31).wrapping_add(u64::from(b)));
            let bytes = serde_json::to_vec(&(step + 1, sum)).unwrap();
            inkstone_recipe::fs::write_atomic(&checkpoint, &bytes).unwrap();
            context.progress.say(&format!("step {step}"));
            std::thread::sleep(Duration::from_millis(config.pause_ms));
        }
        fs::remove_file(context.out().join("half-made")).unwrap();
        finish(context, &format!("{sum:x}"))
    }
}

/// Never gives the same bytes twice.
pub(crate) struct Noisy;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoisyConfig {
    from: String,
}

impl Stage for Noisy {
    type Config = NoisyConfig;
    const KIND: &'static str = "noisy";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "depends on the clock";

    fn inputs(config: &NoisyConfig) -> Vec<Input> {
        vec![Input { field: "from", stage: config.from.clone(), kinds: TEXT }]
    }

    fn estimate(_: &NoisyConfig, _: &BTreeMap<String, Forecast>, _: &Machine) -> Estimate {
        Estimate::default()
    }

    fn run(_: &NoisyConfig, context: &Context<'_>) -> Result<Metrics, StageError> {
        fs::write(context.out().join("same.txt"), "same").unwrap();
        finish(context, &format!("{:?}", std::time::SystemTime::now()))
    }
}

/// `upper` with a later algorithm.
pub(crate) struct UpperTwo;

impl Stage for UpperTwo {
    type Config = UpperConfig;
    const KIND: &'static str = "upper";
    const VERSION: u32 = 2;
    const SUMMARY: &'static str = "changes case better";

    fn inputs(config: &UpperConfig) -> Vec<Input> {
        Upper::inputs(config)
    }

    fn estimate(config: &UpperConfig, inputs: &BTreeMap<String, Forecast>, machine: &Machine) -> Estimate {
        Upper::estimate(config, inputs, machine)
    }

    fn run(config: &UpperConfig, context: &Context<'_>) -> Result<Metrics, StageError> {
        Upper::run(config, context)
    }
}

pub(crate) fn registry() -> Registry {
    let mut registry = Registry::new();
    registry.add::<Words>().add::<Upper>().add::<Count>().add::<Slow>().add::<Noisy>();
    registry
}

/// What was said and warned of.
#[derive(Default)]
pub(crate) struct Talk(pub(crate) Mutex<Vec<String>>);

impl Talk {
    pub(crate) fn text(&self) -> String {
        self.0.lock().unwrap().join("\n")
    }
}

impl Progress for Talk {
    fn task(&self, _: &str, _: Option<u64>, _: &str) -> Box<dyn Task> {
        Box::new(Silent)
    }
    fn say(&self, line: &str) {
        self.0.lock().unwrap().push(line.to_owned());
    }
    fn warn(&self, line: &str) {
        self.0.lock().unwrap().push(format!("warning: {line}"));
    }
}

/// A folder with texts, a recipe and a store.
pub(crate) struct Bench {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) talk: Talk,
    pub(crate) interrupt: Interrupt,
}

/// Four stages in a row, one of them with an implicit stage.
pub(crate) const RECIPE: &str = r#"
name = "toy"
seed = 7

[corpus]
kind = "words"
paths = ["a.txt", "texts/b.txt"]

[loud]
kind = "upper"
from = "corpus"
times = 2

[slow]
kind = "slow"
from = "loud"
steps = 5

[letters]
kind = "count"
corpus = "loud"
"#;

impl Bench {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("texts")).unwrap();
        fs::write(folder.path().join("a.txt"), "one ").unwrap();
        fs::write(folder.path().join("texts/b.txt"), "two 砚").unwrap();
        Self { folder, talk: Talk::default(), interrupt: Interrupt::default() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn store(&self) -> Store {
        Store::open(&self.path("runs")).unwrap()
    }

    pub(crate) fn environment(&self) -> RunEnvironment<'_> {
        RunEnvironment {
            program: "0.1.0".to_owned(),
            command: "toy run".to_owned(),
            numeric_path: "none".to_owned(),
            measure: Some(&Machine::default),
            progress: &self.talk,
            interrupt: &self.interrupt,
        }
    }

    pub(crate) fn recipe(&self, text: &str, sets: &[&str]) -> Result<Recipe, RecipeError> {
        let path = self.path("toy.toml");
        fs::write(&path, text).unwrap();
        let sets: Vec<String> = sets.iter().map(|s| (*s).to_owned()).collect();
        Recipe::load(&path, &sets)
    }

    pub(crate) fn run_with(&self, text: &str, sets: &[&str], options: &Options) -> Result<RunReport, RecipeError> {
        let recipe = self.recipe(text, sets)?;
        run(&recipe, &registry(), &self.store(), options, &self.environment())
    }

    pub(crate) fn run(&self, text: &str, sets: &[&str]) -> RunReport {
        self.run_with(text, sets, &Options::default()).unwrap()
    }

    /// The error of a recipe that must not pass.
    pub(crate) fn refuse(&self, text: &str, sets: &[&str]) -> RecipeError {
        match self.recipe(text, sets) {
            Err(error) => error,
            Ok(recipe) => recipe.check(&registry()).unwrap_err(),
        }
    }

    pub(crate) fn artifact(&self, stage: &str) -> Artifact {
        Artifact::open(&self.path("runs/toy").join(stage)).unwrap()
    }
}

/// The stages that were executed.
pub(crate) fn executed(report: &RunReport) -> Vec<&str> {
    report.stages.iter().filter(|s| !s.cached).map(|s| s.name.as_str()).collect()
}
