//! Inference: token ids in, token ids out.
