//! Each wrong recipe is told where it is wrong and what would be right.

use inkstone_recipe::{Options, Recipe, RecipeError};

use crate::toys::{Bench, RECIPE, registry};

fn refuse(text: &str) -> (String, String) {
    refuse_set(text, &[])
}

fn refuse_set(text: &str, sets: &[&str]) -> (String, String) {
    let bench = Bench::new();
    let error = bench.refuse(text, sets);
    let folder = bench.folder.path().display().to_string() + "/";
    (error.to_string().replace(&folder, ""), error.hint().unwrap_or_default())
}

#[test]
fn unknown_key() {
    let (message, hint) = refuse(&RECIPE.replace("times", "tims"));
    assert_eq!(message, "toy.toml:12:1: unknown key `tims` in stage `loud` (kind `upper`)");
    assert_eq!(hint, "did you mean `times`?");
}

#[test]
fn unknown_key_without_a_neighbour_lists_the_known_ones() {
    let (_, hint) = refuse(&RECIPE.replace("times", "colour"));
    assert_eq!(hint, "known are `from`, `times`, `rate`, `style` or `options`");
}

#[test]
fn unknown_nested_key() {
    let (message, hint) = refuse(&RECIPE.replace("times = 2", "options = { prefix = \"x\", wid = true }"));
    assert_eq!(message, "toy.toml:12:27: unknown key `options.wid` in stage `loud` (kind `upper`)");
    assert_eq!(hint, "did you mean `wide`?");
}

#[test]
fn unknown_key_at_the_top() {
    let (message, hint) = refuse(&RECIPE.replace("seed", "sead"));
    assert_eq!(message, "toy.toml:3:1: unknown key `sead` in the recipe (outside any stage)");
    assert_eq!(hint, "did you mean `seed`?");
}

#[test]
fn wrong_type() {
    let (message, _) = refuse(&RECIPE.replace("times = 2", "times = \"two\""));
    assert_eq!(message, "toy.toml:12:9: `times` in stage `loud` (kind `upper`): expected u32, got string \"two\"");
    let (message, _) = refuse(&RECIPE.replace("\"texts/b.txt\"", "5"));
    assert!(message.starts_with("toy.toml:7:19: `paths` in stage `corpus`"), "{message}");
    let (message, _) = refuse(&RECIPE.replace("seed = 7", "seed = -7"));
    assert!(message.starts_with("toy.toml:3:8: `seed`"), "{message}");
}

#[test]
fn unknown_word() {
    let (message, hint) = refuse(&RECIPE.replace("times = 2", "style = \"uper\""));
    assert_eq!(
        message,
        "toy.toml:12:9: `style` in stage `loud` (kind `upper`): expected `upper` or `lower`, got `uper`"
    );
    assert_eq!(hint, "did you mean `upper`?");
}

#[test]
fn missing_key() {
    let (message, _) = refuse(&RECIPE.replace("steps = 5", ""));
    assert_eq!(message, "toy.toml:14:2: stage `slow` (kind `slow`) needs the key `steps`");
}

#[test]
fn unknown_kind() {
    let (message, hint) = refuse(&RECIPE.replace("\"count\"", "\"cuont\""));
    assert_eq!(message, "toy.toml:20:8: stage `letters` has the unknown kind `cuont`");
    assert_eq!(hint, "did you mean `count`?");
}

#[test]
fn missing_kind_and_name() {
    let (message, hint) = refuse(&RECIPE.replace("kind = \"count\"", ""));
    assert_eq!(message, "toy.toml:19:2: stage `letters` has no `kind`");
    assert!(hint.contains("`words`"), "{hint}");
    let (message, hint) = refuse(&RECIPE.replace("name = \"toy\"", ""));
    assert_eq!(message, "toy.toml: the recipe has no `name`");
    assert!(hint.contains("name = "), "{hint}");
}

#[test]
fn missing_stage() {
    let (message, hint) = refuse(&RECIPE.replace("from = \"loud\"", "from = \"lout\""));
    assert_eq!(message, "toy.toml:16:8: `from` of stage `slow` names the stage `lout`, which does not exist");
    assert_eq!(hint, "did you mean `loud`?");
}

#[test]
fn input_of_the_wrong_kind() {
    let (message, _) = refuse(&RECIPE.replace("from = \"loud\"", "from = \"letters\""));
    assert_eq!(
        message,
        "toy.toml:16:8: `from` of stage `slow` must be a stage of kind `words`, `upper`, `slow` or `noisy`, but \
         `letters` is of kind `count`"
    );
}

#[test]
fn cycle() {
    let (message, _) = refuse(&RECIPE.replace("from = \"corpus\"", "from = \"slow\""));
    assert_eq!(message, "toy.toml:9:2: the stages go round in a circle: loud → slow → loud");
    let (message, _) = refuse(&RECIPE.replace("from = \"loud\"", "from = \"slow\""));
    assert!(message.ends_with("slow → slow"), "{message}");
}

#[test]
fn twice_the_same() {
    let (message, _) = refuse(&RECIPE.replace("[letters]", "[loud]"));
    assert!(message.starts_with("toy.toml:19:2: "), "{message}");
    assert!(message.contains("duplicate"), "{message}");
}

#[test]
fn refused_by_the_stage() {
    let (message, _) = refuse(&RECIPE.replace("[\"a.txt\", \"texts/b.txt\"]", "[]"));
    assert_eq!(message, "toy.toml:7:9: stage `corpus` (kind `words`): `paths` is empty; name at least one file");
}

#[test]
fn names_that_are_no_folders() {
    for name in ["../up", "a/b", "", ".hidden", "a\\u0000b"] {
        let text = RECIPE.replace("name = \"toy\"", &format!("name = \"{name}\""));
        let error = Bench::new().refuse(&text, &[]);
        assert!(matches!(error, RecipeError::BadName { what: "recipe", .. }), "{name}: {error}");
    }
    let error = Bench::new().refuse(&RECIPE.replace("[letters]", "[\"let.ters\"]"), &[]);
    assert!(matches!(error, RecipeError::BadName { what: "stage", .. }), "{error}");
}

#[test]
fn chinese_names() {
    assert!(Bench::new().recipe(&RECIPE.replace("[letters]", "[\"字数\"]").replace("toy", "唐诗"), &[]).is_ok());
    let (message, _) = refuse(&RECIPE.replace("[letters]", "[字数]"));
    assert!(message.starts_with("toy.toml:19:2: "), "{message}");
    assert!(message.contains("stands in quotes"), "{message}");
}

#[test]
fn not_toml_and_not_a_number() {
    let (message, _) = refuse("name = \"x\"\n[a\n");
    assert!(message.starts_with("toy.toml:2:"), "{message}");
    let (message, _) = refuse(&RECIPE.replace("times = 2", "rate = nan"));
    assert_eq!(message, "toy.toml:12:8: a number must be finite");
    let (message, _) = refuse(&RECIPE.replace("times = 2", "times = 99999999999999999999"));
    assert!(message.starts_with("toy.toml:12:9: "), "{message}");
}

#[test]
fn wrong_sets() {
    let (message, hint) = refuse_set(RECIPE, &["loud.tims=3"]);
    assert_eq!(message, "--set loud.tims=3: unknown key `tims` in stage `loud` (kind `upper`)");
    assert_eq!(hint, "did you mean `times`?");
    let (message, hint) = refuse_set(RECIPE, &["lout.times=3"]);
    assert_eq!(message, "--set: the recipe `toy` has no stage `lout`");
    assert_eq!(hint, "did you mean `loud`?");
    for set in ["loud.times", "loud=3", "loud..times=3", "loud.times.x=3", "loud.style=\"up"] {
        let error = Bench::new().refuse(RECIPE, &[set]);
        assert!(matches!(error, RecipeError::BadSet { .. }), "{set}: {error}");
    }
}

#[test]
fn built_in_recipes_are_named() {
    let text = RECIPE.replace("times", "tims");
    let error = Recipe::builtin("quickstart", &text, &[]).unwrap().check(&registry()).unwrap_err();
    assert!(error.to_string().starts_with("built-in quickstart:12:1: unknown key `tims`"), "{error}");
}

#[test]
fn missing_files_are_named() {
    let bench = Bench::new();
    let error = Recipe::load(&bench.path("none.toml"), &[]).unwrap_err();
    assert!(error.to_string().contains("none.toml"), "{error}");
    std::fs::write(bench.path("bad.toml"), b"name = \"\xff\"").unwrap();
    let error = Recipe::load(&bench.path("bad.toml"), &[]).unwrap_err();
    assert!(error.to_string().contains("not UTF-8: byte 0xFF at line 1, column 9"), "{error}");
    std::fs::remove_file(bench.path("texts/b.txt")).unwrap();
    let error = bench.run_with(RECIPE, &[], &Options::default()).unwrap_err();
    assert!(error.to_string().contains("texts/b.txt"), "{error}");
}

#[test]
fn unknown_stage_in_only_and_from() {
    let bench = Bench::new();
    let only = Options { only: vec!["lout".to_owned()], ..Options::default() };
    let error = bench.run_with(RECIPE, &[], &only).unwrap_err();
    assert_eq!(error.to_string(), "--only: the recipe `toy` has no stage `lout`");
    assert_eq!(error.hint().as_deref(), Some("did you mean `loud`?"));
    let from = Options { from: Some("lout".to_owned()), ..Options::default() };
    assert!(matches!(bench.run_with(RECIPE, &[], &from), Err(RecipeError::NoSuchStage { option: "--from", .. })));
}
