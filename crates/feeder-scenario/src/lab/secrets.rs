//! What must not be in a run's evidence.

use std::io::{self, BufReader, Read};

use camino::Utf8Path;
use fs_err as fs;

use super::Lab;
use crate::{Class, Failure, OrFail, Steps, Verdict};

/// What a secret looks like. Its prefix alone stands in the programs that make such secrets, which workers fetch over the LAN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Secret {
    /// How it begins.
    pub prefix: &'static str,
    /// How many letters and digits of base64 follow at once.
    pub digits: usize,
}

impl Secret {
    /// How long that is.
    fn len(self) -> usize {
        self.prefix.len() + self.digits
    }

    /// Whether such a secret begins here.
    fn is(self, bytes: &[u8]) -> bool {
        let digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
        bytes
            .strip_prefix(self.prefix.as_bytes())
            .and_then(|rest| rest.get(..self.digits))
            .is_some_and(|rest| rest.iter().all(digit))
    }
}

impl Lab {
    /// No file of this run's evidence holds such a secret: no console, no capture, no journal. What runs are made of, disks
    /// among them, is no evidence.
    ///
    /// # Errors
    /// One does, or what must be in every capture of a boot was not found in it: then nothing was looked through.
    pub fn evidence_lacks(&self, secret: Secret) -> Verdict {
        let dir = self.story().dir();
        let lacks = |file: &Utf8Path, secret: Secret| {
            let reader = fs::File::open(file).map(BufReader::new);
            reader.and_then(|reader| holds(reader, secret)).map(|found| !found)
        };
        let read = || "cannot read the evidence";
        // What dnsmasq puts into every OFFER.
        let known = Secret { prefix: "Raspberry Pi ", digits: 0 };
        if lacks(&self.capture, known).or_fail(Class::Harness, read())? {
            return Err(Failure::harness("the capture does not even hold a boot menu"));
        }
        let mut looked = 0;
        let mut dirs = vec![dir.path().to_owned()];
        while let Some(folder) = dirs.pop() {
            for entry in folder.read_dir_utf8().or_fail(Class::Harness, read())? {
                let path = entry.or_fail(Class::Harness, read())?.into_path();
                if path == dir.scratch() {
                    continue;
                }
                if path.is_dir() {
                    dirs.push(path);
                } else if path.is_file() {
                    looked += 1;
                    if !lacks(&path, secret).or_fail(Class::Harness, read())? {
                        return Err(Failure::product(format!(
                            "{path} holds what nobody should see"
                        )));
                    }
                }
            }
        }
        self.story().summary(format!("not in {}", feeder_ui::plural(looked, "file")));
        Ok(())
    }
}

/// Whether a stream holds such a secret, wherever its reads are cut.
fn holds(mut from: impl Read, secret: Secret) -> io::Result<bool> {
    let mut window = Vec::new();
    let mut chunk = vec![0; 1 << 16];
    loop {
        let read = match from.read(&mut chunk) {
            Ok(0) => return Ok(false),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        window.extend_from_slice(&chunk[..read]);
        if window.windows(secret.len().max(1)).any(|bytes| secret.is(bytes)) {
            return Ok(true);
        }
        let keep = window.len().min(secret.len().saturating_sub(1));
        window.drain(..window.len() - keep);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a byte at a time.
    struct Dribble<'a>(&'a [u8]);

    impl Read for Dribble<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let Some((first, rest)) = self.0.split_first() else { return Ok(0) };
            self.0 = rest;
            into[0] = *first;
            Ok(1)
        }
    }

    #[test]
    fn a_key_in_base64_is_found() {
        let key = "SWMKEY-1-7c37Cc8654o6p38HnroywCi19pllOnGtbdZEgtKx+u/";
        let secret = |digits| Secret { prefix: "SWMKEY-1-", digits };
        assert!(holds(key.as_bytes(), secret(43)).unwrap());
        assert!(!holds(key.as_bytes(), secret(44)).unwrap());
        assert!(!holds(&b"SWMKEY-1-SWMTKN-1-"[..], secret(43)).unwrap());
    }

    #[test]
    fn a_text_is_found_wherever_reads_end() {
        let token =
            "SWMTKN-1-3pu6hszjas19xyp7ghgosyx9k8atbfcr8p2is99znpy26u2lkl-1awxwuwd3z9j1z3puu7rcgdbx";
        let text =
            [&vec![b'x'; 65_500][..], b"SWMTKN-1-%0[1]*s-", token.as_bytes(), &[0; 9]].concat();
        for (prefix, digits) in [("SWMTKN-1-", 50), ("x", 0), ("SWMTKN-1-%", 0), ("lkl-", 25)] {
            let secret = Secret { prefix, digits };
            assert!(holds(&text[..], secret).unwrap(), "{secret:?}");
            assert!(holds(Dribble(&text), secret).unwrap(), "{secret:?}");
        }
        for (prefix, digits) in [("SWMTKN-1-", 51), ("SWMTKN-2-", 0), ("lkl-", 26)] {
            let secret = Secret { prefix, digits };
            assert!(!holds(&text[..], secret).unwrap(), "{secret:?}");
            assert!(!holds(Dribble(&text), secret).unwrap(), "{secret:?}");
        }
    }
}
