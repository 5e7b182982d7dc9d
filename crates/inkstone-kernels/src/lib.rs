//! The hot loops on plain slices, each beside its plain reference.
