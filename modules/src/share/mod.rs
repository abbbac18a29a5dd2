//! A folder of the master that all nodes have.

use feeder_cluster::Share;
use feeder_plan::{Directory, Step};
use feeder_process::quote;

use crate::{Part, Site};

pub(crate) const NAME: &str = "share";

/// What systemd calls the mount of a folder (systemd-escape --path).
fn unit(folder: &str) -> String {
    let escaped: String = folder
        .trim_start_matches('/')
        .chars()
        .map(|c| match c {
            '/' => "-".to_owned(),
            '-' => "\\x2d".to_owned(),
            c => c.to_string(),
        })
        .collect();
    format!("{escaped}.mount")
}

/// Version 4, which needs neither rpcbind nor a lock daemon of its own, and locks files between nodes.
fn mount(site: &Site<'_>, folder: &str) -> String {
    format!(
        "# Written by feeder (module share).\n[Unit]\nDescription=What all nodes share\n\n[Mount]\nWhat={}:{folder}\nWhere={folder}\nType=nfs4\n\
         Options=noatime,nosuid,nodev\nTimeoutSec=60\n\n[Install]\nWantedBy=multi-user.target\n",
        site.cluster.master.address
    )
}

/// The line of exports(5). Root of a worker is nobody here: what the cluster's user may do is enough.
pub(crate) fn export(site: &Site<'_>) -> Option<(String, Vec<String>)> {
    let Share { folder } = site.cluster.share.as_ref()?;
    let addresses = site.cluster.workers.iter().map(|worker| worker.address.to_string());
    Some((folder.clone(), addresses.collect()))
}

pub(crate) fn part(site: &Site<'_>) -> Part {
    let Some(Share { folder }) = &site.cluster.share else { return Part::default() };
    let user = &site.cluster.master.user;
    let step = Step::new(NAME)
        .title("a folder for all nodes")
        .with(Directory::new(folder).mode(0o2775).owner(user, user));
    let unit = unit(folder);
    let (file, wants) = (
        format!("/etc/systemd/system/{unit}"),
        format!("/etc/systemd/system/multi-user.target.wants/{unit}"),
    );
    let in_generation = format!(
        "mkdir -p \"$root/etc/systemd/system/multi-user.target.wants\"\nprintf %s {} >\"$root\"{}\nln -sfn {} \"$root\"{}",
        quote(&mount(site, folder)),
        quote(&file),
        quote(&file),
        quote(&wants)
    );
    Part { steps: vec![step], in_generation: vec![in_generation], ..Part::default() }
}

#[cfg(test)]
mod tests {
    use feeder_process::Cmd;

    use super::*;
    use crate::part::tests::{shell_accepts, with_cluster, with_site};

    const LAB: &str = include_str!("../../../fixtures/clusters/lab.toml");

    #[test]
    fn without_its_section_nothing_is_shared() {
        with_site(|site| {
            assert!(part(site).in_generation.is_empty() && export(site).is_none());
        });
    }

    #[test]
    fn units_are_called_as_systemd_calls_them() {
        assert_eq!(unit("/srv/share"), "srv-share.mount");
        assert_eq!(unit("/srv/all-nodes/x.y"), "srv-all\\x2dnodes-x.y.mount");
        // The judge, where there is one.
        if let Ok(output) = Cmd::new("systemd-escape")
            .args(["--path", "--suffix=mount", "/srv/all-nodes/x.y"])
            .run()
        {
            assert_eq!(output.stdout_text().trim(), unit("/srv/all-nodes/x.y"));
        }
    }

    #[test]
    fn workers_mount_it_in_the_same_place() {
        with_cluster(&format!("{LAB}\n[share]\nfolder = \"/srv/all-nodes\"\n"), |site| {
            let part = part(site);
            let script = &part.in_generation[0];
            shell_accepts(script);
            let guard = tempfile::tempdir().expect("a folder");
            let root = guard.path().to_str().expect("UTF-8");
            Cmd::new("sh")
                .stdin(format!("set -e\nroot={root}\n{script}\n{script}"))
                .run()
                .expect("sh");
            let unit = "srv-all\\x2dnodes.mount";
            let system = guard.path().join("etc/systemd/system");
            let text = fs_err::read_to_string(system.join(unit)).expect("the unit");
            insta::assert_snapshot!("unit", text);
            let link = fs_err::read_link(system.join("multi-user.target.wants").join(unit));
            assert_eq!(
                link.expect("a link").to_str(),
                Some(&*format!("/etc/systemd/system/{unit}"))
            );
        });
    }
}
