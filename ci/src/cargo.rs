//! Calling cargo from a program that cargo started.

use std::ffi::{OsStr, OsString};

use camino::{Utf8Path, Utf8PathBuf};
use feeder_process::Cmd;
use serde::Deserialize;

use crate::CiError;

/// What cargo says about this workspace.
#[derive(Debug, Clone, Deserialize)]
pub struct Workspace {
    /// Where `Cargo.toml` is.
    #[serde(rename = "workspace_root")]
    pub root: Utf8PathBuf,
    /// Where build results go.
    #[serde(rename = "target_directory")]
    pub target: Utf8PathBuf,
    /// The cargo that is called.
    #[serde(skip)]
    pub cargo: OsString,
}

impl Workspace {
    /// Asks cargo.
    ///
    /// # Errors
    /// [`CiError::Cargo`] with cargo's words.
    pub fn locate(root: &Utf8Path) -> Result<Self, CiError> {
        let cargo = cargo_program();
        let args = ["metadata", "--no-deps", "--format-version", "1", "--offline"];
        let asked = nested(&cargo, root).args(args).run();
        let output = asked.map_err(|error| CiError::Cargo(error.to_string()))?;
        let known = serde_json::from_slice(&output.stdout);
        let known: Self = known.map_err(|error| CiError::Cargo(error.to_string()))?;
        Ok(Self { cargo, ..known })
    }

    /// What `cargo metadata` prints about every package that is built here, ours or not.
    pub(crate) fn resolved(&self) -> Result<Vec<u8>, CiError> {
        // For the platform we are on: what others need was never fetched.
        let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        let args =
            ["metadata", "--format-version", "1", "--locked", "--filter-platform", &platform];
        Ok(self.cargo().args(args).run().map_err(|error| CiError::Cargo(error.to_string()))?.stdout)
    }

    /// A call of cargo in this workspace, without [`package_variables`].
    pub(crate) fn cargo(&self) -> Cmd {
        nested(&self.cargo, &self.root)
    }
}

fn nested(cargo: &OsStr, root: &Utf8Path) -> Cmd {
    package_variables().into_iter().fold(Cmd::new(cargo).dir(root), Cmd::env_remove)
}

/// The cargo that started us, or the one in PATH.
pub fn cargo_program() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// The variables of our environment that `cargo run` set about our own package. A nested cargo must not see them: build
/// scripts that watch them would find a change, and dependencies would be built again each time that the gate and a
/// person's own `cargo` take turns.
pub fn package_variables() -> Vec<String> {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    names.filter(|name| is_about_package(name)).collect()
}

fn is_about_package(name: &str) -> bool {
    name.starts_with("CARGO_PKG_")
        || name.starts_with("CARGO_MANIFEST_")
        || matches!(name, "CARGO_BIN_NAME" | "CARGO_CRATE_NAME" | "CARGO_PRIMARY_PACKAGE")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_workspace_is_found_from_inside() {
        let here = Utf8Path::new(env!("CARGO_MANIFEST_DIR"));
        let workspace = Workspace::locate(here).expect("cargo knows us");
        assert_eq!(workspace.root, here.parent().expect("ci is a folder of the workspace"));
    }

    #[test]
    fn only_what_is_about_a_package_is_taken_away() {
        assert!(is_about_package("CARGO_PKG_NAME") && is_about_package("CARGO_MANIFEST_DIR"));
        assert!(
            !is_about_package("CARGO_HOME")
                && !is_about_package("CARGO_TARGET_DIR")
                && !is_about_package("CARGO")
        );
    }
}
