//! A master as the imager leaves it: a current Raspberry Pi OS in its first boot, under NetworkManager.

use feeder_scenario::{Lab, Scenario, Steps, Verdict};

use crate::{
    generations::COMMON,
    netboot::netboots,
    takeover::{BY_NETWORK_MANAGER, MANAGES, STEPPED_ASIDE},
};

/// In the table of scenarios.
pub const RASPBERRY_PI_OS: Scenario<Lab> = Scenario {
    name: "raspberry-pi-os",
    about: "a board as the imager leaves it becomes a master, and its first boot no worker's",
    run: raspberry_pi_os,
};

/// What Raspberry Pi OS has and Debian has not, as far as provisioning meets it: services of a first boot, swap in a file and in
/// memory, and cloud-init, which at the next start is at work for a while. Each leaves a trace in a folder when it runs.
const AS_RASPBERRY_PI_OS: &str = "set -e
mkdir -p /usr/lib/raspberrypi-sys-mods /etc/rpi/swap.conf.d /etc/cloud /var/lib/cloud/seed
echo pi:raspberry | chpasswd
echo 'rpi-issue' >/etc/rpi-issue
printf '[Main]\nMechanism=swapfile\n' >/etc/rpi/swap.conf
echo 'instance-id: rpi-imager-1' >/var/lib/cloud/seed/meta-data
for unit in userconfig regenerate_ssh_host_keys rpi-resize resize2fs_once dphys-swapfile; do
  cat >/etc/systemd/system/$unit.service <<UNIT
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'mkdir -p /run/first-boot; touch /run/first-boot/$unit'
[Install]
WantedBy=multi-user.target
UNIT
done
cat >/etc/systemd/system/cloud-init.service <<'UNIT'
[Unit]
ConditionPathExists=!/etc/cloud/cloud-init.disabled
ConditionPathExists=!/var/lib/cloud/done
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'mkdir -p /run/cloud-init /run/first-boot; touch /run/cloud-init/enabled /run/first-boot/cloud-init'
[Install]
WantedBy=multi-user.target
UNIT
systemctl enable --quiet userconfig regenerate_ssh_host_keys rpi-resize resize2fs_once dphys-swapfile cloud-init
dd if=/dev/zero of=/var/swap bs=1M count=8 status=none
chmod 0600 /var/swap
sync";
/// Cloud-init comes to its end.
const FIRST_BOOT_ENDS: &str = "touch /var/lib/cloud/done; echo '{}' >/run/cloud-init/result.json";
/// What ran of the first boot.
const RAN: &str = "ls /run/first-boot 2>/dev/null | wc -l";
/// What a worker has of the master's: nothing of the swap file, keys of its own, and a boot partition that tools find.
const HAS: &str = "ls /var/swap /var/lib/cloud 2>/dev/null | wc -l
grep -h Mechanism= /etc/rpi/swap.conf.d/*
. /etc/default/raspberrypi-sys-mods; echo $FWLOC
systemctl list-units --failed --no-legend --plain | wc -l";
const HAS_NOTHING_OF_THE_MASTERS: &str = "0\nMechanism=zram\n/boot/firmware\n0";

fn raspberry_pi_os(lab: &mut Lab) -> Verdict {
    lab.step("power on a bare master", |lab| lab.power_on_bare_master().map(drop))?;
    lab.step("it becomes what the imager leaves", |lab| {
        lab.master().run(&BY_NETWORK_MANAGER.put_in_charge())?;
        lab.master().run(AS_RASPBERRY_PI_OS)?;
        lab.master().cut_power()?;
        let master = lab.power_on_bare_master()?;
        master.says(&BY_NETWORK_MANAGER.asked(), MANAGES)?;
        master.says(RAN, "6")
    })?;
    lab.step("provision waits for its first boot", |lab| {
        lab.provision().with(COMMON).fails(&["first boot", "cloud-init"])?;
        lab.until_it_is_bare_again()?.run(FIRST_BOOT_ENDS).map(drop)
    })?;
    lab.step("a wrong password is told", |lab| {
        lab.provision().with(COMMON).by_password("blueberry").fails(&["does not let pi in"])
    })?;
    lab.step("provision logs in with the password that the imager set, and takes over", |lab| {
        lab.provision().with(COMMON).by_password("raspberry").applies_changes()?;
        lab.master().says(&BY_NETWORK_MANAGER.asked(), STEPPED_ASIDE)
    })?;
    lab.step("provision again", |lab| lab.provision().with(COMMON).finds_nothing_to_do())?;
    let worker = lab.node("cluster01")?;
    lab.step("a worker netboots, and no first boot is its own", |lab| {
        netboots(lab, &worker)?;
        worker.says(RAN, "0")?;
        worker.says(HAS, HAS_NOTHING_OF_THE_MASTERS)
    })?;
    lab.step("after a power cut the master finds nothing to do", |lab| {
        worker.cut_power()?;
        lab.master().cut_power()?.power_on()?.until_ssh()?;
        lab.provision().with(COMMON).finds_nothing_to_do()
    })
}
