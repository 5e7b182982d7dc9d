//! Whatever the recipe says, its resolved form means the same.

use std::path::PathBuf;

use inkstone_recipe::{Machine, Options, Recipe, Store, plan};
use proptest::prelude::*;

use crate::toys::registry;

fn toml_string(text: &str) -> String {
    toml::Value::from(text).to_string()
}

prop_compose! {
    fn recipes()(
        name in "[a-z砚][a-z0-9 砚'#=]{0,8}",
        stage in "[a-z砚][a-z0-9_ 砚'#=]{0,8}",
        prefix in any::<String>(),
        times in any::<u32>(),
        rate in -1e300f64..1e300,
        seed in any::<u64>(),
        lower in any::<bool>(),
    ) -> String {
        let key = toml_string(&stage);
        let style = if lower { "lower" } else { "upper" };
        format!(
            "name = {}\nseed = {seed}\n[\"c {stage}\"]\nkind = \"words\"\npaths = [{}]\n[{key}]\nkind = \"upper\"\nfrom = {}\n\
             times = {times}\nrate = {rate:e}\nstyle = \"{style}\"\n[{key}.options]\nprefix = {}\n",
            toml_string(&name), toml_string("a.txt"), toml_string(&format!("c {stage}")), toml_string(&prefix),
        )
    }
}

/// The keys of the first stage and the resolved text, which holds everything else that counts.
fn meaning(text: &str, base: PathBuf, store: &Store) -> (Vec<String>, String) {
    let registry = registry();
    let recipe = Recipe::parse(text, "test", base, &[]).unwrap();
    let plan = plan(&recipe, &registry, store, &Options::default(), &Machine::default()).unwrap();
    let keys = plan.stages.into_iter().filter_map(|s| s.key).map(|k| k.0).collect();
    (keys, recipe.resolved_toml(&registry).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn resolved_recipes_round_trip(text in recipes()) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.txt"), "a").unwrap();
        let store = Store::open(&folder.path().join("runs")).unwrap();
        let (keys, resolved) = meaning(&text, folder.path().to_path_buf(), &store);
        prop_assert_eq!(keys.len(), 1);
        prop_assert_eq!(meaning(&resolved, folder.path().to_path_buf(), &store), (keys, resolved));
    }

    #[test]
    fn nonsense_is_an_error_and_not_a_panic(text in ".{0,200}", set in ".{0,40}") {
        let _ = Recipe::parse(&text, "test", PathBuf::new(), &[]);
        let _ = Recipe::parse("name = \"x\"\n[a]\nkind = \"words\"\n", "test", PathBuf::new(), &[format!("a.{set}")]);
    }
}
