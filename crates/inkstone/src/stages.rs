//! The one table of stage kinds, and the recipes inside the program.

use anyhow::Context;
use inkstone_recipe::{Recipe, Registry};

use crate::hint::hinted;

/// Every kind of stage.
pub(crate) fn registry() -> Registry {
    let mut registry = Registry::new();
    registry
        .add::<inkstone_corpus::world::WorldStage>()
        .add::<inkstone_corpus::ArithmeticStage>()
        .add::<inkstone_corpus::CorpusStage>()
        .add::<inkstone_corpus::ChatStage>()
        .add::<inkstone_corpus::PreferencesStage>()
        .add::<inkstone_corpus::ExamplesStage>()
        .add::<inkstone_tokenizer::TokenizerStage>()
        .add::<inkstone_tokenizer::TokensStage>()
        .add::<inkstone_train::PretrainStage>()
        .add::<inkstone_train::SftStage>()
        .add::<inkstone_train::FinetuneStage>()
        .add::<inkstone_train::PreferenceStage>()
        .add::<inkstone_train::RewardStage>()
        .add::<inkstone_train::FeedbackStage>()
        .add::<inkstone_train::BestOfStage>()
        .add::<inkstone_train::PolicyStage>()
        .add::<inkstone_eval::EvaluateStage>()
        .add::<inkstone_eval::WinRateStage>()
        .add::<inkstone_eval::ScoreStage>()
        .add::<inkstone_classic::ngram::NgramStage>()
        .add::<inkstone_classic::word2vec::Word2VecStage>()
        .add::<inkstone_classic::feed_forward::FeedForwardStage>()
        .add::<inkstone_classic::recurrent::RecurrentStage>()
        .add::<inkstone_eval::CompareStage>();
    registry
}

/// Recipes that need no file.
const BUILT_IN: [(&str, &str); 1] = [("quickstart", include_str!("../../../recipes/quickstart.toml"))];

/// A recipe by file, or by name where it is built in.
pub(crate) fn load(name: &str, sets: &[String]) -> anyhow::Result<Recipe> {
    let path = std::path::Path::new(name);
    if !path.exists() {
        if let Some((name, text)) = BUILT_IN.iter().find(|(known, _)| *known == name) {
            return Ok(Recipe::builtin(name, text, sets)?);
        }
        let known: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
        return Err(hinted(
            format!("there is no recipe file {name}"),
            format!("give the path of a .toml file, or the name of a built-in recipe: {}", known.join(", ")),
        ));
    }
    Recipe::load(path, sets).with_context(|| format!("reading the recipe {name}"))
}
