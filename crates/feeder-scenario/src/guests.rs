//! What the harness knows of the machines: how much they have worked, whether they are lost, what they said last.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::{Class, clock::locked};

/// A powered-on machine as a wait sees it. The methods are called under the journal's lock: they must not emit events.
pub trait Guest: Send + Sync {
    /// vCPU time used since this power-on. `None` when it cannot be read any more, because the process is gone.
    fn cpu_time(&self) -> Option<Duration>;

    /// How long since this power-on the host kept the machine from working: its threads were ready and got no processor,
    /// summed over them. Keeps its value when the process is gone.
    fn starved(&self) -> Duration {
        Duration::ZERO
    }

    /// Why nothing can be expected of this machine any more, when that is so: its process died, its kernel panicked.
    fn fate(&self) -> Option<Fate> {
        None
    }

    /// The last lines of its console, oldest first.
    fn last_lines(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Why nothing can be expected of a machine any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fate {
    /// Whose fault it is: a panicked kernel is the product's, an emulator that crashed the harness's.
    pub class: Class,
    /// What happened, as a continuation of the machine's name: "panicked: VFS: Unable to mount root fs".
    pub what: String,
}

impl Fate {
    /// A fate that the product brought on itself.
    pub fn product(what: impl Into<String>) -> Self {
        Self { class: Class::Product, what: what.into() }
    }
}

/// All machines of a run by name, with a CPU clock that survives power cuts. Cheap to clone; a clone is the same set.
#[derive(Clone, Default)]
pub struct Guests {
    machines: Arc<Mutex<BTreeMap<String, Machine>>>,
}

#[derive(Default)]
struct Machine {
    on: Option<Arc<dyn Guest>>,
    /// Used before the last power-on.
    before: Duration,
    /// Used since then, as last read. Never goes back, even when a thread's time disappears with the thread.
    since: Duration,
    /// The same two for the time that the host kept it from working.
    starved_before: Duration,
    starved_since: Duration,
    last_words: Vec<String>,
}

impl Machine {
    fn cpu_time(&mut self) -> Duration {
        if let Some(now) = self.on.as_ref().and_then(|guest| guest.cpu_time()) {
            self.since = self.since.max(now);
        }
        self.before + self.since
    }

    fn starved(&mut self) -> Duration {
        if let Some(guest) = &self.on {
            self.starved_since = self.starved_since.max(guest.starved());
        }
        self.starved_before + self.starved_since
    }

    fn forget(&mut self) {
        self.cpu_time();
        self.before += std::mem::take(&mut self.since);
        self.starved();
        self.starved_before += std::mem::take(&mut self.starved_since);
        if let Some(guest) = self.on.take() {
            self.last_words = guest.last_lines();
        }
    }
}

impl Guests {
    /// A machine has power from now on. Powering on again adds to the CPU time it had used before.
    pub fn power_on(&self, name: &str, guest: Arc<dyn Guest>) {
        let mut machines = locked(&self.machines);
        let machine = machines.entry(name.to_owned()).or_default();
        machine.forget();
        machine.on = Some(guest);
    }

    /// A machine has no power from now on. Its CPU time is kept, and so are its last lines.
    pub fn power_off(&self, name: &str) {
        if let Some(machine) = locked(&self.machines).get_mut(name) {
            machine.forget();
        }
    }

    /// Sets what a machine had used before this run: it goes on from a snapshot.
    pub fn restore(&self, name: &str, used: Duration) {
        locked(&self.machines).entry(name.to_owned()).or_default().before = used;
    }

    /// The CPU time that a machine has used in this run; zero for one that was never on.
    pub fn cpu_time(&self, name: &str) -> Duration {
        locked(&self.machines).get_mut(name).map_or(Duration::ZERO, Machine::cpu_time)
    }

    /// The CPU time that these machines have used together.
    pub fn cpu_time_of(&self, names: &[String]) -> Duration {
        names.iter().map(|name| self.cpu_time(name)).sum()
    }

    /// How long the host kept these machines from working, summed over them and their threads.
    pub fn starved_of(&self, names: &[String]) -> Duration {
        let mut machines = locked(&self.machines);
        names.iter().filter_map(|name| machines.get_mut(name).map(Machine::starved)).sum()
    }

    /// The CPU time that all machines have used, and the named one's share when it is known.
    pub fn total_and(&self, name: Option<&str>) -> (Duration, Option<Duration>) {
        let (mut total, mut share) = (Duration::ZERO, None);
        for (node, machine) in locked(&self.machines).iter_mut() {
            let used = machine.cpu_time();
            total += used;
            if Some(node.as_str()) == name {
                share = Some(used);
            }
        }
        (total, share)
    }

    /// The first of these machines that is lost, and how.
    pub fn fate_of(&self, names: &[String]) -> Option<(String, Fate)> {
        let machines = locked(&self.machines);
        names.iter().find_map(|name| {
            let fate = machines.get(name)?.on.as_ref()?.fate()?;
            Some((name.clone(), fate))
        })
    }

    /// The last lines of a machine's console, oldest first; of one without power, those before it went.
    pub fn last_lines(&self, name: &str) -> Vec<String> {
        match locked(&self.machines).get(name) {
            None => Vec::new(),
            Some(machine) => match &machine.on {
                Some(guest) => guest.last_lines(),
                None => machine.last_words.clone(),
            },
        }
    }
}

impl std::fmt::Debug for Guests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(locked(&self.machines).keys()).finish()
    }
}

#[cfg(test)]
pub(crate) mod fake {
    //! A machine that a test moves.

    use super::*;

    #[derive(Default)]
    pub struct FakeGuest {
        pub cpu: Mutex<Option<Duration>>,
        pub starved: Mutex<Duration>,
        pub fate: Mutex<Option<Fate>>,
        pub lines: Mutex<Vec<String>>,
    }

    impl FakeGuest {
        pub fn works(&self, for_: Duration) {
            *locked(&self.cpu).get_or_insert_default() += for_;
        }

        pub fn starves(&self, for_: Duration) {
            *locked(&self.starved) += for_;
        }
    }

    impl Guest for FakeGuest {
        fn cpu_time(&self) -> Option<Duration> {
            *locked(&self.cpu)
        }
        fn starved(&self) -> Duration {
            *locked(&self.starved)
        }
        fn fate(&self) -> Option<Fate> {
            locked(&self.fate).clone()
        }
        fn last_lines(&self) -> Vec<String> {
            locked(&self.lines).clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{fake::FakeGuest, *};

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn cpu_time_survives_a_power_cut_and_never_goes_back() {
        let guests = Guests::default();
        let first = Arc::new(FakeGuest::default());
        first.works(seconds(40));
        *locked(&first.lines) = vec!["login:".into()];
        guests.power_on("cluster01", first.clone());
        assert_eq!(guests.cpu_time("cluster01"), seconds(40));
        *locked(&first.cpu) = Some(seconds(39));
        assert_eq!(guests.cpu_time("cluster01"), seconds(40), "a thread's time went with it");
        *locked(&first.cpu) = None;
        guests.power_off("cluster01");
        assert_eq!(guests.cpu_time("cluster01"), seconds(40));
        assert_eq!(guests.last_lines("cluster01"), ["login:"]);

        let second = Arc::new(FakeGuest::default());
        second.works(seconds(2));
        guests.power_on("cluster01", second);
        assert_eq!(guests.cpu_time("cluster01"), seconds(42));
        assert!(guests.last_lines("cluster01").is_empty());
    }

    #[test]
    fn starvation_survives_a_power_cut_and_work_a_resumption() {
        let guests = Guests::default();
        guests.restore("cluster01", seconds(30));
        assert_eq!(guests.cpu_time("cluster01"), seconds(30));
        let names = ["cluster00".to_owned(), "cluster01".to_owned()];
        for _ in 0..2 {
            let guest = Arc::new(FakeGuest::default());
            guest.works(seconds(2));
            guest.starves(seconds(5));
            guests.power_on("cluster01", guest);
        }
        assert_eq!(guests.cpu_time_of(&names), seconds(34));
        assert_eq!(guests.starved_of(&names), seconds(10));
        guests.power_off("cluster01");
        assert_eq!(guests.starved_of(&names), seconds(10));
    }

    #[test]
    fn a_machine_without_power_has_no_fate() {
        let guests = Guests::default();
        let guest = Arc::new(FakeGuest::default());
        *locked(&guest.fate) = Some(Fate::product("panicked"));
        guests.power_on("cluster01", guest);
        let names = ["cluster00".to_owned(), "cluster01".to_owned()];
        assert_eq!(guests.fate_of(&names), Some(("cluster01".into(), Fate::product("panicked"))));
        guests.power_off("cluster01");
        assert_eq!(guests.fate_of(&names), None);
    }
}
