//! How a scenario ends, and whose fault it is.

use feeder_ui::{Exit, Expected};
use serde::{Deserialize, Serialize};

/// What a scenario, a step or a wait gives back.
pub type Verdict<T = ()> = Result<T, Failure>;

/// Who has to look at a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The cluster did not do what the scenario expects of it.
    Product,
    /// The scenario itself is wrong: it asks for a node that does not exist, or expects the impossible.
    Scenario,
    /// This machine lacks something: a tool, memory, disk space.
    Host,
    /// The machinery under the scenario failed; nothing is known about the product.
    Harness,
    /// Somebody stopped the run.
    Interrupted,
}

impl Class {
    /// The exit code of a run that failed so.
    pub const fn exit(self) -> Exit {
        match self {
            Self::Product | Self::Scenario => Exit::Scenario,
            Self::Host => Exit::Host,
            Self::Harness => Exit::Harness,
            Self::Interrupted => Exit::Interrupted,
        }
    }

    /// The name, as in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Product => "product",
            Self::Scenario => "scenario",
            Self::Host => "host",
            Self::Harness => "harness",
            Self::Interrupted => "interrupted",
        }
    }
}

impl std::fmt::Display for Class {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// How a run or a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Everything that was expected came true.
    Passed,
    /// Something did not.
    Failed,
    /// Somebody stopped it before it could tell.
    Interrupted,
}

impl Ending {
    /// The ending that a verdict stands for.
    pub fn of<T>(verdict: &Verdict<T>) -> Self {
        match verdict {
            Ok(_) => Self::Passed,
            Err(failure) if failure.class == Class::Interrupted => Self::Interrupted,
            Err(_) => Self::Failed,
        }
    }

    /// The name, as in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
        }
    }
}

impl std::fmt::Display for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// A step by number and name. A step inside step 3 is `3.1`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StepRef {
    /// `3`, or `3.1` for the first step inside step 3.
    pub number: String,
    /// The sentence that the scenario gives it.
    pub name: String,
}

impl std::fmt::Display for StepRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "step {}, \"{}\"", self.number, self.name)
    }
}

/// Why a scenario did not pass.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct Failure {
    /// Who has to look at it.
    pub class: Class,
    /// One sentence: which machine, what was expected, what came instead.
    pub message: String,
    /// The machine that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The innermost step that was open. Filled in by the step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<Box<StepRef>>,
    /// What was last seen, one line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
    /// What the reader can do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Failure {
    /// A failure of a class.
    pub fn new(class: Class, message: impl Into<String>) -> Self {
        Self {
            class,
            message: message.into(),
            node: None,
            step: None,
            details: Vec::new(),
            hint: None,
        }
    }

    /// The cluster did not do what the scenario expects of it.
    pub fn product(message: impl Into<String>) -> Self {
        Self::new(Class::Product, message)
    }

    /// The scenario itself is wrong.
    pub fn scenario(message: impl Into<String>) -> Self {
        Self::new(Class::Scenario, message)
    }

    /// This machine lacks something.
    pub fn host(message: impl Into<String>) -> Self {
        Self::new(Class::Host, message)
    }

    /// The machinery under the scenario failed.
    pub fn harness(message: impl Into<String>) -> Self {
        Self::new(Class::Harness, message)
    }

    /// Somebody stopped the run.
    pub fn interrupted(message: impl Into<String>) -> Self {
        Self::new(Class::Interrupted, message)
    }

    /// A foreseen error of a library, with its causes and its hint. Its exit code says whose it is: `Host`, `Harness` and
    /// `Interrupted` keep their class, wrong input is the scenario's, and the rest is the product's.
    pub fn expected(doing: impl std::fmt::Display, error: &dyn Expected) -> Self {
        let class = match error.exit() {
            Exit::Host => Class::Host,
            Exit::Harness => Class::Harness,
            Exit::Interrupted => Class::Interrupted,
            Exit::Input => Class::Scenario,
            Exit::Ok | Exit::NotAsWanted | Exit::Failed | Exit::Scenario => Class::Product,
        };
        let mut failure = Self::new(class, format!("{doing}: {error}"));
        failure.add_causes(error.source());
        failure.hint = error.hint();
        failure
    }

    /// Says which machine it is about.
    #[must_use]
    pub fn on(mut self, node: impl Into<String>) -> Self {
        self.node = Some(node.into());
        self
    }

    /// Adds one line of what was seen.
    #[must_use]
    pub fn detail(mut self, line: impl Into<String>) -> Self {
        self.details.push(line.into());
        self
    }

    /// Says what the reader can do next.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Names the step, unless an inner one has done so already.
    #[must_use]
    pub(crate) fn in_step(mut self, step: StepRef) -> Self {
        self.step.get_or_insert_with(|| Box::new(step));
        self
    }

    fn add_causes(&mut self, mut source: Option<&dyn std::error::Error>) {
        while let Some(cause) = source {
            let text = cause.to_string();
            let said = self.details.last().unwrap_or(&self.message);
            if !said.contains(&text) {
                self.details.push(format!("because {text}"));
            }
            source = cause.source();
        }
    }
}

impl Expected for Failure {
    fn exit(&self) -> Exit {
        self.class.exit()
    }

    fn hint(&self) -> Option<String> {
        self.hint.clone()
    }
}

/// Makes failures of other crates' errors; the class is always said, never guessed.
pub trait OrFail<T> {
    /// The value, or a failure of that class whose message begins with what was being done.
    ///
    /// # Errors
    /// The error, with its causes as details.
    fn or_fail(self, class: Class, doing: impl std::fmt::Display) -> Verdict<T>;
}

impl<T, E: std::error::Error> OrFail<T> for Result<T, E> {
    fn or_fail(self, class: Class, doing: impl std::fmt::Display) -> Verdict<T> {
        self.map_err(|error| {
            let mut failure = Failure::new(class, format!("{doing}: {error}"));
            failure.add_causes(error.source());
            failure
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_class_decides_the_exit_code() {
        for (class, exit) in [
            (Class::Product, Exit::Scenario),
            (Class::Scenario, Exit::Scenario),
            (Class::Host, Exit::Host),
            (Class::Harness, Exit::Harness),
            (Class::Interrupted, Exit::Interrupted),
        ] {
            assert_eq!(Failure::new(class, "").exit(), exit);
        }
    }

    #[test]
    fn the_innermost_step_is_the_one_that_is_named() {
        let step = |number: &str| StepRef { number: number.into(), name: "x".into() };
        let failure = Failure::product("no").in_step(step("3.1")).in_step(step("3"));
        assert_eq!(failure.step.unwrap().number, "3.1");
    }

    #[derive(Debug, thiserror::Error)]
    #[error("cannot reach pi@192.168.10.100")]
    struct Unreachable(#[source] std::io::Error);

    #[test]
    fn causes_become_details() {
        let result: Result<(), _> = Err(Unreachable(std::io::ErrorKind::ConnectionRefused.into()));
        let failure = result.or_fail(Class::Product, "asking cluster00 for its name").unwrap_err();
        assert_eq!(
            failure.message,
            "asking cluster00 for its name: cannot reach pi@192.168.10.100"
        );
        assert_eq!(failure.details, ["because connection refused"]);
    }
}
