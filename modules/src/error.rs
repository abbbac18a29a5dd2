//! Why a master is not as wanted.

use camino::Utf8PathBuf;
use feeder_cluster::SecretError;
use feeder_plan::RunError;
use feeder_remote::RemoteError;
use feeder_ui::{Exit, Expected};

use crate::SwarmError;

/// Why provisioning did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    /// The master answers neither where it belongs nor where it might be.
    #[error("cannot reach the master: {}{source}", elsewhere.as_ref().map_or_else(String::new, |first| format!("{first}; then, at its own address, ")))]
    Unreachable {
        /// What the attempt at its own address met.
        source: Box<RemoteError>,
        /// What the attempt at the address of first contact met, if there was one.
        elsewhere: Option<String>,
    },
    /// A secret is not to be had. Nothing has been changed.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The connection failed later.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The master got its address and was not reached there.
    #[error("{host} did not answer at its new address: {source}")]
    NewAddress {
        /// Its name.
        host: String,
        /// What the last attempt met.
        source: RemoteError,
    },
    /// The master cannot serve workers as it is.
    #[error("{host} cannot be provisioned: {why}")]
    Unsuitable {
        /// Its name.
        host: String,
        /// What is in the way.
        why: String,
        /// What to do.
        remedy: String,
    },
    /// A generation that workers could not run from.
    #[error("generation {number} on {host} stays where it is: {why}")]
    Unfit {
        /// The master.
        host: String,
        /// Its number.
        number: u32,
        /// What does not belong together, or that there is none.
        why: String,
    },
    /// A run is to be about something that there is not.
    #[error("there is no {kind} `{name}` in this cluster. Nothing has been changed")]
    NoSuch {
        /// `node` or `module`.
        kind: &'static str,
        /// What was named.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// What a run is about needs something first that it is not about.
    #[error(
        "{step} comes after {first}, which is not as wanted and was not asked for. Nothing has been changed"
    )]
    OutOfScope {
        /// The step.
        step: String,
        /// What must be done before.
        first: String,
        /// The module of that.
        module: String,
        /// The node that that is about.
        host: String,
    },
    /// Another run changes the master.
    #[error("{host} is being changed by another run: {by}. Nothing has been changed by this one")]
    Locked {
        /// Its name.
        host: String,
        /// Who, for what, and since when by the master's clock.
        by: String,
    },
    /// A disk would lose what is on it, and nobody agreed to that.
    #[error(
        "{host} would move to {disk}, which destroys what it holds: {holds}. Nothing has been changed"
    )]
    NotAgreed {
        /// The master.
        host: String,
        /// The disk, with model, size and serial number.
        disk: String,
        /// What is on it now.
        holds: String,
        /// What to give `--erase`.
        id: String,
    },
    /// Somebody agreed to another disk than the one that would be destroyed.
    #[error("--erase {given} is not the disk of [master.ssd], which is {id}")]
    AgreedToAnother {
        /// What was given.
        given: String,
        /// What is in the cluster's description.
        id: String,
    },
    /// The boot ROM must be told to look at USB, and nobody agreed to that.
    #[error(
        "the boot ROM of {host} does not look at USB (OTP row 17 is {row:08x}), and without its SD card it must. Nothing has been changed"
    )]
    RomNotProgrammed {
        /// The master.
        host: String,
        /// OTP row 17.
        row: u32,
    },
    /// The boot ROM was told to look at USB and does not.
    #[error(
        "the boot ROM of {host} still does not look at USB: OTP row 17 is {row:08x} after a restart with program_usb_boot_mode=1"
    )]
    RomNotTaken {
        /// The master.
        host: String,
        /// OTP row 17.
        row: u32,
    },
    /// The master restarted and is not heard of since.
    #[error("{host} was restarted and did not come back: {source}")]
    NotBack {
        /// The master.
        host: String,
        /// It was to come from its SSD.
        from_ssd: bool,
        /// What the last attempt met.
        source: RemoteError,
    },
    /// The trial start did not bring up a system on the SSD.
    #[error("{host} did not start from its SSD on trial: {}", source.as_ref().map_or_else(|| "it came back from its SD card".to_owned(), ToString::to_string))]
    Trial {
        /// The master.
        host: String,
        /// What the last attempt to reach it met; none when it is back on its card.
        source: Option<RemoteError>,
    },
    /// The master came back from its old disk.
    #[error("{host} came back from its SD card, not from {id}")]
    StillOnCard {
        /// The master.
        host: String,
        /// The disk.
        id: String,
    },
    /// The master has switched itself off so that its card can be taken out.
    #[error("{host} has moved to its SSD and switched itself off")]
    TakeCardOut {
        /// The master.
        host: String,
    },
    /// Asking, changing or verifying failed.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The master is as wanted, and its swarm is not.
    #[error(transparent)]
    Swarm(#[from] SwarmError),
    /// Keys could not be recorded on this machine.
    #[error("cannot record host keys in {path}: {source}")]
    KnownHosts {
        /// The file.
        path: Utf8PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

impl Expected for ProvisionError {
    fn exit(&self) -> Exit {
        match self {
            Self::Secret(error) => error.exit(),
            Self::Remote(error) => error.exit(),
            Self::Unreachable { source, .. } => source.exit(),
            Self::Run(error) => error.exit(),
            Self::Swarm(error) => error.exit(),
            Self::Unsuitable { .. }
            | Self::NoSuch { .. }
            | Self::OutOfScope { .. }
            | Self::NotAgreed { .. }
            | Self::AgreedToAnother { .. }
            | Self::RomNotProgrammed { .. } => Exit::Input,
            Self::TakeCardOut { .. } => Exit::NotAsWanted,
            Self::Unfit { .. }
            | Self::Locked { .. }
            | Self::NewAddress { .. }
            | Self::KnownHosts { .. }
            | Self::RomNotTaken { .. }
            | Self::NotBack { .. }
            | Self::Trial { .. }
            | Self::StillOnCard { .. } => Exit::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Unreachable { elsewhere: None, source } if source.is_transient() => Some(
                "on first contact the master has another address: look it up in your router and say `--at NAME=ADDRESS`".into(),
            ),
            Self::Secret(error) => error.hint(),
            Self::Remote(error) => error.hint(),
            Self::Unreachable { source, .. } => source.hint(),
            Self::Run(error) => error.hint(),
            Self::Swarm(error) => error.hint(),
            Self::NewAddress { .. } => Some(
                "it takes its old address back by itself within five minutes; check `address`, `subnet` and `gateway` in cluster.toml".into(),
            ),
            Self::Unfit { .. } => Some(
                "`cargo xtask generation list` shows those that there are, `cargo xtask generation create` makes another".into(),
            ),
            Self::NoSuch { known, .. } => Some(format!("there are {}", known.join(", "))),
            Self::OutOfScope { module, host, .. } => Some(format!(
                "let the run be about it too (module {module}, node {host}), or about everything: without --only and --host"
            )),
            Self::Locked { .. } => Some(
                "wait until it has ended; a run whose machine is gone gives the lock back by itself".into(),
            ),
            Self::Unsuitable { remedy, .. } => Some(remedy.clone()),
            Self::NotAgreed { id, .. } => {
                Some(format!("if it may be destroyed: `cargo xtask provision --erase {id}`"))
            }
            Self::AgreedToAnother { .. } => {
                Some("look at both with `cargo xtask provision --plan`".into())
            }
            Self::RomNotProgrammed { .. } => Some(
                "say `sd-card = \"kept\"`, which needs no change of the ROM; or `--program-usb-boot`, which can never be undone".into(),
            ),
            Self::RomNotTaken { .. } => Some("say `sd-card = \"kept\"` in [master.ssd]".into()),
            Self::NotBack { from_ssd: true, .. } => Some(
                "nothing is lost: its SSD holds a verified copy, and its card everything that it had. Look at its screen; give the SSD a supply of its own; or go back to the card: move what is in its folder `feeder-sd` one level up".into(),
            ),
            Self::Trial { source: None, .. } => Some(
                "nothing has been switched. Either its firmware does not know tryboot (then provision without --trial), or the system on the SSD does not come up: power, adapter, drivers".into(),
            ),
            Self::Trial { .. } => Some(
                "nothing has been switched: it goes back to its card within six minutes, or when its power is cut; then look into the SSD's journal".into(),
            ),
            Self::NotBack { .. } => Some("look at its screen or serial console".into()),
            Self::StillOnCard { .. } => Some(
                "the SSD did not answer in time: does it have enough power, and is its adapter fast enough? The card is untouched; run it again when the SSD answers".into(),
            ),
            Self::TakeCardOut { .. } => Some(
                "take its SD card out, give it power, and run `cargo xtask provision` again: it verifies the move".into(),
            ),
            Self::KnownHosts { .. } => None,
        }
    }
}
