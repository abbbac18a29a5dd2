//! `junit.xml`: a run as a test suite, its steps as test cases.

use quick_junit::{NonSuccessKind, Property, SerializeError, TestCase, TestCaseStatus, TestSuite};

use super::Report;
use crate::{Class, Ending, Failure};

impl Report {
    /// The run as JUnit XML. Steps are test cases; what failed outside of all steps is one more. Failures of the host or the
    /// harness, and interrupts, are errors: they say nothing about the product.
    ///
    /// # Errors
    /// Never in practice: the writer writes to memory.
    pub fn junit(&self) -> Result<String, SerializeError> {
        let mut suite = TestSuite::new(&*self.scenario);
        suite.set_time(self.took.wall);
        suite.add_property(Property::new("started", &*self.started));
        suite.add_property(Property::new("guest_s", self.took.guest.as_secs_f64().to_string()));
        for (of, version) in &self.versions {
            suite.add_property(Property::new(format!("version {of}"), &**version));
        }
        for step in &self.steps {
            let status = match step.verdict {
                Ending::Passed => TestCaseStatus::success(),
                Ending::Failed | Ending::Interrupted => self.status_of(&step.number),
            };
            let name = format!("step {}: {}", step.number, step.name);
            let mut case = TestCase::new(name, status);
            case.set_classname(&*self.scenario);
            case.set_time(step.took.wall);
            case.add_property(("guest_s", &*step.took.guest.as_secs_f64().to_string()));
            suite.add_test_case(case);
        }
        if let Some(failure) = self.loose_failure() {
            let mut case = TestCase::new("outside of the steps", non_success(failure));
            case.set_classname(&*self.scenario);
            case.set_time(self.outside_steps.wall);
            suite.add_test_case(case);
        }
        let files: Vec<_> =
            self.evidence.iter().map(|e| format!("{}: {}", e.what, e.file)).collect();
        suite.set_system_out(files.join("\n"));
        let mut junit = quick_junit::Report::new("feeder scenarios");
        junit.set_time(self.took.wall);
        junit.add_test_suite(suite);
        junit.to_string()
    }

    /// The status of a step that did not pass: the run's failure, when that lies in this step or one inside it.
    fn status_of(&self, number: &str) -> TestCaseStatus {
        let inner = format!("{number}.");
        let own = self.failure.as_ref().filter(|failure| {
            failure
                .step
                .as_ref()
                .is_some_and(|at| at.number == number || at.number.starts_with(&inner))
        });
        own.map_or_else(
            || non_success(&Failure::interrupted("the run ended before the step did")),
            non_success,
        )
    }
}

fn non_success(failure: &Failure) -> TestCaseStatus {
    let kind = match failure.class {
        Class::Product | Class::Scenario => NonSuccessKind::Failure,
        Class::Host | Class::Harness | Class::Interrupted => NonSuccessKind::Error,
    };
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(failure.class.name());
    status.set_message(&*failure.message);
    let hint = failure.hint.iter().map(|hint| format!("hint: {hint}"));
    status.set_description(
        failure.details.iter().cloned().chain(hint).collect::<Vec<_>>().join("\n"),
    );
    status
}
