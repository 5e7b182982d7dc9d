//! The recipe file: TOML text and `--set` layers, each value with the place it came from.

use std::path::{Path, PathBuf};

use crate::RecipeError;
use crate::fs;
use crate::graph::Graph;
use crate::registry::Registry;
use crate::suggest::nearest;
use crate::tree::{self, Data, Entry, Node, Place};

/// The largest recipe file that is read.
const LIMIT: u64 = 4 << 20;

/// A recipe as written, not yet checked against the stage kinds.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// `name`: the folder below `runs`.
    pub name: String,
    /// `seed`, 0 by default.
    pub seed: u64,
    /// The folder against which relative source paths are resolved (absolute).
    pub base: PathBuf,
    /// The stages in the order of the file.
    pub(crate) stages: Vec<RawStage>,
}

/// One stage as written.
#[derive(Debug, Clone)]
pub(crate) struct RawStage {
    pub(crate) name: String,
    pub(crate) kind: Option<(String, Place)>,
    /// The table without `kind`; its place is the header's.
    pub(crate) table: Node,
}

impl Recipe {
    /// Reads a recipe file and lays `sets` (`stage.key=value`) over it.
    pub fn load(path: &Path, sets: &[String]) -> Result<Self, RecipeError> {
        let text = fs::read_to_string(path, LIMIT)?;
        let folder = fs::parent(path);
        let base = folder.canonicalize().map_err(fs::IoError::at("open", folder))?;
        Self::parse(&text, &path.display().to_string(), base, sets)
    }

    /// A recipe that comes with the program; error messages call it `built-in <name>`. Relative
    /// paths are resolved against the current folder.
    pub fn builtin(name: &str, text: &str, sets: &[String]) -> Result<Self, RecipeError> {
        let here = Path::new(".");
        let base = here.canonicalize().map_err(fs::IoError::at("open", here))?;
        Self::parse(text, &format!("built-in {name}"), base, sets)
    }

    /// A recipe from text; `origin` stands before the line in error messages, `base` must be absolute.
    pub fn parse(text: &str, origin: &str, base: PathBuf, sets: &[String]) -> Result<Self, RecipeError> {
        let place = Place::origin(origin);
        let mut root = Node { data: Data::Table(tree::parse(text, origin)?), place: place.clone() };
        for set in sets {
            apply_set(&mut root, set)?;
        }
        let Data::Table(entries) = root.data else { unreachable!("invariant: the root is a table") };
        let mut recipe = Self { name: String::new(), seed: 0, base, stages: Vec::new() };
        for entry in entries {
            recipe.take(entry)?;
        }
        if recipe.name.is_empty() { Err(RecipeError::MissingName { place }) } else { Ok(recipe) }
    }

    /// The recipe with every default filled in, as TOML. Running it gives the same keys.
    pub fn resolved_toml(&self, registry: &Registry) -> Result<String, RecipeError> {
        Ok(Graph::build(self, registry)?.to_toml())
    }

    /// Checks the whole recipe and returns its stages in the order of execution, as (name, kind).
    pub fn check(&self, registry: &Registry) -> Result<Vec<(String, String)>, RecipeError> {
        let graph = Graph::build(self, registry)?;
        Ok(graph.nodes.iter().map(|n| (n.name.clone(), n.bound.kind().to_owned())).collect())
    }

    /// One top-level entry.
    fn take(&mut self, entry: Entry) -> Result<(), RecipeError> {
        match (entry.key.as_str(), entry.node.data) {
            ("name", Data::Text(name)) => {
                check_name(&name, "recipe", &entry.node.place)?;
                self.name = name;
            }
            ("seed", Data::Number(n)) if n.is_u64() => self.seed = n.as_u64().unwrap_or_default(),
            ("name", _) => return Err(wrong(&entry.node.place, "name", "expected a string")),
            ("seed", _) => {
                return Err(wrong(&entry.node.place, "seed", "expected a whole number from 0 to 2⁶⁴-1"));
            }
            (_, Data::Table(entries)) => {
                check_name(&entry.key, "stage", &entry.place)?;
                self.stages.push(raw_stage(entry.key, &entry.place, entries)?);
            }
            (key, _) => {
                let (key, known) = (key.to_owned(), vec!["name".to_owned(), "seed".to_owned()]);
                let suggestion = nearest(&key, ["name", "seed"]);
                return Err(RecipeError::UnknownKey {
                    place: entry.place,
                    owner: OWNER.to_owned(),
                    key,
                    suggestion,
                    known,
                });
            }
        }
        Ok(())
    }
}

/// What error messages call the keys above the first stage.
const OWNER: &str = "the recipe (outside any stage)";

fn wrong(place: &Place, key: &str, message: &str) -> RecipeError {
    let (key, message) = (key.to_owned(), message.to_owned());
    RecipeError::WrongValue { place: place.clone(), owner: OWNER.to_owned(), key, message, suggestion: None }
}

fn raw_stage(name: String, place: &Place, entries: Vec<Entry>) -> Result<RawStage, RecipeError> {
    let (kinds, rest): (Vec<_>, Vec<_>) = entries.into_iter().partition(|e| e.key == "kind");
    let kind = match kinds.into_iter().next().map(|e| e.node) {
        None => None,
        Some(Node { data: Data::Text(kind), place }) => Some((kind, place)),
        Some(other) => {
            let (owner, key) = (format!("stage `{name}`"), "kind".to_owned());
            let message = "expected a string".to_owned();
            return Err(RecipeError::WrongValue { place: other.place, owner, key, message, suggestion: None });
        }
    };
    Ok(RawStage { name, kind, table: Node { data: Data::Table(rest), place: place.clone() } })
}

/// Names become folders, and dots separate implicit stages.
fn check_name(name: &str, what: &'static str, place: &Place) -> Result<(), RecipeError> {
    let message = if name.is_empty() {
        "it is empty"
    } else if name.starts_with(['.', '-']) || name.starts_with(char::is_whitespace) {
        "it must begin with a letter or digit"
    } else if name.len() > 100 {
        "it is longer than 100 bytes"
    } else if name.chars().any(|c| c.is_control() || "/\\:*?\"<>|".contains(c)) {
        "it must not contain / \\ : * ? \" < > | or control characters"
    } else if what == "stage" && name.contains('.') {
        "it must not contain a dot"
    } else {
        return Ok(());
    };
    Err(RecipeError::BadName { place: place.clone(), what, name: name.to_owned(), message })
}

/// Lays one `stage.key=value` over the recipe.
fn apply_set(root: &mut Node, set: &str) -> Result<(), RecipeError> {
    let bad = |message: String| RecipeError::BadSet { set: set.to_owned(), message };
    let (path, text) = set.split_once('=').ok_or_else(|| bad("there is no `=`".to_owned()))?;
    let keys: Vec<&str> = path.trim().split('.').map(str::trim).collect();
    if keys.iter().any(|k| k.is_empty()) {
        return Err(bad("a key is empty".to_owned()));
    }
    match keys[..] {
        ["name" | "seed"] => {}
        [_] => return Err(bad(format!("`{path}` names no key of a stage"))),
        _ => known_stage(root, keys[0])?,
    }
    let value = set_value(text.trim(), &format!("--set {set}")).map_err(&bad)?;
    root.set(&keys, value).map_err(|key| bad(format!("`{key}` lies below something that is not a table")))
}

/// TOML, or else a bare string.
fn set_value(text: &str, origin: &str) -> Result<Node, String> {
    match tree::parse_value(text, origin) {
        Some(Ok(node)) => Ok(node),
        Some(Err(e)) => Err(e.to_string()),
        None if text.starts_with(['[', '{', '"', '\'']) => Err(format!("`{text}` is not a complete TOML value")),
        None => Ok(Node { data: Data::Text(text.to_owned()), place: Place::origin(origin) }),
    }
}

fn known_stage(root: &Node, stage: &str) -> Result<(), RecipeError> {
    let Data::Table(entries) = &root.data else {
        return Ok(());
    };
    let stages: Vec<&str> =
        entries.iter().filter(|e| matches!(e.node.data, Data::Table(_))).map(|e| e.key.as_str()).collect();
    if stages.contains(&stage) {
        return Ok(());
    }
    let recipe = match root.at("name").map(|n| &n.data) {
        Some(Data::Text(name)) => name.clone(),
        _ => String::new(),
    };
    Err(no_such_stage("--set", &recipe, stage, &stages))
}

/// `--set`, `--only` or `--from` with an unknown stage.
pub(crate) fn no_such_stage(option: &'static str, recipe: &str, name: &str, known: &[&str]) -> RecipeError {
    RecipeError::NoSuchStage {
        option,
        recipe: recipe.to_owned(),
        name: name.to_owned(),
        suggestion: nearest(name, known.iter().copied()),
        known: known.iter().map(|k| (*k).to_owned()).collect(),
    }
}
