//! Nodes whose state is kept, and nodes that go on from one.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use camino::Utf8PathBuf;
use feeder_machine::{DiskFormat, Machine, disk::create_overlay};
use fs_err as fs;
use serde::{Deserialize, Serialize};

use super::{
    firmware::BootRecord,
    node::{Loaded, Node, SD},
};
use crate::{Class, Failure, OrFail, Verdict, clock::locked, clock::seconds, snapshot::Live};

/// A node at the end of a step.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SavedNode {
    /// vCPU time that it has used.
    #[serde(rename = "guest_s", with = "seconds")]
    guest: Duration,
    /// Its card: the overlays that are no longer written to, the last one on top.
    card: Vec<Utf8PathBuf>,
    boot: BootRecord,
    /// What it was doing, when it had power.
    on: Option<SavedMachine>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SavedMachine {
    state: Utf8PathBuf,
    loaded: Loaded,
    /// Whether somebody was logged in.
    logged_in: bool,
}

impl SavedNode {
    /// The files that it needs.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Utf8PathBuf> {
        let on = self.on.iter().flat_map(|on| on.loaded.files().chain([&on.state]));
        self.card.iter().chain(on)
    }
}

impl Node {
    /// Why its state cannot be kept now, if so.
    pub(crate) fn cannot_be_saved(&self) -> Option<String> {
        let machine = self.bench().machine_of(self.name());
        let why = locked(self.state()).machine.as_ref().and(machine.cannot_save)?;
        Some(format!("{} is a {}: {why}", self.name(), machine.name))
    }

    /// Stops its processors.
    pub(crate) fn pause(&self) -> Verdict {
        self.with_machine(|machine| machine.pause()).map(drop)
    }

    /// Lets them run again.
    pub(crate) fn go_on(&self) -> Verdict {
        self.with_machine(|machine| machine.go_on()).map(drop)
    }

    fn with_machine<T>(
        &self,
        work: impl FnOnce(&Machine) -> Result<T, feeder_machine::MachineError>,
    ) -> Verdict<Option<T>> {
        let Some(running) = locked(self.state()).machine.clone() else { return Ok(None) };
        let done = work(&running.machine);
        done.map(Some).map_err(|error| {
            Failure::expected("a machine cannot be kept or resumed", &error).on(self.name())
        })
    }

    /// Keeps its state: its card so far is frozen, and what its processors and memory hold goes to a file. It must be paused.
    pub(crate) fn save(&self, live: &Live) -> Verdict<SavedNode> {
        let card = self.freeze_card(live)?;
        let running = locked(self.state()).machine.clone();
        let on = running.map(|running| {
            let file = |label: &str| {
                live.new_file(&format!("{}.{label}", self.name()))
                    .or_fail(Class::Host, "cannot keep a machine")
            };
            let state = file("state")?;
            self.with_machine(|machine| machine.save(&state))?;
            let loaded = match running.kept {
                Some(kept) => kept,
                None => {
                    let kept = running.loaded.moved(|from| {
                        let to = file(from.extension().unwrap_or("file"))?;
                        fs::copy(from, &to).or_fail(Class::Host, "cannot keep a machine")?;
                        Ok(to)
                    })?;
                    if let Some(running) = &mut locked(self.state()).machine {
                        running.kept = Some(kept.clone());
                    }
                    kept
                }
            };
            let logged_in = locked(self.state()).ssh.is_some();
            Ok(SavedMachine { state, loaded, logged_in })
        });
        Ok(SavedNode {
            guest: self.bench().story.guests().cpu_time(self.name()),
            card,
            boot: self.boot_record(),
            on: on.transpose()?,
        })
    }

    /// Puts an overlay over its card; what was written so far is complete and stays as it is.
    fn freeze_card(&self, live: &Live) -> Verdict<Vec<Utf8PathBuf>> {
        let mut state = locked(self.state());
        let Some(card) = state.card.clone() else { return Ok(Vec::new()) };
        let top = overlay(live, self.name(), &card, DiskFormat::Qcow2)?;
        if let Some(running) = &state.machine {
            running.machine.switch_disk(SD, &top).map_err(|error| {
                Failure::expected("cannot freeze an SD card", &error).on(self.name())
            })?;
        }
        state.frozen.push(card);
        state.card = Some(top);
        Ok(state.frozen.clone())
    }

    /// Becomes what was kept, without running yet.
    pub(crate) fn resume(&self, saved: SavedNode, live: &Live) -> Verdict {
        self.bench().story.guests().restore(self.name(), saved.guest);
        {
            let mut state = locked(self.state());
            if let Some(card) = saved.card.last() {
                state.card = Some(overlay(live, self.name(), card, DiskFormat::Qcow2)?);
            }
            state.frozen = saved.card;
            state.boot = saved.boot;
        }
        let Some(SavedMachine { state, loaded, logged_in }) = saved.on else { return Ok(()) };
        let machine = Machine::resume(self.spec(&loaded)?, &state).map_err(|error| {
            Failure::expected("cannot resume a machine", &error).on(self.name())
        })?;
        self.runs(Arc::new(machine), loaded.clone(), Some(loaded));
        locked(self.state()).was_logged_in = logged_in;
        Ok(())
    }

    /// Logs in again where somebody was logged in, and sets the guest's clock, which stood still since it was kept. `away` is
    /// where it answers while it has no address of its own yet.
    pub(crate) fn wake(&self, away: Option<SocketAddr>) -> Verdict {
        if !std::mem::take(&mut locked(self.state()).was_logged_in) {
            return Ok(());
        }
        let options = match away {
            Some(address) => self.away(address)?,
            None => self.at_home(&self.bench().access())?,
        };
        let ssh = self.reach(options)?;
        locked(self.state()).ssh = Some(Arc::new(ssh));
        let now = jiff::Timestamp::now().as_millisecond();
        self.run(&format!("date -u -s @{}.{:03} >/dev/null", now / 1000, now % 1000)).map(drop)
    }
}

/// A fresh overlay on the shelf.
pub(crate) fn overlay(
    live: &Live,
    node: &str,
    over: &camino::Utf8Path,
    format: DiskFormat,
) -> Verdict<Utf8PathBuf> {
    let path =
        live.new_file(&format!("{node}.qcow2")).or_fail(Class::Host, "cannot make an SD card")?;
    create_overlay(&path, over, format)
        .map_err(|error| Failure::expected("cannot make an SD card", &error).on(node))?;
    Ok(path)
}
