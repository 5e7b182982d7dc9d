//! N-gram models against their definitions, against KenLM, and against bad input.

mod kenlm;
mod oracle;
mod support;
