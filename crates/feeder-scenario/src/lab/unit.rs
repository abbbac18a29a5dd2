//! What systemd says on a console about its units (systemd.unit(5), `src/core/job.c`).

use crate::UnitState;

/// The unit of a console line and what became of it; `None` for lines about anything else, and for `Starting`, which tells
/// nothing yet. Colours may be left in the line.
pub(crate) fn parse(line: &str) -> Option<(String, UnitState)> {
    let line = without_colours(line);
    let (status, words) = line.trim_start().strip_prefix('[')?.split_once(']')?;
    let words = words.trim();
    let (state, subject) = match status.trim() {
        "OK" => (
            UnitState::Started,
            after(
                words,
                &[
                    "Started",
                    "Finished",
                    "Reached target",
                    "Mounted",
                    "Listening on",
                    "Activated swap",
                ],
            )?,
        ),
        "FAILED" => (
            UnitState::Failed,
            after(
                words,
                &[
                    "Failed to start",
                    "Failed to mount",
                    "Failed to listen on",
                    "Failed to activate swap",
                ],
            )?,
        ),
        "DEPEND" => (UnitState::Dependency, after(words, &["Dependency failed for"])?),
        "TIME" => (
            UnitState::TimedOut,
            after(words, &["Timed out waiting for device", "Timed out starting"])?,
        ),
        _ => return None,
    };
    // `dnsmasq.service - dnsmasq - A lightweight DHCP server.`: the name, then the description.
    let unit = subject.split_whitespace().next()?.trim_end_matches('.');
    Some((unit.to_owned(), state))
}

fn after<'a>(words: &'a str, verbs: &[&str]) -> Option<&'a str> {
    verbs.iter().find_map(|verb| words.strip_prefix(verb)?.strip_prefix(' '))
}

/// A line without its escape sequences (ECMA-48: `ESC [`, parameters, and a letter).
fn without_colours(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut chars = line.chars();
    while let Some(char) = chars.next() {
        if char != '\u{1b}' {
            text.push(char);
        } else if chars.next() == Some('[') {
            chars.by_ref().find(char::is_ascii_alphabetic);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOOT: &str = "\
[    2.113904] systemd[1]: systemd 257.9-1~deb13u1 running in system mode (+PAM +AUDIT)
         Starting \u{1b}[0;1;39mdnsmasq.service\u{1b}[0m - dnsmasq - A lightweight DHCP and caching DNS server...
[\u{1b}[0;32m  OK  \u{1b}[0m] Started \u{1b}[0;1;39mdnsmasq.service\u{1b}[0m - dnsmasq - A lightweight DHCP and caching DNS server.
[  OK  ] Reached target network-online.target - Network is Online.
[  OK  ] Finished systemd-tmpfiles-setup.service - Create System Files and Directories.
[  OK  ] Created slice system-getty.slice - Slice /system/getty.
[\u{1b}[0;1;31mFAILED\u{1b}[0m] Failed to start \u{1b}[0;1;39mnfs-server.service\u{1b}[0m - NFS server and services.
See 'systemctl status nfs-server.service' for details.
[\u{1b}[0;1;38;5;185mDEPEND\u{1b}[0m] Dependency failed for local-fs.target - Local File Systems.
[\u{1b}[0;1;31m TIME \u{1b}[0m] Timed out waiting for device dev-sda2.device - /dev/sda2.
[FAILED] Failed to mount srv.mount - /srv.
Debian GNU/Linux 13 cluster00 ttyAMA0";

    #[test]
    fn units_of_a_boot() {
        let seen: Vec<String> =
            BOOT.lines().filter_map(parse).map(|(unit, state)| format!("{unit} {state}")).collect();
        insta::assert_snapshot!(seen.join("\n"), @r#"
        dnsmasq.service started
        network-online.target started
        systemd-tmpfiles-setup.service started
        nfs-server.service failed
        local-fs.target was not started: something that it needs failed
        dev-sda2.device did not come in time
        srv.mount failed
        "#);
    }

    proptest! {
        #[test]
        fn any_line_is_survived(line in "\\[?[ A-Z\u{1b}\\[;0-9m]{0,12}\\]? ?(Started|Failed to start)? ?.{0,20}") {
            if let Some((unit, _)) = parse(&line) {
                prop_assert!(!unit.contains(char::is_whitespace));
            }
        }
    }
}
