//! The file itself: a compressed tar archive with the manifest in front.

use std::io::{self, Read, Seek, SeekFrom, Write};

use camino::{Utf8Path, Utf8PathBuf};
use feeder_store::Digest;
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use fs_err::File;

use super::{Manifest, ReplayError, SCHEMA};
use crate::{Report, RunDir, RunDirError, StageOptions};

/// Its name among the evidence.
pub(crate) const FILE: &str = "replay.tar.gz";
const MANIFEST: &str = "manifest.json";
/// The end of a console's log that is taken along, in bytes.
const CONSOLE: u64 = 256 * 1024;
/// A larger capture stays where it is, in bytes.
const CAPTURE: u64 = 2 * 1024 * 1024;
/// A manifest that is larger is none, in bytes.
const LARGEST_MANIFEST: u64 = 1024 * 1024;

/// The digest of the dependencies that this program was built with.
pub(crate) fn cargo_lock() -> String {
    Digest::of(include_bytes!("../../../../Cargo.lock")).to_string()
}

/// Leaves the bundle of a run that failed; other runs have none.
///
/// # Errors
/// The file system refuses.
pub(crate) fn write(
    dir: &RunDir,
    report: &Report,
    options: &StageOptions,
) -> Result<(), RunDirError> {
    let Some(manifest) = Manifest::of(report, options) else { return Ok(()) };
    let (new, path) = (dir.file(".replay.tar.gz"), dir.file(FILE));
    pack(dir.path(), report, &manifest, &new)
        .and_then(|()| fs_err::rename(&new, &path))
        .map_err(|source| RunDirError::Io { doing: "write", path, source })
}

fn pack(run: &Utf8Path, report: &Report, manifest: &Manifest, to: &Utf8Path) -> io::Result<()> {
    let gzip = GzEncoder::new(File::create(to)?, Compression::default());
    let mut archive = tar::Builder::new(gzip);
    let mut json = serde_json::to_vec_pretty(manifest)?;
    json.push(b'\n');
    add(&mut archive, MANIFEST, &json)?;
    for name in ["events.jsonl", "report.json"] {
        add(&mut archive, name, &end_of(&run.join(name), u64::MAX)?)?;
    }
    for node in &report.nodes {
        let name = format!("{}/console.log", node.name);
        let log = run.join(&name);
        if log.is_file() {
            add(&mut archive, &name, &end_of(&log, CONSOLE)?)?;
        }
    }
    for evidence in report.evidence.iter().filter(|evidence| evidence.what == "capture") {
        let capture = run.join(&evidence.file);
        if capture.metadata().is_ok_and(|meta| meta.is_file() && meta.len() <= CAPTURE) {
            add(&mut archive, evidence.file.as_str(), &end_of(&capture, CAPTURE)?)?;
        }
    }
    archive.into_inner()?.finish()?.flush()
}

fn add(archive: &mut tar::Builder<impl Write>, name: &str, bytes: &[u8]) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    archive.append_data(&mut header, name, bytes)
}

/// The last `at_most` bytes of a file.
fn end_of(path: &Utf8Path, at_most: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(at_most)))?;
    let mut bytes = Vec::new();
    file.take(at_most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl Manifest {
    /// Reads the manifest of a bundle.
    ///
    /// # Errors
    /// `Read` and `NotOne`.
    pub fn read(path: &Utf8Path) -> Result<Self, ReplayError> {
        let file = File::open(path)
            .map_err(|source| ReplayError::Read { path: path.to_owned(), source })?;
        let not_one = |why: String| ReplayError::NotOne { path: Utf8PathBuf::from(path), why };
        let mut archive = tar::Archive::new(GzDecoder::new(file));
        let mut entries = archive.entries().map_err(|error| not_one(error.to_string()))?;
        let first = entries.next().ok_or_else(|| not_one("it is empty".into()))?;
        let first = first.map_err(|error| not_one(error.to_string()))?;
        if first.path_bytes().as_ref() != MANIFEST.as_bytes() {
            return Err(not_one(format!("it does not begin with {MANIFEST}")));
        }
        let mut json = Vec::new();
        first
            .take(LARGEST_MANIFEST)
            .read_to_end(&mut json)
            .map_err(|error| not_one(error.to_string()))?;
        let manifest: Self = serde_json::from_slice(&json)
            .map_err(|error| not_one(format!("{MANIFEST}: {error}")))?;
        if manifest.schema > SCHEMA {
            return Err(not_one(format!("{MANIFEST} has the newer form {}", manifest.schema)));
        }
        Ok(manifest)
    }
}
