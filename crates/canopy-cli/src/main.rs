//! The program `canopy`; see the library `canopy_cli`.

use std::io;
use std::process::ExitCode;

use canopy_cli::{Cli, Terminal, dial, run};
use clap::Parser;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let (mut input, mut out, mut err) = (io::stdin(), io::stdout(), io::stderr());
    run(cli, Terminal::new(&mut input, &mut out, &mut err), dial).await
}
