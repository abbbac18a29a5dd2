//! Disk images as files: an overlay that keeps what comes later, and the head of an image as plain bytes.

use camino::Utf8Path;
use feeder_process::Cmd;
use fs_err as fs;

use crate::{DiskFormat, MachineError, argv::escape, machine::io, spec::disk_size};

/// The unit of a block device (`BDRV_SECTOR_SIZE`), in which QEMU counts the size of a part.
const SECTOR: u64 = 512;

/// Makes `overlay`, a qcow2 image that shows what `backing` holds and takes all that is written. The backing image, which a
/// running machine may still use, is named by its absolute path and must not change any more once the overlay is used.
///
/// # Errors
/// `Image` and `Io`.
pub fn create_overlay(
    overlay: &Utf8Path,
    backing: &Utf8Path,
    format: DiskFormat,
) -> Result<(), MachineError> {
    // A relative name would be looked up from the overlay's directory.
    let backing = backing.canonicalize_utf8().map_err(io(format!("find {backing}")))?;
    let args = ["create", "-q", "-f", "qcow2", "-F", format.name(), "-b"];
    let made = Cmd::new("qemu-img").args(args).arg(backing.as_str()).arg(overlay.as_str()).run();
    made.map(drop).map_err(|source| MachineError::Image {
        what: format!("make {overlay} over {backing}"),
        source,
    })
}

/// Makes `image`, a qcow2 image of so many bytes that are all zero.
///
/// # Errors
/// `Image`.
pub fn create_blank(image: &Utf8Path, bytes: u64) -> Result<(), MachineError> {
    let args = ["create", "-q", "-f", "qcow2", image.as_str()];
    let made = Cmd::new("qemu-img").args(args).arg(bytes.to_string()).run();
    made.map(drop).map_err(|source| MachineError::Image {
        what: format!("make {image}, {bytes} bytes"),
        source,
    })
}

/// Makes `image`, a qcow2 image of what the raw file holds. What is zero takes no room there.
///
/// # Errors
/// `Image`.
pub fn copy_raw(raw: &Utf8Path, image: &Utf8Path) -> Result<(), MachineError> {
    let args = ["convert", "-q", "-f", "raw", "-O", "qcow2", raw.as_str(), image.as_str()];
    Cmd::new("qemu-img")
        .args(args)
        .run()
        .map(drop)
        .map_err(|source| MachineError::Image { what: format!("make {image} of {raw}"), source })
}

/// The size of the disk in `image`, in bytes.
///
/// # Errors
/// `Io`.
pub fn size(image: &Utf8Path, format: DiskFormat) -> Result<u64, MachineError> {
    disk_size(image, format).map_err(io(format!("read the size of {image}")))
}

/// Writes the first `bytes` of the disk in `image`, rounded up to sectors of 512, to the raw file `to`. What is zero takes no
/// room there.
///
/// # Errors
/// `Image`, also when the disk is smaller, or a running machine writes to it.
pub fn read_head(
    image: &Utf8Path,
    format: DiskFormat,
    bytes: u64,
    to: &Utf8Path,
) -> Result<(), MachineError> {
    // QEMU's block drivers in a row: a part of a disk in an image in a file.
    let part = format!(
        "driver=raw,offset=0,size={},file.driver={},file.file.driver=file,file.file.filename={}",
        bytes.next_multiple_of(SECTOR),
        format.name(),
        escape(image.as_str())
    );
    // Left by an earlier reader, it would be written into.
    match fs::remove_file(to) {
        Err(err) if err.kind() != std::io::ErrorKind::NotFound => {
            return Err(io(format!("replace {to}"))(err));
        }
        _ => {}
    }
    let args = ["convert", "-q", "-O", "raw", "--image-opts", &part, to.as_str()];
    Cmd::new("qemu-img").args(args).run().map(drop).map_err(|source| MachineError::Image {
        what: format!("read the first {bytes} bytes of {image}"),
        source,
    })
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;

    use super::*;

    /// A directory and a raw disk of 2 MiB in it; `None` without `qemu-img`.
    fn disk() -> Option<(tempfile::TempDir, Utf8PathBuf, Vec<u8>)> {
        feeder_process::find_program("qemu-img")?;
        let tmp = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(tmp.path()).unwrap().join("a, b");
        fs::create_dir(&dir).unwrap();
        let bytes: Vec<u8> = (0..1u32 << 19).flat_map(u32::to_le_bytes).collect();
        fs::write(dir.join("card.img"), &bytes).unwrap();
        Some((tmp, dir, bytes))
    }

    fn qemu_io(image: &Utf8Path, command: &str) {
        Cmd::new("qemu-io").args(["-f", "qcow2", "-c", command, image.as_str()]).run().unwrap();
    }

    #[test]
    fn the_head_of_a_disk_is_read_whatever_holds_it() {
        let Some((_tmp, dir, bytes)) = disk() else { return };
        let (card, head) = (dir.join("card.img"), dir.join("head"));
        read_head(&card, DiskFormat::Raw, 1000, &head).unwrap();
        assert_eq!(fs::read(&head).unwrap(), bytes[..1024]);

        let (one, two) = (dir.join("one.qcow2"), dir.join("two.qcow2"));
        create_overlay(&one, &card, DiskFormat::Raw).unwrap();
        qemu_io(&one, "write -q -P 1 0 512");
        create_overlay(&two, &one, DiskFormat::Qcow2).unwrap();
        qemu_io(&two, "write -q -P 2 1024 512");
        read_head(&two, DiskFormat::Qcow2, 1 << 20, &head).unwrap();
        let mut expected = bytes[..1 << 20].to_vec();
        expected[..512].fill(1);
        expected[1024..1536].fill(2);
        assert!(fs::read(&head).unwrap() == expected, "each layer shows through");
        assert!(fs::read(&card).unwrap() == bytes, "what is below stays as it is");

        let err = read_head(&two, DiskFormat::Qcow2, 1 << 30, &head).unwrap_err().to_string();
        assert!(err.contains("cannot read the first 1073741824 bytes of"), "{err}");
    }

    #[test]
    fn a_blank_disk_has_its_size() {
        let Some((_tmp, dir, _)) = disk() else { return };
        let blank = dir.join("blank.qcow2");
        create_blank(&blank, 3 << 20).unwrap();
        assert_eq!(size(&blank, DiskFormat::Qcow2).unwrap(), 3 << 20);
        assert_eq!(size(&dir.join("card.img"), DiskFormat::Raw).unwrap(), 2 << 20);
        let error = size(&dir.join("nothing"), DiskFormat::Raw).unwrap_err().to_string();
        assert!(error.contains("cannot read the size of"), "{error}");
    }

    #[test]
    fn an_overlay_needs_something_below() {
        let err = create_overlay("/tmp/x".into(), "/nowhere/card.img".into(), DiskFormat::Raw);
        assert!(err.unwrap_err().to_string().contains("cannot find /nowhere/card.img"));
    }
}
