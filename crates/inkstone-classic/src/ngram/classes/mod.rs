//! Word classes after Brown et al. (1992, "Class-based n-gram models of natural language"): p(w|h) = p(w|c) · p(c|classes of h), the
//! classes chosen so that those of adjacent words tell as much about each other as can be.
//!
//! The classes are found by exchange (Martin, Liermann and Ney 1998), which climbs the same measure, the mutual information
//! of adjacent classes, as the paper's merging and takes time linear in the vocabulary.

mod exchange;
mod model;

pub use exchange::{Bigrams, exchange};
pub use model::{ClassModel, Classes};
