//! What the systems of all nodes have in common: packages, time zone, locale, journal, the user's groups and keys.

use feeder_cluster::{Journal, System};
use feeder_plan::{Directory, File, Notify, Step, Task};
use feeder_process::quote;

use crate::{Part, Site};

pub(crate) const NAME: &str = "base";

/// Comes behind the image's own, which says where the journal of a Raspberry Pi OS is kept (40-rpi-volatile-storage.conf).
const JOURNALD: &str = "/etc/systemd/journald.conf.d/90-feeder.conf";

/// Each script works on the system below `$root`: on the master, where that is nothing, and in a new generation.
const TIME_ZONE: &str = include_str!("time-zone.sh");
const LOCALE: &str = include_str!("locale.sh");
const GROUPS: &str = include_str!("groups.sh");
const KEYS: &str = include_str!("keys.sh");

fn journald(journal: Journal) -> String {
    format!(
        "# Written by feeder (module base): changes made here are undone.\n[Journal]\nStorage={journal}\nSystemMaxUse=64M\n"
    )
}

/// Something that is done on the master and in a generation alike.
struct Both {
    id: &'static str,
    summary: String,
    /// Variables of the script.
    head: String,
    script: &'static str,
}

impl Both {
    /// The script says in one word whether there is something to do, with `verb=probe`, or does it.
    fn text(&self, verb: &str) -> String {
        format!("verb={verb}\n{}{}", self.head, self.script)
    }

    fn on_master(&self) -> Task {
        let at_home = |verb: &str| format!("root=\n{}", self.text(verb));
        Task::new(self.id, &self.summary).probe(at_home("probe")).apply(at_home("apply"))
    }
}

fn head(values: &[(&str, &str)]) -> String {
    values.iter().map(|(name, value)| format!("{name}={}\n", quote(value))).collect()
}

fn done_on_both(system: &System, user: &str) -> Vec<Both> {
    let mut both = Vec::new();
    if let Some(zone) = &system.time_zone {
        both.push(Both {
            id: "time-zone",
            summary: format!("time zone {zone}"),
            head: head(&[("zone", zone)]),
            script: TIME_ZONE,
        });
    }
    if let Some(locale) = &system.locale {
        both.push(Both {
            id: "locale",
            summary: format!("locale {locale}"),
            head: head(&[("locale", locale)]),
            script: LOCALE,
        });
    }
    if !system.groups.is_empty() {
        let groups = system.groups.join(" ");
        both.push(Both {
            id: "user-groups",
            summary: format!("user {user} is in {}", system.groups.join(", ")),
            head: head(&[("user", user), ("groups", &groups)]),
            script: GROUPS,
        });
    }
    if !system.authorized_keys.is_empty() {
        let keys = system.authorized_keys.join("\n");
        let count = feeder_ui::plural(system.authorized_keys.len(), "key");
        both.push(Both {
            id: "authorized-keys",
            summary: format!("{count} with which one can log in as {user}"),
            head: head(&[("user", user), ("keys", &keys)]),
            script: KEYS,
        });
    }
    both
}

pub(crate) fn part(site: &Site<'_>) -> Part {
    let system = &site.cluster.system;
    if system.is_empty() {
        return Part::default();
    }
    let both = done_on_both(system, &site.cluster.master.user);
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
            step = step.with(Directory::new("/var/log/journal"));
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
    let step = step.with_all(both.iter().map(Both::on_master));
    Part { packages, steps: vec![step], in_generation, ..Part::default() }
}

#[cfg(test)]
mod tests;
