//! A machine's state in a file, and back.
//!
//! QEMU calls it migration: what it would send to another host goes into a file. Disks are not in it. They must be, when the
//! machine resumes, what they were when it was saved. So whoever saves pauses the machine, gives each disk a new overlay
//! ([`Machine::switch_disk`]), saves, and lets it go on; the files used until then are frozen, and each machine that resumes
//! gets overlays of its own over them.

use std::{
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::{Duration, Instant},
};

use camino::Utf8Path;
use feeder_process::{interrupt, quote};
use fs_err as fs;
use qapi::qmp::{
    BlockdevSnapshotSync, MigrateSetParameters, MigrationCapability, MigrationCapabilityStatus,
    NewImageMode, RunState, blockdev_snapshot_sync, cont, migrate, migrate_cancel,
    migrate_incoming, migrate_set_capabilities, migrate_set_parameters, query_migrate,
    query_status, stop,
};

use crate::{
    Disk, Event, Machine, MachineError, QmpError, Spec,
    argv::command_line,
    machine::{io, not_started},
};

/// How long QEMU may neither read nor write while it saves or loads, wall clock.
const STALLED: Duration = Duration::from_secs(60);
/// How often a wait looks whether somebody interrupted.
const TICK: Duration = Duration::from_millis(100);
/// How long to wait before asking QEMU the same again.
const ASK_AGAIN: Duration = Duration::from_millis(2);
/// Bytes per second that saving may write: the default, 128 MiB, is meant for a network that others use, too.
const BANDWIDTH: u64 = 1 << 40;

/// Why a migration did not complete.
enum Unfinished {
    Failed,
    Closed,
    Stalled,
    Interrupted,
}

impl Machine {
    /// Starts QEMU with the state that [`Self::save`] wrote, and leaves the machine paused where it was then:
    /// [`Self::go_on`] lets it run. The spec must describe the same machine; names of files, sockets and directories may
    /// differ. Each disk must show what it held when the machine was saved. CPU time counts from zero.
    ///
    /// The guest's clock stands where it was. The network hears nothing of it: unlike a migrated machine, this one has not
    /// moved and does not announce itself.
    ///
    /// # Errors
    /// Every [`MachineError`]; a state that does not fit is `Exited`, with QEMU's words. Nothing is left running.
    pub fn resume(spec: Spec, state: &Utf8Path) -> Result<Self, MachineError> {
        let (name, from) = (spec.name.clone(), format!("file:{state}"));
        let wrong = |why: String| MachineError::Resume {
            machine: name.clone(),
            state: state.to_owned(),
            why,
        };
        if !state.is_file() {
            return Err(wrong("there is no such file".into()));
        }
        let by_hand = format!("{} -incoming {}", command_line(&spec), quote(&from));
        let machine = Self::start(spec, &["-incoming", "defer"], &by_hand)?;
        let failed = |source| not_started(&machine.name, &machine.child, &by_hand, source);
        machine.tell_of_migration().map_err(failed)?;
        let quiet = MigrateSetParameters { announce_rounds: Some(0), ..Default::default() };
        machine.qmp.execute(migrate_set_parameters(quiet)).map_err(failed)?;
        let events = machine.qmp.subscribe();
        // A state that cannot be loaded ends QEMU, which says why.
        let load = migrate_incoming { uri: Some(from), channels: None, exit_on_error: None };
        machine.qmp.execute(load).map_err(failed)?;
        match machine.migrated(&events) {
            Ok(()) => Ok(machine),
            Err(Unfinished::Failed | Unfinished::Closed) => {
                Err(failed(QmpError::Closed { command: "migrate-incoming" }))
            }
            Err(Unfinished::Stalled) => Err(wrong(stalled())),
            Err(Unfinished::Interrupted) => Err(MachineError::Interrupted { machine: name }),
        }
    }

    /// Stops its processors and its clock between two instructions, and waits for its disks' requests. On return nothing of
    /// it changes any more.
    ///
    /// # Errors
    /// `Qmp`, also when it is off.
    pub fn pause(&self) -> Result<(), MachineError> {
        self.tell(stop {})
    }

    /// Lets a paused, saved or resumed machine run.
    ///
    /// # Errors
    /// `Qmp`, also when it is off.
    pub fn go_on(&self) -> Result<(), MachineError> {
        self.tell(cont {})
    }

    /// Why it cannot be saved, as long as it is as it is now; `None` when it can, once it is paused.
    pub fn cannot_be_saved(&self) -> Option<String> {
        if let Some(why) = &self.profile.cannot_save {
            return Some(format!("it is a {}, and {why}", self.profile.name));
        }
        if let Some((disk, why)) = self.disks.iter().find_map(|disk| Some((disk, disk.fixed()?))) {
            return Some(format!("of its disk {}: {why}", disk.id));
        }
        let unplugged = self.unplugged();
        let disk = unplugged.first()?;
        Some(format!("its disk {disk} was unplugged, and a machine that is resumed has it"))
    }

    /// Writes the state of a paused machine, without its disks, to a file, and says how many bytes that took. It stays
    /// paused; its disks cannot be switched before it goes on.
    ///
    /// # Errors
    /// `Save` with the reason when the profile's machines cannot be saved, a disk has faults or a log of writes or was unplugged,
    /// the machine runs, or QEMU gives up. No file is left
    /// then, and the machine is as it was. `Qmp`, `Interrupted`, `Io`.
    pub fn save(&self, to: &Utf8Path) -> Result<u64, MachineError> {
        let cannot = |why: String| MachineError::Save { machine: self.name.clone(), why };
        if let Some(why) = self.cannot_be_saved() {
            return Err(cannot(why));
        }
        let status = self.qmp.execute(query_status {}).map_err(|err| self.qmp_error(err))?;
        if status.running {
            return Err(cannot("it runs; pause it first".into()));
        }
        let written = self.write_state(to, &cannot);
        // Half a state is worse than none; what is no file, such as a pipe, stays.
        if written.is_err() && to.is_file() {
            let _ = fs::remove_file(to);
        }
        written
    }

    fn write_state(
        &self,
        to: &Utf8Path,
        cannot: &dyn Fn(String) -> MachineError,
    ) -> Result<u64, MachineError> {
        self.tell_of_migration().map_err(|source| self.qmp_error(source))?;
        let fast = MigrateSetParameters { max_bandwidth: Some(BANDWIDTH), ..Default::default() };
        self.tell(migrate_set_parameters(fast))?;
        let events = self.qmp.subscribe();
        let to_file =
            migrate { uri: Some(format!("file:{to}")), channels: None, detach: None, resume: None };
        match self.qmp.execute(to_file) {
            Err(QmpError::Refused { description, .. }) => return Err(cannot(description)),
            other => other.map_err(|source| self.qmp_error(source))?,
        };
        match self.migrated(&events) {
            Ok(()) => {
                self.finalized(&events, cannot)?;
                let file = fs::metadata(to).map_err(io(format!("read the size of {to}")))?;
                Ok(file.len())
            }
            Err(Unfinished::Failed) => {
                let info = self.qmp.execute(query_migrate {}).map_err(|err| self.qmp_error(err))?;
                Err(cannot(info.error_desc.unwrap_or_else(|| "QEMU gave up".into())))
            }
            Err(Unfinished::Closed) => Err(self.qmp_error(QmpError::Closed { command: "migrate" })),
            Err(Unfinished::Stalled) => {
                self.tell(migrate_cancel {})?;
                Err(cannot(stalled()))
            }
            Err(Unfinished::Interrupted) => {
                self.tell(migrate_cancel {})?;
                Err(MachineError::Interrupted { machine: self.name.clone() })
            }
        }
    }

    /// Waits until a migration that has completed is over for QEMU, too: before that it refuses to go on.
    fn finalized(
        &self,
        events: &Receiver<Event>,
        cannot: &dyn Fn(String) -> MachineError,
    ) -> Result<(), MachineError> {
        let since = Instant::now();
        loop {
            let status = self.qmp.execute(query_status {}).map_err(|err| self.qmp_error(err))?;
            if status.status != RunState::finish_migrate {
                return Ok(());
            }
            if since.elapsed() >= STALLED {
                return Err(cannot("QEMU does not come to an end with it".into()));
            }
            // No event tells of it. Its thread only has to get the lock under which we are answered.
            let _ = events.recv_timeout(ASK_AGAIN);
        }
    }

    /// Makes a disk use `overlay`, made by [`crate::disk::create_overlay`] over the file that the disk uses now. That file is
    /// complete and frozen on return: this machine only reads it, and others may read it at the same time. Works while the
    /// machine runs or is paused, but between [`Self::save`] or [`Self::resume`] and [`Self::go_on`] QEMU holds the disks back.
    ///
    /// # Errors
    /// `Qmp`: no such disk, no such file, or a disk that cannot be switched now. `Disk`: one with faults or a log of writes.
    pub fn switch_disk(&self, id: &str, overlay: &Utf8Path) -> Result<(), MachineError> {
        let disk = self.disks.iter().find(|disk| disk.id == id);
        if let Some(why) = disk.and_then(Disk::fixed) {
            return Err(self.disk_error("switch", id, why));
        }
        self.tell(blockdev_snapshot_sync(BlockdevSnapshotSync {
            device: Some(id.to_owned()),
            format: Some("qcow2".into()),
            mode: Some(NewImageMode::existing),
            node_name: None,
            snapshot_file: overlay.to_string(),
            snapshot_node_name: None,
        }))
    }

    fn tell<C: qapi::Command>(&self, command: C) -> Result<(), MachineError> {
        self.qmp.execute(command).map(drop).map_err(|source| self.qmp_error(source))
    }

    /// Asks for an event at each turn of a migration.
    fn tell_of_migration(&self) -> Result<(), QmpError> {
        let events =
            MigrationCapabilityStatus { capability: MigrationCapability::events, state: true };
        self.qmp.execute(migrate_set_capabilities { capabilities: vec![events] }).map(drop)
    }

    /// Waits for a migration's end, for as long as QEMU reads or writes anything.
    fn migrated(&self, events: &Receiver<Event>) -> Result<(), Unfinished> {
        let (mut moved, mut since) = (self.bytes_moved(), Instant::now());
        loop {
            match events.recv_timeout(TICK) {
                Ok(event) if event.name == "MIGRATION" => match event.data["status"].as_str() {
                    Some("completed") => return Ok(()),
                    Some("failed" | "cancelled") => return Err(Unfinished::Failed),
                    _ => {}
                },
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(Unfinished::Closed),
            }
            if interrupt::requested() {
                return Err(Unfinished::Interrupted);
            }
            let now = self.bytes_moved();
            if now != moved {
                (moved, since) = (now, Instant::now());
            } else if since.elapsed() >= STALLED {
                return Err(Unfinished::Stalled);
            }
        }
    }

    /// What QEMU has read and written so far, as proc_pid_io(5) counts it. QEMU itself does not answer while it loads.
    fn bytes_moved(&self) -> [Option<u64>; 2] {
        let text = fs::read_to_string(format!("/proc/{}/io", self.pid())).unwrap_or_default();
        ["rchar: ", "wchar: "].map(|key| {
            text.lines().find_map(|line| line.strip_prefix(key)).and_then(|n| n.parse().ok())
        })
    }
}

fn stalled() -> String {
    format!("QEMU has neither read nor written anything for {} s", STALLED.as_secs())
}
