//! Word vectors (Mikolov et al. 2013, arXiv:1301.3781 and arXiv:1310.4546).

mod analogies;
mod config;
mod format;
mod gathered;
mod map;
mod outputs;
mod phrases;
mod projection;
mod sentences;
mod similarity;
mod stage;
mod table;
mod train;
mod vectors;
mod vocabulary;
mod windows;

pub use analogies::{Section, analogies};
pub use config::{Architecture, Objective, Word2VecConfig};
pub use format::{Format, read_vectors, write_vectors};
pub use map::{MapSettings, draw_map};
pub use phrases::{PhraseSettings, join_phrases};
pub use projection::{Projection, project};
pub use sentences::{SentenceReader, Sentences, Words, read_sentences};
pub use similarity::{Agreement, similarity};
pub use stage::{MAP_FILE, VECTORS_FILE, Word2VecStage, Word2VecStageConfig};
pub use train::{Event, Lesson, train};
pub use vectors::{Neighbour, Space, Vectors};
pub use vocabulary::Vocabulary;
