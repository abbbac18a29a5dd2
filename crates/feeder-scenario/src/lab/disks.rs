//! What is plugged into a node: its SD card and its SSD, as a person at the board has them in hand.

use std::{io::Read, time::Duration};

use camino::{Utf8Path, Utf8PathBuf};
use feeder_bootrom::{
    Attached, Boot, DiskBoot, Found, Otp, Place, Plugged, Source, TryBoot, read_extent,
};
use feeder_machine::{
    Disk, DiskFormat, IoFault,
    disk::{copy_raw, create_blank, read_head, size},
};
use fs_err as fs;
use serde::{Deserialize, Serialize};

use super::{
    Lab,
    node::{Node, State},
};
use crate::{Class, Failure, Firmware, OrFail, PowerEnd, Verdict, clock::locked};

/// What the QEMU machines of this kind call the card, and the SSD.
pub(super) const SD: &str = "sd";
pub(super) const SSD: &str = "ssd";
/// The size of the partition table of a PC, and of a sector, in bytes.
const SECTOR: u64 = 512;
/// What scenarios call the two.
const CARD_NAME: &str = "SD card";
const SSD_NAME: &str = "SSD";

/// A card or a disk that belongs to a node.
#[derive(Debug, Clone)]
pub(super) struct Medium {
    /// A qcow2 overlay that this run alone writes to.
    pub(super) top: Utf8PathBuf,
    /// The overlays under it that belong to kept states, the lowest first.
    pub(super) frozen: Vec<Utf8PathBuf>,
    pub(super) is: Whereabouts,
    faults: Vec<IoFault>,
    write_log: Option<Utf8PathBuf>,
}

/// Where a card or a disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Whereabouts {
    /// In its slot, or on its port.
    In,
    /// In somebody's hand.
    Out,
}

impl Medium {
    pub(super) fn new(top: Utf8PathBuf) -> Self {
        Self { top, frozen: Vec::new(), is: Whereabouts::In, faults: Vec::new(), write_log: None }
    }

    /// Why its state cannot be kept, if so.
    pub(super) fn cannot_be_saved(&self) -> Option<&'static str> {
        if self.write_log.is_some() {
            Some("its writes are logged")
        } else {
            (!self.faults.is_empty()).then_some("it has faults")
        }
    }

    /// One that was kept, with an overlay over it.
    pub(super) fn kept(top: Utf8PathBuf, frozen: Vec<Utf8PathBuf>, is: Whereabouts) -> Self {
        Self { frozen, is, ..Self::new(top) }
    }

    fn disk(&self, id: &str) -> Disk {
        let mut disk = Disk::new(&self.top, DiskFormat::Qcow2, id);
        disk.faults.clone_from(&self.faults);
        disk.write_log.clone_from(&self.write_log);
        disk
    }
}

impl Lab {
    /// Plugs a new, empty SSD of so many bytes into a USB port of a node without power. In the guest it is
    /// `/dev/disk/by-id/usb-QEMU_QEMU_HARDDISK_NAME-ssd-0:0`, where `NAME` is the node's.
    ///
    /// # Errors
    /// The node has power, or an SSD already.
    pub fn plug_ssd(&mut self, node: &Node, bytes: u64) -> Verdict {
        node.without_power("plug an SSD in")?;
        if locked(node.state()).ssd.is_some() {
            return Err(Failure::scenario(format!("{} has an SSD already", node.name())));
        }
        let image = self.new_file(&format!("{}.ssd.qcow2", node.name()))?;
        create_blank(&image, bytes)
            .map_err(|error| Failure::expected("cannot make an SSD", &error).on(node.name()))?;
        locked(node.state()).ssd = Some(Medium::new(image));
        Ok(())
    }

    /// Puts copies of raw images into a node without power, in the place of its SD card and its SSD.
    ///
    /// # Errors
    /// The node has power, or the host has no room for the copies.
    pub fn exchange_disks(&mut self, node: &Node, card: &Utf8Path, ssd: &Utf8Path) -> Verdict {
        node.without_power("exchange its disks")?;
        let mut media = Vec::new();
        for (raw, id) in [(card, SD), (ssd, SSD)] {
            let image = self.new_file(&format!("{}.{id}.qcow2", node.name()))?;
            copy_raw(raw, &image)
                .map_err(|error| Failure::expected("cannot copy a disk", &error).on(node.name()))?;
            media.push(Medium::new(image));
        }
        let mut state = locked(node.state());
        state.ssd = media.pop();
        state.card = media.pop();
        Ok(())
    }
}

impl Node {
    /// What its SSD is called in the guest, by its stable name.
    pub(super) fn ssd_in_guest(&self) -> String {
        format!("/dev/disk/by-id/usb-QEMU_QEMU_HARDDISK_{}-{SSD}-0:0", self.name())
    }

    /// Its root is on its SSD.
    ///
    /// # Errors
    /// It is elsewhere.
    pub fn runs_from_ssd(&self) -> Verdict {
        let root = self.run("readlink -f \"$(findmnt -no SOURCE /)\"")?;
        let wanted = self.run(&format!("readlink -f {}-part2", self.ssd_in_guest()))?;
        if root == wanted {
            return Ok(());
        }
        Err(Failure::product(format!("the root of {} is {root}, not {wanted}", self.name()))
            .on(self.name()))
    }

    /// Takes the SD card out of its slot. The node must have no power: what a card does to a system that runs from it is not
    /// reproduced.
    ///
    /// # Errors
    /// It has power, or no card in its slot.
    pub fn pull_sd_card(&self) -> Verdict<&Self> {
        self.without_power("pull the SD card")?;
        self.moves(CARD_NAME, Whereabouts::Out)
    }

    /// Puts the SD card back.
    ///
    /// # Errors
    /// It has power, or the card is in.
    pub fn insert_sd_card(&self) -> Verdict<&Self> {
        self.without_power("insert the SD card")?;
        self.moves(CARD_NAME, Whereabouts::In)
    }

    /// Pulls the SSD out, with power or without. The guest is not asked.
    ///
    /// # Errors
    /// No SSD is plugged in, or the emulator holds it.
    pub fn unplug_ssd(&self) -> Verdict<&Self> {
        self.moves(SSD_NAME, Whereabouts::Out)?;
        let running = locked(self.state()).machine.clone();
        if let Some(running) = running {
            running.machine.unplug(SSD).map_err(|error| {
                Failure::expected("cannot pull the SSD out", &error).on(self.name())
            })?;
        }
        Ok(self)
    }

    /// Plugs the SSD in that was pulled out.
    ///
    /// # Errors
    /// The node has power, or the SSD is plugged in.
    pub fn replug_ssd(&self) -> Verdict<&Self> {
        self.without_power("plug the SSD in")?;
        self.moves(SSD_NAME, Whereabouts::In)
    }

    /// From the next power-on on, the SSD fails like this; with no faults it is sound again.
    ///
    /// # Errors
    /// The node has power, or no SSD.
    pub fn ssd_fails(&self, faults: Vec<IoFault>) -> Verdict<&Self> {
        self.without_power("make the SSD fail")?;
        self.with_medium(SSD_NAME, |ssd| ssd.faults = faults)
    }

    /// From the next power-on on, what is written to the SSD is logged to this file ([`feeder_machine::write_log`]), anew at
    /// each power-on, until the system restarts. The states of steps cannot be kept meanwhile.
    ///
    /// # Errors
    /// The node has power, or no SSD.
    pub fn log_ssd_writes(&self) -> Verdict<Utf8PathBuf> {
        self.log_writes(SSD_NAME, SSD)
    }

    /// The same for the SD card.
    ///
    /// # Errors
    /// The node has power, or no SD card.
    pub fn log_card_writes(&self) -> Verdict<Utf8PathBuf> {
        self.log_writes(CARD_NAME, SD)
    }

    fn log_writes(&self, name: &str, id: &str) -> Verdict<Utf8PathBuf> {
        self.without_power(&format!("log the writes of the {name}"))?;
        let log = self.bench().story.dir().scratch().join(format!("{}.{id}.writes", self.name()));
        self.with_medium(name, |medium| medium.write_log = Some(log.clone()))?;
        Ok(log)
    }

    /// A log holds one time of power: what a system writes after it has restarted is not logged.
    pub(super) fn no_more_write_logs(&self) {
        let mut state = locked(self.state());
        let State { card, ssd, .. } = &mut *state;
        card.iter_mut().chain(ssd).for_each(|medium| medium.write_log = None);
    }

    /// Ends that.
    ///
    /// # Errors
    /// The node has power, or no SSD.
    pub fn stop_logging_ssd_writes(&self) -> Verdict<&Self> {
        self.without_power("stop logging the SSD's writes")?;
        self.with_medium(SSD_NAME, |ssd| ssd.write_log = None)
    }

    /// Writes the whole contents of the SSD, as they are without power, to the raw file `to`, which stays sparse.
    ///
    /// # Errors
    /// The node has power, or no SSD.
    pub fn copy_ssd(&self, to: &Utf8Path) -> Verdict {
        let ssd = locked(self.state()).ssd.clone();
        self.copy_medium(SSD_NAME, ssd, to)
    }

    /// The same of the SD card.
    ///
    /// # Errors
    /// The node has power, or no SD card.
    pub fn copy_card(&self, to: &Utf8Path) -> Verdict {
        let card = locked(self.state()).card.clone();
        self.copy_medium(CARD_NAME, card, to)
    }

    fn copy_medium(&self, name: &str, medium: Option<Medium>, to: &Utf8Path) -> Verdict {
        self.without_power(&format!("copy the {name}"))?;
        let Some(medium) = medium else {
            return Err(Failure::scenario(format!("{} has no {name}", self.name())));
        };
        let copied = size(&medium.top, DiskFormat::Qcow2)
            .and_then(|bytes| read_head(&medium.top, DiskFormat::Qcow2, bytes, to));
        copied.map_err(|error| Failure::expected("cannot copy a disk", &error).on(self.name()))
    }

    fn without_power(&self, what: &str) -> Verdict {
        match locked(self.state()).machine {
            None => Ok(()),
            Some(_) => Err(Failure::scenario(format!("{} has power: cannot {what}", self.name()))
                .with_hint("cut its power first")),
        }
    }

    fn with_medium(&self, name: &str, change: impl FnOnce(&mut Medium)) -> Verdict<&Self> {
        let mut state = locked(self.state());
        let medium = if name == SSD_NAME { &mut state.ssd } else { &mut state.card };
        match medium {
            Some(medium) => change(medium),
            None => return Err(Failure::scenario(format!("{} has no {name}", self.name()))),
        }
        drop(state);
        Ok(self)
    }

    fn moves(&self, name: &str, to: Whereabouts) -> Verdict<&Self> {
        let mut was = to;
        self.with_medium(name, |medium| was = std::mem::replace(&mut medium.is, to))?;
        if was == to {
            let is = if to == Whereabouts::In { "in" } else { "out" };
            return Err(Failure::scenario(format!("the {name} of {} is {is}", self.name())));
        }
        let did = if to == Whereabouts::In { "plugged in" } else { "pulled out" };
        self.bench().story.note(format!("{}: {name} {did}", self.name()));
        Ok(self)
    }

    /// What the machine has plugged in.
    pub(super) fn disks(&self) -> Vec<Disk> {
        let state = locked(self.state());
        let within = |medium: &&Medium| medium.is == Whereabouts::In;
        let card = state.card.as_ref().filter(within).map(|card| card.disk(SD));
        let ssd = state.ssd.as_ref().filter(within);
        let ssd = ssd.map(|ssd| ssd.disk(SSD).on_usb(&format!("{}-{SSD}", self.name())));
        card.into_iter().chain(ssd).collect()
    }

    /// Asks the twin which disk the board boots from.
    pub(super) fn boot_disks(&self) -> Verdict<Boot> {
        let mut heads = Vec::new();
        for disk in self.disks() {
            heads.push((self.head(&disk)?, disk.id));
        }
        let (mut card, mut usb) = (None, Vec::new());
        for (file, id) in &mut heads {
            let answers_after = Duration::ZERO;
            let attached = Attached { name: id.clone(), disk: file, answers_after };
            if id == SD { card = Some(attached) } else { usb.push(attached) }
        }
        let mut tryboot = std::mem::take(&mut locked(self.state()).tryboot);
        let trial = tryboot == TryBoot::Armed;
        let search = DiskBoot::new(self.profile(), Otp::of(self.model()))
            .start(&mut Plugged { card, usb }, &mut tryboot)
            .or_fail(Class::Host, "cannot read what is plugged in")?;
        let story = &self.bench().story;
        for tried in &search.tried {
            let (place, said) = (tried.place.to_string(), tried.to_string());
            story.firmware(self.name(), Firmware::Looked { place, said });
        }
        let Found::Kernel(boot) = search.end else {
            let said: Vec<_> = search.tried.iter().map(ToString::to_string).collect();
            let why = said.join("; ");
            story.firmware(self.name(), Firmware::GaveUp { why: why.clone() });
            return Err(
                Failure::product(format!("{} does not boot: {why}", self.name())).on(self.name())
            );
        };
        let from = match boot.source() {
            Some(Source::Disk { place: Place::UsbDisk(_), .. }) => "USB",
            _ => "SD",
        };
        story.milestone(self.name(), from, trial.then(|| "tryboot".to_owned()));
        Ok(*boot)
    }

    /// A disk as far as the firmware reads it: to the end of the last FAT partition, or all of it where the table is another.
    fn head(&self, disk: &Disk) -> Verdict<fs::File> {
        let name = format!("{}.{}.head", self.name(), disk.id);
        let head = self.bench().story.dir().scratch().join(name);
        let cannot =
            |error| Failure::expected("cannot read what is plugged in", &error).on(self.name());
        let read = |bytes| read_head(&disk.path, disk.format, bytes, &head).map_err(cannot);
        read(SECTOR)?;
        let open = || fs::File::open(&head).or_fail(Class::Host, "cannot read what is plugged in");
        let mut mbr = [0; SECTOR as usize];
        open()?.read_exact(&mut mbr).or_fail(Class::Host, "cannot read what is plugged in")?;
        let whole = size(&disk.path, disk.format).map_err(cannot)?;
        read(read_extent(&mbr).map_or(whole, |end| end.min(whole)))?;
        open()
    }

    /// Power is off for whoever watches: the firmware found nothing.
    pub(super) fn found_nothing(&self, failure: &Failure) {
        let why = Some(failure.message.clone());
        self.bench().story.power_off(self.name(), PowerEnd::Cut, why);
    }
}
