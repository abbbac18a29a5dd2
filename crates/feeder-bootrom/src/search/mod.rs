//! Which disk a board boots from: the SD card before USB disks before the network.

mod otp;
mod tried;

use std::io::{Read, Seek};
use std::time::Duration;

use crate::board::BoardProfile;
use crate::boot::{Boot, Source, Stage};
use crate::disk::{DiskBootError, Loaded, Place, Survey, boot_from_partition, read_bootcode};

pub use otp::Otp;
pub use tried::{PassedOver, Tried, Went};

/// How long the ROM waits for a card that does not answer (bootflow-legacy.adoc).
const CARD: Duration = Duration::from_secs(5);
/// How long a USB disk may take to answer (bootflow-legacy.adoc, boot-msd.adoc).
const USB: Duration = Duration::from_secs(2);
/// The same with the OTP bit of `program_usb_boot_timeout=1`, or with the file `timeout` beside the
/// `bootcode.bin` on the SD card. boot-msd.adoc says five seconds of that file, an older page (bootmodes.adoc)
/// six: a disk that needs the sixth must not pass for one that is found.
const USB_LONG: Duration = Duration::from_secs(5);

/// What a disk is read through.
pub trait Disk: Read + Seek {}

impl<D: Read + Seek> Disk for D {}

/// A disk in a slot or on a port.
pub struct Attached<'d> {
    /// What a user calls it; only USB disks show it.
    pub name: String,
    /// Its contents. Nothing is written.
    pub disk: &'d mut dyn Disk,
    /// Time from the firmware's first look at the port until the disk answers. That the clock starts with the
    /// look and not with power is inferred, and the stricter of the two: enumeration is "enabling power to the
    /// downstream devices on a hub, then waiting" (bootflow-legacy.adoc).
    pub answers_after: Duration,
}

/// What is plugged in.
#[derive(Default)]
pub struct Plugged<'d> {
    /// The SD card, if there is one in the slot.
    pub card: Option<Attached<'d>>,
    /// USB disks, in the order in which the firmware walks hubs and ports.
    pub usb: Vec<Attached<'d>>,
}

/// A board from power-on until a kernel from one of its disks would start, or none can.
///
/// The boot ROM looks for `bootcode.bin`, and `bootcode.bin`, once it has been found, for `start.elf`, each on the
/// SD card, then on USB disks, then over the network. So a card that holds nothing but `bootcode.bin` leads to
/// the USB disks under `bootcode.bin`'s rules instead of the ROM's. Once `start.elf` runs there is no way back:
/// a card with `start.elf` and no kernel stops the board although a USB disk could be booted.
#[derive(Clone, Debug)]
pub struct DiskBoot {
    profile: BoardProfile,
    otp: Otp,
}

/// How the search ended, and all that led there.
#[derive(Debug)]
pub struct Search {
    /// What was looked at, in order.
    pub tried: Vec<Tried>,
    /// How it ended.
    pub end: Found,
}

/// What a search comes to.
#[derive(Debug)]
pub enum Found {
    /// A kernel would start.
    Kernel(Box<Boot>),
    /// No disk led anywhere, and the board asks the network next, from this stage on: the ROM, or the
    /// `bootcode.bin` of an SD card. See [`NetBoot`](crate::NetBoot).
    Network {
        /// Who asks.
        stage: Stage,
    },
    /// The board stands still until its power is cycled; the last of [`Search::tried`] says why.
    Nothing,
}

/// The host could not read its copy of a disk, which says nothing about the board.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {place}")]
pub struct DiskUnreadable {
    /// Which disk.
    pub place: Place,
    /// What was being read, and the cause.
    pub source: DiskBootError,
}

/// One disk in its place, while the firmware looks for something.
struct Spot<'s> {
    place: Place,
    disk: &'s mut dyn Disk,
    answers_after: Duration,
}

impl DiskBoot {
    /// A board with what is burnt into it.
    ///
    /// [`BoardProfile::tryboot`] is decided by each [`start`](Self::start).
    #[must_use]
    pub fn new(profile: BoardProfile, otp: Otp) -> Self {
        Self { profile, otp }
    }

    /// Starts the board: by power, or by a reset. With [`TryBoot::Armed`] it is a trial, and the flag is taken: the
    /// firmware clears it before it starts anything, so that the next start is an ordinary one whatever comes of
    /// this one (bootflow-2711.adoc; that the older boards do so, too, is inferred from config.adoc).
    ///
    /// # Errors
    ///
    /// [`DiskUnreadable`]: the host's trouble, never the board's.
    pub fn start(
        &self,
        plugged: &mut Plugged<'_>,
        tryboot: &mut TryBoot,
    ) -> Result<Search, DiskUnreadable> {
        let trial = std::mem::take(tryboot) == TryBoot::Armed;
        let profile = BoardProfile { tryboot: trial, ..self.profile.clone() };
        let mut spots: Vec<_> = plugged
            .card
            .iter_mut()
            .map(|card| Spot::new(Place::SdSlot, card))
            .chain(plugged.usb.iter_mut().map(|usb| {
                let place = Place::UsbDisk(usb.name.clone());
                Spot::new(place, usb)
            }))
            .collect();
        let mut search = Running { profile, otp: self.otp, tried: Vec::new() };
        let end = search.run(&mut spots)?;
        Ok(Search { tried: search.tried, end })
    }
}

/// The one-shot flag that `reboot '0 tryboot'` sets. It lies in a register that does not survive a power cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TryBoot {
    /// Not set.
    #[default]
    Off,
    /// The next start is a trial.
    Armed,
}

impl TryBoot {
    /// What a restart with an argument sets: a partition's number, and behind it the words that are flags
    /// (drivers/firmware/raspberrypi.c of Raspberry Pi's kernel, `rpi_firmware_notify_reboot`).
    #[must_use]
    pub fn asked_by(argument: &str) -> Self {
        if argument.split(' ').skip(1).any(|word| word == "tryboot") {
            Self::Armed
        } else {
            Self::Off
        }
    }
}

impl<'s> Spot<'s> {
    fn new(place: Place, attached: &'s mut Attached<'_>) -> Self {
        Self { place, disk: &mut *attached.disk, answers_after: attached.answers_after }
    }

    fn unreadable(&self, source: DiskBootError) -> DiskUnreadable {
        DiskUnreadable { place: self.place.clone(), source }
    }

    /// What the firmware finds of a disk, unless the host could not read it.
    fn survey(&mut self) -> Result<Result<Survey, DiskBootError>, DiskUnreadable> {
        let mut disk = &mut *self.disk;
        match Survey::of(&mut disk, &self.place) {
            Err(error) if error.is_host() => Err(self.unreadable(error)),
            other => Ok(other),
        }
    }
}

/// What the ROM has found.
struct Rom {
    /// Index of the disk.
    spot: usize,
    bootcode: Loaded,
    /// How long `bootcode.bin` waits for USB disks.
    patience: Duration,
    notes: Vec<String>,
}

struct Running {
    profile: BoardProfile,
    otp: Otp,
    tried: Vec<Tried>,
}

impl Running {
    fn run(&mut self, spots: &mut [Spot<'_>]) -> Result<Found, DiskUnreadable> {
        let Some(rom) = self.rom(spots)? else {
            return Ok(match self.otp.usb_host_boot() {
                true => Found::Network { stage: Stage::Rom },
                false => Found::Nothing,
            });
        };
        self.bootcode(spots, &rom)
    }

    /// The ROM's search for `bootcode.bin`.
    fn rom(&mut self, spots: &mut [Spot<'_>]) -> Result<Option<Rom>, DiskUnreadable> {
        let usb = spots.iter().position(|spot| spot.place != Place::SdSlot);
        let first_usb = usb.unwrap_or(spots.len());
        if first_usb == 0 {
            self.pass(Stage::Rom, Place::SdSlot, PassedOver::Empty);
        }
        let patience = if self.otp.long_usb_timeout() { USB_LONG } else { USB };
        let no_usb = first_usb == spots.len();
        for (index, spot) in spots.iter_mut().enumerate() {
            if index == first_usb && !self.usb_enabled() {
                return Ok(None);
            }
            let wait = if index < first_usb { CARD } else { patience };
            if let Some(rom) = self.rom_at(index, spot, wait, patience)? {
                return Ok(Some(rom));
            }
        }
        if no_usb && self.usb_enabled() {
            self.pass(Stage::Rom, Place::UsbPorts, PassedOver::Empty);
        }
        Ok(None)
    }

    fn usb_enabled(&mut self) -> bool {
        let enabled = self.otp.usb_host_boot();
        if !enabled {
            let why = PassedOver::Disabled { boot_mode: self.otp.boot_mode };
            self.pass(Stage::Rom, Place::UsbPorts, why);
        }
        enabled
    }

    fn rom_at(
        &mut self,
        index: usize,
        spot: &mut Spot<'_>,
        wait: Duration,
        patience: Duration,
    ) -> Result<Option<Rom>, DiskUnreadable> {
        let Some(survey) = self.look(Stage::Rom, spot, wait)? else { return Ok(None) };
        let found = survey.bootcode().and_then(|partition| {
            let mut disk = &mut *spot.disk;
            Ok((partition.number, read_bootcode(&mut disk, &spot.place, partition)?))
        });
        let (partition, bytes) = match found {
            Ok(found) => found,
            Err(error) if error.is_host() => return Err(spot.unreadable(error)),
            Err(error) => {
                self.pass(Stage::Rom, spot.place.clone(), PassedOver::Disk(error));
                return Ok(None);
            }
        };
        let source = Source::Disk { place: spot.place.clone(), partition };
        self.tried.push(Tried {
            stage: Stage::Rom,
            place: spot.place.clone(),
            went: Went::Found { file: "bootcode.bin", partition },
        });
        // The file speaks to bootcode.bin: the ROM is older than it. Only of an SD card is it told.
        let longer = spot.place == Place::SdSlot && survey.has_timeout();
        Ok(Some(Rom {
            spot: index,
            bootcode: Loaded { source, bytes },
            patience: if longer { USB_LONG } else { patience },
            notes: survey.notes(),
        }))
    }

    /// The search of `bootcode.bin` for `start.elf`: from where it was found itself onwards. Whether one that came
    /// from a USB disk would look at the card is not known; there is no `bootcode.bin` on that card then.
    fn bootcode(&mut self, spots: &mut [Spot<'_>], rom: &Rom) -> Result<Found, DiskUnreadable> {
        for index in rom.spot..spots.len() {
            // Where it comes from has answered already.
            let wait = if index == rom.spot { Duration::MAX } else { rom.patience };
            let (spot, rest) = match &mut spots[index..] {
                [spot, rest @ ..] => (spot, rest),
                [] => break,
            };
            let Some(survey) = self.look(Stage::Bootcode, spot, wait)? else { continue };
            let started = survey.start(&self.profile).and_then(|start| {
                let mut disk = &mut *spot.disk;
                boot_from_partition(&mut disk, &spot.place, &start, &rom.bootcode, &self.profile)
                    .map(|boot| (start.partition.number, boot))
            });
            let (partition, mut boot) = match started {
                Ok(started) => started,
                Err(error) if error.is_host() => return Err(spot.unreadable(error)),
                Err(error) => {
                    let stuck = is_the_end(&error);
                    self.pass(Stage::Bootcode, spot.place.clone(), PassedOver::Disk(error));
                    if stuck {
                        return Ok(Found::Nothing);
                    }
                    continue;
                }
            };
            self.tried.push(Tried {
                stage: Stage::Bootcode,
                place: spot.place.clone(),
                went: Went::Found { file: "start.elf", partition },
            });
            let mut notes = rom.notes.clone();
            notes.extend(survey.notes().into_iter().filter(|_| index != rom.spot));
            notes.extend(rivals(&spot.place, rest));
            boot.warnings.splice(0..0, notes);
            return Ok(Found::Kernel(Box::new(boot)));
        }
        if spots.iter().all(|spot| spot.place == Place::SdSlot) {
            self.pass(Stage::Bootcode, Place::UsbPorts, PassedOver::Empty);
        }
        Ok(Found::Network { stage: Stage::Bootcode })
    }

    /// A look at a disk; `None` when it does not answer in time or is none that the firmware can read.
    fn look(
        &mut self,
        stage: Stage,
        spot: &mut Spot<'_>,
        wait: Duration,
    ) -> Result<Option<Survey>, DiskUnreadable> {
        if spot.answers_after > wait {
            let why = PassedOver::Silent { answers_after: spot.answers_after, waited: wait };
            self.pass(stage, spot.place.clone(), why);
            return Ok(None);
        }
        match spot.survey()? {
            Ok(survey) => Ok(Some(survey)),
            Err(error) => {
                self.pass(stage, spot.place.clone(), PassedOver::Disk(error));
                Ok(None)
            }
        }
    }

    fn pass(&mut self, stage: Stage, place: Place, why: PassedOver) {
        self.tried.push(Tried { stage, place, went: Went::Past(why) });
    }
}

/// Whether the board stands still: `start.elf` ran, or something that the twin does not follow. Without a
/// `start.elf`, under whatever name, the next disk has its turn (boot-msd.adoc, "Multiple bootable drives").
fn is_the_end(error: &DiskBootError) -> bool {
    use crate::boot::BootError::NoStart;
    matches!(error, DiskBootError::Boot { source, .. } if !matches!(source, NoStart { .. }))
}

/// What a user should know of further USB disks that could be booted as well.
fn rivals(taken: &Place, rest: &mut [Spot<'_>]) -> Vec<String> {
    if *taken == Place::SdSlot {
        return Vec::new();
    }
    let mut could = Vec::new();
    for spot in rest {
        // Only a remark: what cannot be read here is no rival.
        if let Ok(Ok(survey)) = spot.survey()
            && survey.bootcode().is_ok()
        {
            could.push(format!(
                "{} can be booted, too; a board takes whichever answers first, so take one of the two away",
                spot.place
            ));
        }
    }
    could
}
