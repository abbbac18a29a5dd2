//! A registry for the cluster's own images, and a cache of everybody's, on the master.

use camino::{Utf8Path, Utf8PathBuf};
use feeder_cluster::{Cluster, Registry};
use feeder_plan::{Directory, File, Notify, Step, Task, Unit};
use minijinja::context;

use crate::{Layout, Part, Site, template::render};

pub(crate) const NAME: &str = "registry";
/// Debian's registry, and ours beside it. They have no place on a worker.
pub(crate) const UNIT: &str = "docker-registry.service";
pub(crate) const CACHE_UNIT: &str = "feeder-registry-cache.service";

/// The port of the registry that takes images, and of the one that caches those of another.
const PORT: u16 = 5000;
const CACHE_PORT: u16 = 5001;
const PACKAGES: [&str; 2] = ["docker-registry", "openssl"];
const USER: &str = "docker-registry";
const CONFIG: &str = "/etc/docker/registry/config.yml";
const CACHE_CONFIG: &str = "/etc/docker/registry/feeder-cache.yml";
const CACHE_UNIT_FILE: &str = "/etc/systemd/system/feeder-registry-cache.service";
const CERTIFICATES: &str = "registry-certificates";
/// The resource of that name.
const CERTIFICATES_TASK: &str = "task:registry-certificates";

/// Where an engine asks for images of Docker's own registry first.
pub(crate) fn mirror(cluster: &Cluster) -> Option<String> {
    cluster.registry.as_ref().map(|_| format!("https://{}:{CACHE_PORT}", cluster.master.name))
}

/// Folders of the registry: none below `/etc` or `/var`, which the generation takes over.
struct Folders {
    ca: Utf8PathBuf,
    tls: Utf8PathBuf,
    data: Utf8PathBuf,
    cache: Utf8PathBuf,
}

impl Folders {
    fn new(layout: &Layout) -> Self {
        Self::below(&layout.base().join(NAME))
    }

    fn below(base: &Utf8Path) -> Self {
        Self {
            ca: base.join("ca"),
            tls: base.join("tls"),
            data: base.join("images"),
            cache: base.join("cache"),
        }
    }
}

/// Where engines look for who vouches for the two: the master's, and each worker's identity.
fn trusted(site: &Site<'_>) -> Vec<String> {
    let roots = site.cluster.workers.iter().map(|worker| site.layout.identity(worker));
    std::iter::once(Utf8PathBuf::from("/"))
        .chain(roots)
        .flat_map(|root| {
            [PORT, CACHE_PORT].map(|port| {
                let name = format!("{}:{port}", site.cluster.master.name);
                root.join("etc/docker/certs.d").join(name).join("ca.crt").into_string()
            })
        })
        .collect()
}

fn config(site: &Site<'_>, data: &Utf8PathBuf, port: u16, upstream: Option<&str>) -> String {
    let folders = Folders::new(site.layout);
    let values = context! {
        data => data.as_str(),
        port,
        certificate => folders.tls.join("registry.crt").as_str(),
        key => folders.tls.join("registry.key").as_str(),
        upstream,
    };
    render(include_str!("config.yml.j2"), &values)
}

fn certificates(site: &Site<'_>) -> Task {
    let (probe, apply) = scripts(site, &Folders::new(site.layout), USER, trusted(site));
    Task::new(CERTIFICATES, "certificates of the registry, trusted by all nodes")
        .probe(probe)
        .apply(apply)
}

/// What looks at the certificates and what makes them, with a key that `group` can read and copies for those who trust it.
fn scripts(
    site: &Site<'_>,
    folders: &Folders,
    group: &str,
    trusted: Vec<String>,
) -> (String, String) {
    let values = context! {
        ca => folders.ca.as_str(),
        tls => folders.tls.as_str(),
        name => site.cluster.master.name.as_str(),
        cluster => site.cluster.name.as_str(),
        address => site.cluster.master.address.to_string(),
        group,
        trusted,
    };
    (
        render(include_str!("probe.sh.j2"), &values),
        render(include_str!("certificates.sh.j2"), &values),
    )
}

pub(crate) fn part(site: &Site<'_>) -> Part {
    let Some(Registry { upstream }) = &site.cluster.registry else { return Part::default() };
    let folders = Folders::new(site.layout);
    let unit = context! { ca => folders.ca.as_str(), config => CACHE_CONFIG };
    let step = Step::new(NAME)
        .title("images of the cluster, and a cache")
        // The identities of workers, into which it puts whom they trust.
        .after(crate::workers::NAME)
        .with(Directory::new(site.layout.base().join(NAME)))
        .with(Directory::new(&folders.ca))
        .with(Directory::new(&folders.tls).mode(0o750).owner("root", USER))
        .with(Directory::new(&folders.data).mode(0o750).owner(USER, USER))
        .with(Directory::new(&folders.cache).mode(0o750).owner(USER, USER))
        .with(File::new(CONFIG, config(site, &folders.data, PORT, None)))
        .with(File::new(CACHE_CONFIG, config(site, &folders.cache, CACHE_PORT, Some(upstream))))
        .with(File::new(CACHE_UNIT_FILE, render(include_str!("cache.service.j2"), &unit)))
        .with(certificates(site))
        .with(Unit::new(UNIT).enabled().active())
        // Not `active`: without its upstream it does not run, and is started again and again.
        .with(Unit::new(CACHE_UNIT).enabled())
        .notify(Notify::restart(UNIT).when([CONFIG, CERTIFICATES_TASK]))
        .notify(Notify::restart(CACHE_UNIT).when([
            CACHE_CONFIG,
            CACHE_UNIT_FILE,
            CERTIFICATES_TASK,
        ]));
    Part { packages: PACKAGES.map(str::to_owned).to_vec(), steps: vec![step], ..Part::default() }
}

#[cfg(test)]
mod tests {
    use feeder_process::Cmd;
    use feeder_remote::{Host, Local};

    use super::*;
    use crate::part::tests::{shell_accepts, with_sections, with_site};

    fn with_registry(run: impl FnOnce(&Site<'_>)) {
        with_sections("[registry]", run);
    }

    #[test]
    fn without_its_section_nothing_is_wanted() {
        with_site(|site| {
            let part = part(site);
            assert!(part.packages.is_empty() && part.steps.is_empty());
            assert_eq!(mirror(site.cluster), None);
        });
    }

    #[test]
    fn one_takes_images_and_one_caches() {
        with_registry(|site| {
            let folders = Folders::new(site.layout);
            insta::assert_snapshot!("config", config(site, &folders.data, PORT, None));
            let cache = config(site, &folders.cache, CACHE_PORT, Some("https://hub.example"));
            assert!(cache.ends_with("proxy:\n  remoteurl: https://hub.example\n"), "{cache}");
            assert_eq!(mirror(site.cluster).as_deref(), Some("https://cluster00:5001"));
        });
    }

    #[test]
    fn what_generations_and_workers_can_read_holds_no_key() {
        with_registry(|site| {
            let folders = Folders::new(site.layout);
            for folder in [&folders.ca, &folders.tls, &folders.data, &folders.cache] {
                assert!(folder.starts_with("/srv/feeder/registry"), "{folder}");
            }
            for copy in trusted(site) {
                assert!(copy.ends_with("/ca.crt"), "{copy}");
            }
        });
    }

    /// The scripts with their folders below another one, and the group of whoever runs this.
    fn scripts_below(site: &Site<'_>, dir: &Utf8Path) -> (String, String) {
        let trusted = ["one", "two"].map(|name| dir.join(name).join("ca.crt").into_string());
        scripts(site, &Folders::below(dir), "root", trusted.to_vec())
    }

    #[test]
    fn certificates_are_made_once_and_trusted_by_all() {
        with_registry(|site| {
            let guard = tempfile::tempdir().expect("a folder");
            let dir = Utf8Path::from_path(guard.path()).expect("UTF-8");
            let (probe, script) = scripts_below(site, dir);
            shell_accepts(&probe);
            for folder in ["ca", "tls"] {
                fs_err::create_dir(dir.join(folder)).expect("a folder");
            }
            let host = Local::new("cluster00");
            let state =
                || host.run(&probe).expect("the probe runs").stdout_text().trim().to_owned();
            let apply =
                || drop(host.run(&script).map_err(|error| error.to_string()).expect("it works"));
            assert_eq!(state(), "absent");
            apply();
            assert_eq!(state(), "present");
            let read = |file: &str| fs_err::read(dir.join(file)).expect("a file");
            let (ca, certificate) = (read("ca/ca.crt"), read("tls/registry.crt"));
            let mode = Cmd::new("stat").args(["-c", "%a", dir.join("ca/ca.key").as_str()]).run();
            assert_eq!(mode.expect("a mode").stdout_text(), "600\n");

            fs_err::write(dir.join("two/ca.crt"), "another").expect("a file");
            assert_eq!(state(), "present, not trusted by all");
            apply();
            assert_eq!((state().as_str(), read("ca/ca.crt")), ("present", ca));
            assert_ne!(read("tls/registry.crt"), certificate);

            let (moved, _) = with_other_address(site, dir);
            assert_eq!(host.run(&moved).expect("it runs").stdout_text(), "absent\n");
        });
    }

    fn with_other_address(site: &Site<'_>, dir: &Utf8Path) -> (String, String) {
        let mut cluster = site.cluster.clone();
        cluster.master.address = std::net::Ipv4Addr::new(192, 168, 10, 99);
        scripts_below(&Site { cluster: &cluster, ..*site }, dir)
    }
}
