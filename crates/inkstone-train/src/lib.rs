//! Objectives, optimisers, schedules, the training loop and checkpoints.
