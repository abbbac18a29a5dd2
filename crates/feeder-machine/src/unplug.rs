//! Pulling a USB disk out of a machine that runs.

use std::{
    collections::BTreeSet,
    sync::{MutexGuard, PoisonError},
};

use qapi::qmp::{device_del, human_monitor_command};

use crate::{Machine, MachineError, Plug, argv::usb_device};

impl Machine {
    /// Pulls a USB disk out, as a hand does: the guest is not asked. What it had not written is lost; the image can be used
    /// elsewhere on return.
    ///
    /// # Errors
    /// `Disk` when there is none of this id, or it is not on USB, or has been unplugged. `Qmp`.
    pub fn unplug(&self, id: &str) -> Result<(), MachineError> {
        let cannot = |why: &str| Err(self.disk_error("unplug", id, why));
        match self.disks.iter().find(|disk| disk.id == id) {
            None => return cannot("it has no such disk"),
            Some(disk) if disk.plug == Plug::Own => return cannot("it is not on USB"),
            Some(_) => {}
        }
        if !self.unplugged().insert(id.to_owned()) {
            return cannot("it has been unplugged already");
        }
        // A USB device is gone from its bus at once.
        let pulled = self.qmp.execute(device_del { id: usb_device(id) });
        pulled.map_err(|source| self.qmp_error(source))?;
        // QEMU 10 keeps usb-storage in memory, sends no DEVICE_DELETED, and would hold the image. For a drive of `-drive` there
        // is no command of QMP's own.
        let let_go =
            human_monitor_command { command_line: format!("drive_del {id}"), cpu_index: None };
        let said = self.qmp.execute(let_go).map_err(|source| self.qmp_error(source))?;
        match said.trim() {
            "" => Ok(()),
            said => cannot(said),
        }
    }

    /// Ids of the disks that were unplugged.
    pub(crate) fn unplugged(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.unplugged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn disk_error(&self, what: &'static str, disk: &str, why: &str) -> MachineError {
        let machine = self.name.clone();
        MachineError::Disk { what, disk: disk.to_owned(), machine, why: why.to_owned() }
    }
}
