//! Project chores, run as `cargo xtask <chore>`; `cargo xtask help` lists them.

mod bed;
mod chores;
mod deps;
mod dist;
mod guards;
mod image;
mod process;
mod programs;
mod sbom;
mod test;
mod tools;

use clap::Parser as _;

fn main() -> anyhow::Result<()> {
    chores::Chore::parse().run()
}
