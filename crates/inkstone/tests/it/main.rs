//! The program from outside: a tiny recipe run, killed, fed with bad input.
#![allow(clippy::unwrap_used, reason = "tests")]

mod alignment;
mod architectures;
mod damage;
mod disk;
mod finetune;
mod generations;
mod input;
mod kill;
mod ngram;
mod objectives;
mod recipe;
mod serve;
mod support;
mod verbs;
