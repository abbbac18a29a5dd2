//! What a scenario expects of nodes.

use feeder_bootrom::option43;

use super::{Lab, Node};
use crate::{Failure, Steps, Verdict, wire::hex};

/// A file of the boot tree that is the worker's own, not the generation's.
const OWN_FILES: &[&str] = &["cmdline.txt", "config.txt"];

impl Node {
    /// Its firmware was told by option 43 that this is the server to boot from.
    ///
    /// # Errors
    /// No OFFER carried the text, or there was none.
    pub fn heard_offer_with_option_43(&self, text: &str) -> Verdict {
        let record = self.boot_record();
        let with = record.offers.iter().find(|offer| {
            offer.option43.as_deref().is_some_and(|bytes| option43::contains(bytes, text))
        });
        match with {
            Some(offer) if offer.accepted => Ok(()),
            Some(offer) => Err(Failure::product(format!(
                "{} did not take the OFFER of {} although its option 43 has \"{text}\": {}",
                self.name(),
                offer.from,
                offer.why
            ))
            .on(self.name())),
            None => {
                let mut failure = Failure::product(format!(
                    "{} heard {} and none had \"{text}\" in option 43",
                    self.name(),
                    feeder_ui::plural(record.offers.len(), "OFFER"),
                ))
                .on(self.name());
                for offer in &record.offers {
                    let option43 =
                        offer.option43.as_deref().map_or_else(|| "no option 43".into(), hex);
                    failure = failure.detail(format!("OFFER from {}: {option43}", offer.from));
                }
                Err(failure)
            }
        }
    }

    /// Every file that its firmware fetched has the bytes that the generation of that number holds.
    ///
    /// # Errors
    /// One differs, or nothing was fetched.
    pub fn fetched_generation(&self, lab: &Lab, number: u32) -> Verdict {
        let boot = lab.layout().generation_boot(number);
        let listing =
            lab.master().run(&format!("cd {boot} && find . -type f -exec sha256sum {{}} +"))?;
        let held: Vec<(&str, &str)> = listing
            .lines()
            .filter_map(|line| line.split_once(char::is_whitespace))
            .map(|(digest, path)| (path.trim_start_matches([' ', '*', '.', '/']), digest))
            .collect();
        let record = self.boot_record();
        let mut compared = 0;
        for (name, bytes, digest) in &record.files {
            let name = lab
                .boot_prefixes(self.name())
                .iter()
                .find_map(|prefix| name.strip_prefix(prefix.as_str()))
                .unwrap_or(name);
            if OWN_FILES.contains(&name) {
                continue;
            }
            let Some((_, wanted)) = held.iter().find(|(path, _)| *path == name) else {
                return Err(Failure::product(format!(
                    "{} fetched {name} ({bytes} bytes), which its generation does not hold",
                    self.name()
                ))
                .on(self.name()));
            };
            if wanted != digest {
                return Err(Failure::product(format!(
                    "{} fetched {name} with SHA-256 {}…, but generation {number} holds it with {}…",
                    self.name(),
                    &digest[..12],
                    wanted.get(..12).unwrap_or(wanted),
                ))
                .on(self.name())
                .with_hint("the boot tree and the generation have drifted apart: `ls -l /srv/feeder/tftp/*` on the master"));
            }
            compared += 1;
        }
        if compared == 0 {
            return Err(Failure::product(format!(
                "{} fetched no file of its generation",
                self.name()
            )));
        }
        let total: u64 = record.files.iter().map(|(_, bytes, _)| bytes).sum();
        lab.story().summary(format!(
            "{}, {}",
            feeder_ui::plural(record.files.len(), "file"),
            feeder_ui::size(total)
        ));
        Ok(())
    }

    /// A script prints this.
    ///
    /// # Errors
    /// It prints something else, or fails.
    pub fn says(&self, script: &str, wanted: &str) -> Verdict {
        let said = self.run(script)?;
        if said == wanted {
            return Ok(());
        }
        Err(Failure::product(format!(
            "on {}, `{script}` says \"{said}\" instead of \"{wanted}\"",
            self.name()
        ))
        .on(self.name()))
    }

    /// A script fails, with these words among what it says.
    ///
    /// # Errors
    /// It works, or fails for another reason.
    pub fn refuses(&self, what: &str, script: &str, words: &[&str]) -> Verdict {
        match self.try_run(script)? {
            Ok(_) => Err(Failure::product(format!("{} can {what}, and must not", self.name()))
                .on(self.name())),
            Err(error) => {
                let said = error.to_string();
                if words.iter().any(|words| said.contains(words)) {
                    return Ok(());
                }
                Err(Failure::product(format!(
                    "{} cannot {what}, but not for the reason expected ({})",
                    self.name(),
                    words.join(" or ")
                ))
                .on(self.name())
                .detail(said))
            }
        }
    }

    /// Writes a file to its disk, for good.
    ///
    /// # Errors
    /// The command failed.
    pub fn write(&self, path: &str, text: &str) -> Verdict {
        self.run(&format!("printf %s '{text}' > {path} && sync {path}")).map(drop)
    }

    /// A file holds this text.
    ///
    /// # Errors
    /// It does not.
    pub fn reads(&self, path: &str, text: &str) -> Verdict {
        self.says(&format!("cat {path}"), text)
    }

    /// It is the worker of its name, without a disk, and its root is an overlay over its generation.
    ///
    /// # Errors
    /// Something of that is otherwise.
    pub fn is_diskless_with_an_overlay_root(&self) -> Verdict {
        // One login for all of it: each costs an emulated board seconds.
        let asked = "hostname
            findmnt -n -o FSTYPE /
            findmnt -n -o OPTIONS / | tr , '\\n' | grep -e '^lowerdir=' -e '^upperdir='
            ls -d /sys/block/vd* /sys/block/mmcblk* /sys/block/sd* 2>/dev/null | wc -l";
        let wanted = format!("{}\noverlay\nlowerdir=/\nupperdir=/mnt/disk/upper\n0", self.name());
        self.says(asked, &wanted)
    }
}
