//! Recipes and manifests.

use std::collections::BTreeMap;
use std::path::PathBuf;

use inkstone_corpus::{ChatStage, CorpusStage};
use inkstone_recipe::{Artifact, ArtifactId, ContentId, Cost, FileEntry, Key, Manifest, Recipe, Registry};
use serde_json::json;

use super::{Target, in_folder};

const GOOD: &str = r#"name = "tang"
seed = 7

[corpus]           # 诗
kind = "corpus"
paths = ["texts/*.jsonl"]
text = ["title", "text"]
validation = 0.1

[chat]
kind = "chat"
paths = ["a.json"]
"#;

pub(crate) const RECIPE: Target = Target {
    name: "recipe",
    run: |data| {
        let mut registry = Registry::new();
        registry.add::<CorpusStage>().add::<ChatStage>();
        let text = String::from_utf8_lossy(data);
        if let Ok(recipe) = Recipe::parse(&text, "fuzz.toml", PathBuf::from("/nowhere"), &[]) {
            drop(recipe.check(&registry));
            if let Ok(resolved) = recipe.resolved_toml(&registry) {
                let again =
                    Recipe::parse(&resolved, "resolved.toml", PathBuf::from("/nowhere"), &[]).expect("our own TOML");
                assert_eq!(again.resolved_toml(&registry).expect("our own recipe"), resolved);
            }
        }
    },
    seeds: || vec![GOOD.into()],
};

pub(crate) const MANIFEST: Target = Target {
    name: "manifest",
    run: |data| {
        in_folder("manifest.json", data, |folder| {
            if let Ok(artifact) = Artifact::open(folder) {
                drop(artifact.check_sizes());
                drop(artifact.check());
            }
        });
    },
    seeds: || vec![serde_json::to_vec_pretty(&manifest()).expect("plain data")],
};

fn manifest() -> Manifest {
    let file = FileEntry { path: "a/b.txt".into(), bytes: 3, blake3: "ab".repeat(32) };
    Manifest {
        format: 1,
        kind: "corpus".into(),
        stage: "corpus".into(),
        recipe: "tang".into(),
        recipe_toml: GOOD.into(),
        config: json!({"paths": ["texts"]}),
        inputs: BTreeMap::from([("from".into(), ArtifactId::new(&ContentId("cd".repeat(32)), &Key("ef".repeat(32))))]),
        sources: vec![file.clone()],
        base: "/base".into(),
        seed: 7,
        program: "0.1.0".into(),
        stage_version: 1,
        numeric_path: "x86_64 avx2 f32".into(),
        key: Key("ef".repeat(32)),
        content: ContentId("01".repeat(32)),
        started: "2026-11-24T12:00:00Z".into(),
        ended: "2026-11-24T12:00:01Z".into(),
        cost: Cost { seconds: 1.0, ..Cost::default() },
        predicted: None,
        metrics: serde_json::Map::new(),
        files: vec![file],
        logs: Vec::new(),
    }
}
