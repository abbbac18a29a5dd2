//! Docker on the master, and through the generation on every worker.

use feeder_cluster::{Archive, ByteSize, Docker};
use feeder_plan::{Directory, File, Notify, Step, Task, Unit};
use serde_json::json;

use crate::{Part, Site, firmware::rewritten, registry};

pub(crate) const NAME: &str = "docker";

/// Packages with what runs all the time.
const ENGINES: [&str; 3] = ["docker.io", "docker-ce", "containerd.io"];
/// How the swarm module talks to the engine.
const CURL: &str = "curl";

/// Debian's engine and client, or its makers' own. In bookworm the engine's package has the client in
/// it, and there is no other.
fn packages(docker: &Docker, system: &str) -> Vec<String> {
    let packages: &[&str] = match (&docker.archive, release(system)) {
        (Some(_), _) => &["docker-ce", "docker-ce-cli", "containerd.io", CURL],
        (None, Some("bookworm")) => &["docker.io", CURL],
        (None, _) => &["docker.io", "docker-cli", CURL],
    };
    packages.iter().map(|name| (*name).to_owned()).collect()
}

/// The name of a Debian release, of `Debian GNU/Linux 13 (trixie)`.
fn release(system: &str) -> Option<&str> {
    system.split_once('(')?.1.split_once(')').map(|(name, _)| name)
}

/// Where apt finds Docker's own packages, in the form of deb822 (sources.list(5)), with the one key that it trusts there.
const SOURCE: &str = "/etc/apt/sources.list.d/feeder-docker.sources";

fn source(archive: &Archive, system: &str) -> String {
    let Archive { url, key } = archive;
    // Whoever looks for a release without a name is told by apt.
    let suite = release(system).unwrap_or("stable");
    // A line without anything in it would end the field.
    let line = |line: &str| format!(" {}\n", if line.is_empty() { "." } else { line });
    let key: String = key.lines().map(line).collect();
    format!(
        "Types: deb\nURIs: {url}\nSuites: {suite}\nComponents: stable\nArchitectures: arm64\nSigned-By:\n{key}"
    )
}

const CONFIG: &str = "/etc/docker/daemon.json";
/// Log files of each container that are kept.
const LOG_FILES: u32 = 3;

/// `/etc/docker/daemon.json`. It names no host: the engine listens on its socket alone, which systemd opens.
fn config(docker: &Docker, mirror: Option<String>) -> String {
    let mut config = json!({
        // Without this the engine would take what works, and on a root that overlayfs cannot be stacked on, that is `vfs`: a
        // full copy of every layer for every container. With it, it says what is wrong and does not start.
        "storage-driver": "overlay2",
        "log-driver": "local",
        "log-opts": { "max-size": log_size(docker.log_size), "max-file": LOG_FILES.to_string() },
        // With it, containers outlive a restart of the engine. But it lets no engine into a swarm before that has restarted, and one
        // that is in a swarm does not start with it, whatever the cluster's file says of swarms meanwhile.
        "live-restore": false,
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

/// A word of the kernel command line, which counts more than the firmware's `cgroup_disable=memory` before it.
const MEMORY: &str = "cgroup_enable=memory";
const COMMAND_LINE: &str = "/boot/firmware/cmdline.txt";

/// The master's kernel can limit the memory of containers, from its next start on. Workers' command lines are feeder's own.
fn memory_controller(command_line: &str) -> Task {
    Task::new("memory-controller", format!("{MEMORY} on the master's command line"))
        .probe(format!(
            "if grep -qw memory /sys/fs/cgroup/cgroup.controllers || grep -qw {MEMORY} {command_line}; \
             then echo present; else echo absent; fi"
        ))
        .apply(rewritten(
            command_line.into(),
            &format!("sed '1s/[[:space:]]*$/ {MEMORY}/' {command_line}"),
        ))
}

/// What is to be done by hand.
pub(crate) fn note(site: &Site<'_>) -> Option<String> {
    let lacks = site.cluster.docker.is_some() && !site.survey.memory_controller;
    let name = &site.cluster.master.name;
    lacks.then(|| {
        format!(
            "the kernel of {name} cannot limit the memory of containers before it has restarted: `cargo xtask node reboot {name}`"
        )
    })
}

pub(crate) fn part(site: &Site<'_>) -> Part {
    let Some(docker) = &site.cluster.docker else { return Part::default() };
    let config = config(docker, registry::mirror(site.cluster));
    // Before the packages: the engine must not make its first store in another way.
    let mut before = Step::new(NAME)
        .named("docker-config")
        .title("how the engine runs")
        .with(Directory::new("/etc/docker"))
        .with(File::new(CONFIG, config.as_str()));
    if let Some(archive) = &docker.archive {
        before = before.with(File::new(SOURCE, source(archive, &site.survey.system)));
    }
    // After the clone: workers get the engine without what it has stored on the master.
    let mut step = Step::new(NAME).title("the engine").after(crate::workers::NAME);
    for worker in &site.cluster.workers {
        // A generation does not change; what it was cloned with may be of yesterday.
        let place = site.layout.identity(worker).join(CONFIG.trim_start_matches('/'));
        step = step.with(File::new(place, config.as_str()));
    }
    let packages = packages(docker, &site.survey.system);
    // Packages start and stop nothing: without this the engine that was there would go on from files that are gone.
    let engine = packages.iter().filter(|name| ENGINES.contains(&name.as_str()));
    let installed: Vec<String> = engine.map(|name| format!("package:{name}")).collect();
    let step = step
        .with(memory_controller(COMMAND_LINE))
        .with(Unit::new("containerd.service").active())
        .with(Unit::new("docker.service").enabled().active())
        .notify(Notify::restart("containerd.service").when(installed.clone()))
        .notify(Notify::restart("docker.service").when([CONFIG.to_owned()]).when(installed));
    Part { before_packages: vec![before], packages, steps: vec![step], ..Part::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::part::tests::{with_sections, with_site};

    const ARCHIVE: &str = "[docker.archive]\nurl = \"https://mirror.example/linux/debian\"\nkey = \"\"\"\n\
        -----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQINBFit\n-----END PGP PUBLIC KEY BLOCK-----\n\"\"\"\n[swarm]";

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
        with_sections("[docker]", |site| {
            let docker = site.cluster.docker.as_ref().expect("it is there");
            insta::assert_snapshot!(config(docker, None), @r#"
            {
              "live-restore": false,
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
    fn a_swarm_has_docker() {
        with_sections("[docker]\nlog-size = \"100KiB\"\n[swarm]", |site| {
            let text = format!("{:?}", part(site));
            assert!(text.contains("docker.io") && text.contains(CONFIG), "{text}");
            let docker = site.cluster.docker.as_ref().expect("it is there");
            let config = config(docker, Some("https://cluster00:5001".to_owned()));
            assert!(
                config.contains("\"registry-mirrors\": [\n    \"https://cluster00:5001\"\n"),
                "{config}"
            );
            assert!(config.contains("\"max-size\": \"100k\""), "{config}");
        });
    }

    #[test]
    fn the_client_is_a_package_of_its_own_since_trixie() {
        let docker = Docker::default();
        let has_client = |system| packages(&docker, system).contains(&"docker-cli".to_owned());
        assert!(has_client("Debian GNU/Linux 13 (trixie)"));
        assert!(!has_client("Debian GNU/Linux 12 (bookworm)"));
    }

    #[test]
    fn another_engine_restarts_and_a_client_does_not() {
        for (sections, wanted) in [
            ("[docker]\n", &["package:docker.io"][..]),
            (ARCHIVE, &["package:docker-ce", "package:containerd.io"]),
        ] {
            with_sections(sections, |site| {
                let part = part(site);
                let notify = &part.steps[0].notify;
                assert_eq!(
                    notify[0].action,
                    feeder_plan::NotifyAction::Restart("containerd.service".into())
                );
                assert_eq!(notify[0].on, wanted);
                assert_eq!(notify[1].on, [&[CONFIG], wanted].concat());
            });
        }
    }

    #[test]
    fn docker_s_own_archive_is_trusted_by_its_own_key() {
        with_sections(ARCHIVE, |site| {
            let part = part(site);
            assert!(part.packages.contains(&"docker-ce".to_owned()), "{:?}", part.packages);
            assert!(!part.packages.contains(&"docker.io".to_owned()), "{:?}", part.packages);
            let before = format!("{:?}", part.before_packages);
            assert!(before.contains(SOURCE), "apt must know of it before: {before}");
            let docker = site.cluster.docker.as_ref().expect("it is there");
            let archive = docker.archive.as_ref().expect("it has one");
            insta::assert_snapshot!(source(archive, "Debian GNU/Linux 13 (trixie)"), @r"
            Types: deb
            URIs: https://mirror.example/linux/debian
            Suites: trixie
            Components: stable
            Architectures: arm64
            Signed-By:
             -----BEGIN PGP PUBLIC KEY BLOCK-----
             .
             mQINBFit
             -----END PGP PUBLIC KEY BLOCK-----
            ");
        });
    }

    #[test]
    fn the_memory_controller_is_asked_for_once_on_one_line() {
        use feeder_plan::{Mode, run};

        let guard = tempfile::tempdir().expect("a folder");
        let dir = camino::Utf8Path::from_path(guard.path()).expect("UTF-8");
        let file = dir.join("cmdline.txt");
        fs_err::write(&file, "console=tty1 root=PARTUUID=fe3de201-02 rootwait \n").expect("a file");
        // Whatever this machine's kernel can do: the script alone.
        let task = memory_controller(file.as_str());
        let probe = format!("if grep -qw {MEMORY} {file}; then echo present; else echo absent; fi");
        let step = || [Step::new("docker").with(task.clone().probe(probe.clone()))];
        let host = feeder_remote::Local::new("cluster00").env("FEEDER_RUN", dir.join("run"));
        let changed = || {
            let report = run(&host, &step(), Mode::Apply, &mut |_| {});
            report.map_err(|error| error.to_string()).expect("it runs").changed()
        };
        assert_eq!((changed(), changed()), (1, 0));
        assert_eq!(
            fs_err::read_to_string(&file).expect("a file"),
            "console=tty1 root=PARTUUID=fe3de201-02 rootwait cgroup_enable=memory\n"
        );
    }

    #[test]
    fn a_kernel_without_the_controller_is_told_of() {
        with_sections("[docker]", |site| {
            assert_eq!(note(site), None);
            let survey = crate::Survey { memory_controller: false, ..site.survey.clone() };
            let site = Site { survey: &survey, ..*site };
            assert!(note(&site).is_some_and(|note| note.contains("node reboot cluster00")));
        });
    }
}
