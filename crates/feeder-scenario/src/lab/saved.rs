//! Nodes whose state is kept, and nodes that go on from one.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use camino::Utf8PathBuf;
use feeder_machine::{DiskFormat, Machine, disk::create_overlay};
use fs_err as fs;
use serde::{Deserialize, Serialize};

use super::{
    disks::{Medium, SD, SSD, Whereabouts},
    firmware::BootRecord,
    node::{Loaded, Node, State},
};
use crate::{Class, Failure, OrFail, Verdict, clock::locked, clock::seconds, snapshot::Live};

/// A node at the end of a step.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SavedNode {
    /// vCPU time that it has used.
    #[serde(rename = "guest_s", with = "seconds")]
    guest: Duration,
    /// Its card and its SSD.
    card: Option<SavedMedium>,
    ssd: Option<SavedMedium>,
    boot: BootRecord,
    /// What it was doing, when it had power.
    on: Option<SavedMachine>,
}

/// A card or a disk.
#[derive(Debug, Serialize, Deserialize)]
struct SavedMedium {
    /// The overlays that are no longer written to, the last one on top.
    overlays: Vec<Utf8PathBuf>,
    is: Whereabouts,
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
        let media = [&self.card, &self.ssd].into_iter().flatten();
        media.flat_map(|medium| &medium.overlays).chain(on)
    }
}

impl Node {
    /// Why its state cannot be kept now, if so.
    pub(crate) fn cannot_be_saved(&self) -> Option<String> {
        let state = locked(self.state());
        for (medium, name) in [(&state.card, "SD card"), (&state.ssd, "SSD")] {
            if let Some(why) = medium.as_ref().and_then(Medium::cannot_be_saved) {
                return Some(format!("the {name} of {}: {why}", self.name()));
            }
        }
        let why = state.machine.as_ref()?.machine.cannot_be_saved()?;
        Some(format!("{}: {why}", self.name()))
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
        let (card, ssd) = self.freeze_disks(live)?;
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
            ssd,
            boot: self.boot_record(),
            on: on.transpose()?,
        })
    }

    /// Puts overlays over its card and its SSD; what was written so far is complete and stays as it is.
    fn freeze_disks(&self, live: &Live) -> Verdict<(Option<SavedMedium>, Option<SavedMedium>)> {
        let mut state = locked(self.state());
        let State { card, ssd, machine, .. } = &mut *state;
        let mut freeze = |medium: &mut Option<Medium>, id: &str| {
            let Some(medium) = medium else { return Ok(None) };
            let top = overlay(live, self.name(), &medium.top, DiskFormat::Qcow2)?;
            if medium.is == Whereabouts::In
                && let Some(running) = machine
            {
                running.machine.switch_disk(id, &top).map_err(|error| {
                    Failure::expected("cannot freeze a disk", &error).on(self.name())
                })?;
            }
            medium.frozen.push(std::mem::replace(&mut medium.top, top));
            Ok(Some(SavedMedium { overlays: medium.frozen.clone(), is: medium.is }))
        };
        Ok((freeze(card, SD)?, freeze(ssd, SSD)?))
    }

    /// A card or disk as it was kept, with an overlay of this run's own.
    fn medium(&self, saved: Option<SavedMedium>, live: &Live) -> Verdict<Option<Medium>> {
        let Some(SavedMedium { overlays, is }) = saved else { return Ok(None) };
        let Some(last) = overlays.last() else { return Ok(None) };
        let top = overlay(live, self.name(), last, DiskFormat::Qcow2)?;
        Ok(Some(Medium::kept(top, overlays, is)))
    }

    /// Becomes what was kept, without running yet.
    pub(crate) fn resume(&self, saved: SavedNode, live: &Live) -> Verdict {
        self.bench().story.guests().restore(self.name(), saved.guest);
        {
            let (card, ssd) = (self.medium(saved.card, live)?, self.medium(saved.ssd, live)?);
            let mut state = locked(self.state());
            (state.card, state.ssd) = (card, ssd);
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
