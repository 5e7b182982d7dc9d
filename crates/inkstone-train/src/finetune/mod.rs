//! Fine-tuning: a model with a head for a task, or with text for its answer, learns from examples (BERT, arXiv:1810.04805, section 4;
//! GPT, Radford et al. 2018, section 3.2; T5, arXiv:1910.10683, section 2.4).

mod data;
mod dictionary;
mod evaluation;
mod objective;
mod stage;
mod task;

pub use dictionary::marks as dictionary_marks;
pub use stage::FinetuneStage;
pub use task::{TaskTable, text_source};
