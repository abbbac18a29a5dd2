//! What is found, what is not, and what stays on disk.

use camino::{Utf8Path, Utf8PathBuf};
use feeder_store::Digest;
use fs_err as fs;
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn step(line: u32, literal: &str, parts: &[(&str, &str)]) -> StepCode {
    StepCode {
        file: "scenarios/src/a.rs".to_owned(),
        line,
        column: 9,
        site: format!("scenarios/src/a.rs fn a {line}"),
        literal: Some(literal.to_owned()),
        parts: parts.iter().map(|(name, text)| (*name, Input::Digest(Digest::of(text)))).collect(),
    }
}

fn steps() -> Vec<StepCode> {
    let own = ("the step's own code", "1");
    vec![
        step(1, "boot", &[own]),
        step(2, "provision", &[own]),
        step(3, "netboot", &[own, ("fn netboots", "1")]),
    ]
}

fn edited() -> Vec<StepCode> {
    let own = ("the step's own code", "1");
    vec![
        step(1, "boot", &[own]),
        step(5, "provision", &[own]),
        step(9, "netboot", &[own, ("fn netboots", "2"), ("const BOOT_TEXT", "1")]),
    ]
}

fn base() -> Inputs {
    Inputs::default().text("qemu", "10.0.2").text("seed", "1").digest("image", Digest::of("image"))
}

fn ingredients() -> Inputs {
    let files = |text: &str| Input::Files([("nfs.rs".to_owned(), Digest::of(text))].into());
    [("modules", files("m1")), ("docs", files("d1"))].into_iter().collect()
}

struct World {
    _guard: tempfile::TempDir,
    root: Utf8PathBuf,
    shelf: Shelf,
}

fn world() -> World {
    let guard = tempfile::tempdir().unwrap();
    let root = Utf8PathBuf::try_from(guard.path().to_owned()).unwrap();
    let shelf = Shelf::open(&root.join("snapshots")).unwrap();
    World { _guard: guard, root, shelf }
}

impl World {
    /// Runs three steps of which the second uses the modules. Each writes a file of 64 KiB that lies on those before it.
    fn run(&self, steps: &[StepCode]) -> Vec<Entry> {
        let live = self.shelf.live().unwrap();
        let mut chain = Chain::new("a", base(), ingredients());
        let mut files = Vec::new();
        let mut entries = Vec::new();
        for step in steps {
            let name = step.literal.as_deref().unwrap();
            let next = chain.next(name, Some(step));
            assert!(live.find(&chain, &next).unwrap().is_none(), "{name}");
            let used: &[&str] = if name == "provision" { &["modules"] } else { &[] };
            chain.took(next, used);
            let file = live.new_file("disk.qcow2").unwrap();
            fs::write(&file, vec![7; 64 << 10]).unwrap();
            files.push(file);
            let state = json!({ "after": name });
            let entry = live.publish(&chain, &self.root, &files, state).unwrap().unwrap();
            entries.push(entry);
        }
        entries
    }

    /// How many steps are found, one after the other.
    fn found(&self, base: Inputs, ingredients: Inputs, steps: &[StepCode]) -> usize {
        let live = self.shelf.live().unwrap();
        let mut chain = Chain::new("a", base, ingredients);
        for (count, step) in steps.iter().enumerate() {
            let next = chain.next(step.literal.as_deref().unwrap(), Some(step));
            let Some(entry) = live.find(&chain, &next).unwrap() else { return count };
            chain.resumed(next, &entry);
            assert_eq!(chain.key(), Some(entry.key));
        }
        steps.len()
    }

    fn files(&self) -> usize {
        self.shelf.names("files").unwrap().len()
    }
}

#[test]
fn a_second_run_finds_every_step_and_its_state() {
    let world = world();
    let entries = world.run(&steps());
    assert_eq!(entries[2].state, json!({ "after": "netboot" }));
    assert_eq!(world.found(base(), ingredients(), &steps()), 3);
    let file = world.shelf.path(&entries[2].files[0]);
    assert!(fs::metadata(&file).unwrap().permissions().readonly());
    assert_eq!(fs::read(file).unwrap().len(), 64 << 10);
}

#[test]
fn the_modules_count_from_the_first_step_that_used_them() {
    let world = world();
    world.run(&steps());
    let mut changed = ingredients();
    changed.set("docs", Input::Text("other".into()));
    assert_eq!(world.found(base(), changed.clone(), &steps()), 3, "nobody used them");
    changed.set("modules", Input::Text("other".into()));
    assert_eq!(world.found(base(), changed, &steps()), 1);
    let gone = ingredients()
        .iter()
        .filter(|(name, _)| *name == "docs")
        .map(|(n, i)| (n.to_owned(), i.clone()))
        .collect();
    assert_eq!(world.found(base(), gone, &steps()), 1);
}

#[test]
fn behind_code_that_is_not_known_nothing_is_found() {
    let world = world();
    let live = world.shelf.live().unwrap();
    let mut chain = Chain::new("a", base(), ingredients());
    chain.took(chain.next("boot", None), ["docs"]);
    assert_eq!(live.publish(&chain, &world.root, &[], json!(null)).unwrap(), None);
    chain.took(chain.next("provision", Some(&steps()[1])), ["docs"]);
    assert_eq!(chain.key(), None);
    let mut chain = Chain::new("a", base(), ingredients());
    chain.took(chain.next("boot", Some(&steps()[0])), ["nobody has its digest"]);
    assert_eq!(chain.key(), None);
}

#[test]
fn an_edited_entry_or_file_is_no_state() {
    let world = world();
    let entries = world.run(&steps());
    let path = world.shelf.entry_path(&entries[0]).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("10.0.2", "10.1.0")).unwrap();
    assert_eq!(world.found(base(), ingredients(), &steps()), 0);
    fs::write(&path, text).unwrap();
    let file = world.shelf.path(&entries[1].files[1]);
    fs::remove_file(&file).unwrap();
    fs::write(&file, "short").unwrap();
    assert_eq!(world.found(base(), ingredients(), &steps()), 1);
}

#[test]
fn a_state_cannot_need_what_is_not_on_the_shelf() {
    let world = world();
    let live = world.shelf.live().unwrap();
    let mut chain = Chain::new("a", base(), ingredients());
    chain.took(chain.next("boot", Some(&steps()[0])), [""; 0]);
    let outside = live.dir().join("ram");
    fs::write(&outside, "ram").unwrap();
    let error = live.publish(&chain, &world.root, std::slice::from_ref(&outside), json!(null));
    assert!(matches!(error, Err(ShelfError::Elsewhere { path }) if path == outside));
    let inside = live.new_file("ram").unwrap();
    fs::rename(&outside, &inside).unwrap();
    assert!(live.publish(&chain, &world.root, &[inside], json!(null)).unwrap().is_some());
}

#[test]
fn of_two_runs_that_come_to_the_same_state_the_first_one_stays() {
    let world = world();
    let (first, second) = (world.shelf.live().unwrap(), world.shelf.live().unwrap());
    let mut kept = Vec::new();
    for live in [&first, &second] {
        let mut chain = Chain::new("a", base(), ingredients());
        chain.took(chain.next("boot", Some(&steps()[0])), [""; 0]);
        assert_eq!(live.has(&chain).unwrap(), !kept.is_empty());
        let file = live.new_file("disk").unwrap();
        fs::write(&file, "disk").unwrap();
        kept.push(live.publish(&chain, &world.root, &[file], json!(null)).unwrap().unwrap());
    }
    assert_eq!(kept[0], kept[1]);
    assert_eq!(world.files(), 2, "the second still goes on from its own");
    drop((first, second));
    assert_eq!(world.files(), 1);
}

#[test]
fn what_a_killed_run_left_goes_with_the_next_one() {
    let world = world();
    let live = world.shelf.live().unwrap();
    fs::write(live.new_file("disk").unwrap(), "half").unwrap();
    drop(Shelf::open(&world.root.join("snapshots")).unwrap());
    assert_eq!(world.files(), 1, "it is alive");
    // As after SIGKILL: the kernel releases the lock, and nothing is removed.
    let dead = world.shelf.part("live").join("1-1-0");
    fs::create_dir_all(dead.join("claims")).unwrap();
    fs::write(dead.join(feeder_process::lease::LOCK), "").unwrap();
    fs::write(dead.join("claims/1-1-0-0-disk"), "").unwrap();
    fs::write(world.shelf.part("files").join("1-1-0-0-disk"), "half").unwrap();
    fs::write(world.shelf.part("entries").join(".half"), "{").unwrap();
    drop(Shelf::open(&world.root.join("snapshots")).unwrap());
    assert!(!dead.exists() && live.dir().exists());
    assert_eq!((world.files(), world.shelf.names("entries").unwrap().len()), (1, 0));
    drop(live);
    assert_eq!((world.files(), world.shelf.names("live").unwrap().len()), (0, 0));
}

#[test]
fn the_longest_unused_goes_first_and_what_others_need_stays() {
    let world = world();
    let entries = world.run(&steps());
    let all = world.shelf.gc(u64::MAX).unwrap();
    assert_eq!((all.files, all.states), (0, 0));
    assert!(all.left >= 3 * (64 << 10), "{all:?}");
    // The last step was used longest ago, the first one just now.
    for (age, entry) in entries.iter().enumerate() {
        let path = world.shelf.entry_path(entry).unwrap();
        let time = std::time::SystemTime::now() - std::time::Duration::from_secs(age as u64);
        fs::File::open(path).unwrap().file().set_modified(time).unwrap();
    }
    let freed = world.shelf.gc(all.left - 1).unwrap();
    assert_eq!((freed.files, freed.states), (1, 1));
    assert_eq!(freed.bytes + freed.left, all.left);
    assert_eq!(world.found(base(), ingredients(), &steps()), 2);
    let why = world.why(steps(), &base(), "netboot");
    assert!(matches!(&why, Why::Evicted { files } if files.len() == 1), "{why:?}");
    // It can be stored again in place of the one that is gone.
    let live = world.shelf.live().unwrap();
    let mut chain = Chain::new("a", base(), ingredients());
    for step in &steps()[..2] {
        let next = chain.next(step.literal.as_deref().unwrap(), Some(step));
        let entry = live.find(&chain, &next).unwrap().unwrap();
        chain.resumed(next, &entry);
    }
    chain.took(chain.next("netboot", Some(&steps()[2])), [""; 0]);
    live.publish(&chain, &world.root, &[], json!(null)).unwrap().unwrap();
    assert_eq!(world.found(base(), ingredients(), &steps()), 3);
    assert_eq!(world.shelf.gc(0).unwrap().files, 0, "a run goes on from them");
    drop(live);
    let freed = world.shelf.gc(0).unwrap();
    assert_eq!((freed.files, freed.left), (2, 0));
}

impl World {
    fn why(&self, steps: Vec<StepCode>, base: &Inputs, step: &str) -> Why {
        let code = Code { steps, ..Code::default() };
        let today = Today { code: &code, base, ingredients: &ingredients() };
        why(&self.shelf, today, "a", step).unwrap()
    }
}

#[test]
fn why_names_what_has_changed() {
    let world = world();
    world.run(&steps());
    assert!(matches!(world.why(steps(), &base(), "netboot"), Why::Stored { .. }));
    assert_eq!(world.why(steps(), &base(), "dance"), Why::NeverStored);
    assert!(
        matches!(world.why(edited(), &base(), "provision"), Why::Stored { .. }),
        "a line's number is nothing"
    );
    let why = world.why(edited(), &base().text("qemu", "10.1.0"), "netboot");
    let Why::Changed { base, steps, .. } = &why else { panic!("{why:?}") };
    let said = |what: &[Difference]| what.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(said(base), ["qemu was 10.0.2, is 10.1.0"]);
    assert_eq!(steps.len(), 1);
    assert_eq!(said(&steps[0].what), ["fn netboots changed", "const BOOT_TEXT is new"]);
    let again: Why = serde_json::from_str(&serde_json::to_string(&why).unwrap()).unwrap();
    assert_eq!(again, why);
    let shown = why.to_string();
    let shown: Vec<_> = shown.lines().skip(2).collect();
    insta::assert_snapshot!(shown.join("\n"), @r#"
      for every step
        qemu was 10.0.2, is 10.1.0
      for step "netboot"
        fn netboots changed
        const BOOT_TEXT is new
    "#);
}

#[test]
fn a_proof_counts_while_its_evidence_is_there() {
    let parts = steps().remove(2).parts;
    let code = Code { scenarios: [("a".to_owned(), parts)].into(), ..Code::default() };
    let world = world();
    let key = |code: &Code, base: &Inputs| verdict_key("a", base, &ingredients(), code);
    let run = world.root.join("run");
    fs::create_dir(&run).unwrap();
    let proof = Proof {
        scenario: "a".into(),
        run: run.clone(),
        when: "2025-01-01T00:00:00Z".into(),
        took: std::time::Duration::from_secs(300),
        steps: 7,
    };
    let today = key(&code, &base()).unwrap();
    assert_eq!(world.shelf.proof(today).unwrap(), None);
    world.shelf.prove(today, &proof).unwrap();
    assert_eq!(world.shelf.proof(today).unwrap(), Some(proof));
    assert_eq!(world.shelf.proof(key(&code, &base().text("seed", "2")).unwrap()).unwrap(), None);
    assert_eq!(key(&Code::default(), &base()), None);
    fs::remove_dir(&run).unwrap();
    assert_eq!(world.shelf.proof(today).unwrap(), None);
    world.shelf.gc(u64::MAX).unwrap();
    assert!(world.shelf.names("verdicts").unwrap().is_empty());
}

/// A path through three steps, as text, so that any one word of it can be changed.
type Words = (Vec<(String, String)>, Vec<(String, Vec<(String, String)>, Vec<(String, String)>)>);

fn words() -> impl Strategy<Value = Words> {
    let named = || prop::collection::btree_map("[a-z]{1,4}", "[a-z]{1,4}", 1..4);
    let list = |map: std::collections::BTreeMap<_, _>| map.into_iter().collect::<Vec<_>>();
    let step = ("[a-z]{1,4}", named().prop_map(list), named().prop_map(list));
    (named().prop_map(list), prop::collection::vec(step, 1..4))
}

fn key_of(words: &Words) -> Key {
    let inputs = |list: &[(String, String)]| -> Inputs {
        list.iter().map(|(name, text)| (name.clone(), Input::Text(text.clone()))).collect()
    };
    let taken = |(name, code, used): &(String, Vec<_>, Vec<_>)| Taken {
        name: name.clone(),
        code: inputs(code),
        used: inputs(used),
        site: String::new(),
    };
    let trail: Vec<_> = words.1.iter().map(taken).collect();
    key::key_of("a", &inputs(&words.0), &trail)
}

proptest! {
    #[test]
    fn any_changed_word_is_another_key(words in words(), pick in any::<prop::sample::Index>(), at in 0usize..64) {
        let mut changed = words.clone();
        let mut texts: Vec<&mut String> = Vec::new();
        texts.extend(changed.0.iter_mut().flat_map(|(name, text)| [name, text]));
        for (name, code, used) in &mut changed.1 {
            texts.push(name);
            texts.extend(code.iter_mut().chain(used).flat_map(|(name, text)| [name, text]));
        }
        let text = pick.get_mut(&mut texts);
        // A letter that no name has, so that no two names become one.
        text.insert(at % (text.len() + 1), '-');
        prop_assert_ne!(key_of(&changed), key_of(&words));
    }

    #[test]
    fn another_order_or_length_is_another_key(words in words(), pick in any::<prop::sample::Index>()) {
        let mut shorter = words.clone();
        let at = pick.index(shorter.1.len());
        let step = shorter.1.remove(at);
        prop_assert_ne!(key_of(&shorter), key_of(&words));
        shorter.1.insert(0, step);
        if shorter.1 != words.1 {
            prop_assert_ne!(key_of(&shorter), key_of(&words));
        }
    }

    #[test]
    fn what_moves_from_one_set_to_another_is_another_key(words in words()) {
        let mut moved = words.clone();
        let (_, code, used) = &mut moved.1[0];
        used.insert(0, code.remove(0));
        prop_assert_ne!(key_of(&moved), key_of(&words));
    }
}

#[test]
fn the_shelf_lies_with_the_store() {
    assert!(Shelf::default_root().ends_with(Utf8Path::new("snapshots")));
}
