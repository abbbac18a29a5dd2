//! Listening on the master with tcpdump: the script, and what it prints.
//!
//! Frames come as tcpdump's hexadecimal dump and not as a file of packets: lines arrive as they are written, and the one
//! transport that there is carries lines.

use feeder_cluster::Ipv4Net;

/// What the listening script said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    /// tcpdump is not installed there.
    NoTcpdump,
    /// The host has no interface on the segment, and no route either.
    NoInterface,
    /// It listens on this interface, whose own address is the second.
    Listens(String, String),
    /// It is alive; about once a second.
    Tick,
    /// A whole frame.
    Frame(Vec<u8>),
}

/// A script that prints every DHCP message that the host's card sees on `subnet`: for so many seconds, or for ever.
///
/// It ends soon after its connection does: a capture that nobody reads would go on until the next message. Needs root.
pub(crate) fn script(subnet: Ipv4Net, seconds: Option<u64>) -> String {
    let left = seconds.map_or("-1".to_owned(), |seconds| seconds.to_string());
    format!("subnet={subnet} left={left}\n{}", include_str!("listen.sh"))
}

/// Makes frames of the lines.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    frame: Vec<u8>,
}

/// Length of an Ethernet header.
const ETHERNET: usize = 14;

impl Reader {
    /// The next line.
    pub(crate) fn line(&mut self, line: &str) -> Option<Said> {
        if let Some(dump) = line.strip_prefix("\t0x") {
            let (_, hex) = dump.split_once(':')?;
            self.frame.extend(hex.split_ascii_whitespace().flat_map(bytes));
            return self.whole().map(Said::Frame);
        }
        // Whatever was not whole by now never will be.
        self.frame.clear();
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["tick"] => Some(Said::Tick),
            ["no", "tcpdump"] => Some(Said::NoTcpdump),
            ["no", "interface"] => Some(Said::NoInterface),
            ["listens", interface, mac] => Some(Said::Listens(interface.into(), mac.into())),
            _ => None,
        }
    }

    /// The frame, once there is as much of it as its IPv4 header says.
    fn whole(&mut self) -> Option<Vec<u8>> {
        let length = self.frame.get(ETHERNET + 2..)?.first_chunk()?;
        let length = ETHERNET + usize::from(u16::from_be_bytes(*length));
        (self.frame.len() >= length).then(|| std::mem::take(&mut self.frame))
    }
}

/// The bytes of a group of hexadecimal digits.
fn bytes(group: &str) -> impl Iterator<Item = u8> {
    let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok();
    group.as_bytes().chunks(2).map_while(byte)
}

#[cfg(test)]
mod tests {
    use feeder_remote::{Host, Local};

    use super::*;

    #[test]
    fn frames_are_put_together_and_halves_are_dropped() {
        let mut reader = Reader::default();
        let mut said = |line| reader.line(line);
        assert_eq!(said("no tcpdump"), Some(Said::NoTcpdump));
        assert_eq!(said("1795936740.160733 IP 0.0.0.0.68 > 255.255.255.255.67: BOOTP/DHCP"), None);
        assert_eq!(said("\t0x0000:  ffff ffff ffff b827 eb40 4536 0800 4500"), None);
        assert_eq!(said("1795936740.2 IP 0.0.0.0.68 > 255.255.255.255.67: BOOTP/DHCP"), None);
        assert_eq!(said("\t0x0000:  ffff ffff ffff b827 eb40 4536 0800 4500"), None);
        let Some(Said::Frame(frame)) = said("\t0x0010:  0007 aabb cc") else {
            panic!("7 bytes behind the header are all of it")
        };
        assert_eq!((frame.len(), frame[18]), (21, 0xaa));
        assert_eq!(said("\t0x0010:  0007"), None, "the next one begins from nothing");
    }

    /// A host on which the programs that the script calls are these.
    fn host(dir: &std::path::Path, programs: &[(&str, &str)]) -> Local {
        for (name, body) in programs {
            // Another process writes them: a file that this one has open for writing could not be started.
            let script = format!(
                "cat >{0} <<'END'\n#!/bin/sh\n{body}\nEND\nchmod 755 {0}",
                dir.join(name).display()
            );
            Local::new("here").run(&script).unwrap();
        }
        let path = format!("{}:/usr/bin:/bin", dir.display());
        Local::new("cluster00").env("PATH", path)
    }

    fn said(host: &Local) -> Vec<Said> {
        let mut reader = Reader::default();
        let mut all = Vec::new();
        let script = script("192.168.10.0/24".parse().unwrap(), Some(1));
        host.stream(&script, &mut |line| all.extend(reader.line(line))).unwrap();
        all
    }

    const ADDRESSES: &str =
        "echo '2: lan7    inet 192.168.10.100/24 brd 192.168.10.255 scope global lan7'";

    #[test]
    fn the_script_listens_where_the_segment_is_and_ends_by_itself() {
        let dir = tempfile::tempdir().unwrap();
        let tcpdump = "printf '\\t0x0000:  ffff ffff ffff b827 eb40 4536 0800 4500\\n\\t0x0010:  0004\\n'\nexec sleep 60";
        let host = host(dir.path(), &[("ip", ADDRESSES), ("tcpdump", tcpdump)]);
        let said = said(&host);
        assert_eq!(said[0], Said::Listens("lan7".into(), "none".into()));
        assert!(matches!(said[1], Said::Frame(_)) || matches!(said[2], Said::Frame(_)), "{said:?}");
        assert!(said.contains(&Said::Tick), "{said:?}");
    }

    #[test]
    fn without_tcpdump_or_interface_it_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let no_address = host(dir.path(), &[("ip", "true"), ("tcpdump", "true")]);
        assert_eq!(said(&no_address), [Said::NoInterface]);
        // Nothing but what the script itself needs is in PATH.
        let empty = tempfile::tempdir().unwrap();
        let script = script("192.168.10.0/24".parse().unwrap(), None);
        let script = format!("PATH={}\n{script}", empty.path().display());
        let mut first = None;
        Local::new("here")
            .stream(&script, &mut |line| first = first.take().or(Reader::default().line(line)))
            .unwrap();
        assert_eq!(first, Some(Said::NoTcpdump));
    }
}
