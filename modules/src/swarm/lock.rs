//! A swarm that locks its managers: what they keep on their disks is encrypted, and none of them goes on after a restart before it
//! is given the key. The swarm makes that key; it is kept in a file beside `cluster.toml`, and travels by standard input.

use feeder_cluster::Secret;
use feeder_plan::{Change, Mode, Sign};
use feeder_remote::{Host, in_parallel};
use serde_json::{Value, json};

use super::{
    Met, Pass, SwarmError, View,
    engine::{Request, ask, order},
    reconcile::Standing,
};

const READ: &str = "read the swarm's unlock key";

impl Pass<'_> {
    /// Has the swarm lock its managers, if it is to, and its key kept.
    pub(super) fn autolock(&mut self, view: &View, mode: Mode) -> Result<(), SwarmError> {
        let swarm = self.swarm;
        let Some(kept) = &swarm.autolock else { return Ok(()) };
        let id = format!("swarm:{}", self.master());
        if !view.autolock {
            let text = format!("managers are locked at a restart, the key is kept as {kept}");
            let locks = Change::elsewhere(&id, Sign::Change, text);
            if mode == Mode::Plan {
                self.settled.changes.push(locks);
                return Ok(());
            }
            return self.change(locks, |this| {
                this.lock_managers()?;
                Ok(kept.keep(&this.made_key()?)?)
            });
        }
        let key = self.made_key()?;
        if kept.kept()?.as_ref() == Some(&key) {
            return Ok(());
        }
        let keeps =
            Change::elsewhere(&id, Sign::Change, format!("its unlock key is kept as {kept}"));
        if mode == Mode::Plan {
            self.settled.changes.push(keeps);
            return Ok(());
        }
        self.change(keeps, |_| Ok(kept.keep(&key)?))
    }

    fn lock_managers(&self) -> Result<(), SwarmError> {
        let locked = json!({ "AutoLockManagers": true });
        self.specify("EncryptionConfig", locked, "lock the swarm's managers")
    }

    /// The key that the swarm has made.
    fn made_key(&self) -> Result<Secret, SwarmError> {
        let answer = order(self.reach.master, Request::get("/swarm/unlockkey"), READ)?;
        let value = answer.value(self.master(), READ)?;
        value["UnlockKey"].as_str().map(Secret::new).ok_or_else(|| self.no_swarm())
    }

    /// The key that is kept, for a manager that waits for it.
    pub(super) fn key(&self, host: &str) -> Result<Secret, SwarmError> {
        let locked = |why: String| SwarmError::Locked { host: host.to_owned(), why };
        let Some(kept) = &self.swarm.autolock else {
            return Err(locked("[swarm] does not say where it is kept".to_owned()));
        };
        kept.kept()?.ok_or_else(|| locked(format!("{kept} is not there")))
    }

    pub(super) fn unlocks(&self, host: &str) -> Change {
        let id = format!("swarm:{host}");
        Change::elsewhere(id, Sign::Change, format!("node {host}: is given its unlock key"))
    }

    /// Unlocks the master, and other managers with it: an engine does not answer before more than half of them are back.
    pub(super) fn unlock_with_others(&self, key: &Secret) -> Result<(), SwarmError> {
        let others = self.locked_workers()?;
        let others = others.iter().map(|host| &**host);
        let locked: Vec<&dyn Host> = std::iter::once(self.reach.master).chain(others).collect();
        in_parallel(&locked, |host| unlock(*host, key)).into_iter().collect()
    }

    /// Unlocks those workers without which the managers are too few to decide anything: whether there were any.
    pub(super) fn unlock_workers(&mut self, mode: Mode) -> Result<bool, SwarmError> {
        let locked = self.locked_workers()?;
        for host in &locked {
            self.unlock_worker(&**host, mode)?;
        }
        Ok(!locked.is_empty())
    }

    /// Gives a worker that manages its key.
    pub(super) fn unlock_worker(&mut self, host: &dyn Host, mode: Mode) -> Result<(), SwarmError> {
        let (key, unlocks) = (self.key(host.name())?, self.unlocks(host.name()));
        if mode == Mode::Plan {
            self.settled.changes.push(unlocks);
            return Ok(());
        }
        self.change(unlocks, |_| unlock(host, &key))
    }

    /// The workers that manage the swarm and wait for its key. Who was to manage when they were locked, the file may not say any
    /// more.
    fn locked_workers(&self) -> Result<Vec<Box<dyn Host>>, SwarmError> {
        let workers: Vec<_> = self.cluster.workers.iter().collect();
        let root_ca = ask(self.reach.master, &[])?.root_ca;
        let met = self.meet(&workers, root_ca.as_deref(), &[])?;
        let locked = met.into_iter().filter_map(|met| match met {
            Met::Stands(Standing::Locked, _, host) => Some(host),
            _ => None,
        });
        Ok(locked.collect())
    }
}

/// Gives a manager its key.
fn unlock(host: &dyn Host, key: &Secret) -> Result<(), SwarmError> {
    let doing = "unlock the swarm";
    let body: Value = json!({ "UnlockKey": key.expose() });
    let answer = order(host, Request::post("/swarm/unlock", body), doing)?;
    if answer.is_late() || answer.goes_on() { Ok(()) } else { answer.done(host.name(), doing) }
}
