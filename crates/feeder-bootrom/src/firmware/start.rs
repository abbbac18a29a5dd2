//! `start.elf`: loads initramfs, device tree, overlays, command line and kernel, in this order.

use std::collections::BTreeMap;

use super::choice::{self, Initramfs, Paths};
use super::{Answer, Medium, RECOVERY, Stop, must_be_absent, probe_and_read};
use crate::board::BoardProfile;
use crate::boot::{Boot, BootError, Bytes, Loaded, Stage};
use crate::cmdline;
use crate::config::{self, Config};
use crate::fdt;
use crate::kernel::{ImageKind, kind};

/// Overlays that give the kernel a first UART without `enable_uart`.
const UART_OVERLAYS: &[&str] = &["disable-bt", "miniuart-bt", "pi3-disable-bt", "pi3-miniuart-bt"];

pub(super) fn run(
    board: &BoardProfile,
    medium: &mut dyn Medium,
    tree: &str,
    warnings: Vec<String>,
) -> Result<Boot, Stop> {
    let config_name = format!("{tree}{}", medium.config_file(board));
    must_be_absent(medium, format!("{tree}recovery.elf"), RECOVERY)?;
    let _ = probe_and_read(medium, &config_name)?;
    let _ = medium.read(&format!("{tree}dt-blob.bin"))?;
    must_be_absent(medium, format!("{tree}recovery.elf"), RECOVERY)?;
    let text = probe_and_read(medium, &config_name)?;
    let _ = medium.read(&format!("{tree}bootcfg.txt"))?;

    let paths = Paths { tree: tree.into(), os: String::new(), overlays: "overlays/".into() };
    let mut loader = Loader { board, medium, paths, config: Config::default(), warnings };
    loader.read_config(&config_name, text)?;
    loader.choose_prefixes()?;

    // The kernel's name is needed here when the initramfs is named after it, else only later.
    let wanted = choice::initramfs(&loader.config);
    let mut kernel = match wanted {
        Initramfs::Auto => Some(loader.find_kernel()?),
        _ => None,
    };
    let initramfs = loader.initramfs(wanted, kernel.as_deref())?;
    let device_tree = loader.device_tree()?;
    let overlays = loader.overlays(&config_name, device_tree.is_some())?;
    let command_line = loader.command_line(device_tree.as_ref())?;
    let kernel = match kernel.take() {
        Some(found) => found,
        None => loader.find_kernel()?,
    };
    let kernel = loader.kernel(kernel)?;

    Ok(Boot {
        kernel,
        initramfs,
        device_tree,
        overlays,
        command_line,
        files: Vec::new(),
        unknown_keys: loader.config.unknown_keys(),
        warnings: loader.warnings,
    })
}

struct Loader<'a> {
    board: &'a BoardProfile,
    medium: &'a mut dyn Medium,
    paths: Paths,
    config: Config,
    warnings: Vec<String>,
}

impl Loader<'_> {
    fn warn(&mut self, text: impl Into<String>) {
        self.warnings.push(text.into());
    }

    fn fetch(&mut self, name: &str) -> Answer<Bytes> {
        probe_and_read(self.medium, name)
    }

    /// Parses `config.txt`, reading what it includes until nothing is missing.
    fn read_config(&mut self, name: &str, text: Result<Bytes, crate::Absence>) -> Result<(), Stop> {
        let text = text.unwrap_or_else(|why| {
            self.warnings.push(format!("{name} is missing ({why}): every setting has its default"));
            Bytes::default()
        });
        let mut includes = BTreeMap::new();
        loop {
            let (config, warnings) =
                config::parse(&text, name, self.board, Stage::Start, &includes);
            let Some(wanted) = config.missing_includes.first() else {
                self.warnings.extend(warnings.iter().map(ToString::to_string));
                self.config = config;
                return Ok(());
            };
            let file = format!("{}{wanted}", self.paths.tree);
            let text = self.fetch(&file)?.unwrap_or_else(|why| {
                self.warnings.push(format!("{name}: include {wanted} is missing ({why})"));
                Bytes::default()
            });
            includes.insert(wanted.clone(), text);
        }
    }

    /// `os_prefix` counts only when kernel and device tree are there, `overlay_prefix` below it only
    /// when it holds a README (config.adoc).
    fn choose_prefixes(&mut self) -> Result<(), Stop> {
        let upstream = self.config.on("upstream_kernel").then_some("upstream/");
        let Some(os) = self.config.get("os_prefix").or(upstream).map(str::to_owned) else {
            self.set_overlay_directory("");
            return Ok(());
        };
        let with = Paths { os: os.clone(), ..self.paths.clone() };
        let kernels = choice::kernel_names(&self.config);
        let kernels = kernels.narrow.iter().map(|&n| n.to_owned()).chain(kernels.wide).collect();
        let trees = choice::device_trees(&self.config, self.board);
        if os.is_empty() || (self.any(&with, kernels)? && self.any(&with, trees)?) {
            self.paths = with;
            let overlays = format!("{os}{}", self.overlay_prefix());
            let readme = format!("{}{overlays}README", self.paths.tree);
            let own = !os.is_empty() && self.medium.probe(&readme)?.is_ok();
            self.set_overlay_directory(if own { &os } else { "" });
        } else {
            if self.config.get("os_prefix").is_some() {
                self.warn(format!(
                    "os_prefix={os} is not in effect: no kernel and device tree there"
                ));
            }
            self.set_overlay_directory("");
        }
        Ok(())
    }

    fn any(&mut self, paths: &Paths, names: Vec<String>) -> Result<bool, Stop> {
        for name in names {
            if self.medium.probe(&paths.os(&name))?.is_ok() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn overlay_prefix(&self) -> String {
        self.config.get("overlay_prefix").unwrap_or("overlays/").to_owned()
    }

    fn set_overlay_directory(&mut self, os: &str) {
        self.paths.overlays = format!("{os}{}", self.overlay_prefix());
    }

    /// The name of the kernel that will be loaded.
    fn find_kernel(&mut self) -> Result<String, Stop> {
        let names = choice::kernel_names(&self.config);
        for recovery in names.recovery {
            must_be_absent(self.medium, format!("{}{recovery}", self.paths.tree), RECOVERY)?;
        }
        let (mut tried, mut wide) = (Vec::new(), None);
        if let Some(name) = names.wide {
            let path = self.paths.os(&name);
            match self.medium.probe(&path)? {
                Err(why) => tried.push((path, why)),
                Ok(()) => {
                    if names.narrow.is_empty() && self.medium.is_network() {
                        // Asked for twice, as the logs show.
                        let _ = self.medium.probe(&path)?;
                    }
                    wide = Some(name);
                }
            }
        }
        for name in names.narrow {
            let name = self.paths.os(name);
            match self.medium.probe(&name)? {
                Err(why) => tried.push((name, why)),
                Ok(()) => {
                    let why = match self.config.number("arm_64bit") {
                        Some(0) => "config.txt says arm_64bit=0",
                        _ => "config.txt does not say arm_64bit=1, and a 32-bit kernel is there",
                    };
                    return Err(BootError::Only64Bit { name, why: why.into() }.into());
                }
            }
        }
        let Some(name) = wide else { return Err(BootError::NoKernel { tried }.into()) };
        if self.config.number("arm_64bit").is_none() {
            self.warn(format!(
                "arm_64bit is not set: that {name} starts in 64-bit mode depends on the firmware's version; set arm_64bit=1"
            ));
        }
        Ok(name)
    }

    fn initramfs(
        &mut self,
        wanted: Initramfs,
        kernel: Option<&str>,
    ) -> Result<Option<Loaded>, Stop> {
        let names = match wanted {
            Initramfs::No => return Ok(None),
            Initramfs::Named(names) => names,
            Initramfs::Auto => {
                let kernel = kernel.unwrap_or_default();
                let Some(name) = choice::initramfs_of(kernel) else {
                    self.warn(format!(
                        "auto_initramfs=1 has no rule for a kernel named {kernel}; none is loaded"
                    ));
                    return Ok(None);
                };
                let path = self.paths.os(&name);
                // It need not exist. When it does, it is asked for three times before it is read.
                if self.medium.probe(&path)?.is_err() {
                    return Ok(None);
                }
                if self.medium.is_network() {
                    let _ = self.medium.probe(&path)?;
                }
                vec![name]
            }
        };
        let (mut loaded, mut bytes) = (Vec::new(), Vec::new());
        for name in names {
            let path = self.paths.os(&name);
            match self.fetch(&path)? {
                Ok(part) => {
                    bytes.extend_from_slice(&part);
                    loaded.push(path);
                }
                Err(why) => self.warn(format!(
                    "initramfs {path} is missing ({why}); the kernel starts without it"
                )),
            }
        }
        Ok((!loaded.is_empty()).then(|| Loaded { name: loaded.join(","), bytes }))
    }

    fn device_tree(&mut self) -> Result<Option<Loaded>, Stop> {
        let names = choice::device_trees(&self.config, self.board);
        for (index, name) in names.iter().enumerate() {
            let path = self.paths.os(name);
            if let Ok(bytes) = self.fetch(&path)? {
                if index > 0 {
                    self.warn(format!(
                        "upstream_kernel=1, but only {path} is there: a board would apply the overlay `upstream`, this twin does not"
                    ));
                }
                return Ok(Some(Loaded { name: path, bytes: bytes.to_vec() }));
            }
        }
        self.warn(match names.as_slice() {
            [] => "device_tree= is empty: the kernel gets no device tree".into(),
            names => format!("no device tree: {} missing", names.join(" and ")),
        });
        Ok(None)
    }

    /// Fetches what `dtoverlay` names. Nothing is applied.
    fn overlays(&mut self, config_name: &str, with_tree: bool) -> Result<Vec<Loaded>, Stop> {
        if !with_tree {
            return Ok(Vec::new());
        }
        let map = self.paths.overlay("overlay_map.dtb");
        let _ = self.fetch(&map)?;
        let _ = self.fetch(config_name)?;
        let mut loaded = Vec::new();
        for name in choice::overlays(&self.config) {
            let path = self.paths.overlay(&format!("{name}.dtbo"));
            match self.fetch(&path)? {
                Ok(bytes) => {
                    self.warn(format!("overlay {name} was loaded but is not applied by this twin"));
                    loaded.push(Loaded { name: path, bytes: bytes.to_vec() });
                }
                Err(why) => self.warn(format!("overlay {path} is missing ({why})")),
            }
        }
        let parameters: Vec<_> = self
            .config
            .all("dtparam")
            .filter(|value| !value.is_empty())
            .map(str::to_owned)
            .collect();
        if !parameters.is_empty() {
            self.warn(format!(
                "dtparam={} is not applied by this twin",
                parameters.join(" dtparam=")
            ));
        }
        Ok(loaded)
    }

    fn command_line(&mut self, tree: Option<&Loaded>) -> Result<String, Stop> {
        let name = self.config.get("cmdline").filter(|n| !n.is_empty()).unwrap_or("cmdline.txt");
        let path = self.paths.os(name);
        let file = match self.fetch(&path)? {
            Ok(bytes) => Some(bytes),
            Err(why) => {
                self.warn(format!(
                    "{path} is missing ({why}): it adds nothing to the command line"
                ));
                None
            }
        };
        let from_tree = match tree.map(|tree| fdt::bootargs(&tree.bytes).map_err(|why| (tree, why)))
        {
            None => None,
            Some(Ok(arguments)) => arguments,
            Some(Err((tree, why))) => {
                self.warnings.push(format!("{} is no device tree: {why}", tree.name));
                None
            }
        };
        if let Some(text) = &file {
            self.check_console(&path, text);
        }
        Ok(cmdline::compose(
            from_tree.as_deref(),
            &self.board.firmware_arguments,
            file.as_ref().map(|bytes| (path.as_str(), bytes.as_slice())),
            &self.board.serial0,
            &mut self.warnings,
        ))
    }

    /// The first UART of these boards serves Bluetooth, and the other one is off unless asked for.
    fn check_console(&mut self, path: &str, text: &[u8]) {
        let wants = String::from_utf8_lossy(text).contains("console=serial0");
        let has = self.config.on("enable_uart")
            || choice::overlays(&self.config).iter().any(|o| UART_OVERLAYS.contains(&o.as_str()));
        if wants && !has {
            self.warn(format!(
                "{path} has console=serial0, but config.txt has neither enable_uart=1 nor an overlay that moves Bluetooth: a board would print nothing there"
            ));
        }
    }

    fn kernel(&mut self, name: String) -> Result<Loaded, Stop> {
        let _ = self.medium.read(&format!("{}armstub8.bin", self.paths.tree))?;
        let name = self.paths.os(&name);
        let bytes = match self.fetch(&name)? {
            Ok(bytes) => bytes,
            Err(why) => return Err(BootError::KernelLost { name, why }.into()),
        };
        let forced = self.config.on("arm_64bit");
        match kind(&bytes) {
            ImageKind::Arm64 if self.config.number("arm_64bit") == Some(0) => {
                return Err(BootError::Only64Bit {
                    name,
                    why: "config.txt says arm_64bit=0, although this image is a 64-bit one".into(),
                }
                .into());
            }
            ImageKind::Arm64 | ImageKind::Gzip => {}
            ImageKind::Arm32 if !forced => {
                return Err(BootError::Only64Bit { name, why: "the image is a zImage".into() }.into());
            }
            ImageKind::Arm32 => self.warn(format!("{name} is a 32-bit zImage and will not run with arm_64bit=1")),
            ImageKind::EfiZboot => self.warn(format!(
                "{name} is an EFI zboot image, which only UEFI can start; unpack it to a plain Image"
            )),
            ImageKind::Unknown => self.warn(format!(
                "{name} does not look like an arm64 kernel: neither the Image magic nor gzip ({} bytes)",
                bytes.len()
            )),
        }
        Ok(Loaded { name, bytes: bytes.to_vec() })
    }
}
