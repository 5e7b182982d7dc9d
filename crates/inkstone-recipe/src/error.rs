//! What can go wrong around recipes and artifacts.

use std::path::PathBuf;

use crate::fs::IoError;
use crate::stage::StageError;
use crate::tree::Place;

/// What can go wrong around recipes and artifacts. Messages name the place;
/// [`RecipeError::hint`] names the way out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the fields are named in each message")]
pub enum RecipeError {
    /// The disk said no.
    #[error(transparent)]
    Io(#[from] IoError),

    // The recipe.
    /// Not TOML, or a key twice.
    #[error("{place}: {message}")]
    Syntax { place: Place, message: String },
    /// The recipe has no `name`.
    #[error("{place}: the recipe has no `name`")]
    MissingName { place: Place },
    /// A name that cannot be a folder.
    #[error("{place}: `{name}` cannot be the name of a {what}: {message}")]
    BadName { place: Place, what: &'static str, name: String, message: &'static str },
    /// A stage without `kind`.
    #[error("{place}: stage `{stage}` has no `kind`")]
    MissingKind { place: Place, stage: String, known: Vec<String> },
    /// A `kind` that no part of the program knows.
    #[error("{place}: stage `{stage}` has the unknown kind `{kind}`")]
    UnknownKind { place: Place, stage: String, kind: String, suggestion: Option<String>, known: Vec<String> },
    /// A key that nobody reads. `key` is dotted within the stage.
    #[error("{place}: unknown key `{key}` in {owner}")]
    UnknownKey { place: Place, owner: String, key: String, suggestion: Option<String>, known: Vec<String> },
    /// A key that must be there.
    #[error("{place}: {owner} needs the key `{key}`")]
    MissingKey { place: Place, owner: String, key: String },
    /// A value of the wrong type, or a word that is not among the known ones.
    #[error("{place}: `{key}` in {owner}: {message}")]
    WrongValue { place: Place, owner: String, key: String, message: String, suggestion: Option<String> },
    /// A config that its stage refuses.
    #[error("{place}: {owner}: {message}")]
    Invalid { place: Place, owner: String, message: String },
    /// An input that names no stage.
    #[error("{place}: `{field}` of stage `{stage}` names the stage `{wanted}`, which does not exist")]
    NoSuchInput { place: Place, stage: String, field: String, wanted: String, suggestion: Option<String> },
    /// An input of a kind that will not do.
    #[error(
        "{place}: `{field}` of stage `{stage}` must be a stage of kind {}, but `{input}` is of kind `{got}`",
        crate::suggest::list(expected)
    )]
    WrongKind { place: Place, stage: String, field: String, input: String, expected: Box<[String]>, got: String },
    /// Stages that wait for one another.
    #[error("{place}: the stages go round in a circle: {}", path.join(" → "))]
    Cycle { place: Place, path: Vec<String> },
    /// A `--set` that cannot be understood.
    #[error("--set {set}: {message}")]
    BadSet { set: String, message: String },
    /// `--only`, `--from` or `--set` with a stage that is not in the recipe.
    #[error("{option}: the recipe `{recipe}` has no stage `{name}`")]
    NoSuchStage { option: &'static str, recipe: String, name: String, suggestion: Option<String>, known: Vec<String> },

    // The store.
    /// `--only` with an input that is not there.
    #[error("stage `{stage}` reads `{input}`, which is not in the cache")]
    InputNotCached { stage: String, input: String },
    /// Another run holds the store.
    #[error("the store {} is in use by {holder}", path.display())]
    Busy { path: PathBuf, holder: String },
    /// The folder of a newer program.
    #[error("{} was made by a newer version of this program (layout {found}; this one knows up to {supported})", path.display())]
    Newer { path: PathBuf, found: u64, supported: u32 },
    /// A file that is not what the manifest says.
    #[error("{} is damaged: {message}", path.display())]
    Corrupt { path: PathBuf, message: String },
    /// A folder without a manifest.
    #[error("{} is not an artifact: it has no manifest.json", path.display())]
    NotAnArtifact { path: PathBuf },
    /// Nothing of that name.
    #[error("there is no artifact `{reference}` (looked for a path, for {}/{reference}, and for a content id)", runs.display())]
    NoSuchArtifact { reference: String, runs: PathBuf, suggestion: Option<String> },
    /// The beginning of several content ids.
    #[error("`{prefix}` is the beginning of several content ids: {}", candidates.join(", "))]
    Ambiguous { prefix: String, candidates: Vec<String> },
    /// The place of a link is taken.
    #[error("{} should be a link to an artifact, but something else is there", path.display())]
    LinkBlocked { path: PathBuf },

    // Running.
    /// A source changed under a running stage.
    #[error("{} changed while stage `{stage}` was reading it", path.display())]
    SourceChanged { stage: String, path: PathBuf },
    /// A stage wrote something that cannot be an artifact.
    #[error("stage `{stage}` wrote {}: {message}", path.display())]
    BadOutput { stage: String, path: PathBuf, message: &'static str },
    /// A stage failed.
    #[error("stage `{stage}`: {source}")]
    Stage { stage: String, source: StageError },
    /// The user asked to stop.
    #[error("stopped on request in stage `{stage}`; the same command goes on from here")]
    Interrupted { stage: String },
}

impl RecipeError {
    /// What the user can do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Io(e) => e.hint().map(str::to_owned),
            Self::UnknownKind { suggestion, known, .. }
            | Self::UnknownKey { suggestion, known, .. }
            | Self::NoSuchStage { suggestion, known, .. } => did_you_mean(suggestion.as_ref(), known),
            Self::MissingKind { known, .. } => did_you_mean(None, known),
            Self::WrongValue { suggestion, .. } | Self::NoSuchInput { suggestion, .. } => {
                did_you_mean(suggestion.as_ref(), &[])
            }
            Self::NoSuchArtifact { suggestion, .. } => {
                did_you_mean(suggestion.as_ref(), &[]).or_else(|| Some(LISTING.to_owned()))
            }
            Self::Stage { source: StageError::Failed { hint, .. }, .. } => hint.clone(),
            other => other.fixed_hint().map(str::to_owned),
        }
    }

    /// The hints that do not depend on the fields.
    fn fixed_hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::MissingName { .. } => "add a line such as `name = \"my-model\"` at the top",
            Self::BadSet { .. } => "write it as stage.key=value, e.g. --set pretrain.steps=2000",
            Self::InputNotCached { .. } => "run without --only, or name the input stage in --only as well",
            Self::Busy { .. } => "wait until it has ended, or use another folder with --runs",
            Self::NotAnArtifact { .. } => LISTING,
            Self::Newer { .. } => "update this program to the version that made the folder, or a later one",
            Self::Corrupt { .. } => "run the recipe again: what is damaged is made anew",
            Self::LinkBlocked { .. } => "move it away and run the same command again",
            Self::Ambiguous { .. } => "write more digits",
            Self::SourceChanged { .. } => "run the same command again",
            _ => return None,
        })
    }
}

/// Where to look for names.
const LISTING: &str = "`inkstone ls` lists the artifacts";

fn did_you_mean(suggestion: Option<&String>, known: &[String]) -> Option<String> {
    match suggestion {
        Some(word) => Some(format!("did you mean `{word}`?")),
        None if known.is_empty() => None,
        None => Some(format!("known are {}", crate::suggest::list(known))),
    }
}
