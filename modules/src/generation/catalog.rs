//! The generations that a master holds, and which of them workers boot.

use std::collections::BTreeMap;

use serde::Serialize;

/// The digest of everything that modules want of a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted(pub(crate) [u8; 32]);

impl std::fmt::Display for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// One system of workers, as it lies on the master.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Generation {
    /// Its number, and the name of its folder.
    pub number: u32,
    /// Whether it is whole. One that is not was damaged after it was published.
    pub complete: bool,
    /// The first digits of a digest of what it was made of: what modules want, packages, kernel. Empty when it does not say.
    pub key: String,
    /// The release of its kernel.
    pub kernel: String,
    /// When it was made, by the master's clock, as `2026-01-31T12:00:00Z`. Empty when it does not say.
    pub created: String,
    /// What made it: `provision`, `create`, or `upgrade of 3`. Empty when it does not say.
    pub origin: String,
    /// Its kernel mounts an NFS root without an initramfs.
    #[serde(skip)]
    pub nfs_root_built_in: bool,
    /// [`Wanted`] of the modules that it was made for.
    #[serde(skip)]
    pub wanted: String,
}

/// All generations of a master.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Generations {
    /// Every one, the oldest first.
    pub all: Vec<Generation>,
    /// The numbers of those that were active, the last one the one that is.
    pub history: Vec<u32>,
    /// By worker, the numbers of those of which it has a copy of its own.
    pub copies: BTreeMap<String, Vec<u32>>,
}

/// What workers are to boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Boots {
    /// The number of the generation.
    pub number: u32,
    /// Its kernel mounts an NFS root without an initramfs. None as long as it has not been made.
    pub nfs_root_built_in: Option<bool>,
}

impl Generations {
    /// From the `key=value` lines of a survey.
    pub(crate) fn parse(facts: &BTreeMap<&str, &str>) -> Self {
        let fact = |key: &str| facts.get(key).map(|value| value.trim().to_owned());
        let mut all: Vec<Generation> = facts
            .iter()
            .filter_map(|(key, state)| {
                let number: u32 = key.strip_prefix("generation.")?.parse().ok()?;
                let (state, kernel) = state.split_once(' ').unwrap_or((state, ""));
                let input =
                    |name: &str| fact(&format!("generation.{number}.{name}")).unwrap_or_default();
                Some(Generation {
                    number,
                    complete: state == "complete",
                    key: input("key"),
                    kernel: kernel.trim().to_owned(),
                    created: input("created"),
                    origin: input("origin"),
                    nfs_root_built_in: input("nfs-root") == "built-in",
                    wanted: input("wanted"),
                })
            })
            .collect();
        all.sort_by_key(|generation| generation.number);
        let history = fact("generations.active").unwrap_or_default();
        let history = history.split_whitespace().filter_map(|number| number.parse().ok()).collect();
        let copies = facts.iter().filter_map(|(key, numbers)| {
            let worker = key.strip_prefix("copies.")?.to_owned();
            Some((worker, numbers.split_whitespace().filter_map(|it| it.parse().ok()).collect()))
        });
        Self { copies: copies.collect(), all, history }
    }

    /// The generation of that number, when it is complete.
    #[must_use]
    pub fn complete(&self, number: u32) -> Option<&Generation> {
        self.all.iter().find(|generation| generation.number == number && generation.complete)
    }

    /// The newest that is complete.
    #[must_use]
    pub fn newest(&self) -> Option<&Generation> {
        self.all.iter().rfind(|generation| generation.complete)
    }

    /// The one that workers boot.
    #[must_use]
    pub fn active(&self) -> Option<&Generation> {
        self.complete(*self.history.last()?)
    }

    /// The one that was active before: where a rollback goes.
    #[must_use]
    pub fn previous(&self) -> Option<&Generation> {
        let (active, before) = self.history.split_last()?;
        let mut before = before.iter().rev().filter(|number| *number != active);
        before.find_map(|number| self.complete(*number))
    }

    /// The number of the next one. Numbers are not used twice, as far as the folder tells.
    #[must_use]
    pub fn next_number(&self) -> u32 {
        let newest = self.all.last().map_or(0, |generation| generation.number);
        newest.max(self.history.iter().copied().max().unwrap_or(0)) + 1
    }

    /// What provisioning has workers boot: a new generation when modules want something else of it than of the newest; the newest
    /// when provisioning made it and has not made it active yet; otherwise what is active, whoever made that so.
    #[must_use]
    pub fn boots(&self, wanted: &Wanted) -> Boots {
        let fits = |newest: &&Generation| newest.wanted == wanted.to_string();
        let Some(newest) = self.newest().filter(fits) else {
            return Boots { number: self.next_number(), nfs_root_built_in: None };
        };
        let left_over = newest.origin == "provision" && !self.history.contains(&newest.number);
        Boots::of(self.active().filter(|_| !left_over).unwrap_or(newest))
    }

    /// Every generation that workers may mount: all that are complete, so that one that runs an old generation keeps it, and going
    /// back to one changes no export.
    pub(crate) fn exported(&self, boots: Boots) -> Vec<u32> {
        let complete = self.all.iter().filter(|generation| generation.complete);
        let mut numbers: Vec<u32> = complete.map(|generation| generation.number).collect();
        if !numbers.contains(&boots.number) {
            numbers.push(boots.number);
        }
        numbers
    }
}

impl Boots {
    /// That generation.
    #[must_use]
    pub fn of(generation: &Generation) -> Self {
        Self { number: generation.number, nfs_root_built_in: Some(generation.nfs_root_built_in) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: Wanted = Wanted([7; 32]);

    fn catalog(text: &str) -> Generations {
        Generations::parse(&text.lines().filter_map(|line| line.split_once('=')).collect())
    }

    /// A generation that the modules of today want.
    fn fits(number: u32, origin: &str) -> String {
        format!(
            "generation.{number}=complete 6.12.47+rpt-rpi-v8\ngeneration.{number}.wanted={WANTED}\ngeneration.{number}.origin={origin}\n"
        )
    }

    #[test]
    fn what_a_survey_says_is_understood() {
        let catalog = catalog(
            "generation.10=complete 6.12.47+rpt-rpi-v8\ngeneration.10.key=0123456789ab\ngeneration.10.nfs-root=built-in\n\
             generation.10.origin=upgrade of 9\ngeneration.10.created=2026-01-31T12:00:00Z\n\
             generation.9=complete 6.12.47+rpt-rpi-v8\ngeneration.2=broken \ngenerations.active=2 9 10 9\nkernel=6.1\n\
             copies.cluster01=9 10 \n",
        );
        let numbers: Vec<u32> = catalog.all.iter().map(|generation| generation.number).collect();
        assert_eq!(numbers, [2, 9, 10]);
        assert_eq!(catalog.active().map(|it| it.number), Some(9));
        assert_eq!(catalog.previous().map(|it| it.number), Some(10));
        assert_eq!(catalog.next_number(), 11);
        assert_eq!(catalog.copies, BTreeMap::from([("cluster01".to_owned(), vec![9, 10])]));
        insta::assert_debug_snapshot!("generation", catalog.newest());
    }

    #[test]
    fn a_cluster_begins_with_a_first_generation() {
        assert_eq!(catalog("").boots(&WANTED), Boots { number: 1, nfs_root_built_in: None });
    }

    #[test]
    fn what_modules_want_decides_and_not_what_apt_did() {
        let same = catalog(&(fits(1, "provision") + "generations.active=1\n"));
        assert_eq!(same.boots(&WANTED).number, 1);
        assert_eq!(same.boots(&Wanted([8; 32])).number, 2);
        // One that an older program made says nothing.
        assert_eq!(catalog("generation.1=complete 6.1\n").boots(&WANTED).number, 2);
    }

    #[test]
    fn going_back_is_not_undone_by_the_next_run() {
        let text = fits(1, "provision") + &fits(2, "provision");
        let back = catalog(&format!("{text}generations.active=1 2 1\n"));
        assert_eq!(back.boots(&WANTED).number, 1);
        assert_eq!(back.previous().map(|it| it.number), Some(2));
    }

    #[test]
    fn a_run_that_was_cut_off_before_the_switch_goes_on() {
        let text = fits(1, "provision") + &fits(2, "provision") + "generations.active=1\n";
        assert_eq!(catalog(&text).boots(&WANTED).number, 2);
        // What somebody created waits until somebody activates it.
        let text = fits(1, "provision") + &fits(2, "create") + "generations.active=1\n";
        assert_eq!(catalog(&text).boots(&WANTED).number, 1);
    }

    #[test]
    fn a_number_that_is_gone_or_broken_is_not_used_again() {
        let text = fits(1, "provision") + "generation.2=broken \ngenerations.active=1 3\n";
        let catalog = catalog(&text);
        assert_eq!(catalog.boots(&Wanted([8; 32])).number, 4);
        // Nothing that is there was ever active as far as can be told from 3 being gone: the newest whole one is booted.
        assert_eq!(catalog.boots(&WANTED).number, 1);
        assert_eq!(catalog.exported(catalog.boots(&WANTED)), [1]);
    }
}
