//! Tests of training's parts against outside programs and of what must always hold.

mod peft;
mod policy;
mod preference;
