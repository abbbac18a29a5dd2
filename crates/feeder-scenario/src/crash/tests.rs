//! On a card and an SSD of some MiB, with logs that are written here.

use std::{collections::BTreeSet, io::Read, os::unix::fs::FileExt};

use camino::{Utf8Path, Utf8PathBuf};
use feeder_bootrom::{BoardModel, BoardProfile};
use feeder_machine::write_log::{Moment, WriteLog};
use feeder_process::{Cmd, find_program};
use fs_err as fs;

use super::{
    copy, e2fsck,
    fat::Patched,
    table::{Partition, Table},
    *,
};

/// The partitions of both disks, in bytes: FAT and root.
const FAT: (u64, u64) = (1 << 20, 40 << 20);
const ROOT: (u64, u64) = (41 << 20, 16 << 20);
const DISK: u64 = 64 << 20;
const CARD_ID: u32 = 0x1111_aaaa;
const SSD_ID: u32 = 0x2222_bbbb;

/// What is written to a disk: where, and what; nothing for a flush.
type Writes = Vec<(u64, Vec<u8>)>;

struct Bench {
    tmp: tempfile::TempDir,
}

impl Bench {
    /// `None` without the tools of file systems.
    fn new() -> Option<Self> {
        for tool in ["mkfs.vfat", "mkfs.ext4", "mcopy", "debugfs", "fsck.vfat"] {
            find_program(tool)?;
        }
        Some(Self { tmp: tempfile::tempdir().unwrap() })
    }

    fn path(&self, name: &str) -> Utf8PathBuf {
        Utf8Path::from_path(self.tmp.path()).unwrap().join(name)
    }

    /// For the judge.
    fn scratch(&self) -> Utf8PathBuf {
        let path = self.path("scratch");
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn sh(&self, script: &str) -> String {
        let script = format!("set -eu\ncd {}\nexport MTOOLSRC=/dev/null\n{script}", self.path(""));
        Cmd::new("sh").stdin(script).run().unwrap().stdout_text()
    }

    /// A disk with a system on it.
    fn disk(&self, name: &str, id: u32) -> Utf8PathBuf {
        let path = self.path(name);
        let table = table(id);
        fs::write(&path, table).unwrap();
        self.sh(&format!(
            "rm -rf boot root && mkdir -p boot root/etc
             for file in bootcode.bin start.elf fixup.dat bcm2710-rpi-3-b-plus.dtb; do
               head -c 9000 /dev/zero | tr '\\000' \"$(echo $file | head -c 1)\" >boot/$file
             done
             {{ head -c 56 /dev/zero; printf 'ARM\\144'; head -c 9000 /dev/zero; }} >boot/kernel8.img
             echo arm_64bit=1 >boot/config.txt
             echo root=PARTUUID={id:08x}-02 rootwait >boot/cmdline.txt
             printf 'PARTUUID={id:08x}-02 / ext4 defaults 0 1\\n' >root/etc/fstab
             truncate -s {DISK} {name}
             rm -f fat && truncate -s {} fat
             mkfs.vfat -F 32 -s 1 fat >/dev/null
             mcopy -i fat boot/* ::
             dd if=fat of={name} bs=1M seek=1 conv=notrunc status=none
             mkfs.ext4 -q -b 1024 -d root -E offset={} {name} {}k",
            FAT.1,
            ROOT.0,
            ROOT.1 >> 10
        ));
        path
    }

    /// A log of these writes, each of which is one request.
    fn log(&self, name: &str, writes: &Writes) -> WriteLog {
        let mut bytes = words(&[0x006a_7366_7773_6872, 1, writes.len() as u64, 512]);
        for (offset, data) in writes {
            let flush = u64::from(data.is_empty());
            bytes.extend(words(&[offset / 512, data.len() as u64 / 512, flush, 0]));
            bytes.extend(data);
        }
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        WriteLog::open(&path).unwrap()
    }

    /// A card that boots and an SSD that does, too, and what is written to them, first to the SSD.
    fn recorded(&self, card: &Writes, ssd: &Writes) -> Recorded {
        let moments = [
            (vec![0, 0], Some("before")),
            (vec![0, ssd.len()], None),
            (vec![card.len(), ssd.len()], None),
        ];
        let moment = |(counts, said): (Vec<usize>, Option<&str>)| Moment {
            counts,
            said: said.map(str::to_owned),
        };
        Recorded {
            card: Disk { image: self.disk("card", CARD_ID), log: self.log("card.log", card) },
            ssd: Disk { image: self.disk("ssd", SSD_ID), log: self.log("ssd.log", ssd) },
            moments: moments.map(moment).to_vec(),
            profile: BoardProfile::of(BoardModel::Pi3BPlus),
        }
    }

    /// What is said of every point of such a recording, with nothing lost.
    fn judged(&self, card: &Writes, ssd: &Writes) -> Vec<Result<Boots, String>> {
        let recorded = self.recorded(card, ssd);
        let mut judge = Judge::new(&recorded, &self.scratch()).unwrap();
        let points = judge.points().to_vec();
        points.iter().map(|point| judge.judge(point, Variant::Whole, true).unwrap()).collect()
    }

    /// The first sector of a disk in which a directory entry, or what is as long, begins with these bytes.
    fn find(&self, disk: &str, what: &[u8]) -> u64 {
        let bytes = fs::read(self.path(disk)).unwrap();
        let at = bytes.chunks(32).position(|entry| entry.starts_with(what)).unwrap();
        at as u64 * 32 / 512 * 512
    }
}

fn words(words: &[u64]) -> Vec<u8> {
    let mut bytes: Vec<_> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    bytes.resize(512, 0);
    bytes
}

fn table(id: u32) -> [u8; 512] {
    let mut sector = [0; 512];
    sector[440..444].copy_from_slice(&id.to_le_bytes());
    for (index, (kind, (start, length))) in [(0x0c, FAT), (0x83, ROOT)].into_iter().enumerate() {
        let at = 446 + 16 * index;
        sector[at + 4] = kind;
        sector[at + 8..at + 12].copy_from_slice(&((start / 512) as u32).to_le_bytes());
        sector[at + 12..at + 16].copy_from_slice(&((length / 512) as u32).to_le_bytes());
    }
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector
}

/// A sector of the root directory of a FAT, with names that are marked as deleted.
fn deleted(mut directory: Vec<u8>, names: &[&[u8; 11]]) -> Vec<u8> {
    for entry in directory.chunks_mut(32) {
        if names.iter().any(|name| entry.starts_with(*name)) {
            entry[0] = 0xe5;
        }
    }
    directory
}

const CARD: Boots = Boots { kernel: Side::Card, root: Side::Card };
const SSD: Boots = Boots { kernel: Side::Ssd, root: Side::Ssd };

#[test]
fn a_table_names_partitions_as_linux_does() {
    let table = Table::of(&table(CARD_ID));
    let root = Partition { number: 2, kind: 0x83, start: ROOT.0, length: ROOT.1 };
    assert_eq!(table.by_partuuid("1111aaaa-02"), Some(root));
    assert_eq!(table.by_partuuid("1111AAAA-02"), Some(root));
    for other in ["1111aaaa-03", "2222bbbb-02", "1111aaaa", "00000000-02"] {
        assert_eq!(table.by_partuuid(other), None);
    }
    assert_eq!(Table::of(&[0; 512]), Table::default());
}

#[test]
fn a_partition_is_read_from_elsewhere() {
    let tmp = tempfile::tempdir().unwrap();
    let path = |name: &str| Utf8Path::from_path(tmp.path()).unwrap().join(name);
    fs::write(path("disk"), [1; 4096]).unwrap();
    fs::write(path("patch"), [2; 1024]).unwrap();
    let partition = Partition { number: 1, kind: 0x0c, start: 1024, length: 1024 };
    let mut disk = Patched::new(&path("disk"), Some((partition, &path("patch")))).unwrap();
    let mut bytes = Vec::new();
    disk.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, [[1; 1024], [2; 1024], [1; 1024], [1; 1024]].concat());
}

#[test]
fn what_boots_is_told_from_what_does_not() {
    let Some(bench) = Bench::new() else { return };
    bench.disk("card", CARD_ID);
    let start = bench.find("card", &[b's'; 32]);
    let directory = bench.find("card", b"BOOTCODEBIN");
    let sector = fs::read(bench.path("card")).unwrap()[directory as usize..][..512].to_vec();
    let flush = (0, Vec::new());
    let card = vec![
        (start, vec![7; 512]),
        (start, vec![b's'; 512]),
        (directory, deleted(sector.clone(), &[b"START   ELF"])),
        flush.clone(),
        (directory, deleted(sector, &[b"START   ELF", b"KERNEL8 IMG"])),
    ];
    let ssd = vec![(DISK - 512, vec![1; 512])];
    let said = bench.judged(&card, &ssd);
    let damaged = "the firmware loads a damaged start.elf from the card".to_owned();
    // Without a start.elf on the card its bootcode.bin goes on from the SSD.
    assert_eq!(said, [Ok(CARD), Err(damaged), Ok(CARD), Ok(SSD), Ok(SSD)]);
}

#[test]
fn a_root_must_be_there_and_whole() {
    let Some(bench) = Bench::new() else { return };
    let (id, mut other) = (table(CARD_ID).to_vec(), table(CARD_ID).to_vec());
    other[440] ^= 1;
    let (super_block, nothing) = (ROOT.0 + 1024, vec![0; 1024]);
    let card = vec![
        (0, other),
        (0, id),
        (0, table(SSD_ID).to_vec()),
        (0, table(CARD_ID).to_vec()),
        // All of the file system, and with it the copies of its super block.
        (super_block, nothing.repeat((ROOT.1 as usize - 1024) / 1024)),
    ];
    let said = bench.judged(&card, &Vec::new());
    assert_eq!(said[0], Err("no disk has the root 1111aaaa-02 of the card".to_owned()));
    assert_eq!(said[1], Ok(CARD));
    assert_eq!(said[2], Err("no disk has the root 1111aaaa-02 of the card".to_owned()));
    assert_eq!(said[3], Ok(CARD));
    let why = said[4].clone().unwrap_err();
    assert!(why.starts_with("the root on the card: e2fsck cannot mend it: "), "{why}");
}

#[test]
fn a_lost_write_of_a_fat_is_mended_or_told() {
    let Some(bench) = Bench::new() else { return };
    bench.disk("card", CARD_ID);
    // The first FAT loses its chains, and the directory entries stay.
    let bytes = fs::read(bench.path("card")).unwrap();
    let number = |at: u64| u64::from(bytes[at as usize]) | u64::from(bytes[at as usize + 1]) << 8;
    let reserved = number(FAT.0 + 14);
    let fat = FAT.0 + reserved * 512;
    let sector = bytes[fat as usize..][..512].to_vec();
    let freed: Vec<u8> =
        sector.iter().enumerate().map(|(at, byte)| if at < 12 { *byte } else { 0 }).collect();
    let said = bench.judged(&vec![(fat, freed)], &Vec::new());
    let why = said[0].clone().unwrap_err();
    assert!(why.contains("damaged") || why.contains("nothing boots"), "{why}");
}

#[test]
fn a_root_with_a_journal_is_mended_in_a_copy() {
    let Some(bench) = Bench::new() else { return };
    let image = bench.disk("card", CARD_ID);
    // A journal to replay.
    bench.sh(&format!(
        "printf 'jo\\njw -b 9000 boot/start.elf\\njc\\n' | debugfs -w -f - 'card?offset={0}' >/dev/null 2>&1",
        ROOT.0
    ));
    let before = fs::read(&image).unwrap();
    let root = Partition { number: 2, kind: 0x83, start: ROOT.0, length: ROOT.1 };
    // What an earlier copy left goes.
    let copy = bench.path("copy");
    fs::write(&copy, vec![7; 20 << 20]).unwrap();
    let fstab = e2fsck::mended(&image, &root, &copy, "/etc/fstab").unwrap().unwrap();
    assert_eq!(fstab, "PARTUUID=1111aaaa-02 / ext4 defaults 0 1\n");
    assert!(fs::read(&image).unwrap() == before);
    assert_eq!(fs::metadata(&copy).unwrap().len(), ROOT.1);
}

#[test]
fn a_copy_is_the_partition_whatever_was_there() {
    let tmp = tempfile::tempdir().unwrap();
    let path = |name: &str| Utf8Path::from_path(tmp.path()).unwrap().join(name);
    let image = fs::File::create(path("disk")).unwrap();
    image.set_len(8 << 20).unwrap();
    // Data, a hole, data, and a hole again, with edges off the blocks of this machine's file system.
    image.file().write_all_at(&[1; 5000], (1 << 20) - 100).unwrap();
    image.file().write_all_at(&[2; 70_000], 3 << 20).unwrap();
    let partition = Partition { number: 1, kind: 0x83, start: 1 << 20, length: 4 << 20 };
    fs::write(path("copy"), vec![7; 6 << 20]).unwrap();
    copy::partition(&path("disk"), &partition, &path("copy")).unwrap();
    let disk = fs::read(path("disk")).unwrap();
    assert!(fs::read(path("copy")).unwrap() == disk[1 << 20..5 << 20]);
}

#[test]
fn a_point_is_a_state_that_was() {
    let Some(bench) = Bench::new() else { return };
    let write = |at: u64| (at, vec![1; 1024]);
    let mut recorded = bench.recorded(
        &vec![write(1024), write(FAT.0 + 4096), write(ROOT.0)],
        &vec![write(FAT.0), (0, Vec::new()), write(DISK - 1024)],
    );
    let moment = |card, ssd, said: Option<&str>| Moment {
        counts: vec![card, ssd],
        said: said.map(str::to_owned),
    };
    recorded.moments = vec![
        moment(0, 0, None),
        moment(0, 2, Some("copy begins")),
        moment(1, 2, None),
        // Which of the two came first is not known.
        moment(2, 3, Some("copy is done")),
        moment(3, 3, None),
    ];
    let judge = Judge::new(&recorded, &bench.scratch()).unwrap();
    let places: Vec<_> = judge.points().iter().map(|p| (p.card, p.ssd, p.side, p.region)).collect();
    assert_eq!(
        places,
        [
            (0, 1, Side::Ssd, Region::Boot),
            (1, 2, Side::Card, Region::Table),
            (3, 3, Side::Card, Region::Root)
        ]
    );
    assert_eq!(judge.unordered(), 2);
    let point = &judge.points()[1];
    assert_eq!((point.said.as_str(), point.next.as_str()), ("copy begins", "copy is done"));
    assert_eq!(
        point.variants(2),
        [Variant::Whole, Variant::Torn(1), Variant::Lost(1), Variant::Lost(2)]
    );
}

#[test]
fn points_of_a_chapter_are_spread() {
    let Some(bench) = Bench::new() else { return };
    let ssd: Writes = (0..9).map(|n| (DISK - 512 * (n + 1), vec![1; 512])).collect();
    let recorded = bench.recorded(&Vec::new(), &ssd);
    let mut judge = Judge::new(&recorded, &bench.scratch()).unwrap();
    let chapter = Chapter { name: "all", has: |_| true, points: 3, variants: 1 };
    let mut seen = BTreeSet::new();
    let tally = Tally::of(&mut judge, &[chapter], &mut |tried, _| {
        seen.insert(tried.point.ssd);
        Ok(())
    })
    .unwrap();
    assert_eq!(seen, BTreeSet::from([1, 5, 9]));
    let row = tally.total();
    assert_eq!((row.known, row.points, row.states, row.survived, row.from_ssd), (9, 3, 6, 6, 0));
    assert!(tally.failures.is_empty());
}
