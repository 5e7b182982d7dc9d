//! N-gram models against their definitions, against KenLM, and against bad input.

mod bad_input;
mod kenlm;
mod oracle;
mod structures;
mod support;
mod use_it;
