//! How data is printed.

use clap::ValueEnum;
use feeder_ui::{Exit, Expected};
use serde::Serialize;

/// The form of data on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// For programs
    Json,
}

/// Data that could not be handed over.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the result to stdout")]
pub(crate) struct NotPrinted(#[from] std::io::Error);

impl Expected for NotPrinted {
    fn exit(&self) -> Exit {
        Exit::Failed
    }
}

impl Format {
    /// Prints a value on stdout, as text or as JSON.
    pub(crate) fn print<T: Serialize>(
        self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), NotPrinted> {
        match self {
            Self::Text => feeder_ui::data(text(value))?,
            Self::Json => {
                let json = serde_json::to_string_pretty(value).map_err(std::io::Error::from)?;
                feeder_ui::data(json + "\n")?;
            }
        }
        Ok(())
    }
}
