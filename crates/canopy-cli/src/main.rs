//! The program `canopy`; see the library `canopy_cli`.

use std::io;
use std::process::ExitCode;

use canopy_cli::{Cli, Terminal, complete, dial, run};
use clap::Parser;

fn main() -> ExitCode {
    complete::answer_shell();
    ask()
}

#[tokio::main(flavor = "current_thread")]
async fn ask() -> ExitCode {
    let cli = Cli::parse();
    let (mut input, mut out, mut err) = (io::stdin(), io::stdout(), io::stderr());
    run(cli, Terminal::new(&mut input, &mut out, &mut err), dial).await
}
