//! Training and applying tokenizers; the chat template.
