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
    /// Gets all that provisioning needs from where the cluster's description says. What it takes to log in is known by then
    /// ([`Access::with_sudo_password`](crate::Access::with_sudo_password)): a command that prints it may ask somebody, and does so
    /// once.
    ///
    /// # Errors
    /// One of them is not to be had, or of no use.
    pub fn of(cluster: &Cluster, sudo_password: Option<&Secret>) -> Result<Self, SecretError> {
        let password_hash = cluster.system.password.as_ref();
        let asks = cluster.system.sudo == Some(Sudo::WithPassword);
        Ok(Self {
            password_hash: password_hash.map(|found| found.password_hash()).transpose()?,
            sudo_password: sudo_password.filter(|_| asks).cloned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Secrets;
    use crate::{Access, part::tests::LAB};

    #[test]
    fn a_command_that_prints_a_password_runs_once() {
        let guard = tempfile::tempdir().expect("a folder");
        let count = guard.path().join("count").to_str().expect("UTF-8").to_owned();
        let master = format!("[master]\nsudo-password = \"cmd:echo >>{count}; echo hunter2\"");
        let system = "[system]\nsudo = \"with-password\"\n";
        let text = format!("{}\n{system}", LAB.replace("[master]", &master));
        let cluster = feeder_cluster::parse(&text, "cluster.toml").expect("it is valid").cluster;
        // As the command line does, and then provisioning.
        let access = Access::new("known_hosts").with_sudo_password(&cluster).expect("it is there");
        let access = access.with_sudo_password(&cluster).expect("it is there");
        let secrets = Secrets::of(&cluster, access.sudo_password.as_ref()).expect("it is there");
        assert_eq!(secrets.sudo_password.as_ref().map(|it| it.expose()), Some("hunter2"));
        assert_eq!(fs_err::read_to_string(count).expect("it ran"), "\n");
        assert!(!format!("{access:?} {secrets:?}").contains("hunter2"));
    }
}
