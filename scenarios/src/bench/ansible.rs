//! ansible-core, with a playbook that wants of the master what provisioning wants of it.

use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use feeder_process::{Cmd, ProcessError};
use feeder_scenario::{Class, Failure, Lab, Node, OrFail, Steps, Verdict};
use feeder_store::Store;
use fs_err as fs;

const PLAYBOOK: &str = include_str!("../../../fixtures/bench/playbook.yml");
/// What pip is to install, all of it.
const REQUIREMENTS: &str = include_str!("../../../fixtures/bench/requirements.txt");
/// Packages without which ansible-core does nothing on a node.
pub(super) const ON_THE_NODE: &str = "python3 python3-apt";
/// For one run, in vCPU seconds of the master.
const RUN: u64 = 1200;

/// An installed ansible-core.
pub(super) struct Ansible {
    venv: Utf8PathBuf,
    pub(super) version: String,
}

impl Ansible {
    /// The one of this machine's cache; it is installed there if need be, into an environment of its own.
    ///
    /// # Errors
    /// Why it is not to be had.
    pub(super) fn find() -> Result<Self, String> {
        let venv = Store::default_root().join("ansible");
        // Written last: an installation that was cut off is made again.
        let installed = venv.join("requirements.txt");
        if fs::read_to_string(&installed).ok().as_deref() != Some(REQUIREMENTS) {
            install(&venv).map_err(|error| format!("it cannot be installed: {error}"))?;
            fs::write(&installed, REQUIREMENTS).map_err(|error| error.to_string())?;
        }
        let said = program(&venv).arg("--version").run();
        let said = said.map_err(|error| format!("it does not start: {error}"))?.stdout_text();
        let version = said.split(['[', ']']).nth(1).unwrap_or_default();
        Ok(Self { venv, version: version.trim_start_matches("core ").to_owned() })
    }

    /// The playbook, ready to be played on the master.
    pub(super) fn playbook(&self, lab: &Lab) -> Verdict<Playbook> {
        let (dir, master) = (lab.story().dir(), lab.master());
        let folder = dir.scratch().join("ansible");
        let sockets = dir.sockets().join("ansible");
        let way = lab.way_to(&master)?;
        let inventory = format!(
            "master ansible_host={} ansible_port={} ansible_user={} ansible_ssh_private_key_file={} \
             ansible_python_interpreter=/usr/bin/python3 ansible_ssh_common_args='-F none \
             -o UserKnownHostsFile={} -o HostKeyAlias={} -o StrictHostKeyChecking=yes'\n",
            way.address.ip(),
            way.address.port(),
            way.user,
            way.identity.as_deref().unwrap_or("".into()),
            way.known_hosts,
            way.host_key_alias,
        );
        // Its own defaults, among them a connection that is shared and stays, but for pipelining, which is faster.
        let settings = format!(
            "[connection]\npipelining = true\n[ssh_connection]\ncontrol_path_dir = {sockets}\n"
        );
        fs::create_dir_all(&folder)
            .and_then(|()| fs::write(folder.join("playbook.yml"), PLAYBOOK))
            .and_then(|()| fs::write(folder.join("hosts.ini"), inventory))
            .and_then(|()| fs::write(folder.join("ansible.cfg"), settings))
            .and_then(|()| fs::copy(&way.known_hosts, folder.join("known_hosts")).map(drop))
            .or_fail(Class::Host, "cannot write the playbook down")?;
        fetch(&master, &folder.join("files"))?;
        Ok(Playbook { program: program(&self.venv), folder, sockets })
    }
}

/// It insists on UTF-8.
fn program(venv: &Utf8Path) -> Cmd {
    Cmd::new(venv.join("bin/ansible-playbook").as_str()).env("LC_ALL", "C.UTF-8")
}

fn install(venv: &Utf8Path) -> Result<(), ProcessError> {
    Cmd::new("python3").args(["-m", "venv", "--clear", venv.as_str()]).run()?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    let wanted = REQUIREMENTS.lines();
    Cmd::new(venv.join("bin/python").as_str()).args(pip).args(wanted).run().map(drop)
}

/// The playbook's files get the content that they have.
fn fetch(master: &Node, folder: &Utf8Path) -> Verdict {
    let paths: Vec<&str> = files().map(|path| path.trim_start_matches('/')).collect();
    let packed = master.run(&format!("tar -C / -c {} | base64 -w 0", paths.join(" ")))?;
    let unpack = "mkdir -p \"$0\" && base64 -d | tar -C \"$0\" -x";
    let unpacked = Cmd::new("sh").args(["-c", unpack, folder.as_str()]).stdin(packed).run();
    unpacked.or_fail(Class::Host, "cannot keep the files of the master").map(drop)
}

/// The paths of the files in the playbook.
fn files() -> impl Iterator<Item = &'static str> {
    let list = PLAYBOOK.lines().skip_while(|line| line.trim() != "files:").skip(1);
    list.map_while(|line| line.trim().strip_prefix("- ")?.split(" #").next())
}

/// A playbook that can be played.
pub(super) struct Playbook {
    program: Cmd,
    folder: Utf8PathBuf,
    sockets: Utf8PathBuf,
}

impl Playbook {
    /// Plays it: what it changed, and the time that it took.
    pub(super) fn play(&self, master: &Node) -> Verdict<(usize, Duration)> {
        let command = self
            .program
            .clone()
            .args(["-i", "hosts.ini", "playbook.yml"])
            .dir(self.folder.as_std_path())
            .env("ANSIBLE_CONFIG", self.folder.join("ansible.cfg").as_str())
            .env("ANSIBLE_HOME", self.folder.join("home").as_str())
            .env("ANSIBLE_NOCOLOR", "1");
        let began = Instant::now();
        let (played, within) = master.in_guest("ansible", RUN, move || {
            let played = command.run();
            (played, began.elapsed())
        })?;
        let said = played.or_fail(Class::Scenario, "the playbook failed")?.stdout_text();
        let changed = changed(&said).ok_or_else(|| {
            Failure::scenario("ansible did not say what it changed").detail(said.clone())
        })?;
        Ok((changed, within))
    }
}

impl Drop for Playbook {
    fn drop(&mut self) {
        // The connections stay for a minute, as ssh has it.
        for socket in self.sockets.read_dir_utf8().into_iter().flatten().flatten() {
            let path = format!("ControlPath={}", socket.path());
            let close = ["-F", "none", "-O", "exit", "-o", &path, "--", "master"];
            drop(Cmd::new("ssh").args(close).even_if_interrupted().output());
        }
    }
}

/// From the line that sums a play up.
fn changed(said: &str) -> Option<usize> {
    let line = said.lines().rfind(|line| line.starts_with("master ") && line.contains("ok="))?;
    line.split_whitespace().find_map(|word| word.strip_prefix("changed=")?.parse().ok())
}

#[cfg(test)]
mod tests {
    use feeder_modules::{Layout, MODULES, Secrets, Site, Survey, steps};

    use super::*;

    #[test]
    fn what_a_play_changed_is_understood() {
        let said = "PLAY RECAP *****\nmaster                     : ok=14   changed=3    unreachable=0    failed=0\n";
        assert_eq!(changed(said), Some(3));
        assert_eq!(changed("master : nothing"), None);
    }

    #[test]
    fn the_playbook_wants_all_that_provisioning_wants() {
        let text = include_str!("../../../fixtures/clusters/lab.toml");
        let cluster = feeder_cluster::parse(text, "lab.toml").expect("the sample is valid").cluster;
        let survey = Survey { resolved: true, networkd: true, ..Survey::default() };
        let (secrets, layout) = (Secrets::default(), Layout::default());
        let site = Site::new(&cluster, &secrets, &survey, &layout, MODULES);
        let mut resources = 0;
        for resource in steps(&site).iter().flat_map(|step| &step.resources) {
            let id = resource.id();
            let name = id.as_str().split_once(':').map_or(cluster.master.name.as_str(), |it| it.1);
            assert!(PLAYBOOK.contains(name), "{id} is not in the playbook");
            resources += 1;
        }
        assert!(resources > 40, "{resources}");
        assert_eq!(files().count(), 19);
        assert!(files().all(|path| path.starts_with('/') && !path.contains(' ')));
    }
}
