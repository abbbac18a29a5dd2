//! What a master turns out to be, as far as modules depend on it.

use std::collections::BTreeMap;

use feeder_cluster::{ByteSize, Ssd};
use feeder_remote::{Host, RemoteError};

use crate::{
    Generations, Layout, generation, registry,
    ssd_boot::{Disks, Script},
};

/// Prints `key=value` lines.
const SCRIPT: &str = r#"
release=$(uname -r)
echo "kernel=$release"
if [ -r "/boot/config-$release" ] && grep -q '^CONFIG_ROOT_NFS=y' "/boot/config-$release" && grep -q '^CONFIG_IP_PNP=y' "/boot/config-$release"; then
  echo nfs_root=yes
else
  echo nfs_root=no
fi
if [ -f /boot/firmware/kernel8.img ]; then echo firmware=/boot/firmware; fi
. /etc/os-release
echo "system=$PRETTY_NAME"
if grep -qw memory /sys/fs/cgroup/cgroup.controllers; then echo memory=yes; fi
if systemctl is-active --quiet systemd-networkd; then echo networkd=yes; fi
if systemctl is-active --quiet systemd-resolved && [ -L /etc/resolv.conf ]; then echo resolved=yes; fi
for manager in NetworkManager dhcpcd connman; do
  if systemctl is-active --quiet $manager; then echo "manager=$manager"; fi
done
"#;

/// Prints a line when the cache of images was started again and does not listen, as where there is no upstream.
const CACHE: &str = r#"
if [ -e "/etc/systemd/system/$cache" ]; then
  case $(systemctl show -P NRestarts "$cache") in
    '' | 0) ;;
    *) [ -n "$(ss -Hltn "sport = :$cache_port")" ] || echo cache_ends=yes ;;
  esac
fi
"#;

/// Prints a line for each worker's state image below `$states`, unless the worker has put something else there.
const STATE_IMAGES: &str = r#"
for image in "$states"/*/state.img; do
  if [ -f "$image" ] && [ ! -L "$image" ]; then name=${image%/*}; echo "state-image/${name##*/}=$(stat -c %s "$image")"; fi
done
"#;

/// Prints more of them, about the system below `$system`, started as `$proc` says.
const FIRST_BOOT: &str = include_str!("survey/first-boot.sh");

/// Facts about the master that decide what modules want of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Survey {
    /// `uname -r`.
    pub kernel: String,
    /// Its kernel can mount an NFS root without an initramfs (`ROOT_NFS` and `IP_PNP` are built in).
    pub nfs_root_built_in: bool,
    /// `/boot/firmware` holds a 64-bit kernel, as Raspberry Pi OS has it since bookworm.
    pub firmware_mounted: bool,
    /// As `/etc/os-release` says.
    pub system: String,
    /// Its kernel can limit the memory of containers. Raspberry Pi's firmware switches that off.
    pub memory_controller: bool,
    /// The cache of container images ends again and again.
    pub cache_ends: bool,
    /// systemd-networkd runs.
    pub networkd: bool,
    /// systemd-resolved runs, and programs ask it.
    pub resolved: bool,
    /// A network manager that must not run beside systemd-networkd.
    pub foreign_manager: Option<String>,
    /// What still does the work of its image's first boot.
    pub first_boot: Option<String>,
    /// The imager's file that makes the user was refused by the board.
    pub user_failed: bool,
    /// How large workers' state images are, by their names.
    pub state_images: BTreeMap<String, ByteSize>,
    /// The systems of workers that it holds.
    pub generations: Generations,
    /// Its disks, when it is to move to one of them.
    pub disks: Option<Disks>,
}

impl Survey {
    /// Asks a host, in one round trip; about its disks only when it is to move to one.
    ///
    /// # Errors
    /// When the host cannot be asked.
    pub fn take(host: &dyn Host, ssd: Option<&Ssd>) -> Result<Self, RemoteError> {
        Ok(Self::parse(&host.run(&Self::script(ssd))?.stdout_text()))
    }

    /// What is asked.
    pub(crate) fn script(ssd: Option<&Ssd>) -> String {
        let disks = ssd.map_or_else(String::new, |ssd| Script::asking(&ssd.disk).survey());
        let layout = Layout::default();
        let generations = generation::Script::asking(&layout).survey();
        let images = format!("states={}{STATE_IMAGES}", layout.states());
        let cache =
            format!("cache={} cache_port={}{CACHE}", registry::CACHE_UNIT, registry::CACHE_PORT);
        format!("{SCRIPT}{cache}system= proc=/proc\n{FIRST_BOOT}{images}{generations}{disks}")
    }

    pub(crate) fn parse(text: &str) -> Self {
        let facts: BTreeMap<&str, &str> =
            text.lines().filter_map(|line| line.split_once('=')).collect();
        let fact = |key: &str| facts.get(key).map(|value| (*value).to_owned());
        Self {
            kernel: fact("kernel").unwrap_or_default(),
            nfs_root_built_in: fact("nfs_root").as_deref() == Some("yes"),
            firmware_mounted: fact("firmware").is_some(),
            system: fact("system").unwrap_or_default(),
            memory_controller: fact("memory").is_some(),
            cache_ends: fact("cache_ends").is_some(),
            networkd: fact("networkd").is_some(),
            resolved: fact("resolved").is_some(),
            foreign_manager: fact("manager"),
            first_boot: fact("first_boot"),
            user_failed: fact("user_failed").is_some(),
            state_images: facts
                .iter()
                .filter_map(|(key, bytes)| {
                    let name = key.strip_prefix("state-image/")?;
                    Some((name.to_owned(), ByteSize::bytes(bytes.parse().ok()?)))
                })
                .collect(),
            generations: Generations::parse(&facts),
            disks: Disks::parse(text),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use feeder_remote::{Host, Local};

    use super::{FIRST_BOOT, STATE_IMAGES, Survey};

    pub(crate) fn debian() -> Survey {
        Survey::parse(
            "kernel=6.12.107+deb13-arm64\nnfs_root=no\nfirmware=/boot/firmware\nmemory=yes\nnetworkd=yes\nresolved=yes\nsystem=Debian GNU/Linux 13 (trixie)\n",
        )
    }

    #[test]
    fn a_debian_kernel_needs_an_initramfs_for_its_nfs_root() {
        let survey = debian();
        assert!(!survey.nfs_root_built_in);
        assert!(survey.firmware_mounted);
        assert_eq!(survey.kernel, "6.12.107+deb13-arm64");
        assert_eq!(survey.foreign_manager, None);
    }

    /// What is left of the first boot of a sample system, on which `script` has worked.
    fn first_boot(system: &str, script: &str) -> Survey {
        let guard = tempfile::tempdir().expect("a folder");
        let dir = guard.path().to_str().expect("UTF-8");
        let from = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/systems/");
        let host = Local::new("cluster00");
        // As it looks on a board, where the boot partition is mounted.
        let text = host.run(&format!(
            "set -e; cp -a {from}{system}/root {dir}/system; mkdir -p {dir}/system/boot {dir}/system/run/cloud-init {dir}/proc
             cp -a {from}{system}/firmware {dir}/system/boot/firmware
             cp {from}{system}/firmware/cmdline.txt {dir}/proc/cmdline; cd {dir}/system\n{script}\n\
             system={dir}/system proc={dir}/proc\n{FIRST_BOOT}"
        ));
        Survey::parse(&text.expect("the script works").stdout_text())
    }

    #[test]
    fn a_first_boot_that_is_not_over_is_seen_by_whatever_does_it() {
        let by = |system: &str, script: &str| first_boot(system, script).first_boot;
        assert_eq!(by("bookworm", ""), None);
        let firstboot =
            "sed -i 's,$, init=/usr/lib/raspberrypi-sys-mods/firstboot,' ../proc/cmdline";
        assert_eq!(by("bookworm", firstboot).as_deref(), Some("raspberrypi-sys-mods (firstboot)"));
        let firstrun = "sed -i 's,$, systemd.run=/boot/firstrun.sh systemd.unit=kernel-command-line.target,' ../proc/cmdline";
        assert_eq!(by("bookworm", firstrun).as_deref(), Some("the imager's firstrun.sh"));
        // The words that trixie leaves on the command line for ever are none of it.
        assert_eq!(by("trixie", ""), None);
        assert_eq!(by("trixie", "touch run/cloud-init/enabled").as_deref(), Some("cloud-init"));
        let over = "touch run/cloud-init/enabled run/cloud-init/result.json";
        assert_eq!(by("trixie", over), None);
        let preseed = "touch boot/firmware/rpi-preseed.toml";
        assert_eq!(by("trixie", preseed).as_deref(), Some("rpi-preseed"));
    }

    #[test]
    fn state_images_are_measured_and_links_of_workers_are_not_followed() {
        let guard = tempfile::tempdir().expect("a folder");
        let dir = guard.path().to_str().expect("UTF-8");
        let said = Local::new("cluster00").run(&format!(
            "cd {dir}; mkdir cluster01 cluster02 cluster03; truncate -s 1G cluster01/state.img
             ln -s /etc/passwd cluster02/state.img\nstates={dir}{STATE_IMAGES}"
        ));
        let survey = Survey::parse(&said.expect("the script works").stdout_text());
        let images: Vec<_> =
            survey.state_images.iter().map(|(n, size)| format!("{n} {size}")).collect();
        assert_eq!(images, ["cluster01 1GiB"]);
    }

    #[test]
    fn a_user_that_was_refused_is_seen() {
        assert!(first_boot("bookworm", "echo x >boot/firmware/failed_userconf.txt").user_failed);
        assert!(!first_boot("trixie", "").user_failed);
    }

    #[test]
    fn a_raspberry_pi_kernel_does_not() {
        let survey =
            Survey::parse("kernel=6.12.47+rpt-rpi-v8\nnfs_root=yes\nmanager=NetworkManager\n");
        assert!(survey.nfs_root_built_in);
        assert_eq!(survey.foreign_manager.as_deref(), Some("NetworkManager"));
    }
}
