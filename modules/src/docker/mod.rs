//! Docker on the master, and through the generation on every worker.

use feeder_cluster::{ByteSize, Docker};
use feeder_plan::{Directory, File, Notify, Step, Unit};
use serde_json::json;

use crate::{Part, Site, registry};

pub(crate) const NAME: &str = "docker";

/// Debian's engine and client; curl is how the swarm module talks to the engine.
const PACKAGES: [&str; 3] = ["docker.io", "docker-cli", "curl"];
const CONFIG: &str = "/etc/docker/daemon.json";
/// Log files of each container that are kept.
const LOG_FILES: u32 = 3;

/// `/etc/docker/daemon.json`. It names no host: the engine listens on its socket alone, which systemd opens.
fn config(docker: &Docker, in_swarm: bool, mirror: Option<String>) -> String {
    let mut config = json!({
        // Without this the engine would take what works, and on a root that overlayfs cannot be stacked on, that is `vfs`: a
        // full copy of every layer for every container. With it, it says what is wrong and does not start.
        "storage-driver": "overlay2",
        "log-driver": "local",
        "log-opts": { "max-size": log_size(docker.log_size), "max-file": LOG_FILES.to_string() },
        // Containers outlive a restart of the engine, which a swarm does not allow.
        "live-restore": !in_swarm,
    });
    if let Some(mirror) = mirror {
        config["registry-mirrors"] = json!([mirror]);
    }
    format!("{config:#}\n")
}

/// As Docker reads it: its units are powers of 1024, and it knows them by one letter.
fn log_size(size: ByteSize) -> String {
    let kib = size.as_bytes() >> 10;
    if kib.is_multiple_of(1024) { format!("{}m", kib >> 10) } else { format!("{kib}k") }
}

pub(crate) fn part(site: &Site<'_>) -> Part {
    let Some(docker) = &site.cluster.docker else { return Part::default() };
    let config = config(docker, site.cluster.swarm.is_some(), registry::mirror(site.cluster));
    // Before the packages: the engine must not make its first store in another way.
    let before = Step::new(NAME)
        .named("docker-config")
        .title("how the engine runs")
        .with(Directory::new("/etc/docker"))
        .with(File::new(CONFIG, config.as_str()));
    // After the clone: workers get the engine without what it has stored on the master.
    let mut step = Step::new(NAME).title("the engine").after(crate::workers::NAME);
    for worker in &site.cluster.workers {
        // A generation does not change; what it was cloned with may be of yesterday.
        let place = site.layout.identity(worker).join(CONFIG.trim_start_matches('/'));
        step = step.with(File::new(place, config.as_str()));
    }
    let step = step
        .with(Unit::new("docker.service").enabled().active())
        .notify(Notify::restart("docker.service").when([CONFIG]));
    Part { before_packages: vec![before], packages: PACKAGES.to_vec(), steps: vec![step] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::part::tests::{with_cluster, with_site};

    const LAB: &str = include_str!("../../../fixtures/clusters/lab.toml");

    fn with(sections: &str, run: impl FnOnce(&Site<'_>)) {
        with_cluster(&format!("{LAB}\n{sections}\n"), run);
    }

    #[test]
    fn without_its_section_nothing_is_wanted() {
        with_site(|site| {
            let part = part(site);
            assert!(part.packages.is_empty() && part.steps.is_empty());
            assert!(part.before_packages.is_empty());
        });
    }

    #[test]
    fn the_engine_listens_on_no_network_and_never_falls_back_to_vfs() {
        with("[docker]", |site| {
            let docker = site.cluster.docker.as_ref().expect("it is there");
            insta::assert_snapshot!(config(docker, false, None), @r#"
            {
              "live-restore": true,
              "log-driver": "local",
              "log-opts": {
                "max-file": "3",
                "max-size": "10m"
              },
              "storage-driver": "overlay2"
            }
            "#);
        });
    }

    #[test]
    fn a_swarm_has_docker_without_live_restore() {
        with("[docker]\nlog-size = \"100KiB\"\n[swarm]", |site| {
            let text = format!("{:?}", part(site));
            assert!(text.contains("docker.io") && text.contains(CONFIG), "{text}");
            let docker = site.cluster.docker.as_ref().expect("it is there");
            let config = config(docker, true, Some("https://cluster00:5001".to_owned()));
            assert!(
                config.contains("\"registry-mirrors\": [\n    \"https://cluster00:5001\"\n"),
                "{config}"
            );
            assert!(config.contains("\"live-restore\": false"), "{config}");
            assert!(config.contains("\"max-size\": \"100k\""), "{config}");
        });
    }
}
