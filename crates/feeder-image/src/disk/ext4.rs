//! The root partition: ext4, made by mke2fs from a directory.
//!
//! mke2fs takes names in sorted order, but it copies each file's change time, which cannot be set, and no version
//! before 1.47.1 knows `SOURCE_DATE_EPOCH`. So times are put right afterwards.

use camino::Utf8Path;
use feeder_process::Cmd;

use crate::ImageError;

/// What an ext4 file system is made of, beside its files.
#[derive(Debug, Clone)]
pub struct Ext4<'a> {
    /// At most 16 letters.
    pub label: &'a str,
    /// Of the file system.
    pub uuid: &'a str,
    /// A UUID that salts the hashes of directory entries.
    pub hash_seed: &'a str,
    /// In bytes, a multiple of 4096.
    pub size: u64,
    /// Seconds since 1970, for every time stamp but the last change of files' contents.
    pub time: i64,
}

/// Features, all of them: this machine's mke2fs.conf has no say. Every kernel of a Pi knows these.
const FEATURES: &str = "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super,\
                        large_file,huge_file,dir_nlink,extra_isize,metadata_csum";

/// The command that writes the file `image`, which must not exist, with everything in `tree`. To be followed by
/// [`settle`].
///
/// Only who may read everything in `tree` and sees the right owners may run it, which need not be this process.
#[must_use]
pub fn make(ext4: &Ext4<'_>, tree: &str, image: &str) -> Cmd {
    let seed = ext4.hash_seed;
    // Nothing is left to be initialised by the first kernel that mounts it: that would cost a slow board minutes.
    let extended =
        format!("hash_seed={seed},lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0,nodiscard");
    let kib = format!("{}k", ext4.size / 1024);
    Cmd::new("env")
        .args([
            "LC_ALL=C",
            "MKE2FS_CONFIG=/dev/null",
            &format!("E2FSPROGS_FAKE_TIME={}", ext4.time),
        ])
        .args([
            "mke2fs", "-q", "-F", "-t", "ext4", "-O", FEATURES, "-b", "4096", "-I", "256", "-i",
            "16384",
        ])
        .args(["-m", "1", "-e", "remount-ro", "-L", ext4.label, "-U", ext4.uuid, "-E", &extended])
        .args(["-d", tree, image, &kib])
}

/// Gives every inode the same times of access, change and creation. When the contents of files changed was settled
/// in the tree.
///
/// # Errors
///
/// [`ImageError::Process`] when dumpe2fs or debugfs fails.
pub fn settle(image: &Utf8Path, time: i64) -> Result<(), ImageError> {
    let what = || ImageError::process("settle the times in the root file system");
    let run = |program: &str, args: &[&str]| {
        let cmd = Cmd::new(program).args(args.iter().copied()).arg(image.as_str());
        cmd.env("LC_ALL", "C").env("E2FSPROGS_FAKE_TIME", time.to_string())
    };
    let header = run("dumpe2fs", &["-h"]).run().map_err(what())?.stdout_text();
    let number = |name: &str| -> u64 {
        let value = header.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.and_then(|text| text.trim().parse().ok()).unwrap_or_default()
    };
    // A fresh file system gives out its inodes in a row.
    let last = number("Inode count").saturating_sub(number("Free inodes"));
    let mut script = String::new();
    for inode in 1..=last {
        for field in ["atime", "ctime", "crtime"] {
            script.push_str(&format!("set_inode_field <{inode}> {field} @{time}\n"));
        }
    }
    let commands =
        tempfile::NamedTempFile::new().map_err(ImageError::io("write a script for debugfs"))?;
    fs_err::write(commands.path(), script).map_err(ImageError::io("write a script for debugfs"))?;
    let path = commands.path().to_string_lossy().into_owned();
    run("debugfs", &["-w", "-f", &path]).run().map_err(what())?;
    Ok(())
}
