//! `cargo xtask kill-drill`: a run that is killed again and again ends with the same bytes as one that is left alone.

use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::draws::Draws;
use crate::program::{Program, RecipeArguments, last_words, run_to_end};
use crate::runs::{self, Made};
use crate::{Verdict, repo};

/// What to run and how often to kill it.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    recipe: RecipeArguments,
    /// How often to kill it; every stage is struck before any is struck twice
    #[arg(long, default_value_t = 10)]
    kills: usize,
    /// Decides the moments
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// One blow: when stage `stage` (its number) has been under way for so long.
#[derive(Debug, PartialEq)]
struct Blow {
    stage: usize,
    delay: Duration,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Verdict> {
    let program = Program::build()?;
    let folder = repo::scratch("kill-drill")?;
    let (whole, struck) = (folder.join("whole"), folder.join("struck"));
    repo::section("left alone", || run_to_end(&mut program.run(&whole, &arguments.recipe)?, &whole))?;
    let stages = runs::stages(&whole)?;
    let blows = blows(&stages, arguments.kills, &mut Draws(arguments.seed));
    let landed = repo::section("killed", || {
        println!("{:>4}  {:24}  {:>8}  finished by then", "kill", "aimed at", "after");
        let mut landed = 0;
        for (number, blow) in blows.iter().enumerate() {
            print!("{:>4}  {:24}  {:>6.2} s  ", number + 1, stages[blow.stage].stage, blow.delay.as_secs_f64());
            landed += usize::from(strike(&program, arguments, (&struck, &stages), blow)?);
        }
        run_to_end(&mut program.run(&struck, &arguments.recipe)?, &struck)?;
        Ok(landed)
    })?;
    println!("\n{landed} of {} kills met a running process in the stage that they were aimed at", blows.len());
    Ok(runs::compare(&["left alone", "killed"], &[stages, runs::stages(&struck)?]).into())
}

/// Spreads `kills` over the stages: each once (the longest first, if there are too few), the rest where most time is spent.
/// The delays within a stage add up to less than its duration, so that it is not over before its last blow.
fn blows(stages: &[Made], kills: usize, draws: &mut Draws) -> Vec<Blow> {
    let mut counts = vec![0_usize; stages.len()];
    for _ in 0..kills {
        let rate = |&stage: &usize| {
            let spent = stages[stage].seconds;
            if counts[stage] == 0 { 1e9 + spent } else { spent / (counts[stage] + 1) as f64 }
        };
        if let Some(stage) = (0..stages.len()).max_by(|a, b| rate(a).total_cmp(&rate(b))) {
            counts[stage] += 1;
        }
    }
    let mut blows = Vec::with_capacity(kills);
    for (stage, &count) in counts.iter().enumerate() {
        for _ in 0..count {
            let share = (0.05 + 0.5 * draws.unit()) / count as f64;
            blows.push(Blow { stage, delay: Duration::from_secs_f64(stages[stage].seconds * share) });
        }
    }
    blows
}

/// Runs until the moment of the blow and kills; whether it was still in the stage that the blow was aimed at.
fn strike(program: &Program, arguments: &Arguments, (folder, stages): (&Path, &[Made]), blow: &Blow) -> Result<bool> {
    let mut child = program.run(folder, &arguments.recipe)?.spawn()?;
    let before = blow.stage.checked_sub(1).map(|stage| stages[stage].stage.as_str());
    wait(&mut child, || before.is_none_or(|stage| runs::is_finished(folder, stage)))?;
    let start = Instant::now();
    wait(&mut child, || start.elapsed() >= blow.delay)?;
    let ended = child.try_wait()?;
    child.kill()?;
    child.wait()?;
    let finished = stages.iter().filter(|made| runs::is_finished(folder, &made.stage)).count();
    let over = runs::is_finished(folder, &stages[blow.stage].stage);
    println!("{finished} of {} stages{}", stages.len(), if over { " (too late for its stage)" } else { "" });
    match ended {
        Some(status) if !status.success() => bail!("the run failed after a kill:\n{}", last_words(folder)),
        ended => Ok(ended.is_none() && !over),
    }
}

/// Waits until `moment`, or until the process ends.
fn wait(child: &mut Child, moment: impl Fn() -> bool) -> Result<()> {
    while !moment() && child.try_wait()?.is_none() {
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Draws, blows as strokes};
    use crate::runs::Made;

    #[test]
    fn every_stage_is_struck_once_and_long_ones_again() {
        let stages = [1.0, 0.1, 8.0].map(Made::lasting);
        let blows = strokes(&stages, 6, &mut Draws(1));
        let aims: Vec<usize> = blows.iter().map(|blow| blow.stage).collect();
        assert_eq!(aims, [0, 1, 2, 2, 2, 2]);
        let last: f64 = blows[2..].iter().map(|blow| blow.delay.as_secs_f64()).sum();
        assert!(last < 8.0, "{last}");
        assert_eq!(blows, strokes(&stages, 6, &mut Draws(1)));
        assert_eq!(strokes(&stages, 1, &mut Draws(1))[0].stage, 2);
    }
}
