//! Chance that can be had again.

use std::{env, str::FromStr};

use rand::{SeedableRng as _, rngs::StdRng};

/// Gives the seed of all further chance; the same one again with it.
const SEED: &str = "MESHER_CRASH_SEED";

/// How many rounds there are.
const ROUNDS: &str = "MESHER_CRASH_ROUNDS";

/// A new seed, or the one that the environment names; it is told.
pub(crate) fn seed() -> u64 {
    let seed = variable(SEED).unwrap_or_else(rand::random);
    tell(&format!("{SEED}={seed}"));
    seed
}

/// Tells what chance had a test do, if the test fails.
#[expect(clippy::print_stderr, reason = "the test harness shows it below the name of a test that fails")]
pub(crate) fn tell(what: &str) {
    eprintln!("{what}");
}

/// What is drawn with a seed.
pub(crate) fn draws(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

/// The number of rounds that the environment names, or `usual`.
pub(crate) fn rounds(usual: u32) -> u32 {
    variable(ROUNDS).unwrap_or(usual)
}

fn variable<T: FromStr>(name: &str) -> Option<T> {
    let value = env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is to be a number, not `{value}`")))
}
