//! Whose fault it is, when the log knows better than the one who noticed.

use crate::{Class, Event, Failure, PowerEnd, Record};

/// What Rust says of this machine's own lack of something; guests say the words, but not the number (errno(3)).
const LACKS: &[(&str, &str)] = &[
    ("(os error 28)", "this machine has no disk space left"),
    ("(os error 12)", "this machine has no memory left"),
    ("(os error 24)", "this machine allows no more open files"),
    ("(os error 122)", "this user's disk quota is used up"),
];

/// A failure with the class that the evidence gives it: a machine whose process died is the harness's, whatever was noticed
/// first, and a full disk on this machine the host's.
pub(crate) fn corrected(mut failure: Failure, records: &[Record]) -> Failure {
    if failure.class == Class::Interrupted {
        return failure;
    }
    let words = || std::iter::once(&failure.message).chain(&failure.details);
    let lack = LACKS.iter().find(|(number, _)| words().any(|line| line.contains(number)));
    if let Some((_, why)) = lack {
        if failure.class != Class::Host {
            failure.class = Class::Host;
            failure.details.push((*why).to_owned());
        }
        return failure;
    }
    let died = records.iter().find_map(|record| match &record.event {
        Event::PowerOff { end: PowerEnd::Died, why } => Some((record.node.as_deref(), why)),
        _ => None,
    });
    if let (Class::Product, Some((node, why))) = (failure.class, died) {
        let why = why.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
        failure.class = Class::Harness;
        failure
            .details
            .push(format!("the process of {} had died{why}", node.unwrap_or("a machine")));
    }
    failure
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Reading;

    fn died() -> Record {
        Record {
            seq: 1,
            at: Reading::default(),
            node: Some("cluster00".into()),
            node_guest_s: None,
            reused: false,
            event: Event::PowerOff { end: PowerEnd::Died, why: Some("SIGSEGV".into()) },
        }
    }

    #[test]
    fn a_full_disk_here_is_the_host_s_and_one_in_a_guest_is_not() {
        let full = std::io::Error::from_raw_os_error(28);
        let here = Failure::harness(format!("cannot write the kernel: {full}"));
        assert_eq!(corrected(here, &[]).class, Class::Host);
        let guest = Failure::product("a command failed").detail("cp: No space left on device");
        assert_eq!(corrected(guest.clone(), &[]), guest);
    }

    #[test]
    fn a_machine_that_died_is_the_harness_s() {
        let failure =
            corrected(Failure::product("cluster01: an SSH login did not come"), &[died()]);
        assert_eq!(failure.class, Class::Harness);
        assert_eq!(failure.details, ["the process of cluster00 had died: SIGSEGV"]);
        for class in [Class::Scenario, Class::Interrupted, Class::Host] {
            assert_eq!(corrected(Failure::new(class, "x"), &[died()]).class, class);
        }
    }
}
