//! Tasks, metrics and confidence intervals.
