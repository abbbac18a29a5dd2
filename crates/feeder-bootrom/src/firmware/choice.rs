//! What `config.txt` makes the firmware choose: start files, kernel, initramfs, device tree, paths.

use crate::board::BoardProfile;
use crate::config::Config;

/// `start*.elf` and `fixup*.dat` (config.adoc: start_file, fixup_file, start_x, start_debug, gpu_mem).
pub(super) fn start_files(config: &Config, board: &BoardProfile) -> (String, String) {
    // gpu_mem_NNN beats gpu_mem on a board with that much memory.
    let by_memory = format!("gpu_mem_{}", board.memory_mib.min(1024));
    let gpu_mem = config.number(&by_memory).or_else(|| config.number("gpu_mem"));
    let suffix = if gpu_mem == Some(16) {
        "_cd"
    } else if config.on("start_x") {
        "_x"
    } else if config.on("start_debug") {
        "_db"
    } else {
        ""
    };
    let chosen = |key, stem, end| match config.get(key) {
        Some(name) if !name.is_empty() => name.to_owned(),
        _ => format!("{stem}{suffix}{end}"),
    };
    (chosen("start_file", "start", ".elf"), chosen("fixup_file", "fixup", ".dat"))
}

/// Names to try for the kernel.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct KernelNames {
    /// Images for recovery, asked for first.
    pub recovery: &'static [&'static str],
    /// 32-bit kernels: the first that exists wins over a 64-bit one.
    pub narrow: &'static [&'static str],
    /// The 64-bit kernel, or the one `kernel=` names.
    pub wide: Option<String>,
}

/// Which kernels come into question (config.adoc: arm_64bit, kernel).
pub(super) fn kernel_names(config: &Config) -> KernelNames {
    const NARROW: &[&str] = &["kernel8-32.img", "kernel7.img", "kernel.img"];
    const RECOVERY: &[&str] =
        &["recovery8.img", "recovery8-32.img", "recovery7.img", "recovery.img"];
    let named = config.get("kernel").filter(|name| !name.is_empty()).map(str::to_owned);
    match (named, config.number("arm_64bit")) {
        (Some(name), _) => KernelNames { recovery: &RECOVERY[..1], narrow: &[], wide: Some(name) },
        (None, Some(0)) => KernelNames { recovery: RECOVERY, narrow: NARROW, wide: None },
        (None, None) => {
            KernelNames { recovery: RECOVERY, narrow: NARROW, wide: Some("kernel8.img".into()) }
        }
        (None, Some(_)) => {
            KernelNames { recovery: &RECOVERY[..1], narrow: &[], wide: Some("kernel8.img".into()) }
        }
    }
}

/// Where the initramfs comes from.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Initramfs {
    /// None.
    No,
    /// Files named in `config.txt`, to be concatenated.
    Named(Vec<String>),
    /// The one that belongs to the kernel.
    Auto,
}

/// `initramfs FILE …` and `ramfsfile=` beat `auto_initramfs`.
pub(super) fn initramfs(config: &Config) -> Initramfs {
    let list = |names: &str| {
        Initramfs::Named(names.split(',').filter(|n| !n.is_empty()).map(str::to_owned).collect())
    };
    if let Some(line) = config.get("initramfs") {
        return list(line.split_whitespace().next().unwrap_or_default());
    }
    match config.get("ramfsfile") {
        Some(names) if !names.is_empty() => list(names),
        _ if config.on("auto_initramfs") => Initramfs::Auto,
        _ => Initramfs::No,
    }
}

/// `kernel8.img` → `initramfs8`; `None` for kernels named otherwise.
pub(super) fn initramfs_of(kernel: &str) -> Option<String> {
    let (directory, file) = kernel.rsplit_once('/').map_or(("", kernel), |(d, f)| (d, f));
    let rest = file.strip_prefix("kernel")?;
    let rest = rest.strip_suffix(".img").unwrap_or(rest);
    let slash = if directory.is_empty() { "" } else { "/" };
    Some(format!("{directory}{slash}initramfs{rest}"))
}

/// Device trees to try, best first; empty when `device_tree=` switches it off.
pub(super) fn device_trees(config: &Config, board: &BoardProfile) -> Vec<String> {
    match config.get("device_tree") {
        Some("") => Vec::new(),
        Some(name) => vec![name.into()],
        None if config.on("upstream_kernel") => {
            vec![board.upstream_device_tree.into(), board.device_tree.into()]
        }
        None => vec![board.device_tree.into()],
    }
}

/// Names of overlays in order, without their parameters.
pub(super) fn overlays(config: &Config) -> Vec<String> {
    config
        .all("dtoverlay")
        .filter_map(|value| value.split([',', ':']).next())
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Where files are looked for: the directory of the medium, then `os_prefix`.
#[derive(Clone, Debug)]
pub(super) struct Paths {
    /// Empty or `SERIAL/`.
    pub tree: String,
    /// `os_prefix`, when it is in effect.
    pub os: String,
    /// Directory of overlays below `tree`, with `os_prefix` when that has its own.
    pub overlays: String,
}

impl Paths {
    /// A file of the operating system; a leading `/` goes around `os_prefix`.
    pub(super) fn os(&self, name: &str) -> String {
        match name.strip_prefix('/') {
            Some(name) => format!("{}{name}", self.tree),
            None => format!("{}{}{name}", self.tree, self.os),
        }
    }

    pub(super) fn overlay(&self, file: &str) -> String {
        format!("{}{}{file}", self.tree, self.overlays)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::BoardModel;
    use crate::boot::Stage;
    use std::collections::BTreeMap;

    fn config(text: &str) -> (Config, BoardProfile) {
        let board = BoardProfile::of(BoardModel::Pi3BPlus);
        let config =
            crate::config::parse(text.as_bytes(), "c", &board, Stage::Start, &BTreeMap::new()).0;
        (config, board)
    }

    #[test]
    fn start_files_follow_the_settings() {
        for (text, start, fixup) in [
            ("", "start.elf", "fixup.dat"),
            ("gpu_mem=16", "start_cd.elf", "fixup_cd.dat"),
            ("gpu_mem=16\ngpu_mem_1024=64", "start.elf", "fixup.dat"),
            ("gpu_mem_1024=16", "start_cd.elf", "fixup_cd.dat"),
            ("start_x=1", "start_x.elf", "fixup_x.dat"),
            ("start_debug=1", "start_db.elf", "fixup_db.dat"),
            ("start_file=my.elf\nfixup_file=my.dat\ngpu_mem=16", "my.elf", "my.dat"),
        ] {
            let (config, board) = config(text);
            assert_eq!(start_files(&config, &board), (start.into(), fixup.into()), "{text}");
        }
    }

    #[test]
    fn kernels_follow_the_settings() {
        let wide = |text| kernel_names(&config(text).0).wide;
        let narrow = |text| !kernel_names(&config(text).0).narrow.is_empty();
        assert_eq!(wide("arm_64bit=1").as_deref(), Some("kernel8.img"));
        assert!(!narrow("arm_64bit=1"));
        assert_eq!(wide("").as_deref(), Some("kernel8.img"));
        assert!(narrow(""));
        assert_eq!(wide("arm_64bit=0"), None);
        assert_eq!(wide("kernel=vmlinuz\narm_64bit=1").as_deref(), Some("vmlinuz"));
    }

    #[test]
    fn the_initramfs_follows_the_settings() {
        let chosen = |text| initramfs(&config(text).0);
        assert_eq!(chosen(""), Initramfs::No);
        assert_eq!(chosen("auto_initramfs=1"), Initramfs::Auto);
        assert_eq!(chosen("auto_initramfs=0"), Initramfs::No);
        assert_eq!(
            chosen("auto_initramfs=1\ninitramfs a,b followkernel"),
            Initramfs::Named(vec!["a".into(), "b".into()])
        );
        assert_eq!(chosen("ramfsfile=r\nauto_initramfs=1"), Initramfs::Named(vec!["r".into()]));
        assert_eq!(initramfs_of("kernel8.img").as_deref(), Some("initramfs8"));
        assert_eq!(initramfs_of("kernel_2712.img").as_deref(), Some("initramfs_2712"));
        assert_eq!(initramfs_of("a/kernel8.img").as_deref(), Some("a/initramfs8"));
        assert_eq!(initramfs_of("vmlinuz"), None);
    }

    #[test]
    fn device_trees_follow_the_settings() {
        let chosen = |text| {
            let (config, board) = config(text);
            device_trees(&config, &board)
        };
        assert_eq!(chosen(""), ["bcm2710-rpi-3-b-plus.dtb"]);
        assert_eq!(
            chosen("upstream_kernel=1"),
            ["bcm2837-rpi-3-b-plus.dtb", "bcm2710-rpi-3-b-plus.dtb"]
        );
        assert_eq!(chosen("upstream_kernel=1\ndevice_tree=x.dtb"), ["x.dtb"]);
        assert!(chosen("device_tree=").is_empty());
    }

    #[test]
    fn overlays_are_named_without_parameters() {
        let (config, _) = config("dtoverlay=vc4-kms-v3d,cma-256\ndtoverlay=\ndtoverlay=disable-bt");
        assert_eq!(overlays(&config), ["vc4-kms-v3d", "disable-bt"]);
    }
}
