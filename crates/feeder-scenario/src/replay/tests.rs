use std::{collections::BTreeSet, io::Read, sync::Arc};

use camino::{Utf8Path, Utf8PathBuf};
use feeder_ui::Progress;

use super::*;
use crate::{
    Attended, Options, Ran, Scenario, Stage, Steps, clock::fake::FakeClock, run::run_with,
    testing::temp_root,
};

/// A stage whose image is what the machine's name says.
struct Made(Story);

impl Stage for Made {
    const MACHINES: &'static [&'static str] = &["old", "new", "unbuilt"];

    fn set_up(_: &str, story: &Story, options: &StageOptions) -> Verdict<Self> {
        if options.machine == "unbuilt" {
            return Err(Failure::host("mmdebstrap is not installed"));
        }
        story.version("image master-sd", format!("sha256:{}", options.machine));
        story.power_on("cluster00", "virt");
        let dir = story.dir().node("cluster00").unwrap();
        let mut log = vec![b'.'; 300 * 1024];
        log.extend_from_slice(b"login: ");
        fs_err::write(dir.join("console.log"), log).unwrap();
        Ok(Self(story.clone()))
    }

    fn tear_down(self) -> Verdict {
        let capture = self.0.dir().file("lan.pcapng");
        fs_err::write(&capture, "frames").unwrap();
        self.0.evidence("capture", &capture, None);
        Ok(())
    }
}

impl Steps for Made {
    fn story(&self) -> &Story {
        &self.0
    }
}

fn failing(lab: &mut Made) -> Verdict {
    lab.0.step("provision", || Err(Failure::product("no OFFER\nsecond line")))
}

fn play(
    root: &Utf8Path,
    run: fn(&mut Made) -> Verdict,
    machine: &str,
    repeats: Option<Repeats>,
) -> Ran {
    let options = Options {
        root: root.to_owned(),
        keep_runs: 10,
        keep_scratch: false,
        attended: Attended::No,
        live: false,
        repeats,
        stage: StageOptions {
            machine: machine.into(),
            consent: feeder_host::Consent::Ask,
            progress: Progress::silent(),
            seed: 7,
            code: Arc::default(),
            reuse: crate::Reuse::Nothing,
        },
    };
    let scenario = Scenario { name: "made", about: "made", run };
    run_with(&scenario, &options, Arc::new(FakeClock::default()), || false).unwrap()
}

fn bundle(ran: &Ran) -> Utf8PathBuf {
    ran.dir.join(FILE)
}

#[test]
fn a_failed_run_leaves_a_bundle_that_tar_can_read() {
    let (_guard, root) = temp_root();
    let ran = play(&root, failing, "old", None);
    assert!(ran.report.conclusion(&ran.dir).contains("replay   "), "it is shown to people");
    let listed =
        feeder_process::Cmd::new("tar").args(["-tzf", bundle(&ran).as_str()]).run().unwrap();
    assert_eq!(
        listed.stdout_text(),
        "manifest.json\nevents.jsonl\nreport.json\ncluster00/console.log\nlan.pcapng\n"
    );
    let file = bundle(&ran);
    let log = ["-xzOf", file.as_str(), "cluster00/console.log"];
    let log = feeder_process::Cmd::new("tar").args(log).run().unwrap().stdout;
    assert_eq!(log.len(), 256 * 1024);
    assert!(log.ends_with(b".login: "), "the end of a long log is what counts");

    let manifest = Manifest::read(&bundle(&ran)).unwrap();
    assert_eq!((manifest.scenario.as_str(), manifest.machine.as_str()), ("made", "old"));
    assert_eq!((manifest.seed, &manifest.versions), (7, &ran.report.versions));
    assert_eq!(manifest.versions["Cargo.lock"], cargo_lock());
    let failure = manifest.failure.to_string();
    assert_eq!(failure, "class product at step 1, \"provision\": no OFFER");
}

#[test]
fn only_failures_leave_one() {
    let (_guard, root) = temp_root();
    let passed = play(&root, |_| Ok(()), "old", None);
    let stopped = play(&root, |_| Err(Failure::interrupted("enough")), "old", None);
    for ran in [passed, stopped] {
        assert!(!bundle(&ran).exists());
        assert!(ran.report.evidence.iter().all(|evidence| evidence.what != "replay"));
    }
}

#[test]
fn a_repetition_tells_whether_it_failed_the_same_way() {
    let (_guard, root) = temp_root();
    let manifest = Manifest::read(&bundle(&play(&root, failing, "old", None))).unwrap();
    let again = |run| {
        let ran = play(&root, run, "old", Some(manifest.repeats(false)));
        manifest.judge(&ran.report).unwrap()
    };
    assert_eq!(again(failing), Replayed::Same);
    assert_eq!(again(|_| Ok(())), Replayed::NotFailed);
    assert_eq!(again(|_| Err(Failure::interrupted("enough"))), Replayed::Interrupted);
    let otherwise = again(|lab| lab.0.step("provision", || Err(Failure::product("no ACK"))));
    insta::assert_snapshot!(manifest.conclusion(&otherwise), @r#"
    replay   failed otherwise
      then: class product at step 1, "provision": no OFFER
      now:  class product at step 1, "provision": no ACK
    "#);
}

#[test]
fn what_is_made_of_something_else_is_not_played() {
    let (_guard, root) = temp_root();
    let manifest = Manifest::read(&bundle(&play(&root, failing, "old", None))).unwrap();
    fn never(_: &mut Made) -> Verdict {
        panic!("played")
    }
    let ran = play(&root, never, "new", Some(manifest.repeats(false)));
    let error = manifest.judge(&ran.report).unwrap_err();
    assert_eq!(error.exit(), Exit::NotAsWanted);
    insta::assert_snapshot!(error, @r"
    this is not what failed then
      image master-sd: sha256:old then, sha256:new here
    ");
    assert!(!bundle(&ran).exists(), "there is nothing to play again");
    let ran = play(&root, failing, "new", Some(manifest.repeats(true)));
    assert_eq!(manifest.judge(&ran.report).unwrap(), Replayed::Same, "--anyway");
    let events = fs_err::read_to_string(ran.dir.join("events.jsonl")).unwrap();
    assert!(events.contains("differs: image master-sd: sha256:old then, sha256:new here"));
}

#[test]
fn what_is_no_bundle_is_refused() {
    let (_guard, root) = temp_root();
    let ran = play(&root, failing, "old", None);
    let path = root.join("x.tar.gz");
    let refused = |bytes: &[u8]| {
        fs_err::write(&path, bytes).unwrap();
        let error = Manifest::read(&path).unwrap_err();
        assert_eq!(error.exit(), Exit::Input, "{error}");
        error.to_string()
    };
    assert!(refused(b"").contains("is no replay bundle"));
    assert!(refused(b"no gzip at all").contains("is no replay bundle"));
    let whole = fs_err::read(bundle(&ran)).unwrap();
    let mut seen = BTreeSet::new();
    for cut in (0..whole.len()).step_by(whole.len() / 40) {
        fs_err::write(&path, &whole[..cut]).unwrap();
        // A file that was cut behind its manifest still tells what to play.
        seen.insert(Manifest::read(&path).is_ok());
    }
    assert_eq!(seen.len(), 2);
    assert!(matches!(Manifest::read(&root.join("none")), Err(ReplayError::Read { .. })));

    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(&whole[..]).read_to_end(&mut plain).unwrap();
    let newer = |bytes: &[u8]| {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut gzip, bytes).unwrap();
        gzip.finish().unwrap()
    };
    let at = plain.windows(11).position(|part| part == b"\"schema\": 1").unwrap();
    plain[at + 10] = b'2';
    assert!(refused(&newer(&plain)).ends_with("has the newer form 2"));
}

#[test]
fn a_stage_that_cannot_be_built_is_a_failure_like_others() {
    let (_guard, root) = temp_root();
    let ran = play(&root, failing, "unbuilt", None);
    let manifest = Manifest::read(&bundle(&ran)).unwrap();
    assert_eq!(manifest.failure.step, None);
    let again = play(&root, failing, "unbuilt", Some(manifest.repeats(false)));
    assert_eq!(manifest.judge(&again.report).unwrap(), Replayed::Same);
}
