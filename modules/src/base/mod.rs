//! What the systems of all nodes have in common: packages, time zone, locale, journal, and how the user logs in and becomes root.

use feeder_cluster::{Journal, PasswordLogin, Secret, Sudo};
use feeder_plan::{Directory, File, Notify, Step, Task};
use feeder_process::quote;

use crate::{Part, Site};

pub(crate) const NAME: &str = "base";

/// Comes behind the image's own, which says where the journal of a Raspberry Pi OS is kept (40-rpi-volatile-storage.conf).
const JOURNALD: &str = "/etc/systemd/journald.conf.d/90-feeder.conf";

/// Each script works on the system below `$root`: on the master, where that is nothing, and in a new generation.
/// Above what is in a file.
const WRITTEN: &str = "# Written by feeder (module base): changes made here are undone.";

const TIME_ZONE: &str = include_str!("time-zone.sh");
const LOCALE: &str = include_str!("locale.sh");
const GROUPS: &str = include_str!("groups.sh");
const KEYS: &str = include_str!("keys.sh");
const PASSWORD: &str = concat!(include_str!("shadow.sh"), include_str!("password.sh"));
const SUDO: &str = concat!(include_str!("shadow.sh"), include_str!("sudo.sh"));
const LOGIN: &str = include_str!("password-login.sh");

fn journald(journal: Journal) -> String {
    format!("{WRITTEN}\n[Journal]\nStorage={journal}\nSystemMaxUse=64M\n")
}

/// sshd reads its files again, where it runs; one that a socket starts reads them anyway. Sessions outlive a restart, and it has ended
/// when sshd listens again; a reload has ended before, and whoever connects at that moment is refused.
const SSHD_AGAIN: &str = "! systemctl -q is-active ssh.service || { /usr/sbin/sshd -t && systemctl restart ssh.service; }";
/// The resource of what it then hears.
const LOGIN_TASK: &str = "task:password-login";

/// Something that is done on the master and in a generation alike.
struct Both {
    id: &'static str,
    summary: String,
    /// Variables of the script.
    head: String,
    /// More of them, where something is changed on the master.
    on_master: String,
    script: &'static str,
    /// What the probe prints when all is well.
    wanted: &'static str,
}

impl Both {
    fn new(
        id: &'static str,
        summary: String,
        values: &[(&str, &str)],
        script: &'static str,
    ) -> Self {
        let (head, on_master) = (head(values), String::new());
        Self { id, summary, head, on_master, script, wanted: "present" }
    }

    /// The script says in one word whether there is something to do, with `verb=probe`, or does it.
    fn text(&self, verb: &str) -> String {
        format!("verb={verb}\n{}{}", self.head, self.script)
    }

    fn on_master(&self) -> Task {
        Task::new(self.id, &self.summary)
            .probe(format!("root=\n{}", self.text("probe")))
            .wanted(self.wanted)
            .apply(format!("root=\n{}{}", self.on_master, self.text("apply")))
    }
}

fn head(values: &[(&str, &str)]) -> String {
    values.iter().map(|(name, value)| format!("{name}={}\n", quote(value))).collect()
}

fn done_on_both(site: &Site<'_>) -> Vec<Both> {
    let (system, user) = (&site.cluster.system, site.cluster.master.user.as_str());
    let mut both = Vec::new();
    if let Some(zone) = &system.time_zone {
        let summary = format!("time zone {zone}");
        both.push(Both::new("time-zone", summary, &[("zone", zone)], TIME_ZONE));
    }
    if let Some(locale) = &system.locale {
        let summary = format!("locale {locale}");
        both.push(Both::new("locale", summary, &[("locale", locale)], LOCALE));
    }
    if !system.groups.is_empty() {
        let summary = format!("user {user} is in {}", system.groups.join(", "));
        let values = [("user", user), ("groups", &system.groups.join(" "))];
        both.push(Both::new("user-groups", summary, &values, GROUPS));
    }
    if !system.authorized_keys.is_empty() {
        let count = feeder_ui::plural(system.authorized_keys.len(), "key");
        let summary = format!("{count} with which one can log in as {user}");
        let values = [("user", user), ("keys", &system.authorized_keys.join("\n"))];
        both.push(Both::new("authorized-keys", summary, &values, KEYS));
    }
    // Before sudo may ask for it.
    both.extend(site.secrets.password_hash.as_ref().map(|hash| password(user, hash)));
    both.extend(system.sudo.map(|sudo| rule(user, sudo, site.secrets.sudo_password.as_ref())));
    both.extend(system.password_login.map(|login| password_login(user, login)));
    both
}

/// The hash of the user's password is that one.
fn password(user: &str, hash: &Secret) -> Both {
    let values = [("user", user), ("hash", hash.expose())];
    let summary = format!("password of {user}");
    Both { wanted: "as given", ..Both::new("password", summary, &values, PASSWORD) }
}

/// How the user becomes root. The password is tried where provisioning goes on to need it: on the master, which workers are clones
/// of. What is done in a generation goes into a digest that everybody can read, so that a password has no place in it.
fn rule(user: &str, sudo: Sudo, password: Option<&Secret>) -> Both {
    let (tag, words) = match sudo {
        Sudo::WithPassword => ("PASSWD", "with a password"),
        Sudo::WithoutPassword => ("NOPASSWD", "without a password"),
    };
    let rule = format!("{WRITTEN}\n{user} ALL=(ALL:ALL) {tag}: ALL");
    let values = [("user", user), ("rule", &rule)];
    let password = password.map_or("", Secret::expose);
    let summary = format!("{user} uses sudo {words}");
    Both { on_master: head(&[("password", password)]), ..Both::new("sudo", summary, &values, SUDO) }
}

/// Whether sshd takes passwords.
fn password_login(user: &str, login: PasswordLogin) -> Both {
    let (allowed, settings, summary) = match login {
        PasswordLogin::Allowed => ("yes", "PasswordAuthentication yes", "with a password too"),
        PasswordLogin::Refused => {
            ("no", "PasswordAuthentication no\nKbdInteractiveAuthentication no", "with a key only")
        }
    };
    let settings = format!("{WRITTEN}\n{settings}");
    let values = [("user", user), ("allowed", allowed), ("settings", &settings)];
    Both::new("password-login", format!("login over SSH {summary}"), &values, LOGIN)
}

pub(crate) fn part(site: &Site<'_>) -> Part {
    let system = &site.cluster.system;
    if system.is_empty() {
        return Part::default();
    }
    let both = done_on_both(site);
    let mut packages = system.packages.clone();
    // Those of C come with libc.
    if system.locale.as_ref().is_some_and(|locale| !locale.starts_with("C.")) {
        packages.push("locales".to_owned());
    }
    if system.time_zone.is_some() {
        packages.push("tzdata".to_owned());
    }
    let mut in_generation: Vec<String> = both.iter().map(|one| one.text("apply")).collect();
    let mut step = Step::new(NAME).title("what all nodes have in common");
    if let Some(journal) = system.journal {
        let text = journald(journal);
        step = step.with(File::new(JOURNALD, text.as_str()));
        if journal == Journal::Persistent {
            // As systemd-tmpfiles(8) makes it at every start.
            let folder = Directory::new("/var/log/journal").mode(0o2755);
            step = step.with(folder.owner("root", "systemd-journal"));
        }
        // A journald that was started with its journal in memory moves it when it is told to.
        let again = "systemctl restart systemd-journald.service\njournalctl --flush";
        step =
            step.notify(Notify::run("journal", "keep the journal there", again).when([JOURNALD]));
        in_generation.push(format!(
            "mkdir -p \"$root{0}\" \"$root/var/log/journal\"\nprintf %s {1} >\"$root{JOURNALD}\"",
            JOURNALD.trim_end_matches("/90-feeder.conf"),
            quote(&text)
        ));
    }
    if system.password_login.is_some() {
        let again = Notify::run("sshd", "sshd reads its configuration again", SSHD_AGAIN);
        step = step.notify(again.when([LOGIN_TASK]));
    }
    let step = step.with_all(both.iter().map(Both::on_master));
    Part { packages, steps: vec![step], in_generation, ..Part::default() }
}

#[cfg(test)]
mod tests;
