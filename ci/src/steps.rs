//! The gate as data.

/// One step of the gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its name, which fits ten columns and names its log.
    pub name: &'static str,
    /// What a failure means, for the table.
    pub proves: &'static str,
    /// What is run.
    pub work: Work,
    /// How its tests are counted.
    pub counted: Counted,
}

/// What a step runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// cargo with these arguments.
    Cargo(Vec<&'static str>),
    /// The scenario program, which an earlier step has built, with these arguments.
    Scenario(Vec<&'static str>),
    /// The checks of [`crate::tidy`].
    Tidy,
}

/// How the tests of a step are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// It has none. When it fails, that is one failure.
    No,
    /// By the summary lines of the test runner.
    Summaries(Runner),
    /// Steps of scenarios, by the JUnit files of the runs that it made.
    Scenarios,
}

/// A test runner, as far as its summary goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runner {
    /// `cargo test`.
    CargoTest,
    /// `cargo nextest run`.
    Nextest,
}

/// How much is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// What every change must pass.
    Usual,
    /// With the slow machines too.
    Full,
}

/// Which test runner there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tested {
    /// `cargo nextest` is there.
    WithNextest,
    /// It is not.
    WithCargo,
}

/// The steps, in order.
///
/// Everything that builds names the whole workspace, so that cargo settles features once and compiles each dependency once.
pub fn steps(extent: Extent, tested: Tested) -> Vec<Step> {
    let cargo = |name, proves, args: &[&'static str], counted| Step {
        name,
        proves,
        work: Work::Cargo(args.to_vec()),
        counted,
    };
    let mut steps = vec![
        cargo("format", "the code is formatted", &["fmt", "--all", "--check"], Counted::No),
        Step {
            name: "tidy",
            proves: "the repository keeps its own rules",
            work: Work::Tidy,
            counted: Counted::No,
        },
        cargo(
            "clippy",
            "no warnings, in any target",
            &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"],
            Counted::No,
        ),
    ];
    match tested {
        Tested::WithNextest => {
            let nextest = Counted::Summaries(Runner::Nextest);
            let args =
                ["nextest", "run", "--workspace", "--locked", "--no-fail-fast", "--cargo-quiet"];
            steps.push(cargo("tests", "unit and integration tests pass", &args, nextest));
            let args = ["test", "--workspace", "--locked", "--doc", "--no-fail-fast"];
            steps.push(cargo(
                "doctests",
                "the examples in the docs work",
                &args,
                Counted::Summaries(Runner::CargoTest),
            ));
        }
        Tested::WithCargo => {
            let args = ["test", "--workspace", "--locked", "--no-fail-fast"];
            let counted = Counted::Summaries(Runner::CargoTest);
            steps.push(cargo(
                "tests",
                "unit, integration and documentation tests pass",
                &args,
                counted,
            ));
        }
    }
    steps.push(cargo(
        "build",
        "benchmarks and programs link",
        &["build", "--workspace", "--locked", "--bins", "--benches"],
        Counted::No,
    ));
    let scenario = |name, proves, args: &[&'static str]| Step {
        name,
        proves,
        work: Work::Scenario(args.to_vec()),
        counted: Counted::Scenarios,
    };
    let cold = |name, proves, story| scenario(name, proves, &["run", story, "--cold"]);
    steps.push(cold("netboot", "a worker without a disk boots from its master", "netboot"));
    steps.push(cold("sabotage", "the scenario can fail, and says why", "sabotage"));
    let sample = ["mutate", "netboot", "/etc/hosts", "unknown host", "no start file"];
    let mutations: &[&'static str] = match extent {
        Extent::Usual => &sample,
        Extent::Full => &sample[..2],
    };
    steps.push(scenario("mutations", "what is broken on purpose is noticed and named", mutations));
    let crash = match extent {
        Extent::Usual => "ssd-crash",
        Extent::Full => "ssd-crash-all",
    };
    steps.push(cold(
        "ssd-crash",
        "wherever a power cut ends the move to an SSD, something boots and fsck mends it",
        crash,
    ));
    if extent == Extent::Full {
        let stories = [
            (
                "ssd-boot",
                "the master moves to an SSD, whenever its power fails on the way",
                "ssd-boot",
            ),
            (
                "ssd-faults",
                "an SSD that fails on the way is named, and the move goes on",
                "ssd-faults",
            ),
            (
                "ssd-trial",
                "the master tries its SSD once, and comes back by itself from one that is no good",
                "ssd-trial",
            ),
            (
                "provision",
                "provisioning that is killed goes on, and no port is open that need not be",
                "provision",
            ),
            (
                "mishaps",
                "a full disk and a mirror that goes away are told, and provisioning goes on",
                "provision-faults",
            ),
            ("swarm", "a swarm forms, breaks and heals by itself", "swarm"),
            ("membership", "a swarm loses state, nodes and room, and is mended", "swarm-changes"),
            (
                "managers",
                "a swarm comes later, has three managers, loses one, and is locked",
                "swarm-managers",
            ),
            (
                "generation",
                "workers move to another system and back, and nothing in use goes away",
                "generations",
            ),
            (
                "own-root",
                "a worker boots from a root of its own, and shares one again",
                "root-copy",
            ),
            (
                "takeover",
                "a master under NetworkManager is taken over without being lost",
                "network-manager",
            ),
            ("older", "a master under dhcpcd is taken over without being lost", "dhcpcd"),
            ("imager", "a board as the imager leaves it becomes a master", "raspberry-pi-os"),
        ];
        steps.extend(stories.map(|(name, proves, story)| cold(name, proves, story)));
        steps.push(Step {
            name: "soak",
            proves: "runs that are ended at any moment leave nothing behind",
            work: Work::Scenario(vec!["soak", "netboot", "--runs", "100"]),
            counted: Counted::No,
        });
        let args = ["run", "ssd-boot", "--machine", "raspi3b", "--cold"];
        steps.push(scenario("ssd-pi", "the move to an SSD on an emulated Pi 3B", &args));
        let args = ["run", "netboot", "--machine", "raspi3b", "--cold"];
        steps.push(scenario("raspi3b", "a worker without a disk on an emulated Pi 3B", &args));
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(extent: Extent, tested: Tested) -> Vec<&'static str> {
        steps(extent, tested).iter().map(|step| step.name).collect()
    }

    #[test]
    fn the_order_is_from_quick_to_slow() {
        assert_eq!(
            names(Extent::Usual, Tested::WithNextest),
            [
                "format",
                "tidy",
                "clippy",
                "tests",
                "doctests",
                "build",
                "netboot",
                "sabotage",
                "mutations",
                "ssd-crash"
            ]
        );
        assert_eq!(
            names(Extent::Full, Tested::WithCargo),
            [
                "format",
                "tidy",
                "clippy",
                "tests",
                "build",
                "netboot",
                "sabotage",
                "mutations",
                "ssd-crash",
                "ssd-boot",
                "ssd-faults",
                "ssd-trial",
                "provision",
                "mishaps",
                "swarm",
                "membership",
                "managers",
                "generation",
                "own-root",
                "takeover",
                "older",
                "imager",
                "soak",
                "ssd-pi",
                "raspi3b"
            ]
        );
    }

    #[test]
    fn names_make_distinct_log_files_that_fit_the_column() {
        let names = names(Extent::Full, Tested::WithNextest);
        for (index, name) in names.iter().enumerate() {
            assert!(name.len() <= 10 && !names[..index].contains(name), "{name}");
        }
    }
}
