//! What dnsmasq and the NFS mount daemon write down, as the journal hands it out.
//!
//! The words are those of dnsmasq 2.86 to 2.92 (`rfc2131.c`, `tftp.c`) and of nfs-utils 2.6 and 2.8 (`utils/mountd`).

use std::net::Ipv4Addr;

use feeder_cluster::MacAddr;
use serde::Deserialize;

use super::Moment;

/// A line that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) at: Moment,
    pub(crate) what: Logged,
}

/// What a line says. Paths are those of files on the master.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Logged {
    /// A board asked for a boot server, and dnsmasq serves it or does not.
    Asked { mac: MacAddr, served: bool },
    /// All of a file was sent.
    Sent { path: String, to: Ipv4Addr },
    /// The board ended a transfer. It asks for the size of a file so, before it fetches it.
    BrokenOff { by: Ipv4Addr },
    /// A transfer did not come to its end.
    Failed { path: String, to: Ipv4Addr },
    /// There is no such file.
    Missing { path: String, to: Ipv4Addr },
    /// dnsmasq may not read a file.
    Unreadable { path: String, why: String },
    /// A folder was mounted.
    Mounted { path: String, by: Ipv4Addr },
    /// A folder may not be mounted.
    MountRefused { path: String, by: Ipv4Addr, why: String },
}

/// A line of `journalctl -o json`.
#[derive(Deserialize)]
struct Line {
    #[serde(rename = "__REALTIME_TIMESTAMP")]
    micros: String,
    #[serde(rename = "MESSAGE")]
    message: String,
}

/// Whose lines: the journal's own way to say "either".
const UNITS: &str = "_SYSTEMD_UNIT=dnsmasq.service + _SYSTEMD_UNIT=nfs-mountd.service";
const JOURNAL: &str =
    "exec journalctl --quiet --no-pager --boot --output=json --output-fields=MESSAGE";
/// Older lines than these are of no boot that is under way.
const LINES: u32 = 4000;

/// The script that prints what both have written since the master started.
pub(crate) fn so_far() -> String {
    format!("{JOURNAL} --lines={LINES} {UNITS}")
}

/// The script that goes on behind the line with that cursor; without one, from the beginning.
pub(crate) fn from_now_on(cursor: Option<&str>) -> String {
    let from = match cursor {
        Some(cursor) => format!("--after-cursor={}", feeder_process::quote(cursor)),
        None => format!("--lines={LINES}"),
    };
    format!("{JOURNAL} --follow {from} {UNITS}")
}

/// What marks a line of the journal.
pub(crate) fn cursor(line: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Marked {
        #[serde(rename = "__CURSOR")]
        cursor: String,
    }
    serde_json::from_str::<Marked>(line).ok().map(|marked| marked.cursor)
}

/// None: something else, or nothing that matters here.
pub(crate) fn entry(line: &str) -> Option<Entry> {
    let Line { micros, message } = serde_json::from_str(line).ok()?;
    let at = Moment(micros.parse::<u64>().ok()? / 1_000_000);
    Some(Entry { at, what: logged(&message)? })
}

fn logged(message: &str) -> Option<Logged> {
    let asked = || asked(message);
    let rest = |words: &str| message.strip_prefix(words);
    if let Some(rest) = rest("sent ") {
        let (path, to) = path_and_address(rest, " to ")?;
        return Some(Logged::Sent { path, to });
    }
    if let Some(rest) = rest("failed sending ") {
        let (path, to) = path_and_address(rest, " to ")?;
        return Some(Logged::Failed { path, to });
    }
    if let Some(rest) = rest("file ") {
        let (path, to) = path_and_address(rest, " not found for ")?;
        return Some(Logged::Missing { path, to });
    }
    if let Some(rest) = rest("cannot access ") {
        let (path, why) = rest.rsplit_once(": ")?;
        return Some(Logged::Unreadable { path: path.to_owned(), why: why.to_owned() });
    }
    if let Some(rest) = rest("error ") {
        let by = rest.rsplit_once(" received from ")?.1.parse().ok()?;
        return Some(Logged::BrokenOff { by });
    }
    if let Some(rest) = rest("authenticated mount request from ") {
        let (from, path) = rest.split_once(" for ")?;
        let by = from.rsplit_once(':').map_or(from, |(by, _)| by).parse().ok()?;
        return Some(Logged::Mounted { path: path.split(' ').next()?.to_owned(), by });
    }
    if let Some(rest) = rest("refused mount request from ") {
        let (from, rest) = rest.split_once(" for ")?;
        let (path, why) = rest.split_once(": ")?;
        let path = path.split(' ').next()?.to_owned();
        return Some(Logged::MountRefused { path, by: from.parse().ok()?, why: why.to_owned() });
    }
    asked()
}

/// `653460281 PXE(eth0) b8:27:eb:40:45:36 proxy`
fn asked(message: &str) -> Option<Logged> {
    let mut words = message.split(' ');
    let _transaction = words.next()?.parse::<u32>().ok()?;
    let kind = words.next()?.split('(').next()?;
    if !["PXE", "DHCPDISCOVER"].contains(&kind) {
        return None;
    }
    let rest: Vec<&str> = words.collect();
    let mac = rest.iter().find_map(|word| word.parse().ok())?;
    let served = !rest.last().is_some_and(|word| word.ends_with("ignored"));
    Some(Logged::Asked { mac, served })
}

fn path_and_address(text: &str, between: &str) -> Option<(String, Ipv4Addr)> {
    let (path, address) = text.rsplit_once(between)?;
    Some((path.to_owned(), address.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(message: &str) -> String {
        serde_json::json!({ "__REALTIME_TIMESTAMP": "1795936740160733", "MESSAGE": message })
            .to_string()
    }

    fn what(message: &str) -> Option<Logged> {
        entry(&line(message)).map(|entry| entry.what)
    }

    #[test]
    fn mounts_are_understood() {
        let path = "/srv/feeder/generations/1/root".to_owned();
        let by = Ipv4Addr::new(192, 168, 10, 101);
        assert_eq!(
            what(
                "authenticated mount request from 192.168.10.101:865 for /srv/feeder/generations/1/root (/srv/feeder/generations/1/root)"
            ),
            Some(Logged::Mounted { path: path.clone(), by })
        );
        assert_eq!(
            what(
                "refused mount request from 192.168.10.101 for /srv/feeder/generations/1/root (/): not exported"
            ),
            Some(Logged::MountRefused { path, by, why: "not exported".into() })
        );
    }

    #[test]
    fn what_nobody_asked_for_is_nothing() {
        for message in [
            "started, version 2.90 DNS disabled",
            "653460281 available DHCP subnet: 192.168.10.0/255.255.255.0",
            "653460281 sent size:  4 option: 54 server-identifier  192.168.10.100",
            "4660 client provides name: cluster01",
            "Version 2.8.3 starting",
        ] {
            assert_eq!(what(message), None, "{message}");
        }
        assert_eq!(entry("{\"MESSAGE\":[115,101]}"), None, "a message that is no text");
        assert_eq!(entry("-- No entries --"), None);
    }

    proptest! {
        #[test]
        fn any_message_is_survived(
            head in "(sent|failed sending|file|error|cannot access|refused mount request from|authenticated mount request from|[0-9]+ PXE\\(eth0\\)) ?",
            tail in "[ -~]{0,40}",
        ) {
            let _ = what(&(head + &tail));
        }
    }
}
