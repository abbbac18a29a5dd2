//! The kernel's command line, put together as `start.elf` does.

/// Joins the device tree's arguments, the firmware's own and the first line of `cmdline.txt`, in this
/// order (later ones win in Linux), and gives `console=serial0` the name the kernel knows.
pub(crate) fn compose(
    from_tree: Option<&str>,
    from_firmware: &[String],
    file: Option<(&str, &[u8])>,
    serial0: &str,
    warnings: &mut Vec<String>,
) -> String {
    let line = file.map(|(name, bytes)| first_line(name, bytes, warnings)).unwrap_or_default();
    from_tree
        .into_iter()
        .chain(from_firmware.iter().map(String::as_str))
        .chain([line.as_str()])
        .flat_map(str::split_ascii_whitespace)
        .map(|argument| with_console(argument, serial0))
        .collect::<Vec<_>>()
        .join(" ")
}

fn first_line(name: &str, bytes: &[u8], warnings: &mut Vec<String>) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    let rest = lines.filter(|line| !line.trim().is_empty()).count();
    if rest > 0 {
        warnings.push(format!(
            "{name}: only the first line is used; {rest} more with text are ignored"
        ));
    }
    if first.trim().is_empty() {
        warnings.push(format!(
            "{name}: the first line is empty, so it adds nothing to the command line"
        ));
    }
    first.to_owned()
}

fn with_console(argument: &str, serial0: &str) -> String {
    match argument.strip_prefix("console=serial0") {
        Some(rest) if rest.is_empty() || rest.starts_with(',') => {
            format!("console={serial0}{rest}")
        }
        _ => argument.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn composed(
        tree: Option<&str>,
        firmware: &[&str],
        file: Option<&str>,
    ) -> (String, Vec<String>) {
        let mut warnings = Vec::new();
        let firmware: Vec<_> = firmware.iter().map(|&a| a.to_owned()).collect();
        let file = file.map(|text| ("cmdline.txt", text.as_bytes()));
        let line = compose(tree, &firmware, file, "ttyAMA0", &mut warnings);
        (line, warnings)
    }

    #[test]
    fn the_three_sources_come_in_the_firmwares_order() {
        let (line, warnings) = composed(
            Some("coherent_pool=1M cgroup_disable=memory"),
            &["vc_mem.mem_size=0x40000000"],
            Some("console=serial0,115200 console=tty1  root=/dev/nfs cgroup_enable=memory\n"),
        );
        assert_eq!(
            line,
            "coherent_pool=1M cgroup_disable=memory vc_mem.mem_size=0x40000000 \
             console=ttyAMA0,115200 console=tty1 root=/dev/nfs cgroup_enable=memory"
        );
        assert_eq!(warnings, [""; 0]);
        assert_eq!(composed(None, &[], None).0, "");
    }

    #[test]
    fn only_serial0_is_renamed() {
        let (line, _) = composed(None, &[], Some("console=serial0 console=serial01 console=ttyS0"));
        assert_eq!(line, "console=ttyAMA0 console=serial01 console=ttyS0");
    }

    #[test]
    fn further_lines_are_dropped_and_reported() {
        let (line, warnings) = composed(None, &[], Some("root=/dev/nfs\r\nrw\n\n"));
        assert_eq!(line, "root=/dev/nfs");
        assert_eq!(
            warnings,
            ["cmdline.txt: only the first line is used; 1 more with text are ignored"]
        );
        let (line, warnings) = composed(None, &[], Some("\nroot=/dev/nfs\n"));
        assert_eq!(line, "");
        assert_eq!(warnings.len(), 2);
    }
}
