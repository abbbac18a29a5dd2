//! What a machine says of itself: a worker, and the master too.

use std::time::Duration;

use feeder_modules::generation_of;

/// Prints what [`Health`] reads. Needs no right that a user lacks.
pub(super) const HEALTH: &str = include_str!("health.sh");
/// The same on a worker, in one login. Its root is an overlay, which has the room of its upper layer, or a copy on the master's
/// disk, beside its state image.
pub(crate) const SCRIPT: &str =
    concat!("room=/run/feeder/disk\n[ -d $room ] || room=/\n", include_str!("health.sh"));

/// What a machine says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Health {
    /// The generation that it runs from, over NFS; the master runs from none.
    pub(crate) generation: Option<u32>,
    /// How long it has been up.
    pub(crate) uptime: Duration,
    /// `running`, `degraded`, `starting` …, as systemd says it.
    pub(crate) system: String,
    /// Units that failed.
    pub(crate) failed: Vec<String>,
    /// Room for what it writes: in its state image, or on the master's disk.
    pub(crate) space: Option<Space>,
    /// `active`, `inactive`, `failed` …: its Docker.
    pub(crate) engine: Option<String>,
}

/// Room in a file system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Space {
    pub(crate) size: u64,
    /// For those who are not root, who may go a little further.
    pub(crate) free: u64,
}

impl Space {
    /// From the sizes in KiB of a line of `df -P -k`: all, used, free.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut sizes = text.split_whitespace().map(|kib| kib.parse::<u64>().ok());
        let (size, _used, free) = (sizes.next()??, sizes.next()??, sizes.next()??);
        Some(Self { size: size.saturating_mul(1024), free: free.saturating_mul(1024) })
    }

    /// Nothing can be written any more, or nearly so: less than a hundredth is free.
    pub(crate) fn is_full(self) -> bool {
        self.free < self.size / 100
    }
}

impl Health {
    /// From what the script printed.
    pub(crate) fn parse(text: &str) -> Self {
        let mut health = Self::default();
        for line in text.lines() {
            health.line(line);
        }
        health
    }

    /// From the next line that the script prints.
    pub(super) fn line(&mut self, line: &str) {
        let Some((key, value)) = line.split_once(' ') else { return };
        let value = value.trim();
        match key {
            "cmdline" => self.generation = generation_of(value),
            "uptime" => {
                let seconds = value.split('.').next().and_then(|text| text.parse().ok());
                self.uptime = Duration::from_secs(seconds.unwrap_or_default());
            }
            "system" => value.clone_into(&mut self.system),
            "failed" => self.failed.push(value.to_owned()),
            "space" => self.space = Space::parse(value),
            "engine" => self.engine = Some(value.to_owned()),
            _ => {}
        }
    }

    /// Nothing is wrong with it.
    pub(crate) fn is_well(&self) -> bool {
        self.system == "running" && self.failed.is_empty() && !self.is_full()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.space.is_some_and(Space::is_full)
    }
}

#[cfg(test)]
mod tests {
    use feeder_remote::{Host, Local};

    use super::*;

    #[test]
    fn a_worker_says_what_is_wrong_with_it() {
        let text = "cmdline root=/dev/nfs nfsroot=192.168.10.100:/srv/feeder/generations/2/root,vers=3 ro\n\
                    uptime 124.73 400.1\nsystem degraded\nfailed a.service\nfailed b.mount\nspace 8154588 28 8137976\nengine active\n";
        let health = Health::parse(text);
        assert_eq!(health.generation, Some(2));
        assert_eq!(health.uptime, Duration::from_secs(124));
        assert_eq!(health.failed, ["a.service", "b.mount"]);
        assert_eq!(health.engine.as_deref(), Some("active"));
        assert!(!health.is_full() && !health.is_well());
        let full = Health::parse("system running\nspace 8154588 8100000 2000\n");
        assert!(full.is_full() && !full.is_well());
        assert!(Health::parse("system running\nspace 100 50 50\n").is_well());
    }

    /// Whatever runs this test has a kernel and a root.
    #[test]
    fn the_script_says_something_everywhere() {
        let said = Local::new("here").run(SCRIPT).unwrap().stdout_text();
        let health = Health::parse(&said);
        assert!(health.space.is_some_and(|space| space.size > 0), "{said}");
        assert!(health.uptime > Duration::ZERO, "{said}");
        assert_eq!(health.generation, None);
    }
}
