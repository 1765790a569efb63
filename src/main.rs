//! The `flowbound` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    flowbound::cli::run(std::env::args_os()).into()
}
