//! stub
use super::*;
/// x
#[derive(Debug, clap::Args)]
pub(super) struct GenerateArgs {}
pub(super) fn run(_a: &GenerateArgs) -> Result<Exit, Failure> { Ok(Exit::Done) }
