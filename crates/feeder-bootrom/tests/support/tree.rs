//! Boot trees, small but with everything the firmware looks at.

use std::collections::BTreeMap;

pub type Files = BTreeMap<String, Vec<u8>>;

/// `Image` with the arm64 magic, of a size that is no multiple of the block size.
pub fn kernel() -> Vec<u8> {
    let mut image = vec![0x5a; 9_700];
    image[0x38..0x3c].copy_from_slice(b"ARM\x64");
    image
}

/// A device tree with nothing but `/chosen/bootargs`.
pub fn device_tree(bootargs: &str) -> Vec<u8> {
    let words = |words: &[u32]| words.iter().flat_map(|w| w.to_be_bytes()).collect::<Vec<u8>>();
    let padded = |text: &str| {
        let mut bytes = text.as_bytes().to_vec();
        bytes.resize((bytes.len() + 1).next_multiple_of(4), 0);
        bytes
    };
    let structure = [
        words(&[1]),
        padded(""),
        words(&[1]),
        padded("chosen"),
        words(&[3, bootargs.len() as u32 + 1, 0]),
        padded(bootargs),
        words(&[2, 2, 9]),
    ]
    .concat();
    let strings = b"bootargs\0";
    let (at, size) = (56, structure.len() as u32);
    let total = at + size + strings.len() as u32;
    let header =
        words(&[0xd00d_feed, total, at, at + size, 40, 17, 16, 0, strings.len() as u32, size]);
    [header, vec![0; 16], structure, strings.to_vec()].concat()
}

pub const CONFIG: &str = "arm_64bit=1\nenable_uart=1\n[pi4]\ndtoverlay=nothing\n[all]\n\
     dtoverlay=vc4-kms-v3d\ndtparam=audio=on\n";

pub const CMDLINE: &str = "console=serial0,115200 console=tty1 root=/dev/nfs ip=dhcp rootwait\n";

/// What a worker's directory holds: no initramfs.
pub fn worker() -> Files {
    [
        ("start.elf", vec![0x7f; 3_000]),
        ("fixup.dat", vec![1; 700]),
        ("config.txt", CONFIG.into()),
        ("cmdline.txt", CMDLINE.into()),
        ("bcm2710-rpi-3-b-plus.dtb", device_tree("coherent_pool=1M cgroup_disable=memory")),
        ("overlays/overlay_map.dtb", vec![2; 1_536]),
        ("overlays/vc4-kms-v3d.dtbo", vec![3; 2_703]),
        ("kernel8.img", kernel()),
    ]
    .into_iter()
    .map(|(name, bytes)| (name.to_owned(), bytes))
    .collect()
}

/// A TFTP tree: `bootcode.bin` at the top, the rest under a directory.
pub fn served(directory: &str, files: &Files) -> Files {
    let mut tree: Files =
        files.iter().map(|(name, bytes)| (format!("{directory}{name}"), bytes.clone())).collect();
    tree.insert("bootcode.bin".into(), vec![0xbc; 5_247]);
    tree
}
