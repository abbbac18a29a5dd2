//! `provision` in a scenario: the same library call as on the command line, over SSH through the LAN.

use feeder_modules::{Provisioned, provision};
use feeder_plan::{Mode, Phase};
use feeder_remote::HostKeys;

use super::Lab;
use crate::{Change, Event, Failure, Steps, Verdict};

/// From a bare system to a master that serves, in vCPU seconds: packages, and a copy of the system.
const PROVISION: u64 = 600;

/// A run of `provision`, with what is expected of it.
#[derive(Debug)]
pub struct Provision<'a> {
    pub(crate) lab: &'a mut Lab,
}

impl Provision<'_> {
    /// It finds something to do and does it.
    ///
    /// # Errors
    /// It found nothing to do, or failed.
    pub fn applies_changes(self) -> Verdict {
        let done = apply(self.lab)?;
        if done.changed == 0 {
            return Err(Failure::product("provision found nothing to do"));
        }
        self.lab.story().summary(format!("{} changed", done.changed));
        Ok(())
    }

    /// It finds nothing to do.
    ///
    /// # Errors
    /// It found something, or failed.
    pub fn finds_nothing_to_do(self) -> Verdict {
        let done = apply(self.lab)?;
        if !done.plan.is_empty() {
            let mut failure = Failure::product(format!(
                "provision should have nothing to do on {} but changed {}",
                done.plan.host,
                feeder_ui::plural(done.plan.to_change(), "resource"),
            ))
            .on(&done.plan.host);
            for (step, change) in done.plan.changes() {
                failure = failure.detail(format!("{step}: {}", change.text));
            }
            return Err(failure);
        }
        self.lab.story().summary("nothing to do");
        Ok(())
    }
}

fn apply(lab: &mut Lab) -> Verdict<Provisioned> {
    let master = lab.master();
    let bench = lab.bench().clone();
    let mut access = bench.access();
    access.host_keys = HostKeys::AcceptNew;
    access.first_contact = lab.first_contact;
    // Provisioning makes its own connection, and the master's address may change under ours.
    master.forget_connection();
    let story = bench.story.clone();
    let done = master.in_guest("provisioning", PROVISION, || {
        provision(&bench.cluster, &access, Mode::Apply, &mut |event| {
            let line = match event.phase {
                Phase::Done => "done".to_owned(),
                Phase::Failed => "failed".to_owned(),
                _ => return,
            };
            story.emit(
                Some(event.host),
                Event::Provision(Change {
                    module: event.step.to_owned(),
                    resource: event.change.id.to_string(),
                    change: format!("{}: {line}", event.change.text),
                }),
            );
        })
    })?;
    let done =
        done.map_err(|error| Failure::expected("provisioning failed", &error).on(master.name()))?;
    story.emit(
        Some(master.name()),
        Event::Provisioned { changed: done.changed, unchanged: done.plan.as_wanted },
    );
    lab.bare = None;
    lab.first_contact = None;
    master.until_ssh()?;
    Ok(done)
}
