//! Who may know whom: the boundaries between crates, on what cargo resolved.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8PathBuf;
use serde::Deserialize;

use super::Finding;

/// A crate, what it must not depend on, however indirectly, and why. Dependencies of tests do not count.
struct Boundary(&'static str, &'static [&'static str], &'static str);

const BOUNDARIES: &[Boundary] = &[
    Boundary(
        "xtask",
        &["feeder-lan", "feeder-machine", "feeder-scenario", "qapi", "smoltcp"],
        "provisioning must not wait for emulators to compile",
    ),
    Boundary(
        "feeder-modules",
        &["feeder-machine", "feeder-bootrom", "feeder-lan"],
        "modules treat real and virtual boards alike",
    ),
    Boundary(
        "feeder-cluster",
        &["feeder-remote", "feeder-machine"],
        "reading a configuration reaches no host",
    ),
    Boundary(
        "feeder-plan",
        &["feeder-modules", "feeder-cluster"],
        "the engine does not know what resources are for",
    ),
    Boundary("feeder-remote", &["feeder-plan"], "a transport knows no resources"),
    Boundary(
        "feeder-store",
        &["feeder-image", "feeder-cluster"],
        "the store knows hashes, not what they stand for",
    ),
    Boundary(
        "feeder-image",
        &["feeder-cluster", "feeder-machine"],
        "an image is made for any cluster",
    ),
    Boundary(
        "feeder-bootrom",
        &["feeder-machine", "feeder-lan", "qapi"],
        "the twin takes bytes and time, and does no I/O",
    ),
    Boundary(
        "feeder-lan",
        &["feeder-bootrom", "feeder-machine", "feeder-cluster"],
        "the LAN carries any frames",
    ),
    Boundary(
        "feeder-machine",
        &["feeder-cluster", "feeder-lan", "feeder-bootrom"],
        "a machine knows no cluster",
    ),
];

/// Programs, and the crate that is their command line. Everything else is a library and knows no clap.
const COMMAND_LINES: &[&str] = &["xtask", "feeder-scenarios"];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    source: Option<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Deserialize)]
struct Kind {
    kind: Option<String>,
}

/// Every crossing of a boundary in what `cargo metadata` printed.
pub(super) fn judge(metadata: &[u8]) -> Result<Vec<Finding>, String> {
    let metadata: Metadata = serde_json::from_slice(metadata).map_err(|error| error.to_string())?;
    let names: BTreeMap<&str, &str> =
        metadata.packages.iter().map(|package| (&*package.id, &*package.name)).collect();
    let needs: BTreeMap<&str, Vec<&str>> =
        metadata.resolve.nodes.iter().map(|node| (&*node.id, needs(node))).collect();
    let ours = metadata.packages.iter().filter(|package| package.source.is_none());

    let mut findings = Vec::new();
    for package in ours {
        let known: BTreeSet<&str> =
            closure(&package.id, &needs).iter().filter_map(|id| names.get(id).copied()).collect();
        let mut finds = |other: &str, why: &str| {
            let what = format!("{} depends on {other}, but {why}", package.name);
            findings.push(Finding { file: Utf8PathBuf::from("Cargo.toml"), line: None, what });
        };
        for Boundary(_, forbidden, why) in
            BOUNDARIES.iter().filter(|boundary| boundary.0 == package.name)
        {
            forbidden
                .iter()
                .filter(|other| known.contains(*other))
                .for_each(|other| finds(other, why));
        }
        if known.contains("clap") && !COMMAND_LINES.contains(&&*package.name) {
            finds("clap", "only programs parse command lines");
        }
    }
    Ok(findings)
}

/// What a package is built with, tests aside.
fn needs(node: &Node) -> Vec<&str> {
    let built_with = |dependency: &&Dependency| {
        dependency.dep_kinds.is_empty()
            || dependency.dep_kinds.iter().any(|kind| kind.kind.as_deref() != Some("dev"))
    };
    node.deps.iter().filter(built_with).map(|dependency| &*dependency.pkg).collect()
}

fn closure<'a>(from: &'a str, needs: &BTreeMap<&'a str, Vec<&'a str>>) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    let mut open = vec![from];
    while let Some(id) = open.pop() {
        let new = needs.get(id).into_iter().flatten().filter(|id| seen.insert(**id));
        open.extend(new.copied().collect::<Vec<_>>());
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Metadata of packages that are all ours but `clap` and `qapi`; arrows are dependencies, `~>` those of tests.
    fn metadata(arrows: &[&str]) -> Vec<u8> {
        let mut nodes: BTreeMap<&str, Vec<serde_json::Value>> = BTreeMap::new();
        for arrow in arrows {
            let (from, kind, to) = match arrow.split_once(" ~> ") {
                Some((from, to)) => (from, serde_json::json!("dev"), to),
                None => arrow
                    .split_once(" -> ")
                    .map(|(from, to)| (from, serde_json::Value::Null, to))
                    .expect("an arrow"),
            };
            nodes.entry(to).or_default();
            nodes
                .entry(from)
                .or_default()
                .push(serde_json::json!({"pkg": to, "dep_kinds": [{"kind": kind}]}));
        }
        let source = |name: &str| matches!(name, "clap" | "qapi").then_some("registry");
        let packages: Vec<_> = nodes
            .keys()
            .map(|name| serde_json::json!({"id": name, "name": name, "source": source(name)}))
            .collect();
        let nodes: Vec<_> =
            nodes.iter().map(|(id, deps)| serde_json::json!({"id": id, "deps": deps})).collect();
        serde_json::json!({"packages": packages, "resolve": {"nodes": nodes}})
            .to_string()
            .into_bytes()
    }

    fn found(arrows: &[&str]) -> Vec<String> {
        let findings = judge(&metadata(arrows)).expect("well-formed");
        findings
            .into_iter()
            .map(|finding| finding.what.split(", but").next().unwrap_or_default().to_owned())
            .collect()
    }

    #[test]
    fn an_indirect_crossing_is_found() {
        let crossing =
            ["xtask -> feeder-modules", "feeder-modules -> feeder-remote", "feeder-remote -> qapi"];
        assert_eq!(found(&crossing), ["xtask depends on qapi"]);
        assert_eq!(found(&["feeder-lan -> clap", "xtask -> clap"]), ["feeder-lan depends on clap"]);
    }

    #[test]
    fn tests_may_know_more() {
        assert_eq!(
            found(&["feeder-bootrom ~> feeder-lan", "xtask -> feeder-bootrom"]),
            Vec::<String>::new()
        );
        assert_eq!(
            found(&["a -> b", "b -> a", "a -> c"]),
            Vec::<String>::new(),
            "cycles through tests end"
        );
    }

    #[test]
    fn boundaries_name_crates_of_this_workspace() {
        let root = camino::Utf8Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .expect("ci is a folder of the workspace");
        let manifest =
            fs_err::read_to_string(root.join("Cargo.toml")).expect("the workspace's manifest");
        for Boundary(package, forbidden, _) in BOUNDARIES {
            for name in std::iter::once(package).chain(*forbidden) {
                assert!(
                    *name == "xtask" || manifest.contains(&format!("\n{name} = ")),
                    "{name} is unknown"
                );
            }
        }
    }
}
