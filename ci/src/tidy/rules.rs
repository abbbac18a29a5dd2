//! Rules about what is in files and where files are.

use std::collections::BTreeSet;

use camino::Utf8Path;

use super::{Files, Finding};

/// A module's folder is the whole module, and its README says what it is for.
pub(super) fn modules_explain_themselves(files: &Files) -> Vec<Finding> {
    let modules = Utf8Path::new("modules/src");
    let inside = files.paths.iter().filter_map(|path| path.strip_prefix(modules).ok());
    let folders: BTreeSet<&Utf8Path> = inside
        .filter(|path| path.file_name() == Some("mod.rs"))
        .filter_map(Utf8Path::parent)
        .collect();
    let readme = |folder: &&Utf8Path| modules.join(folder).join("README.md");
    let missing = folders.iter().map(readme).filter(|readme| !files.paths.contains(readme));
    let what = "missing: what the module does, its options, the commands it replaces, how to look at it on a master";
    missing.map(|file| Finding { file, line: None, what: what.into() }).collect()
}

/// Lints are set once, for all.
pub(super) fn crates_inherit_lints(files: &Files) -> Vec<Finding> {
    let is_member = |text: &str| text.contains("[package]");
    let inherits = |text: &str| {
        let mut lines = text.lines().map(str::trim).skip_while(|line| *line != "[lints]");
        lines.nth(1).is_some_and(|line| line.replace(' ', "") == "workspace=true")
    };
    let manifests = files.texts.iter().filter(|(path, _)| path.file_name() == Some("Cargo.toml"));
    let lax = manifests.filter(|(_, text)| is_member(text) && !inherits(text));
    let what = "does not inherit the workspace's lints; add `[lints]` and `workspace = true`";
    lax.map(|(path, _)| Finding { file: path.clone(), line: None, what: what.into() }).collect()
}

/// Where packages come from is the host's to say.
pub(super) fn no_mirror_is_named(files: &Files, mirrors: &BTreeSet<String>) -> Vec<Finding> {
    lines_with(files, |line| {
        let named = mirrors.iter().find(|mirror| names_host(line, mirror))?;
        Some(format!(
            "names the package mirror {named}; the mirror comes from the host's apt sources"
        ))
    })
}

/// What works in one place only is wrong everywhere else.
pub(super) fn no_place_of_the_checkout(files: &Files, root: &Utf8Path) -> Vec<Finding> {
    // `/src` or `/build` is no place that anyone would write down by accident, but a word that may mean something else.
    if root.components().count() < 3 {
        return Vec::new();
    }
    lines_with(files, |line| {
        let here = line.match_indices(root.as_str()).any(|(at, place)| {
            let next = line[at + place.len()..].chars().next();
            next.is_none_or(|next| !next.is_alphanumeric() && !matches!(next, '-' | '_' | '.'))
        });
        here.then(|| "names the directory of this very checkout".to_owned())
    })
}

/// A program that is called by name is one that `cargo xtask setup` looks after.
pub(super) fn programs_are_in_the_table(files: &Files) -> Vec<Finding> {
    // Taken apart, so that this line is not a call itself.
    let calls = ["Cmd::new", "find_program"].map(|call| format!("{call}(\""));
    let product = files.texts.iter().filter(|(path, _)| {
        path.extension() == Some("rs")
            && path.components().any(|part| part.as_str() == "src")
            && path.file_name() != Some("tests.rs")
    });
    let mut findings = Vec::new();
    for (path, text) in product {
        let lines = text.lines().take_while(|line| line.trim() != "#[cfg(test)]").enumerate();
        for (index, line) in lines.filter(|(_, line)| !line.trim_start().starts_with("//")) {
            let after = calls.iter().flat_map(|call| {
                line.match_indices(call.as_str()).map(|(at, call)| at + call.len())
            });
            let programs = after.filter_map(|at| line[at..].split('"').next());
            findings.extend(programs.filter(|program| !feeder_host::is_known_program(program)).map(|program| Finding {
                file: path.clone(),
                line: Some(index + 1),
                what: format!("calls {program}, which is not in the table of host tools (crates/feeder-host/src/tools.rs)"),
            }));
        }
    }
    findings
}

fn lines_with(files: &Files, finds: impl Fn(&str) -> Option<String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in &files.texts {
        let found =
            text.lines().enumerate().filter_map(|(index, line)| Some((index + 1, finds(line)?)));
        findings.extend(found.map(|(line, what)| Finding {
            file: path.clone(),
            line: Some(line),
            what,
        }));
    }
    findings
}

/// Whether a line names a host, and not a longer name that contains it.
fn names_host(line: &str, host: &str) -> bool {
    let belongs = |character: char| character.is_ascii_alphanumeric() || character == '-';
    line.match_indices(host).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + host.len()..].chars().next();
        !before.is_some_and(|before| belongs(before) || before == '.')
            && !after.is_some_and(belongs)
    })
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;

    use super::*;

    fn files(texts: &[(&str, &str)]) -> Files {
        let texts: Vec<(Utf8PathBuf, String)> =
            texts.iter().map(|(path, text)| ((*path).into(), (*text).to_owned())).collect();
        let paths = texts.iter().map(|(path, _)| path.clone()).collect();
        Files { texts, paths }
    }

    fn shown(findings: &[Finding]) -> Vec<String> {
        let place = |finding: &Finding| {
            finding.to_string().split(": ").next().unwrap_or_default().to_owned()
        };
        findings.iter().map(place).collect()
    }

    #[test]
    fn a_module_without_a_readme_is_found() {
        let files = files(&[
            ("modules/src/lib.rs", ""),
            ("modules/src/nfs/mod.rs", ""),
            ("modules/src/nfs/README.md", ""),
            ("modules/src/network/mod.rs", ""),
            ("modules/src/snapshots/a.snap", ""),
        ]);
        assert_eq!(shown(&modules_explain_themselves(&files)), ["modules/src/network/README.md"]);
    }

    #[test]
    fn a_crate_with_its_own_lints_is_found() {
        let files = files(&[
            ("Cargo.toml", "[workspace]\n"),
            ("a/Cargo.toml", "[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n"),
            ("b/Cargo.toml", "[package]\nname = \"b\"\n\n[lints.rust]\nunsafe_code = \"warn\"\n"),
            ("c/Cargo.toml", "[package]\nname = \"c\"\n"),
        ]);
        assert_eq!(shown(&crates_inherit_lints(&files)), ["b/Cargo.toml", "c/Cargo.toml"]);
    }

    #[test]
    fn a_mirror_is_found_by_its_whole_name() {
        let mirrors = BTreeSet::from(["mirror.example".to_owned(), "10.0.0.7".to_owned()]);
        let files = files(&[(
            "a.rs",
            "// http://mirror.example/debian\n// not-mirror.example\n// my.mirror.example\n// mirror.example.net? that is \
             another\nlet x = \"mirror.example\";\n// 10.0.0.70\n// 10.0.0.7:80\n",
        )]);
        assert_eq!(
            shown(&no_mirror_is_named(&files, &mirrors)),
            ["a.rs:1", "a.rs:4", "a.rs:5", "a.rs:7"]
        );
        assert_eq!(no_mirror_is_named(&files, &BTreeSet::new()), []);
    }

    #[test]
    fn the_checkout_is_found_in_texts_but_not_its_namesakes() {
        let files = files(&[(
            "a.md",
            "cd /home/pi/feeder\nsee /home/pi/feeder/README.md\n/home/pi/feeder-cluster\n",
        )]);
        assert_eq!(
            shown(&no_place_of_the_checkout(&files, "/home/pi/feeder".into())),
            ["a.md:1", "a.md:2"]
        );
        assert_eq!(no_place_of_the_checkout(&files, "/home".into()), []);
    }

    #[test]
    fn a_program_that_setup_does_not_know_is_found() {
        let call = |program: &str| format!("let cmd = Cmd::new(\"{program}\");\n");
        let text = call("mke2fs")
            + "// "
            + &call("socat")
            + &call("socat")
            + "#[cfg(test)]\n"
            + &call("socat");
        let files = files(&[
            ("a/src/b.rs", &*text),
            ("a/tests/c.rs", &*call("socat")),
            ("a/src/tests.rs", &*call("socat")),
        ]);
        assert_eq!(shown(&programs_are_in_the_table(&files)), ["a/src/b.rs:3"]);
    }
}
