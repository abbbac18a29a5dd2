//! Options that say which cluster is meant and how its master is reached.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use camino::{Utf8Path, Utf8PathBuf};
use clap::Args;
use feeder_cluster::{Cluster, SecretRef, Setting, Settings};
use feeder_host::{Consent, Need};
use feeder_modules::Access;
use feeder_remote::HostKeys;
use feeder_ui::{Exit, Expected};

use crate::Context;

/// Which cluster, and the way to it.
#[derive(Debug, Args)]
pub(crate) struct Reach {
    /// What the cluster should be
    #[arg(long, value_name = "FILE", default_value = "cluster.toml")]
    config: Utf8PathBuf,
    /// Set one of its values otherwise, as in master.address=192.168.10.99; counts more than the environment (FEEDER_MASTER_ADDRESS),
    /// which counts more than the file
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<Setting>,
    /// Where a node answers, when not at its own address; for the master, as long as it does not have its own yet
    #[arg(long, value_name = "NAME=ADDRESS[:PORT]")]
    at: Vec<At>,
    /// The SSH key to offer, and no other; without it your agent and configuration decide
    #[arg(long, value_name = "FILE")]
    identity: Option<Utf8PathBuf>,
    /// Where the password is for the first login to a master that has no key of yours: env:NAME, file:PATH or cmd:COMMAND, which
    /// may ask you
    #[arg(long, value_name = "REFERENCE")]
    login_password: Option<SecretRef>,
    /// Where host keys are looked up and recorded [default: known_hosts beside the configuration]
    #[arg(long, value_name = "FILE")]
    known_hosts: Option<Utf8PathBuf>,
    /// Record the key of a master that is not in the known_hosts file, instead of refusing it
    #[arg(long)]
    accept_new: bool,
    /// Install missing tools of this machine without asking
    #[arg(long)]
    yes: bool,
}

/// `NAME=ADDRESS[:PORT]`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct At {
    name: String,
    address: SocketAddr,
}

impl FromStr for At {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, place) =
            text.split_once('=').ok_or("write it as NAME=ADDRESS or NAME=ADDRESS:PORT")?;
        let ssh = |address: IpAddr| SocketAddr::new(address, 22);
        let address = place.parse().or_else(|_| place.parse().map(ssh));
        let address =
            address.map_err(|_| format!("`{place}` is no IP address, with or without a port"))?;
        Ok(Self { name: name.to_owned(), address })
    }
}

/// `--at` names a node that the cluster does not have.
#[derive(Debug, thiserror::Error)]
#[error("--at {name}=…: the cluster has no node `{name}`")]
struct NoSuchNode {
    name: String,
    nodes: Vec<String>,
}

impl Expected for NoSuchNode {
    fn exit(&self) -> Exit {
        Exit::Input
    }

    fn hint(&self) -> Option<String> {
        Some(format!("its nodes are {}", self.nodes.join(", ")))
    }
}

impl Reach {
    /// The file that describes the cluster.
    pub(crate) fn config(&self) -> &Utf8Path {
        &self.config
    }

    /// Reads the cluster's description, and sees to it that this machine can reach boards.
    pub(crate) fn prepare(
        &self,
        context: &Context,
    ) -> Result<(Cluster, Access), Box<dyn Expected>> {
        // What is no text names no key of ours.
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        let settings = Settings::of_environment(variables).and(self.set.iter().cloned());
        let parsed = feeder_cluster::load_with(&self.config, &settings)?;
        if let Some(warnings) = Expected::rendered(&parsed.warnings).filter(|text| !text.is_empty())
        {
            context.progress.note(warnings);
        }
        let mut access = self.access(&parsed.cluster)?.with_sudo_password(&parsed.cluster)?;
        access.login_password = self.login_password.as_ref().map(SecretRef::resolve).transpose()?;
        feeder_host::require(&[Need::Ssh], Consent::from_flag(self.yes), &context.progress)?;
        Ok((parsed.cluster, access))
    }

    fn access(&self, cluster: &Cluster) -> Result<Access, NoSuchNode> {
        let beside = || self.config.parent().unwrap_or("".into()).join("known_hosts");
        let mut access = Access::new(self.known_hosts.clone().unwrap_or_else(beside));
        access.surveys = Some(feeder_store::Store::default_root().join("surveys"));
        access.identity.clone_from(&self.identity);
        if self.accept_new {
            access.host_keys = HostKeys::AcceptNew;
        }
        let mut at: BTreeMap<String, SocketAddr> = BTreeMap::new();
        for At { name, address } in &self.at {
            if *name == cluster.master.name.to_string() {
                access.first_contact = Some(*address);
            } else if cluster.worker(name).is_some() {
                at.insert(name.clone(), *address);
            } else {
                let workers = cluster.workers.iter().map(|worker| worker.name.to_string());
                let nodes =
                    std::iter::once(cluster.master.name.to_string()).chain(workers).collect();
                return Err(NoSuchNode { name: name.clone(), nodes });
            }
        }
        access.at = at;
        Ok(access)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Result<At, String> {
        text.parse()
    }

    #[test]
    fn places_are_addresses_with_or_without_a_port() {
        let place = |name: &str, address: &str| {
            Ok(At { name: name.into(), address: address.parse().expect("an address in the test") })
        };
        assert_eq!(at("cluster00=192.168.1.37"), place("cluster00", "192.168.1.37:22"));
        assert_eq!(at("cluster00=127.0.0.1:2222"), place("cluster00", "127.0.0.1:2222"));
        assert_eq!(at("cluster00=[fe80::1]:22"), place("cluster00", "[fe80::1]:22"));
        assert!(at("192.168.1.37").is_err_and(|why| why.contains("NAME=ADDRESS")));
        assert!(
            at("cluster00=raspberrypi")
                .is_err_and(|why| why.contains("`raspberrypi` is no IP address"))
        );
    }
}
