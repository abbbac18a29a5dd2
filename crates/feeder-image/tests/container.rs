//! An image of a container: every digest in it is true, and it is the same bytes every time.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use feeder_image::{ContainerRecipe, ImageError, Lock, container};
use feeder_process::Cmd;
use feeder_store::{Digest, Store};
use serde_json::Value;

const RECIPE: &str = r#"
name = "hello"
tag = "localhost:5000/hello:3"
install = ["s"]
command = ["hello", "--world"]
port = 80
[files]
"bin/hello" = "usr/bin/hello"
[links]
"bin/sh" = "hello"
"#;

/// A package with one program in it.
fn deb(dir: &Utf8Path) -> Utf8PathBuf {
    let tree = dir.join("hello");
    fs_err::create_dir_all(tree.join("DEBIAN")).unwrap();
    fs_err::create_dir_all(tree.join("usr/bin")).unwrap();
    fs_err::write(tree.join("usr/bin/hello"), "#!/bin/true\n").unwrap();
    Cmd::new("chmod").args(["0755", tree.join("usr/bin/hello").as_str()]).run().unwrap();
    let control = "Package: hello\nVersion: 1\nArchitecture: arm64\nMaintainer: Nobody <nobody@example.test>\n\
                   Description: nothing\n";
    fs_err::write(tree.join("DEBIAN/control"), control).unwrap();
    let file = dir.join("hello_1_arm64.deb");
    let arguments = ["--root-owner-group", "--build", tree.as_str(), file.as_str()];
    Cmd::new("dpkg-deb").args(arguments).run().unwrap();
    file
}

fn lock(deb: &[u8]) -> Lock {
    let text = format!(
        "schema = 1\nsuite = \"trixie\"\narchitecture = \"arm64\"\nrelease_date = \"2026-09-05T09:00:00Z\"\n\
         release_sha256 = \"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"\n\
         [[set]]\nname = \"s\"\npackages = []\n\
         [[package]]\nname = \"hello\"\nversion = \"1\"\narchitecture = \"arm64\"\n\
         path = \"pool/main/h/hello/hello_1_arm64.deb\"\nsize = {}\nsha256 = \"{}\"\nsets = [\"s\"]\n",
        deb.len(),
        Digest::of(deb)
    );
    Lock::parse(&text, "test.lock").unwrap()
}

fn recipe(dir: &Utf8Path) -> ContainerRecipe {
    let own = dir.join("recipes/hello/etc");
    fs_err::create_dir_all(&own).unwrap();
    fs_err::write(own.join("motd"), "hello\n").unwrap();
    let file = dir.join("recipes/hello.toml");
    fs_err::write(&file, RECIPE).unwrap();
    ContainerRecipe::load(&file).unwrap()
}

/// A store that has the package, or not.
fn store(dir: &Utf8Path, name: &str, deb: Option<&[u8]>) -> Store {
    let store = Store::open(&dir.join(name)).unwrap();
    if let Some(deb) = deb {
        store.put_blob(deb, None).unwrap();
    }
    store
}

#[test]
fn every_digest_is_true_and_all_bytes_are_the_same_again() {
    let guard = tempfile::tempdir().unwrap();
    let dir = Utf8Path::from_path(guard.path()).unwrap();
    let deb = fs_err::read(deb(dir)).unwrap();
    let (recipe, lock) = (recipe(dir), lock(&deb));
    let [first, second] = ["one", "two"].map(|name| {
        let built = container(&store(dir, name, Some(&deb)), &recipe, &lock).unwrap();
        assert_eq!(built.tag, "localhost:5000/hello:3");
        built.archive
    });
    assert_eq!(fs_err::read(&first).unwrap(), fs_err::read(&second).unwrap());

    let out = dir.join("out");
    fs_err::create_dir(&out).unwrap();
    Cmd::new("tar").args(["-xf", first.as_str(), "-C", out.as_str()]).run().unwrap();
    let json = |path: &str| -> Value {
        serde_json::from_slice(&fs_err::read(out.join(path)).unwrap()).unwrap()
    };
    // What a descriptor names is there, as long and with the digest that it says.
    let blob = |descriptor: &Value| {
        let digest = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
        let path = format!("blobs/sha256/{digest}");
        let bytes = fs_err::read(out.join(&path)).unwrap();
        assert_eq!(Digest::of(&bytes).to_string(), digest);
        assert_eq!(descriptor["size"], bytes.len());
        path
    };
    assert_eq!(json("oci-layout")["imageLayoutVersion"], "1.0.0");
    let named = &json("index.json")["manifests"][0];
    assert_eq!(named["annotations"]["io.containerd.image.name"], "localhost:5000/hello:3");
    let manifest = json(&blob(named));
    let (config, layer) = (blob(&manifest["config"]), blob(&manifest["layers"][0]));
    let docker = &json("manifest.json")[0];
    assert_eq!(
        (&docker["Config"], &docker["Layers"][0]),
        (&Value::from(&*config), &Value::from(&*layer))
    );
    let config = json(&config);
    assert_eq!(config["rootfs"]["diff_ids"][0], manifest["layers"][0]["digest"]);
    assert_eq!(config["config"]["Cmd"], serde_json::json!(["hello", "--world"]));

    let list =
        Cmd::new("tar").args(["-tvf", out.join(layer).as_str()]).env("TZ", "UTC").run().unwrap();
    let list = list.stdout_text();
    let modes: BTreeMap<&str, &str> = list
        .lines()
        .map(|line| (line.split(' ').next_back().unwrap(), line.split(' ').next().unwrap()))
        .collect();
    assert_eq!((modes["./bin/hello"], modes["./etc/motd"]), ("-rwxr-xr-x", "-rw-r--r--"), "{list}");
    assert!(list.contains("./bin/sh -> hello"), "{list}");
    assert!(
        list.lines().all(|line| line.contains(" root/root ") || line.contains(" 0/0 ")),
        "{list}"
    );
    assert!(list.lines().all(|line| line.contains("2026-09-05 09:00")), "{list}");
}

#[test]
fn another_mode_of_a_file_is_another_image() {
    let guard = tempfile::tempdir().unwrap();
    let dir = Utf8Path::from_path(guard.path()).unwrap();
    let deb = fs_err::read(deb(dir)).unwrap();
    let (recipe, lock, store) = (recipe(dir), lock(&deb), store(dir, "one", Some(&deb)));
    let before = container(&store, &recipe, &lock).unwrap();
    let motd = dir.join("recipes/hello/etc/motd");
    Cmd::new("chmod").args(["0755", motd.as_str()]).run().unwrap();
    let after = container(&store, &recipe, &lock).unwrap();
    assert_ne!(before.digest, after.digest);
    assert_ne!(fs_err::read(&before.archive).unwrap(), fs_err::read(&after.archive).unwrap());
}

#[test]
fn a_package_that_was_not_fetched_is_named() {
    let guard = tempfile::tempdir().unwrap();
    let dir = Utf8Path::from_path(guard.path()).unwrap();
    let deb = fs_err::read(deb(dir)).unwrap();
    let error = container(&store(dir, "empty", None), &recipe(dir), &lock(&deb)).unwrap_err();
    assert!(
        matches!(&error, ImageError::Missing { package } if package == "hello 1 (arm64)"),
        "{error}"
    );
}
