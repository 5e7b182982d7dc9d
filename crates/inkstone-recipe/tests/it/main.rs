//! Recipes, store and everything around them, over toy stages that know no machine learning.
#![allow(clippy::unwrap_used, reason = "tests")]

mod errors;
mod kill;
mod plan;
mod properties;
mod running;
mod store;
mod tools;
mod toys;
