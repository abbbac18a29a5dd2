//! The repository of locked packages, read by apt itself.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::os::unix::fs::MetadataExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use feeder_image::{ImageError, Lock, repository};
use feeder_process::Cmd;
use feeder_store::{Digest, Store};
use feeder_ui::Expected;

struct Deb {
    name: &'static str,
    path: String,
    file: Utf8PathBuf,
}

/// Makes an empty package.
fn deb(dir: &Utf8Path, name: &'static str, component: &str, depends: &str) -> Deb {
    let tree = dir.join(name);
    std::fs::create_dir_all(tree.join("DEBIAN")).unwrap();
    let control = format!(
        "Package: {name}\nVersion: 1:2.0-1\nArchitecture: arm64\nMaintainer: Nobody <nobody@example.test>\n\
         {depends}Description: nothing\n"
    );
    std::fs::write(tree.join("DEBIAN/control"), control).unwrap();
    let file = dir.join(format!("{name}_2.0-1_arm64.deb"));
    Cmd::new("dpkg-deb")
        .args(["--root-owner-group", "--build", tree.as_str(), file.as_str()])
        .run()
        .unwrap();
    let path = format!("pool/{component}/x/{name}/{}", file.file_name().unwrap());
    Deb { name, path, file }
}

fn lock(debs: &[Deb]) -> Lock {
    let mut text = String::from(
        "schema = 1\nsuite = \"trixie\"\narchitecture = \"arm64\"\nrelease_date = \"2026-09-05T09:00:00Z\"\n\
         release_sha256 = \"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"\n\
         [[set]]\nname = \"s\"\npackages = []\n",
    );
    for Deb { name, path, file } in debs {
        let content = std::fs::read(file).unwrap();
        text.push_str(&format!(
            "[[package]]\nname = \"{name}\"\nversion = \"1:2.0-1\"\narchitecture = \"arm64\"\npath = \"{path}\"\n\
             size = {}\nsha256 = \"{}\"\nsets = [\"s\"]\n",
            content.len(),
            Digest::of(&content)
        ));
    }
    Lock::parse(&text, "test.lock").unwrap()
}

/// Runs apt in a root of its own, with the repository as its only source.
fn apt(dir: &Utf8Path, repository: &Utf8Path, args: &[&str]) -> String {
    let root = dir.join("apt");
    for part in [
        "etc/apt/apt.conf.d",
        "var/lib/apt/lists/partial",
        "var/lib/dpkg",
        "var/cache/apt/archives/partial",
    ] {
        std::fs::create_dir_all(root.join(part)).unwrap();
    }
    std::fs::write(root.join("var/lib/dpkg/status"), "").unwrap();
    std::fs::write(
        root.join("etc/apt/sources.list"),
        format!("deb [trusted=yes] copy://{repository} trixie main non-free-firmware\n"),
    )
    .unwrap();
    let config = format!(
        "Dir \"{root}\";\nDir::State::status \"{root}/var/lib/dpkg/status\";\nAPT::Architecture \"arm64\";\n\
         APT::Architectures {{ \"arm64\"; }};\nAPT::Sandbox::User \"root\";\nAcquire::Languages \"none\";\n\
         Acquire::Check-Valid-Until \"false\";\nAcquire::Check-Date \"false\";\n"
    );
    std::fs::write(root.join("apt.conf"), config).unwrap();
    let cmd = Cmd::new("apt-get")
        .args(args.iter().copied())
        .env("APT_CONFIG", root.join("apt.conf").as_str());
    cmd.env("LC_ALL", "C").dir(root.as_str()).run().unwrap().stdout_text()
}

#[test]
fn apt_installs_from_it() {
    let temp = tempfile::tempdir().unwrap();
    let dir = Utf8Path::from_path(temp.path()).unwrap();
    let store = Store::open(&dir.join("store")).unwrap();
    let debs = [
        deb(dir, "feeder-blob", "non-free-firmware", ""),
        deb(dir, "feeder-tool", "main", "Depends: feeder-blob (>= 1:2)\n"),
    ];
    let lock = lock(&debs);

    let error = repository(&store, &lock, &["s"]).unwrap_err();
    assert!(
        matches!(&error, ImageError::Missing { package } if package.contains("feeder-blob 1:2.0-1")),
        "{error}"
    );
    assert!(error.hint().unwrap().contains("image build"));

    for deb in &debs {
        store.put_blob(std::fs::File::open(&deb.file).unwrap(), None).unwrap();
    }
    let place = repository(&store, &lock, &["s"]).unwrap();
    assert_eq!(repository(&store, &lock, &["s"]).unwrap(), place);
    assert!(matches!(repository(&store, &lock, &["t"]), Err(ImageError::Lock(_))));
    assert_eq!(place.join(&debs[0].path).metadata().unwrap().nlink(), 2, "no second copy on disk");

    apt(dir, &place, &["update", "--error-on=any"]);
    let plan = apt(dir, &place, &["install", "--simulate", "feeder-tool"]);
    assert!(
        plan.contains("Inst feeder-blob (1:2.0-1 Debian") && plan.contains("Inst feeder-tool"),
        "{plan}"
    );
    apt(dir, &place, &["download", "feeder-tool"]);
    let got = std::fs::read(dir.join("apt/feeder-tool_1%3a2.0-1_arm64.deb")).unwrap();
    assert_eq!(Digest::of(got), Digest::of(std::fs::read(&debs[1].file).unwrap()));
}
