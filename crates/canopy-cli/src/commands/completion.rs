//! `canopy completion`: what a shell runs to offer commands, flags and names.

use clap::{Args, ValueEnum};
use clap_complete::env::Shells;

use crate::complete;
use crate::error::Error;
use crate::terminal::Terminal;

/// Print what a shell runs so that it completes commands, flags and names
///
/// Names come from the hub that is asked; without an answer within a second, none are offered.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  source <(canopy completion bash)
  canopy completion zsh > ~/.zfunc/_canopy
  canopy completion fish > ~/.config/fish/completions/canopy.fish
  canopy completion powershell | Out-String | Invoke-Expression")]
pub struct Completion {
    /// Which shell
    shell: Shell,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
    Powershell,
}

impl Completion {
    /// No hub is asked.
    pub(crate) fn run(self, terminal: &mut Terminal<'_>) -> Result<(), Error> {
        let name = match self.shell {
            Shell::Bash => "bash",
            Shell::Zsh => "zsh",
            Shell::Fish => "fish",
            Shell::Powershell => "powershell",
        };
        let shells = Shells::builtins();
        let shell = shells.completer(name).expect("it is one of the shells that clap knows");
        let program = "canopy";
        shell
            .write_registration(complete::ASKED, program, program, program, terminal.out)
            .map_err(Error::Write)
    }
}
