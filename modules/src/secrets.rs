//! Values of the secrets that a cluster refers to.

use feeder_cluster::{Cluster, Secret, SecretError, Sudo};

/// What modules are given of secrets. None of it may be in a plan, a name or a state: scripts alone carry it, in variables that they
/// do not export, to programs that read it from their standard input.
///
/// The default holds none of them: for looking at what does not depend on them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Secrets {
    /// The hash of the user's password.
    pub(crate) password_hash: Option<Secret>,
    /// The user's password, where sudo is to ask for it.
    pub(crate) sudo_password: Option<Secret>,
}

impl Secrets {
    /// Gets all that provisioning needs from where the cluster's description says.
    ///
    /// # Errors
    /// One of them is not to be had, or of no use.
    pub fn of(cluster: &Cluster) -> Result<Self, SecretError> {
        let password_hash = cluster.system.password.as_ref();
        let sudo_password = cluster.master.sudo_password.as_ref();
        let asks = cluster.system.sudo == Some(Sudo::WithPassword);
        Ok(Self {
            password_hash: password_hash.map(|found| found.password_hash()).transpose()?,
            sudo_password: sudo_password
                .filter(|_| asks)
                .map(|found| found.resolve())
                .transpose()?,
        })
    }
}
