//! A master whose network NetworkManager manages, as on a fresh Raspberry Pi OS, comes under systemd-networkd without being lost.

use feeder_scenario::{Lab, Scenario, Steps, Verdict};

/// In the table of scenarios.
pub const NETWORK_MANAGER: Scenario<Lab> = Scenario {
    name: "network-manager",
    about: "a master under NetworkManager comes under systemd-networkd, or takes its network back",
    run: network_manager,
};

/// Makes the bare system into one that has its network from NetworkManager, and resolv.conf too. Takes effect at the next start.
pub(crate) const UNDER_NETWORK_MANAGER: &str = "set -e
apt-get -qq update
SYSTEMD_OFFLINE=1 apt-get -qq install --no-install-recommends network-manager >/dev/null
systemctl disable --quiet systemd-networkd.socket systemd-networkd.service systemd-resolved.service
systemctl enable --quiet NetworkManager.service
rm -f /etc/resolv.conf
sync";

/// Who manages the network, and who will after the next start.
pub(crate) const MANAGERS: &str = "echo $(systemctl is-active NetworkManager systemd-networkd) \
                        $(systemctl is-enabled NetworkManager systemd-networkd)";
pub(crate) const NETWORK_MANAGERS: &str = "active inactive enabled disabled";
pub(crate) const NETWORKDS: &str = "inactive active disabled enabled";

fn network_manager(lab: &mut Lab) -> Verdict {
    lab.step("power on a bare master", |lab| lab.power_on_bare_master().map(drop))?;
    lab.step("its network becomes NetworkManager's", |lab| {
        lab.master().run(UNDER_NETWORK_MANAGER)?;
        lab.master().cut_power()?;
        lab.power_on_bare_master()?.says(MANAGERS, NETWORK_MANAGERS)
    })?;
    lab.step("not found at its address, it takes the old one back", |lab| {
        lab.provision().does_not_find_it_at_home()?;
        lab.until_it_is_bare_again()?.says(MANAGERS, NETWORK_MANAGERS)
    })?;
    lab.step("provision takes over", |lab| {
        lab.provision().applies_changes()?;
        lab.master().says(MANAGERS, NETWORKDS)
    })?;
    lab.step("provision again", |lab| lab.provision().finds_nothing_to_do())?;
    lab.step("after a power cut it is where it was", |lab| {
        lab.master().cut_power()?.power_on()?.until_ssh()?.says(MANAGERS, NETWORKDS)
    })
}
