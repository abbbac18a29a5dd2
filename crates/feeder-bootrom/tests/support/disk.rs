//! Disks, made in memory.

use std::io::{Cursor, Write};

use fatfs::{FatType, FileSystem, FormatVolumeOptions, FsOptions};

use super::tree::{self, Files, worker};

pub const MIB: usize = 1 << 20;

/// What a Raspberry Pi OS card holds in its first partition.
pub fn card() -> Files {
    let mut files = worker();
    files.insert("bootcode.bin".into(), vec![0xbc; 52_476]);
    files.insert("config.txt".into(), format!("auto_initramfs=1\n{}", tree::CONFIG).into());
    files.insert("initramfs8".into(), vec![0xcd; 300_000]);
    files
}

/// A FAT file system with these files.
pub fn fat(kind: FatType, size: usize, files: &Files) -> Vec<u8> {
    let mut volume = Cursor::new(vec![0; size]);
    fatfs::format_volume(&mut volume, FormatVolumeOptions::new().fat_type(kind))
        .expect("in memory");
    let fs = FileSystem::new(&mut volume, FsOptions::new()).expect("in memory");
    for (name, bytes) in files {
        let root = fs.root_dir();
        if let Some((directory, _)) = name.split_once('/') {
            root.create_dir(directory).expect("in memory");
        }
        let mut file = root.create_file(name).expect("in memory");
        file.truncate().expect("in memory");
        file.write_all(bytes).expect("in memory");
    }
    drop(fs);
    volume.into_inner()
}

/// A disk with an MBR and these partitions: type, contents.
pub fn disk(partitions: &[(u8, &[u8])]) -> Cursor<Vec<u8>> {
    let mut disk = vec![0; MIB];
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    for (index, (kind, contents)) in partitions.iter().enumerate() {
        let entry = 446 + 16 * index;
        disk[entry + 4] = *kind;
        let sector = |bytes: usize| u32::try_from(bytes / 512).expect("in memory").to_le_bytes();
        let start = sector(disk.len());
        disk[entry + 8..entry + 12].copy_from_slice(&start);
        disk[entry + 12..entry + 16].copy_from_slice(&sector(contents.len()));
        disk.extend_from_slice(contents);
        disk.resize(disk.len().next_multiple_of(MIB), 0);
    }
    Cursor::new(disk)
}
