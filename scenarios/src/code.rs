//! What the scenarios are made of, for keys of stored states: read from the sources that this binary was compiled from.

use std::collections::BTreeMap;

use camino::Utf8Path;
use feeder_code::{Parts, Source};
use feeder_scenario::snapshot::{Code, Input, Inputs, Shelf, StepCode};
use feeder_store::Digest;
use serde::{Deserialize, Serialize};

/// Every file that the build script found, by its path from the workspace's root.
const SOURCES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/sources.rs"));
/// The scenarios' own sources.
const SCENARIOS: &str = "scenarios/src/";
/// What runs only while a cluster is provisioned or planned.
const MODULES: &[&str] =
    &["modules/", "crates/feeder-plan/", "crates/feeder-nodes/", "crates/feeder-watch/"];
/// Of these, what every step runs: how hosts are reached, and where things lie on the master.
const ALWAYS: &[&str] = &[
    "modules/Cargo.toml",
    "modules/src/access.rs",
    "modules/src/error.rs",
    "modules/src/known_hosts.rs",
    "modules/src/layout.rs",
    "modules/src/lib.rs",
];
/// The command line: it decides nothing but what is among a run's inputs.
const COMMAND_LINE: &[&str] = &["scenarios/src/cli", "scenarios/src/bin/", "scenarios/src/code"];

/// Digests of all of it. Reading all sources takes half a second; what came of it is kept beside the states, under the digest
/// of their bytes.
#[must_use]
pub fn code() -> Code {
    kept(&Shelf::default_root())
}

/// The newest digests, as they are kept.
#[derive(Serialize, Deserialize)]
struct Kept<C> {
    /// Of all sources' bytes.
    of: Digest,
    code: C,
}

fn kept(shelf: &Utf8Path) -> Code {
    let file = shelf.join("code.json");
    let mut all = Vec::new();
    for (path, bytes) in SOURCES {
        all.extend_from_slice(path.as_bytes());
        all.extend_from_slice(&bytes.len().to_le_bytes());
        all.extend_from_slice(bytes);
    }
    let of = Digest::of(all);
    let found = fs_err::read(&file).ok();
    let found = found.and_then(|text| serde_json::from_slice::<Kept<Code>>(&text).ok());
    if let Some(kept) = found.filter(|kept| kept.of == of) {
        return kept.code;
    }
    let code = read();
    // Where it cannot be kept, it is read again; nothing else depends on it.
    let _not_kept = keep(&file, &Kept { of, code: &code });
    code
}

fn keep(file: &Utf8Path, kept: &Kept<&Code>) -> std::io::Result<()> {
    let text = serde_json::to_vec(kept)?;
    fs_err::create_dir_all(file.parent().unwrap_or(file))?;
    let half = file.with_extension(format!("{}.partial", std::process::id()));
    fs_err::write(&half, text)?;
    fs_err::rename(half, file)
}

fn read() -> Code {
    let all = || SOURCES.iter().map(|(path, bytes)| Source { path, bytes });
    let starts =
        |source: &Source<'_>, with: &[&str]| with.iter().any(|dir| source.path.starts_with(dir));
    let own: Vec<_> = all()
        .filter(|source| starts(source, &[SCENARIOS]) && !starts(source, COMMAND_LINE))
        .collect();
    let others: Vec<_> = all().filter(|source| !starts(source, &[SCENARIOS])).collect();
    let provisions = |source: &Source<'_>| starts(source, MODULES) && !starts(source, ALWAYS);
    let modules: Vec<_> = all().filter(provisions).collect();
    let harness: Vec<_> = others.iter().filter(|source| !provisions(source)).copied().collect();
    let found = feeder_code::scenarios(&own, &others);
    let group = |name: &str, sources: &[Source<'_>]| {
        (name.to_owned(), Input::Files(feeder_code::digests(sources)))
    };
    Code {
        steps: found.steps.into_iter().map(step).collect(),
        scenarios: found.scenarios.into_iter().map(|(name, parts)| (name, inputs(parts))).collect(),
        groups: BTreeMap::from([group("harness", &harness), group("modules", &modules)]),
    }
}

fn step(step: feeder_code::Step) -> StepCode {
    let feeder_code::Step { file, line, column, site, literal, parts } = step;
    StepCode { file, line, column, site, literal, parts: inputs(parts) }
}

fn inputs(parts: Parts) -> Inputs {
    parts.into_iter().map(|(name, digest)| (name, Input::Digest(digest))).collect()
}

#[cfg(test)]
mod tests;
