//! When a disk is not touched.

use feeder_cluster::{Board, SdCard, Ssd};
use feeder_ui::size;

use super::{
    Disk, Disks, MoveState,
    script::{WORK, Way},
};

/// Bit 29 of OTP row 17: the boot ROM looks at USB.
const USB_HOST_BOOT: u32 = 1 << 29;
/// The least size of the boot partition, in MiB.
const BOOT_MIB: u64 = 512;

/// Why the master cannot move, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) why: String,
    pub(crate) remedy: String,
}

fn refuse<T>(why: impl Into<String>, remedy: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { why: why.into(), remedy: remedy.into() })
}

/// The size of the boot partition to make: as large as the present one, and not less than 512 MiB.
pub(crate) fn boot_mib(disks: &Disks) -> u64 {
    disks.boot_size.div_ceil(1 << 20).max(BOOT_MIB)
}

/// What the move needs: what is used and a tenth more, the boot partition, and the gap before it.
fn needed(disks: &Disks) -> u64 {
    disks.used + disks.used / 10 + ((boot_mib(disks) + 2) << 20)
}

/// How the board comes to prefer the SSD. What the device tree says counts; where it is none of Raspberry Pi's, what
/// `cluster.toml` says.
pub(crate) fn way(disks: &Disks, ssd: &Ssd) -> Way {
    let newer = ["Raspberry Pi 4", "Raspberry Pi 5", "Compute Module 4", "Compute Module 5"];
    if newer.iter().any(|model| disks.board.contains(model)) {
        return Way::Eeprom;
    }
    match ssd.sd_card {
        SdCard::Kept => Way::Kept,
        SdCard::Removed => Way::Removed,
    }
}

/// Whether the board's boot ROM must still be told to look at USB, which cannot be undone.
pub(crate) fn must_program(disks: &Disks, ssd: &Ssd) -> bool {
    // A kept card's bootcode.bin looks at USB whatever the ROM does.
    way(disks, ssd) == Way::Removed
        && disks.otp.is_some_and(|row| row & USB_HOST_BOOT == 0)
        && disks.state != MoveState::Running
}

/// The disk to move to; with a reason when it is better left alone.
pub(crate) fn target<'d>(disks: &'d Disks, ssd: &Ssd, board: Board) -> Result<&'d Disk, Refusal> {
    let name = ssd.disk.name();
    let Some(disk) = disks.named(name) else { return refuse_absent(disks, name) };
    if disks.state == MoveState::Running {
        return Ok(disk);
    }
    if disk.runs_the_master() {
        return refuse(
            format!("{name} is the disk it runs from ({})", disk.describe()),
            "name another disk in [master.ssd], or leave the section out: then the master stays where it is",
        );
    }
    unique(disks, disk, name)?;
    // What a run of ours left mounted when it was killed is ours to unmount.
    let ours = format!("mounted on {WORK}/");
    let uses: Vec<&str> =
        disk.uses.iter().map(String::as_str).filter(|used| !used.starts_with(&ours)).collect();
    if !uses.is_empty() {
        return refuse(
            format!("{name} is in use: {}", uses.join(", ")),
            "unmount it (and take it out of fstab, swap or its set of disks), or name another one",
        );
    }
    if disk.read_only {
        return refuse(
            format!("{name} is write-protected"),
            "switch the protection off, or name another disk",
        );
    }
    if disk.sector != 512 {
        return refuse(
            format!("{name} has sectors of {} bytes", disk.sector),
            "a Pi's boot firmware reads sectors of 512 bytes: take another disk or another adapter",
        );
    }
    let needed = needed(disks);
    if disk.size < needed {
        return refuse(
            format!(
                "{name} holds {}, and {} are needed: {} in use and a tenth more, and the boot partition",
                size(disk.size),
                size(needed),
                size(disks.used)
            ),
            "take a larger disk, or make room on the master",
        );
    }
    programmable(disks, ssd, board)?;
    Ok(disk)
}

fn refuse_absent<T>(disks: &Disks, name: &str) -> Result<T, Refusal> {
    let listed: Vec<String> = disks
        .candidates()
        .map(|disk| format!("\n  /dev/disk/by-id/{} ({})", disk.names[0], disk.describe()))
        .collect();
    let remedy = match listed.as_slice() {
        [] => "no other disk is there either: is it plugged in, and has it power? On a 3B or 3B+ all USB ports together give 1.2 A".to_owned(),
        [one] => format!("this one is there; say so in [master.ssd] if it is meant:{one}"),
        several => format!(
            "{} disks are there, and which is meant is not guessed; name one in [master.ssd]:{}",
            several.len(),
            several.concat()
        ),
    };
    refuse(format!("it has no disk {name}"), remedy)
}

/// Two disks that cannot be told apart: one name for both, or one partition identity, by which the kernel finds its root.
fn unique(disks: &Disks, disk: &Disk, name: &str) -> Result<(), Refusal> {
    for other in disks.all.iter().filter(|other| other.path != disk.path) {
        if disk.table.is_some() && other.table == disk.table {
            let id = disk.table.as_deref().unwrap_or_default();
            return refuse(
                format!(
                    "{name} has the same disk id ({id}) as {} ({}): root=PARTUUID={id}-02 means both",
                    other.path,
                    other.describe()
                ),
                format!(
                    "one is a copy of the other. If {name} is the copy, give it another id on the master: `sudo sfdisk --disk-id /dev/disk/by-id/{name} 0x$(od -An -N4 -tx4 /dev/urandom | tr -d ' ')`; then reboot the master, for it may run from either"
                ),
            );
        }
        let alike = !disk.serial.is_empty()
            && (&other.serial, &other.model, &other.transport)
                == (&disk.serial, &disk.model, &disk.transport);
        if alike {
            return refuse(
                format!(
                    "{name} may be {} or {}: both have its model and serial number",
                    disk.path, other.path
                ),
                "some adapters give all disks one serial number: unplug the other one",
            );
        }
    }
    Ok(())
}

/// Taking the card out leaves a boot ROM that must look at USB by itself.
fn programmable(disks: &Disks, ssd: &Ssd, board: Board) -> Result<(), Refusal> {
    if way(disks, ssd) == Way::Removed && disks.otp.is_none() && board == Board::Pi3B {
        return refuse(
            "whether its boot ROM looks at USB cannot be read (vcgencmd is missing), and without the SD card a 3B must",
            "install raspi-utils on the master, or say `sd-card = \"kept\"`",
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use feeder_cluster::FileSystem;

    use super::{super::disks::tests::disks, *};

    const T5: &str = "usb-Samsung_Portable_SSD_T5_1234567-0:0";

    fn ssd(name: &str) -> Ssd {
        Ssd {
            disk: format!("/dev/disk/by-id/{name}").parse().expect("a name"),
            file_system: FileSystem::Ext4,
            sd_card: SdCard::Kept,
        }
    }

    fn refused(disks: &Disks, name: &str) -> String {
        let Refusal { why, remedy } =
            target(disks, &ssd(name), Board::Pi3BPlus).expect_err("it must be refused");
        format!("{why}\n→ {remedy}")
    }

    /// The survey with a change made to the disk that is wanted.
    fn with(change: impl FnOnce(&mut Disk)) -> String {
        let mut disks = disks();
        let wanted =
            disks.all.iter_mut().find(|disk| disk.path == "/dev/sda").expect("it is there");
        change(wanted);
        refused(&disks, T5)
    }

    #[test]
    fn a_disk_that_nobody_uses_is_taken() {
        let disks = disks();
        for name in [T5, "wwn-0x5002538e40a1b2c3"] {
            let disk =
                target(&disks, &ssd(name), Board::Pi3BPlus).expect("nothing is wrong with it");
            assert_eq!(disk.path, "/dev/sda");
        }
        assert_eq!(boot_mib(&disks), 512);
        assert_eq!(way(&disks, &ssd(T5)), Way::Kept);
    }

    #[test]
    fn every_other_disk_is_refused_with_a_way_out() {
        let none = {
            let mut disks = disks();
            disks.all.retain(|disk| disk.path == "/dev/mmcblk0");
            refused(&disks, T5)
        };
        let one = {
            let mut disks = disks();
            disks.all.retain(|disk| disk.path != "/dev/sdb");
            refused(&disks, "usb-Samsung_T5")
        };
        let twin = {
            let mut disks = disks();
            disks.all[1].model = disks.all[0].model.clone();
            disks.all[1].serial = disks.all[0].serial.clone();
            refused(&disks, T5)
        };
        let told = [
            ("no disk", none),
            ("one candidate", one),
            ("two candidates", refused(&disks(), "usb-Samsung_T5")),
            ("runs from it", refused(&disks(), "mmc-SD32G_0x12345678")),
            ("in an array", refused(&disks(), "usb-WDC_WD10_WD-1-0:0")),
            ("mounted", with(|disk| disk.uses = vec!["mounted on /media/holidays".into()])),
            ("write-protected", with(|disk| disk.read_only = true)),
            ("sectors", with(|disk| disk.sector = 4096)),
            ("too small", with(|disk| disk.size = 4_200_000_000)),
            ("a copy of the card", with(|disk| disk.table = Some("fe3de201".into()))),
            ("one serial number", twin),
        ];
        let told: Vec<String> =
            told.iter().map(|(what, text)| format!("## {what}\n{text}\n")).collect();
        insta::assert_snapshot!("refusals", told.join("\n"));
    }

    #[test]
    fn what_a_killed_run_left_mounted_is_no_reason() {
        let mut disks = disks();
        disks.all[0].uses = vec![format!("mounted on {WORK}/root")];
        assert!(target(&disks, &ssd(T5), Board::Pi3BPlus).is_ok());
    }

    #[test]
    fn what_is_used_and_a_tenth_more_fits() {
        let mut disks = disks();
        disks.all[0].size = needed(&disks);
        assert!(target(&disks, &ssd(T5), Board::Pi3BPlus).is_ok());
        disks.all[0].size -= 1;
        assert!(target(&disks, &ssd(T5), Board::Pi3BPlus).is_err());
    }

    #[test]
    fn a_master_that_runs_from_it_is_not_asked_again() {
        let mut disks = disks();
        disks.state = MoveState::Running;
        disks.all[0].uses = vec!["mounted on /".into()];
        assert!(target(&disks, &ssd(T5), Board::Pi3BPlus).is_ok());
    }

    #[test]
    fn the_boot_rom_is_programmed_only_where_the_card_goes_and_it_must_be() {
        let mut disks = disks();
        let removed = Ssd { sd_card: SdCard::Removed, ..ssd(T5) };
        assert!(!must_program(&disks, &removed), "a 3B+ comes with it");
        disks.otp = Some(0x1020_000a);
        assert!(must_program(&disks, &removed));
        assert!(!must_program(&disks, &ssd(T5)), "the kept card does without");
        disks.otp = None;
        assert!(target(&disks, &removed, Board::Pi3B).is_err(), "not known, and it matters");
        disks.board = "Raspberry Pi 4 Model B Rev 1.4".into();
        assert_eq!(way(&disks, &removed), Way::Eeprom);
    }
}
