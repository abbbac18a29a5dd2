//! What a person at the prompt does with a node.

use std::sync::Arc;

use feeder_machine::{Machine, State as Runs, StopReason};
use feeder_remote::{SshOptions, ssh_argv};

use super::{COMMAND, Node};
use crate::{
    Class, ConsoleEnd, Failure, NodeState, OrFail, PowerEnd, Verdict, WaitSpec, clock::locked,
};

impl Node {
    fn machine(&self) -> Verdict<Arc<Machine>> {
        let running = locked(&self.shared.state).machine.clone();
        running
            .map(|running| running.machine)
            .ok_or_else(|| Failure::scenario(format!("{} has no power", self.name())))
    }

    /// How it was last logged in to; where it belongs when it was not yet.
    fn way_in(&self) -> Option<SshOptions> {
        let bench = &self.shared.bench;
        let last = locked(&self.shared.state).ssh.as_ref().map(|ssh| ssh.options().clone());
        last.or_else(|| bench.access().node(&bench.cluster, self.name()))
    }

    pub(in crate::lab) fn seen_by_hand(&self) -> NodeState {
        let address = self.shared.bench.cluster.address_of(self.name());
        let state = match self.machine() {
            Err(_) => "off".to_owned(),
            Ok(machine) => match (machine.state(), machine.console().panicked()) {
                (Runs::Stopped(reason), _) => format!("stopped: {reason}"),
                (Runs::Running, Some(words)) => format!("on, panicked: {words}"),
                (Runs::Running, None) => "on".to_owned(),
            },
        };
        NodeState {
            name: self.name().to_owned(),
            state,
            address: address.map(|address| address.to_string()).unwrap_or_default(),
            at: self.way_in().map(|options| options.address.to_string()).unwrap_or_default(),
        }
    }

    pub(in crate::lab) fn ssh_by_hand(
        &self,
        command: Option<&str>,
        keyboard: bool,
    ) -> Verdict<Vec<String>> {
        self.machine()?;
        let Some(options) = self.way_in() else {
            return Err(Failure::scenario(format!("{} is not in the cluster", self.name())));
        };
        let mut argv = vec!["ssh".to_owned()];
        if !keyboard {
            // Standard input holds the prompt's next lines.
            argv.push("-n".to_owned());
        }
        argv.extend(ssh_argv(&options, None));
        argv.extend(command.map(str::to_owned));
        Ok(argv)
    }

    pub(in crate::lab) fn console_by_hand(&self) -> Verdict<ConsoleEnd> {
        let machine = self.machine()?;
        let dir = self.shared.bench.story.dir().node(self.name());
        let dir = dir.or_fail(Class::Host, "cannot find the console's log")?;
        Ok(ConsoleEnd {
            log: dir.join("console.log"),
            type_in: Box::new(move |text| machine.console().send(text).is_ok()),
        })
    }

    /// Presses its power button, and waits until it has shut down.
    pub(in crate::lab) fn shut_down(&self) -> Verdict {
        let machine = self.machine()?;
        let bench = &self.shared.bench;
        machine
            .power_off()
            .map_err(|error| Failure::expected("cannot press the power button", &error))?;
        let spec = WaitSpec::new(self.name(), "its shutdown", bench.budget(COMMAND));
        let reason = bench
            .story
            .wait_in(spec, |waiting| machine.wait_stopped(&mut || waiting.go_on()))
            .map_err(|failure| failure.with_hint("power NODE cut pulls the plug"))?;
        self.take_machine();
        let end = match reason {
            StopReason::GuestShutdown => PowerEnd::Shutdown,
            StopReason::Killed => PowerEnd::Cut,
            StopReason::GuestReset | StopReason::Panic | StopReason::Crashed { .. } => {
                PowerEnd::Died
            }
        };
        bench.story.power_off(self.name(), end, Some(reason.to_string()));
        Ok(())
    }
}
