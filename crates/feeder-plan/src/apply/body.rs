//! The shell for each kind of change. Every body runs with `set -e` and may be cut off anywhere.

use camino::Utf8Path;
use feeder_process::quote;
use feeder_remote::{Owner, write_file_script};

use crate::{
    NotifyAction, Resource,
    plan::{Action, UnitVerb},
    resource::Access,
};

/// Any action but packages, which come together.
pub(super) fn change(action: &Action) -> String {
    match action {
        Action::Resource(resource) => self::resource(resource),
        Action::Access(path, access) => self::access(path, access),
        Action::Unit(name, verbs) => unit(name, verbs),
        Action::Notify(action) => notify(action),
        Action::DaemonReload => "units_reload".to_owned(),
        Action::Refuse(why) => format!("echo {}; exit 1", quote(why)),
    }
}

fn resource(resource: &Resource) -> String {
    match resource {
        Resource::Package(name) => packages(&[name]),
        Resource::File(file) => {
            let owner = Owner { user: &file.access.user, group: &file.access.group };
            parents(&file.path)
                + &write_file_script(
                    &file.path,
                    file.content.bytes(),
                    file.access.mode,
                    Some(owner),
                )
        }
        Resource::Directory(directory) => {
            let Access { mode, user, group } = &directory.access;
            let (user, group, path) = (quote(user), quote(group), quote(directory.path.as_str()));
            format!("install -d -m {mode:04o} -o {user} -g {group} {path}")
        }
        Resource::Symlink(link) => {
            let name = link.path.file_name().unwrap_or_default();
            let new = link.path.with_file_name(format!(".{name}.feeder-new"));
            let (new, path) = (quote(new.as_str()), quote(link.path.as_str()));
            format!(
                "{}if [ -e {new} ] || [ -L {new} ]; then rm -f {new}; fi\nln -s -- {} {new}\nmv -fT {new} {path}",
                parents(&link.path),
                quote(&link.target)
            )
        }
        Resource::Absent(absent) => {
            let path = quote(absent.path.as_str());
            // What is mounted below is not ours to delete.
            let remove = if absent.tree { "rm -rf --one-file-system" } else { "rmdir" };
            format!(
                "if [ -d {path} ] && [ ! -L {path} ]; then {remove} {path}; else rm -f {path}; fi"
            )
        }
        Resource::Unit(_) => "true".to_owned(),
        Resource::Hostname(name) => {
            let file = write_file_script(
                Utf8Path::new("/etc/hostname"),
                format!("{}\n", name.0).as_bytes(),
                0o644,
                None,
            );
            format!("{file}printf '%s\\n' {} >/proc/sys/kernel/hostname", quote(&name.0))
        }
        Resource::Task(task) => format!("eval {}", quote(&task.apply)),
    }
}

/// Makes missing folders above a path, for all to read.
fn parents(path: &Utf8Path) -> String {
    path.parent().map_or_else(String::new, |parent| {
        let parent = quote(parent.as_str());
        format!("[ -d {parent} ] || mkdir -p {parent}\n")
    })
}

fn access(path: &Utf8Path, Access { mode, user, group }: &Access) -> String {
    let path = quote(path.as_str());
    // In this order: chown takes the setuid bit away.
    format!("chown {} {path}\nchmod {mode:04o} {path}", quote(&format!("{user}:{group}")))
}

/// Installs packages, in one go. Package lists are fetched only when apt cannot do without new ones.
pub(super) fn packages(names: &[&str]) -> String {
    format!(
        r#"export DEBIAN_FRONTEND=noninteractive
# Packages neither start their services nor make systemd read its units again, each of them anew: that is done once,
# for the units that are wanted. What is asked of systemctl meanwhile takes effect on disk.
apt() {{ SYSTEMD_OFFLINE=1 apt-get -q -y -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@"; }}
# What an interrupted run left half unpacked stops apt.
for left in /var/lib/dpkg/updates/[0-9]*; do if [ -e "$left" ]; then dpkg --configure -a; break; fi; done
install() {{ apt install --no-install-recommends "$@"; }}
set -- {}
install "$@" || {{ apt update && install "$@"; }}"#,
        names.join(" ")
    )
}

fn unit(name: &str, verbs: &[UnitVerb]) -> String {
    let name = quote(name);
    let mut lines = vec!["units_reload".to_owned()];
    for verb in verbs {
        lines.push(match verb {
            // A unit that starts now has read what was to be read.
            UnitVerb::Start => format!(
                "if ! systemctl is-active -q {name}; then\n\
                 systemctl start {name} || look {name}\n\
                 paid {restart} {reload}\nfi",
                restart = quote(&format!("restart:{name}")),
                reload = quote(&format!("reload:{name}")),
            ),
            // Installing its package may have done it.
            UnitVerb::Enable => {
                format!("systemctl is-enabled -q {name} || systemctl enable {name}")
            }
            verb => format!("systemctl {} {name}", verb.word()),
        });
    }
    lines.join("\n")
}

pub(super) fn notify(action: &NotifyAction) -> String {
    match action {
        NotifyAction::Restart(unit) => {
            let unit = quote(unit);
            format!("units_reload\nsystemctl restart {unit} || look {unit}")
        }
        NotifyAction::Reload(unit) => {
            let unit = quote(unit);
            format!("units_reload\nsystemctl reload-or-restart {unit} || look {unit}")
        }
        NotifyAction::Run { script, .. } => format!("eval {}", quote(script)),
    }
}
