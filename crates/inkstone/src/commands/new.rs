//! `inkstone new`.

use std::process::ExitCode;

use crate::cli::New;
use crate::printer::Printer;

pub(crate) fn new(_args: &New, _printer: &Printer) -> anyhow::Result<ExitCode> {
    anyhow::bail!("later")
}
