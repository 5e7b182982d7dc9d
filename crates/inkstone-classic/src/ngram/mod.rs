//! N-gram language models.
