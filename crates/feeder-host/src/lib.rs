//! What this machine must have so that the rest of the workspace can do its work, and how it gets there.
//!
//! [`TOOLS`] is the whole list, as data: what to look for, the least version, the Debian package and the reason. A command
//! calls [`require`] with the [`Need`]s it has: when all is there this changes nothing and costs some 50 ms; when something
//! is missing, it is installed with the consent of the user, or the commands to type are in the error.
//!
//! Knows Debian by name. Elsewhere it checks and says what is missing, but changes nothing.

mod apt;
mod binfmt;
mod check;
mod error;
mod host;
mod network;
mod setup;
mod tools;
mod version;

pub use apt::mirror_hosts;
pub use check::{ToolStatus, Verdict, inventory_of};
pub use error::{HostError, NotInstalled};
pub use host::{Distribution, Host, Privilege, with_sbin};
pub use network::Segment;
pub use setup::{Action, Consent, plan, require_on};
pub use tools::{Look, Need, Supply, TOOLS, Tool, is_known_program};
pub use version::Version;

use feeder_ui::Progress;

/// Makes sure that everything for `needs` is on this machine.
///
/// # Errors
/// [`HostError`], all of which end in [`feeder_ui::Exit::Host`] but an interrupt.
pub fn require(needs: &[Need], consent: Consent, progress: &Progress) -> Result<(), HostError> {
    require_on(&Host::this(), needs, consent, progress)
}

/// The state of every tool on this machine, in the table's order.
pub fn inventory() -> Vec<ToolStatus> {
    inventory_of(&Host::this(), &Need::ALL)
}
