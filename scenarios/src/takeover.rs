//! A master whose network something else manages, as on a fresh Raspberry Pi OS, comes under systemd-networkd without being lost.

use feeder_scenario::{Lab, Scenario, Steps, Verdict};

/// In the table of scenarios.
pub const NETWORK_MANAGER: Scenario<Lab> = Scenario {
    name: "network-manager",
    about: "a master under NetworkManager comes under systemd-networkd, or takes its network back",
    run: |lab| is_taken_over(lab, &BY_NETWORK_MANAGER),
};
/// In the table of scenarios.
pub const DHCPCD: Scenario<Lab> = Scenario {
    name: "dhcpcd",
    about: "the same of a master under dhcpcd, as on older images",
    run: |lab| is_taken_over(lab, &BY_DHCPCD),
};

/// What a Raspberry Pi OS of today has.
pub(crate) const BY_NETWORK_MANAGER: Manager =
    Manager { package: "network-manager", unit: "NetworkManager.service" };
/// What it had until Bullseye.
const BY_DHCPCD: Manager = Manager { package: "dhcpcd", unit: "dhcpcd.service" };

/// What [`Manager::asked`] says while it manages the network.
pub(crate) const MANAGES: &str = "active inactive enabled disabled";
/// What it says when systemd-networkd does.
pub(crate) const STEPPED_ASIDE: &str = "inactive active disabled enabled";

/// What manages a network.
pub(crate) struct Manager {
    package: &'static str,
    unit: &'static str,
}

impl Manager {
    /// Makes the bare system into one that has its network from it, and resolv.conf too. Takes effect at the next start.
    pub(crate) fn put_in_charge(&self) -> String {
        let Self { package, unit } = self;
        format!(
            "set -e
apt-get -qq update
SYSTEMD_OFFLINE=1 apt-get -qq install --no-install-recommends {package} >/dev/null
systemctl disable --quiet systemd-networkd.socket systemd-networkd.service systemd-resolved.service
systemctl enable --quiet {unit}
rm -f /etc/resolv.conf
# A file: dhcpcd's unit does not start without one.
: >/etc/resolv.conf
sync"
        )
    }

    /// Who manages the network, and who will after the next start.
    pub(crate) fn asked(&self) -> String {
        let both = format!("{} systemd-networkd.service", self.unit);
        format!("echo $(systemctl is-active {both}) $(systemctl is-enabled {both})")
    }
}

fn is_taken_over(lab: &mut Lab, manager: &Manager) -> Verdict {
    lab.step("power on a bare master", |lab| lab.power_on_bare_master().map(drop))?;
    lab.step("its network becomes another manager's", |lab| {
        lab.master().run(&manager.put_in_charge())?;
        lab.master().cut_power()?;
        lab.power_on_bare_master()?.says(&manager.asked(), MANAGES)
    })?;
    lab.step("not found at its address, it takes the old one back", |lab| {
        lab.provision().does_not_find_it_at_home()?;
        lab.until_it_is_bare_again()?.says(&manager.asked(), MANAGES)
    })?;
    lab.step("provision takes over", |lab| {
        lab.provision().applies_changes()?;
        lab.master().says(&manager.asked(), STEPPED_ASIDE)
    })?;
    lab.step("provision again", |lab| lab.provision().finds_nothing_to_do())?;
    lab.step("after a power cut it is where it was", |lab| {
        let master = lab.master();
        master.cut_power()?.power_on()?.until_ssh()?.says(&manager.asked(), STEPPED_ASIDE)
    })
}
