//! Project chores, run as `cargo xtask <chore>`; `cargo xtask help` lists them.

mod bed;
mod chores;
mod deps;
mod guards;
mod process;
mod test;
mod tools;

use clap::Parser as _;

fn main() -> anyhow::Result<()> {
    chores::Chore::parse().run()
}
