//! `binfmt_misc`: how the kernel starts programs of another architecture.
//!
//! Source: Documentation/admin-guide/binfmt-misc.rst. The flag F matters: the kernel opens the interpreter when it is
//! registered, so it is found inside a root file system that has no qemu.

use crate::Host;

/// Where the kernel's registry is mounted.
pub(crate) const REGISTRY: &str = "/proc/sys/fs/binfmt_misc";

/// The start of every little-endian 64-bit ELF file, and of the kernel's hex form of it.
const ELF64_LSB: &str = "magic 7f454c460201";
/// `e_machine` of arm64 (183), little endian, as it ends the magic of the usual registration.
const MACHINE: &str = "b700";

/// Why arm64 programs do not run here; `None` when they do.
pub(crate) fn why_not(host: &Host) -> Option<String> {
    if host.architecture == "aarch64" {
        return None;
    }
    let registry = host.file(REGISTRY);
    if !registry.join("register").exists() {
        return Some(format!("{REGISTRY} is not mounted"));
    }
    let entries = std::fs::read_dir(&registry).into_iter().flatten().flatten();
    let entries: Vec<String> =
        entries.filter_map(|entry| std::fs::read_to_string(entry.path()).ok()).collect();
    let ours: Vec<&String> = entries.iter().filter(|entry| is_arm64(entry)).collect();
    if ours.iter().any(|entry| entry.starts_with("enabled") && has_flag_f(entry)) {
        None
    } else if ours.is_empty() {
        Some("no program is registered for arm64".into())
    } else {
        Some("the registration for arm64 is disabled or lacks the flag F".into())
    }
}

fn is_arm64(entry: &str) -> bool {
    entry.lines().any(|line| line.starts_with(ELF64_LSB) && line.ends_with(MACHINE))
}

fn has_flag_f(entry: &str) -> bool {
    entry.lines().filter_map(|line| line.strip_prefix("flags: ")).any(|flags| flags.contains('F'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "enabled\ninterpreter /usr/libexec/qemu-binfmt/aarch64-binfmt-P\nflags: POF\noffset 0\n\
                        magic 7f454c460201010000000000000000000200b700\n\
                        mask ffffffffffffff00fffffffffffffffffeffffff\n";

    fn why(entries: &[(&str, &str)], architecture: &str) -> Option<String> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let root = camino::Utf8Path::from_path(dir.path()).expect("a UTF-8 path").to_owned();
        let registry = root.join("proc/sys/fs/binfmt_misc");
        std::fs::create_dir_all(&registry).expect("a directory");
        for (name, text) in entries {
            std::fs::write(registry.join(name), text).expect("a file");
        }
        let architecture = architecture.to_owned();
        why_not(&Host {
            root,
            path: "".into(),
            privilege: crate::Privilege::Root,
            architecture,
            ci: false,
        })
    }

    #[test]
    fn an_enabled_registration_with_f_is_what_we_need() {
        assert_eq!(
            why(&[("register", ""), ("status", "enabled\n"), ("qemu-aarch64", GOOD)], "x86_64"),
            None
        );
        assert_eq!(why(&[("register", ""), ("by-another-name", GOOD)], "x86_64"), None);
        assert_eq!(why(&[], "aarch64"), None, "arm64 runs its own programs");
    }

    #[test]
    fn the_reason_is_told() {
        let without_f = GOOD.replace("POF", "PO");
        let disabled = GOOD.replace("enabled", "disabled");
        let other = GOOD.replace("b700", "f300");
        for (entries, expected) in [
            (vec![], "/proc/sys/fs/binfmt_misc is not mounted"),
            (vec![("register", "")], "no program is registered for arm64"),
            (
                vec![("register", ""), ("qemu-riscv64", &*other)],
                "no program is registered for arm64",
            ),
            (vec![("register", ""), ("qemu-aarch64", &*without_f)], "disabled or lacks the flag F"),
            (vec![("register", ""), ("qemu-aarch64", &*disabled)], "disabled or lacks the flag F"),
        ] {
            let why = why(&entries, "x86_64").expect("not usable");
            assert!(why.contains(expected), "{why}");
        }
    }
}
