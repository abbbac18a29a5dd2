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
pub(crate) const CACHE_PORT: u16 = 5001;
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

/// What makes certificates, and what puts them where they are trusted. The second alone restarts nothing.
fn certificates(site: &Site<'_>) -> [Task; 2] {
    let [made, trust] = scripts(site, &Folders::new(site.layout), USER, trusted(site));
    let task = |id: &str, summary: &str, Scripts { probe, apply }| {
        Task::new(id, summary).probe(probe).apply(apply)
    };
    [
        task(CERTIFICATES, "certificates of the registry", made),
        task("registry-trust", "all nodes trust the registry", trust),
    ]
}

/// What looks at something and what makes it.
struct Scripts {
    probe: String,
    apply: String,
}

/// Of the certificates, with a key that `group` can read, and of copies for those who trust them.
fn scripts(site: &Site<'_>, folders: &Folders, group: &str, trusted: Vec<String>) -> [Scripts; 2] {
    let values = context! {
        ca => folders.ca.as_str(),
        tls => folders.tls.as_str(),
        name => site.cluster.master.name.as_str(),
        cluster => site.cluster.name.as_str(),
        address => site.cluster.master.address.to_string(),
        group,
        trusted,
    };
    let rendered =
        |probe, apply| Scripts { probe: render(probe, &values), apply: render(apply, &values) };
    [
        rendered(include_str!("probe.sh.j2"), include_str!("certificates.sh.j2")),
        rendered(include_str!("trusted.sh.j2"), include_str!("trust.sh.j2")),
    ]
}

/// What is to be done by hand.
pub(crate) fn note(site: &Site<'_>) -> Option<String> {
    let Registry { upstream } = site.cluster.registry.as_ref()?;
    let name = &site.cluster.master.name;
    site.survey.cache_ends.then(|| {
        format!(
            "the cache of images on {name} ends again and again, and every node fetches for itself: is {upstream} right, and does it answer? `cargo xtask node exec {name} --root -- journalctl -n 20 -u {CACHE_UNIT}` says more"
        )
    })
}

pub(crate) fn part(site: &Site<'_>) -> Part {
    let Some(Registry { upstream }) = &site.cluster.registry else { return Part::default() };
    let folders = Folders::new(site.layout);
    let unit = context! { ca => folders.ca.as_str(), config => CACHE_CONFIG };
    let [made, trust] = certificates(site);
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
        .with(made)
        .with(trust)
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

    fn with_folder(run: impl FnOnce(&Site<'_>, &Utf8Path)) {
        let guard = tempfile::tempdir().expect("a folder");
        let dir = Utf8Path::from_path(guard.path()).expect("UTF-8");
        with_registry(|site| run(site, dir));
    }

    /// The scripts with their folders below another one, and the group of whoever runs this.
    fn scripts_below(site: &Site<'_>, dir: &Utf8Path) -> [Scripts; 2] {
        let trusted = ["one", "two"]
            .map(|name| dir.join(name).join("docker/certs.d/registry/ca.crt").into_string());
        scripts(site, &Folders::below(dir), "root", trusted.to_vec())
    }

    /// What a script prints. It is run as a host runs it.
    fn told(script: &str) -> String {
        let output = Local::new("cluster00").run(script).map_err(|error| error.to_string());
        output.expect("it works").stdout_text().trim().to_owned()
    }

    #[test]
    fn certificates_are_made_once_and_trusted_by_all() {
        with_folder(|site, dir| {
            let [made, trust] = scripts_below(site, dir);
            for folder in ["ca", "tls"] {
                fs_err::create_dir(dir.join(folder)).expect("a folder");
            }
            let state = || format!("{}, {}", told(&made.probe), told(&trust.probe));
            for scripts in [&made, &trust] {
                shell_accepts(&scripts.probe);
            }
            assert_eq!(state(), "absent, not by all");
            told(&made.apply);
            assert_eq!(state(), "present, not by all");
            told(&trust.apply);
            assert_eq!(state(), "present, present");
            let read = |file: &str| fs_err::read_to_string(dir.join(file)).expect("a file");
            assert_eq!(
                told(&format!(
                    "stat -c %a {dir}/ca/ca.key {dir}/two/docker/certs.d/registry/ca.crt"
                )),
                "600\n644"
            );

            fs_err::write(dir.join("two/docker/certs.d/registry/ca.crt"), "another")
                .expect("a file");
            assert_eq!(state(), "present, not by all");
            told(&trust.apply);
            assert_eq!(state(), "present, present");

            // Of a run that was cut off between the two, and of what somebody took away.
            let (ca, key) = (read("ca/ca.crt"), read("tls/registry.key"));
            for other in [read("ca/ca.key"), String::new()] {
                fs_err::write(dir.join("tls/registry.key"), other).expect("a file");
                assert_eq!(state(), "absent, present");
            }
            told(&made.apply);
            assert_eq!((state().as_str(), read("ca/ca.crt")), ("present, present", ca));
            assert_ne!(read("tls/registry.key"), key);

            let [moved, _] = with_other_address(site, dir);
            assert_eq!(told(&moved.probe), "absent");
        });
    }

    #[test]
    fn a_worker_that_plants_links_has_nothing_written_through_them() {
        with_folder(|site, dir| {
            let [_, trust] = scripts_below(site, dir);
            told(&format!(
                "cd {dir}; mkdir -p ca one/docker/certs.d/registry two/docker elsewhere/registry
                 echo authority >ca/ca.crt; cp ca/ca.crt same; for precious in precious elsewhere/registry/ca.crt; do echo precious >$precious; done
                 cd one/docker/certs.d/registry; for link in ca.crt.partial copy; do ln -s {dir}/precious $link; done
                 ln -s {dir}/same ca.crt; ln -s {dir}/elsewhere {dir}/two/docker/certs.d"
            ));
            assert_eq!(told(&trust.probe), "not by all");
            told(&trust.apply);
            assert_eq!(told(&trust.probe), "present");
            let read = told(&format!(
                "cat {dir}/precious {dir}/elsewhere/*/ca.crt {dir}/*/docker/certs.d/registry/ca.crt"
            ));
            assert_eq!(read, "precious\nprecious\nauthority\nauthority");
        });
    }

    #[test]
    fn a_cache_that_does_not_run_is_told_of() {
        with_registry(|site| {
            assert_eq!(note(site), None);
            let survey = crate::Survey { cache_ends: true, ..site.survey.clone() };
            let site = Site { survey: &survey, ..*site };
            assert!(
                note(&site).is_some_and(|note| note.contains("is https://")),
                "{:?}",
                note(&site)
            );
        });
    }

    #[test]
    fn a_cache_keeps_no_descriptions_of_what_it_lets_go_of() {
        with_registry(|site| {
            let folders = Folders::new(site.layout);
            let described = |upstream| {
                config(site, &folders.cache, CACHE_PORT, upstream).contains("blobdescriptor")
            };
            assert!(described(None) && !described(Some("https://hub.example")));
        });
    }

    fn with_other_address(site: &Site<'_>, dir: &Utf8Path) -> [Scripts; 2] {
        let mut cluster = site.cluster.clone();
        cluster.master.address = std::net::Ipv4Addr::new(192, 168, 10, 99);
        scripts_below(&Site { cluster: &cluster, ..*site }, dir)
    }
}
