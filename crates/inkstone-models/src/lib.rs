//! One file per architecture, readable top to bottom like its paper.
