//! Licences and sources of dependencies, by the rules in `deny.toml`.
//!
//! The file is cargo-deny's, which checks more where it is installed; this much needs no tool and no network.

use camino::Utf8PathBuf;
use serde::Deserialize;

use super::Finding;

#[derive(Deserialize)]
struct Deny {
    licenses: Licenses,
    sources: Sources,
}

#[derive(Deserialize)]
struct Licenses {
    allow: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Sources {
    allow_registry: Vec<String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
}

/// Every dependency in what `cargo metadata` printed that `deny` (the text of `deny.toml`) does not allow.
pub(super) fn judge(deny: &str, metadata: &[u8]) -> Result<Vec<Finding>, String> {
    let deny: Deny = toml::from_str(deny).map_err(|error| format!("deny.toml: {error}"))?;
    let metadata: Metadata = serde_json::from_slice(metadata).map_err(|error| error.to_string())?;
    let mut findings = Vec::new();
    let mut finds = |package: &Package, what: String| {
        let what = format!("{} {} {what}", package.name, package.version);
        findings.push(Finding { file: Utf8PathBuf::from("Cargo.lock"), line: None, what });
    };
    for package in &metadata.packages {
        // What has no source is ours.
        let Some(source) = &package.source else { continue };
        let registry = source.strip_prefix("registry+").or_else(|| source.strip_prefix("sparse+"));
        if !registry.is_some_and(|registry| {
            deny.sources.allow_registry.iter().any(|allowed| allowed == registry)
        }) {
            finds(package, format!("comes from {source}, which deny.toml does not allow"));
        }
        match &package.license {
            Some(licence) if allows(&deny.licenses.allow, licence) => {}
            Some(licence) => {
                finds(package, format!("is under `{licence}`, which deny.toml does not allow"))
            }
            None => finds(package, "does not say its licence".into()),
        }
    }
    Ok(findings)
}

/// Whether an SPDX expression can be satisfied by allowed licences. `OR` (and the old `/`) needs one side, `AND` both.
fn allows(allowed: &[String], expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = &words[..];
    let satisfied = either(allowed, &mut rest);
    satisfied && rest.is_empty()
}

fn either(allowed: &[String], rest: &mut &[&str]) -> bool {
    let mut satisfied = both(allowed, rest);
    while let ["OR", after @ ..] = rest {
        *rest = after;
        satisfied |= both(allowed, rest);
    }
    satisfied
}

fn both(allowed: &[String], rest: &mut &[&str]) -> bool {
    let mut satisfied = one(allowed, rest);
    while let ["AND", after @ ..] = rest {
        *rest = after;
        satisfied &= one(allowed, rest);
    }
    satisfied
}

fn one(allowed: &[String], rest: &mut &[&str]) -> bool {
    match rest {
        ["(", after @ ..] => {
            *rest = after;
            let satisfied = either(allowed, rest);
            match rest {
                [")", after @ ..] => {
                    *rest = after;
                    satisfied
                }
                _ => false,
            }
        }
        [licence, "WITH", exception, after @ ..] => {
            *rest = after;
            // An exception only adds permissions, but allowing it is said in full, as cargo-deny wants it.
            allowed.iter().any(|allowed| {
                *allowed == format!("{licence} WITH {exception}") || allowed == licence
            })
        }
        [licence, after @ ..] => {
            *rest = after;
            allowed.iter().any(|allowed| allowed == licence)
        }
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions() {
        let allowed = ["MIT", "Apache-2.0", "Unicode-3.0", "ISC"].map(str::to_owned);
        for (expression, expected) in [
            ("MIT", true),
            ("MIT OR GPL-3.0", true),
            ("GPL-3.0 OR LGPL-2.1", false),
            ("MIT/Apache-2.0", true),
            ("(MIT OR GPL-3.0) AND Unicode-3.0", true),
            ("MIT AND GPL-3.0", false),
            ("GPL-3.0 OR MIT AND ISC", true),
            ("GPL-3.0 AND MIT OR ISC", true),
            ("Apache-2.0 WITH LLVM-exception", true),
            ("GPL-3.0 WITH LLVM-exception", false),
            ("(MIT", false),
            ("MIT)", false),
            ("", false),
        ] {
            assert_eq!(allows(&allowed, expression), expected, "{expression}");
        }
    }

    #[test]
    fn a_foreign_source_and_a_foreign_licence_are_found() {
        let deny = "[licenses]\nallow = [\"MIT\"]\n[sources]\nallow-registry = [\"https://registry.example/index\"]\n";
        let metadata = br#"{"packages": [
            {"name": "ours", "version": "0.1.0", "license": null, "source": null},
            {"name": "good", "version": "1.0.0", "license": "MIT", "source": "registry+https://registry.example/index"},
            {"name": "viral", "version": "1.0.0", "license": "GPL-3.0", "source": "registry+https://registry.example/index"},
            {"name": "forked", "version": "1.0.0", "license": "MIT", "source": "git+https://git.example/forked"}
        ]}"#;
        let findings: Vec<String> =
            judge(deny, metadata).expect("both are read").iter().map(Finding::to_string).collect();
        assert_eq!(
            findings,
            [
                "Cargo.lock: viral 1.0.0 is under `GPL-3.0`, which deny.toml does not allow",
                "Cargo.lock: forked 1.0.0 comes from git+https://git.example/forked, which deny.toml does not allow",
            ]
        );
        assert!(judge("[licenses]", metadata).is_err() && judge(deny, b"{").is_err());
    }
}
