//! What must not be in a run's evidence.

use std::io::{self, BufReader, Read};

use camino::Utf8Path;
use fs_err as fs;

use super::Lab;
use crate::{Class, Failure, OrFail, Steps, Verdict};

impl Lab {
    /// No file of this run's evidence holds this text: no console, no capture, no journal. What runs are made of, disks among
    /// them, is no evidence.
    ///
    /// # Errors
    /// One does, or the node names that must be in every capture were not found in it: then nothing was looked through.
    pub fn evidence_lacks(&self, text: &str) -> Verdict {
        let dir = self.story().dir();
        let lacks = |file: &Utf8Path, needle: &[u8]| {
            let reader = fs::File::open(file).map(BufReader::new);
            reader.and_then(|reader| holds(reader, needle)).map(|found| !found)
        };
        let read = || "cannot read the evidence";
        let capture = lacks(&self.capture, self.bench().cluster.master.name.as_str().as_bytes());
        if capture.or_fail(Class::Harness, read())? {
            return Err(Failure::harness("the capture does not even name the master"));
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
                    if !lacks(&path, text.as_bytes()).or_fail(Class::Harness, read())? {
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

/// Whether a stream holds some bytes, wherever its reads are cut.
fn holds(mut from: impl Read, needle: &[u8]) -> io::Result<bool> {
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
        if window.windows(needle.len().max(1)).any(|bytes| bytes == needle) {
            return Ok(true);
        }
        let keep = window.len().min(needle.len().saturating_sub(1));
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
    fn a_text_is_found_wherever_reads_end() {
        let text = [&vec![b'x'; 70_000][..], b"SWMTKN-1-abc", &[0; 9]].concat();
        for needle in ["SWMTKN-1-", "x", "abc\0\0"] {
            assert!(holds(&text[..], needle.as_bytes()).unwrap(), "{needle}");
            assert!(holds(Dribble(&text), needle.as_bytes()).unwrap(), "{needle}");
        }
        for needle in ["SWMTKN-2-", "abcd"] {
            assert!(!holds(&text[..], needle.as_bytes()).unwrap(), "{needle}");
            assert!(!holds(Dribble(&text), needle.as_bytes()).unwrap(), "{needle}");
        }
    }
}
