//! The command line, of a table of scenarios without machines.

use std::sync::Arc;

use feeder_scenario::{Class, Failure, Named, Recorded, Steps, Story, Verdict};
use feeder_ui::Progress;

use super::*;

struct Bare {
    story: Story,
    mutation: Option<Mutation<Bare>>,
    broken: std::cell::Cell<bool>,
}

impl Stage for Bare {
    const MACHINES: &'static [&'static str] = &["virt", "raspi3b"];

    fn set_up(_scenario: &str, story: &Story, options: &StageOptions) -> Verdict<Self> {
        story.version("machine", &options.machine);
        Ok(Self { story: story.clone(), mutation: None, broken: false.into() })
    }

    fn mutate(&mut self, mutation: Mutation<Self>) {
        self.mutation = Some(mutation);
    }

    fn tear_down(self) -> Verdict {
        Ok(())
    }
}

impl Steps for Bare {
    fn story(&self) -> &Story {
        &self.story
    }

    fn step(&mut self, name: impl Into<String>, body: impl Fn(&mut Self) -> Verdict) -> Verdict {
        let name = name.into();
        if let Some(mutation) = self.mutation.take_if(|mutation| mutation.before == name) {
            mutation.plant(self)?;
        }
        let story = self.story.clone();
        story.step(name, || body(self))
    }
}

const TABLE: &[Scenario<Bare>] = &[
    Scenario {
        name: "good",
        about: "everything works",
        run: |lab| {
            lab.step("one", |_| Ok(()))?;
            lab.step("two", |lab| {
                lab.story.note("the lamp is lit");
                if lab.broken.get() {
                    return Err(Failure::product("the lamp is dark").on("lamp"));
                }
                Ok(())
            })
        },
    },
    Scenario {
        name: "bad",
        about: "nothing works",
        run: |lab| lab.step("one", |_| Err(Failure::product("no"))),
    },
];

const NAMED: Named = Named { class: Class::Product, node: "lamp", words: &["dark"] };
const MUTATIONS: Mutations<Bare> = &[
    (
        "good",
        &[
            Mutation {
                name: "a lamp that is broken",
                before: "two",
                plant: |lab| {
                    lab.broken.set(true);
                    Ok(())
                },
                names: NAMED,
            },
            Mutation { name: "nothing at all", before: "two", plant: |_| Ok(()), names: NAMED },
            Mutation { name: "no such step", before: "three", plant: |_| Ok(()), names: NAMED },
        ],
    ),
    ("bad", &[Mutation { name: "any", before: "one", plant: |_| Ok(()), names: NAMED }]),
];

fn parsed(arguments: &[&str]) -> Result<Command, clap::Error> {
    let all = ["scenario"].iter().chain(arguments);
    Command::from_arg_matches(&command(TABLE).try_get_matches_from(all)?)
}

#[test]
fn the_arguments_fit_together() {
    command(TABLE).debug_assert();
    assert!(parsed(&["run", "good", "bad", "--machine", "raspi3b", "--keep"]).is_ok());
    assert!(parsed(&["run", "--all", "--format", "json"]).is_ok());
    for (wrong, said) in [
        (&["run"][..], "required"),
        (&["run", "god"], "a similar value exists: 'good'"),
        (&["run", "good", "--machine", "pc"], "[possible values: virt, raspi3b]"),
        (&["run", "good", "--all"], "cannot be used with"),
    ] {
        let error = parsed(wrong).unwrap_err();
        assert!(error.to_string().contains(said), "{wrong:?}: {error}");
        assert_eq!(error.exit_code(), i32::from(Exit::Input.code()));
    }
}

/// The runs of a command line, in a directory of their own.
fn played(names: &[&str]) -> (tempfile::TempDir, Vec<Ran>) {
    let guard = tempfile::tempdir().unwrap();
    let options = Options {
        root: Utf8PathBuf::try_from(guard.path().to_owned()).unwrap(),
        keep_runs: 10,
        keep_scratch: false,
        attended: Attended::No,
        live: false,
        repeats: None,
        stage: StageOptions {
            machine: "virt".into(),
            consent: feeder_host::Consent::Ask,
            progress: Progress::silent(),
            seed: 1,
            code: Arc::default(),
            reuse: feeder_scenario::Reuse::Nothing,
        },
    };
    let play = |name: &&str| {
        let scenario = TABLE.iter().find(|scenario| scenario.name == *name).unwrap();
        feeder_scenario::run(scenario, &options).unwrap()
    };
    let runs = names.iter().map(play).collect();
    (guard, runs)
}

#[test]
fn programs_get_verdicts_that_can_be_counted() {
    let (_guard, runs) = played(&["good", "bad"]);
    let json: serde_json::Value =
        serde_json::from_str(&output::verdicts_json(&runs, "virt")).unwrap();
    assert_eq!(json["passed"], 1);
    assert_eq!(json["failed"], 1);
    assert_eq!(json["steps"]["steps"], 3);
    assert_eq!(json["steps"]["passed"], 2);
    assert_eq!(json["runs"][1]["exit"], 20);
    assert_eq!(json["runs"][1]["failure"]["step"]["number"], "1");
    let report = json["runs"][0]["report"].as_str().unwrap();
    let report: serde_json::Value =
        serde_json::from_str(&fs_err::read_to_string(report).unwrap()).unwrap();
    assert_eq!(report["versions"]["machine"], "virt");
    assert_eq!(worst(&runs), Exit::Scenario);
}

#[test]
fn people_get_one_line_about_several() {
    let (_guard, runs) = played(&["good", "bad"]);
    assert_eq!(
        output::summary(&runs),
        "2 scenarios: 1 passed, 1 failed; 3 steps: 2 passed, 1 failed\n"
    );
    assert_eq!(worst(&runs[..1]), Exit::Ok);
}

#[test]
fn the_list_is_a_table() {
    let table = || TABLE.iter().map(|scenario| (scenario.name, scenario.about));
    assert_eq!(
        output::list(table(), Format::Human),
        "good                 everything works\nbad                  nothing works\n"
    );
    let json: serde_json::Value =
        serde_json::from_str(&output::list(table(), Format::Json)).unwrap();
    assert_eq!(json[1]["name"], "bad");
}

#[test]
fn a_run_can_be_attended() {
    for right in [
        &["shell", "good"][..],
        &["shell", "good", "--until", "two", "--machine", "raspi3b", "--live"],
        &["run", "good", "--pause-on-failure", "--seed", "7"],
        &["qemu", "good", "cluster00"],
        &["replay", "replay.tar.gz", "--anyway"],
    ] {
        assert!(parsed(right).is_ok(), "{right:?}");
    }
    for (wrong, said) in [
        (&["shell"][..], "required"),
        (&["shell", "god"], "a similar value exists: 'good'"),
        (&["shell", "good", "--machine", "pc"], "[possible values: virt, raspi3b]"),
        (&["qemu", "god", "cluster00"], "a similar value exists: 'good'"),
    ] {
        let error = parsed(wrong).unwrap_err();
        assert!(error.to_string().contains(said), "{wrong:?}: {error}");
    }
}

fn obeyed(arguments: &[&str]) -> Result<Exit, (Exit, String)> {
    let (progress, _) = Progress::recording();
    obey(parsed(arguments).unwrap(), TABLE, MUTATIONS, &Arc::default(), &progress)
        .map_err(|error| (error.exit(), error.to_string()))
}

#[test]
fn a_failed_run_is_played_again_from_its_file() {
    let (guard, runs) = played(&["bad"]);
    let evidence = guard.path().to_str().unwrap();
    let file = runs[0].dir.join("replay.tar.gz");
    let replay = ["replay", file.as_str(), "--evidence", evidence];
    assert_eq!(obeyed(&replay), Ok(Exit::Scenario), "it fails as it did");
    let runs = guard.path().join("bad").read_dir().unwrap().count();
    assert_eq!(runs, 3, "two runs and the link to the latest");

    let (exit, said) = obeyed(&["replay", "Cargo.toml", "--evidence", evidence]).unwrap_err();
    assert_eq!((exit, said.contains("is no replay bundle")), (Exit::Input, true), "{said}");
}

#[test]
fn a_step_to_run_from_is_one_of_the_scenario() {
    let guard = tempfile::tempdir().unwrap();
    let evidence = guard.path().to_str().unwrap();
    let run = |step: &str| {
        obeyed(&["run", "good", "--from", step, "--evidence", evidence, "--format", "json"])
    };
    assert_eq!(run("2"), Ok(Exit::Ok));
    assert_eq!(run("3"), Err((Exit::Input, "good has no step 3, but 2".into())));
}

#[test]
fn a_node_that_never_started_has_no_command() {
    let (guard, runs) = played(&["good"]);
    let evidence = guard.path().to_str().unwrap();
    let qemu = ["qemu", "good", "cluster00", "--evidence", evidence];
    let (exit, said) = obeyed(&qemu).unwrap_err();
    assert_eq!((exit, &*said), (Exit::Input, "cluster00 was never started in this run"));
    fs_err::create_dir(runs[0].dir.join("cluster00")).unwrap();
    fs_err::write(runs[0].dir.join("cluster00/command.sh"), "qemu -kernel /gone\n").unwrap();
    assert_eq!(obeyed(&qemu), Ok(Exit::Ok));
}

#[test]
fn what_is_broken_on_purpose_is_noticed_or_not() {
    let guard = tempfile::tempdir().unwrap();
    let evidence = guard.path().to_str().unwrap();
    let mutate = |name: &str, only: &str| {
        obeyed(&["mutate", name, only, "--evidence", evidence, "--format", "json"])
    };
    assert_eq!(mutate("good", "a lamp"), Ok(Exit::Ok), "the first line names it");
    let junit = guard.path().join("good-mutated/latest/junit.xml");
    let junit = fs_err::read_to_string(junit).unwrap();
    assert!(junit.contains("a lamp that is broken") && junit.contains("failures=\"0\""), "{junit}");
    let logs = guard.path().join("logs");
    let record = ["--record", logs.to_str().unwrap()];
    let arguments = ["mutate", "good", "a lamp", "--evidence", evidence];
    assert_eq!(obeyed(&[&arguments[..], &record].concat()), Ok(Exit::Ok));
    let recorded = Recorded::open(logs.as_path().try_into().unwrap()).unwrap().explain().unwrap();
    assert!(recorded.len() == 1 && recorded[0].named, "{recorded:?}");

    assert_eq!(mutate("good", "nothing at all"), Ok(Exit::Scenario), "it survives");
    assert_eq!(mutate("good", "no such step"), Ok(Exit::Harness), "nothing was broken");
    let replay = guard.path().join("good-mutated/latest/replay.tar.gz");
    assert!(!replay.exists(), "a mutated run is repeated by the same command");

    let (exit, said) = mutate("bad", "any").unwrap_err();
    assert_eq!((exit, &*said), (Exit::Scenario, "bad does not pass as it is"));
    let (exit, said) = mutate("good", "a lump").unwrap_err();
    assert_eq!(exit, Exit::Scenario);
    assert_eq!(said, "good has no mutation with \"a lump\" in its name");
    assert_eq!(obeyed(&["mutate", "good", "--list", "--evidence", evidence]), Ok(Exit::Ok));
}

#[test]
fn gc_removes_old_runs() {
    let (guard, _runs) = played(&["good", "good", "bad"]);
    let evidence = guard.path().to_str().unwrap();
    let command = parsed(&["gc", "--keep", "0", "--evidence", evidence]).unwrap();
    assert_eq!(
        obey(command, TABLE, MUTATIONS, &Arc::default(), &Progress::silent())
            .map_err(|e| e.to_string()),
        Ok(Exit::Ok)
    );
    let left = feeder_scenario::gc(guard.path().try_into().unwrap(), 0).unwrap();
    assert_eq!(left.runs, 0);
    let runs = guard.path().join("good").read_dir().unwrap().count();
    assert_eq!(runs, 0, "and the link to the latest goes with it");
}
