//! What becomes of a node whose power fails at a point.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use camino::{Utf8Path, Utf8PathBuf};
use feeder_bootrom::{
    Absence, Attached, Boot, BootError, DiskBoot, DiskBootError, Found, Otp, PassedOver, Place,
    Plugged, Source, TryBoot, Went, read_extent,
};
use feeder_machine::write_log::{Cut, Rewind, WriteLog};
use fs_err as fs;

use super::{
    Recorded, e2fsck,
    fat::{self, Patched},
    points::{self, Point, Side, Variant},
    table::{Partition, SECTOR, Table},
};
use crate::{Class, Failure, OrFail, Verdict};

/// The file that is the board's own on each disk; all others are copies of one another.
const COMMAND_LINE: &str = "cmdline.txt";
const FSTAB: &str = "/etc/fstab";

/// What a board boots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Boots {
    /// The disk with the kernel.
    pub kernel: Side,
    /// The disk with the root.
    pub root: Side,
}

/// What the firmware found.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Start {
    kernel: Side,
    /// As on the kernel's command line.
    partuuid: String,
    /// After how many starts with their fsck the boot partitions are whole.
    mended_after: usize,
}

/// Goes through a recording from point to point.
#[derive(Debug)]
pub struct Judge<'r> {
    recorded: &'r Recorded,
    disks: [Rewind<'r>; 2],
    scratch: Utf8PathBuf,
    points: Vec<Point>,
    unordered: usize,
    mended_after: usize,
    /// The digests of what the firmware loads, by name.
    files: BTreeMap<String, [u8; 32]>,
    /// What was judged already, by what was written to the parts that were looked at.
    starts: HashMap<u64, Result<Start, String>>,
    roots: HashMap<u64, Result<(), String>>,
}

impl<'r> Judge<'r> {
    /// Before the first point. The images of the recording are used up; `scratch` holds working files.
    ///
    /// # Errors
    /// The board does not boot from the disks as they were before, or they cannot be read.
    pub fn new(recorded: &'r Recorded, scratch: &Utf8Path) -> Verdict<Self> {
        let disks = [&recorded.card, &recorded.ssd];
        let last = |index: usize| table_at_the_end(&disks[index].log, &disks[index].image, scratch);
        let (points, unordered) = points::points(recorded, &[last(0)?, last(1)?]);
        let mut judge = Self {
            recorded,
            disks: disks.map(|disk| Rewind::new(&disk.log, &disk.image)),
            scratch: scratch.to_owned(),
            points,
            unordered,
            mended_after: 0,
            files: BTreeMap::new(),
            starts: HashMap::new(),
            roots: HashMap::new(),
        };
        let boot = judge.twin([None, None])?.map_err(|why| {
            Failure::scenario(format!("the recorded node did not boot before, either: {why}"))
        })?;
        judge.files = digests(&boot);
        Ok(judge)
    }

    /// All points there are, in their order.
    #[must_use]
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// Writes that lie in no point, because what the other disk had done is not known.
    #[must_use]
    pub fn unordered(&self) -> usize {
        self.unordered
    }

    /// The images of card and SSD, as the last judgement was about them.
    #[must_use]
    pub fn images(&self) -> [&Utf8Path; 2] {
        [self.disks[0].image(), self.disks[1].image()]
    }

    /// How often a system must start until its fsck leaves no mistake in the boot partitions, as the last judgement was about them.
    #[must_use]
    pub fn mended_after(&self) -> usize {
        self.mended_after
    }

    /// Cuts the power at a point, which must not come before an earlier one, and says what the board boots, or why not. With
    /// `fsck` the root that it would run from is looked at, too.
    ///
    /// # Errors
    /// Nothing can be said, since this machine or the recording is at fault.
    pub fn judge(
        &mut self,
        point: &Point,
        variant: Variant,
        fsck: bool,
    ) -> Verdict<Result<Boots, String>> {
        let cuts = point.cuts(variant);
        for (disk, cut) in self.disks.iter_mut().zip(&cuts) {
            disk.go_to(cut).map_err(|error| Failure::expected("cannot make a disk", &error))?;
        }
        let start = match self.start(&cuts)? {
            Ok(start) => start,
            Err(why) => return Ok(Err(why)),
        };
        self.mended_after = start.mended_after;
        let (root, partition) = match self.root_of(&start)? {
            Ok(found) => found,
            Err(why) => return Ok(Err(why)),
        };
        if fsck && let Err(why) = self.root(&cuts, &start, root, &partition)? {
            return Ok(Err(format!("the root on the {root}: {why}")));
        }
        Ok(Ok(Boots { kernel: start.kernel, root }))
    }

    /// What the firmware finds, now and after the boot partitions were mended; known already where none of what it reads changed.
    fn start(&mut self, cuts: &[Cut; 2]) -> Verdict<Result<Start, String>> {
        let mut hasher = DefaultHasher::new();
        for (disk, cut) in self.disks.iter().zip(cuts) {
            let extent = extent(disk.image())?;
            extent.hash(&mut hasher);
            hash(&mut hasher, disk.log(), cut, 0, extent);
        }
        let key = hasher.finish();
        if let Some(start) = self.starts.get(&key) {
            return Ok(start.clone());
        }
        let start = self.look()?;
        self.starts.insert(key, start.clone());
        Ok(start)
    }

    fn look(&self) -> Verdict<Result<Start, String>> {
        let mut start = match self.whole(self.twin([None, None])?) {
            Ok(start) => start,
            Err(why) => return Ok(Err(why)),
        };
        let mut patches = [None, None];
        for (disk, (patch, name)) in
            self.disks.iter().zip(patches.iter_mut().zip(["sd.fat", "ssd.fat"]))
        {
            let image = disk.image();
            let table = Table::read(image)?;
            let Some(boot) = table.partitions.iter().find(|partition| partition.is_fat()) else {
                continue;
            };
            if !fat::is_there(image, boot)? {
                continue;
            }
            match fat::mended(image, boot, self.scratch.join(name))? {
                Ok((path, starts)) => {
                    start.mended_after = start.mended_after.max(starts);
                    *patch = Some((*boot, path));
                }
                Err(why) => return Ok(Err(format!("the boot partition of {image}: {why}"))),
            }
        }
        let patched =
            patches.each_ref().map(|patch| patch.as_ref().map(|(p, path)| (*p, path.as_path())));
        Ok(match self.whole(self.twin(patched)?) {
            Ok(after) if after.partuuid == start.partuuid => Ok(start),
            Ok(after) => Err(format!("fsck changed what it boots: {start:?} became {after:?}")),
            Err(why) => Err(format!("after fsck, {why}")),
        })
    }

    /// What the twin says of both disks, with mended boot partitions in the place of theirs.
    fn twin(&self, patches: [Option<(Partition, &Utf8Path)>; 2]) -> Verdict<Result<Boot, String>> {
        let [card, ssd] = patches;
        let mut card = Patched::new(self.disks[0].image(), card)?;
        let mut ssd = Patched::new(self.disks[1].image(), ssd)?;
        let answers_after = Duration::ZERO;
        let mut plugged = Plugged {
            card: Some(Attached { name: "sd".into(), disk: &mut card, answers_after }),
            usb: vec![Attached { name: "ssd".into(), disk: &mut ssd, answers_after }],
        };
        let otp = Otp::of(self.recorded.profile.model);
        let search = DiskBoot::new(self.recorded.profile.clone(), otp)
            .start(&mut plugged, &mut TryBoot::Off)
            .or_fail(Class::Host, "cannot read a disk's image")?;
        // The twin goes on from a damaged start.elf to the next disk. Whether a board does is not known.
        if let Some(tried) = search.tried.iter().find(|tried| read_damage(&tried.went)) {
            return Ok(Err(format!("{tried}")));
        }
        Ok(match search.end {
            Found::Kernel(boot) => Ok(*boot),
            _ => {
                let said: Vec<_> = search.tried.iter().map(ToString::to_string).collect();
                Err(format!("nothing boots: {}", said.join("; ")))
            }
        })
    }

    /// Whether all that the firmware loads is what it was before, and which root the kernel would take.
    fn whole(&self, boot: Result<Boot, String>) -> Result<Start, String> {
        let boot = boot?;
        let kernel = match boot.source() {
            Some(Source::Disk { place: Place::UsbDisk(_), .. }) => Side::Ssd,
            _ => Side::Card,
        };
        let files = digests(&boot);
        for (name, digest) in &self.files {
            match files.get(name) {
                None => return Err(format!("the firmware misses {name} on the {kernel}")),
                Some(found) if found != digest => {
                    return Err(format!("the firmware loads a damaged {name} from the {kernel}"));
                }
                Some(_) => {}
            }
        }
        let root = boot.command_line.split_ascii_whitespace().rev();
        let root = root.filter_map(|word| word.strip_prefix("root=PARTUUID=")).next();
        let Some(partuuid) = root else {
            return Err(format!("the command line names no root: {}", boot.command_line));
        };
        Ok(Start { kernel, partuuid: partuuid.to_owned(), mended_after: 0 })
    }

    fn root_of(&self, start: &Start) -> Verdict<Result<(Side, Partition), String>> {
        let mut found = Vec::new();
        for (side, disk) in [Side::Card, Side::Ssd].into_iter().zip(&self.disks) {
            let partition = Table::read(disk.image())?.by_partuuid(&start.partuuid);
            found.extend(partition.map(|partition| (side, partition)));
        }
        let partuuid = &start.partuuid;
        Ok(match found.as_slice() {
            [one] => Ok(*one),
            [] => Err(format!("no disk has the root {partuuid} of the {}", start.kernel)),
            _ => Err(format!("both disks have a root {partuuid}")),
        })
    }

    fn root(
        &mut self,
        cuts: &[Cut; 2],
        start: &Start,
        side: Side,
        partition: &Partition,
    ) -> Verdict<Result<(), String>> {
        let disk = &self.disks[side as usize];
        let mut hasher = DefaultHasher::new();
        side.hash(&mut hasher);
        let end = partition.start + partition.length;
        hash(&mut hasher, disk.log(), &cuts[side as usize], partition.start, end);
        let key = hasher.finish();
        if let Some(known) = self.roots.get(&key) {
            return Ok(known.clone());
        }
        let copy = self.scratch.join("root");
        let mended = e2fsck::mended(disk.image(), partition, &copy, FSTAB)?;
        let judged = mended.and_then(|fstab| {
            let name = format!("PARTUUID={}", start.partuuid);
            let mounts =
                |line: &str| line.split_ascii_whitespace().take(2).eq([name.as_str(), "/"]);
            match fstab.lines().any(mounts) {
                true => Ok(()),
                false => Err(format!("its {FSTAB} has another root than {name}")),
            }
        });
        self.roots.insert(key, judged.clone());
        Ok(judged)
    }
}

/// The digests of what a firmware loaded, but for the command line's.
fn digests(boot: &Boot) -> BTreeMap<String, [u8; 32]> {
    let files = boot.files.iter().filter(|file| file.name != COMMAND_LINE);
    files.map(|file| (file.name.clone(), file.sha256)).collect()
}

fn read_damage(went: &Went) -> bool {
    let Went::Past(PassedOver::Disk(DiskBootError::Boot { source, .. })) = went else {
        return false;
    };
    matches!(source, BootError::NoStart { why: Absence::Broken(_), .. })
}

/// Bytes of a disk that hold all that firmware reads of it.
fn extent(image: &Utf8Path) -> Verdict<u64> {
    use std::os::unix::fs::FileExt;
    let mut sector = [0; SECTOR as usize];
    let disk = fs::File::open(image).or_fail(Class::Host, "cannot read a disk's image")?;
    disk.file().read_exact_at(&mut sector, 0).or_fail(Class::Host, "cannot read a disk's image")?;
    Ok(read_extent(&sector).unwrap_or(u64::MAX))
}

/// What of a cut log lies between two bytes of the disk.
fn hash(hasher: &mut impl Hasher, log: &WriteLog, cut: &Cut, from: u64, to: u64) {
    for step in log.steps(cut) {
        let offset = log.entries()[step.entry].offset;
        if offset < to && offset + step.bytes > from {
            (step.entry, step.bytes).hash(hasher);
        }
    }
}

/// The partition table that a disk has in the end.
fn table_at_the_end(log: &WriteLog, image: &Utf8Path, scratch: &Utf8Path) -> Verdict<Table> {
    let head = scratch.join("table");
    let made = || -> std::io::Result<()> {
        let (from, to) = (fs::File::open(image)?, fs::File::create(&head)?);
        to.set_len(from.metadata()?.len())?;
        std::io::copy(&mut std::io::Read::take(from, SECTOR), &mut &to)?;
        Ok(())
    };
    made().or_fail(Class::Host, "cannot read a disk's image")?;
    let steps = log.steps(&Cut::after(usize::MAX));
    let first: Vec<_> =
        steps.into_iter().filter(|step| log.entries()[step.entry].offset < SECTOR).collect();
    log.apply(&head, &first).map_err(|error| Failure::expected("cannot make a disk", &error))?;
    let table = Table::read(&head);
    fs::remove_file(&head).or_fail(Class::Host, "cannot remove a file")?;
    table
}
