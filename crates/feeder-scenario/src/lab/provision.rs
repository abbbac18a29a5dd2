//! `provision` in a scenario: the same library call as on the command line, over SSH through the LAN.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use feeder_cluster::{Cluster, FileSystem, SdCard, Secret, Ssd};
use feeder_modules::{Access, Permits, Provisioned, Scope, provision};
use feeder_plan::{ApplyEvent, Mode, Phase};
use feeder_remote::HostKeys;

use feeder_lan::{Fault, Traffic};

use super::{
    Lab, Node, Recording,
    faults::{clear, inject},
};
use crate::{Change, Event, Failure, Steps, Verdict};

/// From a bare system to a master that serves, in vCPU seconds: packages, and a copy of the system.
const PROVISION: u64 = 1200;
/// The same with a second copy, to an SSD, and a restart.
const WITH_MOVE: u64 = 2400;

/// What provisioning says of a master that it does not find at its new address.
const NOT_AT_HOME: &str = "did not answer at its new address";

/// The discard port of an address of this host that nobody uses.
const NOWHERE: ([u8; 4], u16) = ([127, 0, 0, 99], 9);

/// What a run says while another one is at work on the host.
const AT_IT: &str = "another run is applying";

/// A run of `provision`, with what is expected of it.
#[derive(Debug)]
pub struct Provision<'a> {
    pub(crate) lab: &'a mut Lab,
    pub(crate) onto_ssd: bool,
    /// Stand in the cluster's file, behind those of the sample.
    pub(crate) sections: &'static str,
    /// Logs in with it, and with no key.
    pub(crate) password: Option<&'static str>,
    /// What the file says otherwise than the sample.
    pub(crate) changed: Option<fn(&mut Cluster)>,
    /// The swarm locks its managers.
    pub(crate) autolock: bool,
    /// The master starts once from its SSD before it moves there.
    pub(crate) trial: bool,
}

/// A run of `provision`, and how long it took.
#[derive(Debug)]
pub struct Took {
    /// What it did.
    pub done: Provisioned,
    /// From no connection to its end.
    pub within: Duration,
    /// Each change by its resource, such as `task:state-cluster01`.
    pub each: BTreeMap<String, Duration>,
}

/// What a step of `provision` had copied when it ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Copied {
    /// How many bytes; not all of them need to be on the medium.
    pub bytes: u64,
    /// In this time.
    pub within: Duration,
}

/// A moment of a run of `provision`, in the life of one of its resources: `task:ssd-copy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// It is about to be changed.
    Begins(&'static str),
    /// So many percent of what it copies are copied.
    Copied(&'static str, u64),
    /// It was changed.
    Done(&'static str),
}

impl Moment {
    fn is(self, event: &ApplyEvent<'_>) -> bool {
        let of = |id: &str| event.change.id.as_str() == id;
        match (self, event.phase) {
            (Self::Begins(id), Phase::Begin) | (Self::Done(id), Phase::Done) => of(id),
            (Self::Copied(id, percent), Phase::Moved(bytes, all)) => {
                of(id) && bytes * 100 >= all * percent
            }
            _ => false,
        }
    }
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Begins(id) => write!(f, "when {id} begins"),
            Self::Copied(id, percent) => write!(f, "after {percent} % of {id}"),
            Self::Done(id) => write!(f, "when {id} is done"),
        }
    }
}

impl Provision<'_> {
    /// The cluster's master is to move to the SSD that [`Lab::plug_ssd`] has plugged in, and whatever is on that may go.
    #[must_use]
    pub fn onto_ssd(self) -> Self {
        Self { onto_ssd: true, ..self }
    }

    /// These sections stand in the cluster's file, too.
    #[must_use]
    pub fn with(self, sections: &'static str) -> Self {
        Self { sections, ..self }
    }

    /// It logs in to the master with this password, and offers no key of the lab's.
    #[must_use]
    pub fn by_password(self, password: &'static str) -> Self {
        Self { password: Some(password), ..self }
    }

    /// The cluster's file says something otherwise than the sample.
    #[must_use]
    pub fn changing(self, change: fn(&mut Cluster)) -> Self {
        Self { changed: Some(change), ..self }
    }

    /// The swarm locks its managers. Its key lies where evidence does not, for as long as this run lasts.
    #[must_use]
    pub fn autolocks(self) -> Self {
        Self { autolock: true, ..self }
    }

    /// The master starts once with its root on the SSD before it moves there.
    #[must_use]
    pub fn on_trial(self) -> Self {
        Self { trial: true, ..self }
    }

    fn apply(
        &mut self,
        access: &Access,
        watch: &mut (dyn FnMut(&ApplyEvent<'_>) + Send),
    ) -> Verdict<Provisioned> {
        let cluster = self.cluster()?;
        apply(self.lab, &cluster, self.trial, access, watch).map(|(done, _)| done)
    }

    pub(super) fn cluster(&self) -> Verdict<Cluster> {
        let text = format!("{}\n{}", self.lab.sample, self.sections);
        let parsed = feeder_cluster::parse(&text, "cluster.toml");
        let parsed =
            parsed.map_err(|error| Failure::expected("the cluster's file is wrong", &error))?;
        let mut cluster = parsed.cluster;
        if let Some(change) = self.changed {
            change(&mut cluster);
        }
        if let (true, Some(swarm)) = (self.autolock, &mut cluster.swarm) {
            let key = self.lab.story().dir().scratch().join("swarm-key");
            swarm.autolock = Some(format!("file:{key}").parse().map_err(
                |invalid: feeder_cluster::Invalid| {
                    Failure::harness(format!("the swarm's key cannot be kept: {invalid}"))
                },
            )?);
        }
        if self.onto_ssd { with_ssd(&cluster, &self.lab.master()) } else { Ok(cluster) }
    }

    /// As the command line reaches a master: under whatever key it shows, where the router put it as long as it is bare.
    fn access(&self) -> Access {
        let mut access = self.lab.bench().access();
        access.host_keys = HostKeys::AcceptNew;
        access.first_contact = self.lab.first_contact;
        // The router accepts in the name of a node that has no power, and then nothing comes.
        let dark = self.lab.nodes.values().filter(|node| !node.has_power());
        access.at.extend(dark.map(|node| (node.name().to_owned(), NOWHERE.into())));
        if let Some(password) = self.password {
            access.identity = None;
            access.login_password = Some(Secret::new(password));
        }
        access
    }

    /// It finds something to do and does it.
    ///
    /// # Errors
    /// It found nothing to do, or failed.
    pub fn applies_changes(mut self) -> Verdict {
        let done = self.apply(&self.access(), &mut |_| {})?;
        if done.changed == 0 {
            return Err(Failure::product("provision found nothing to do"));
        }
        self.lab.story().summary(format!("{} changed", done.changed));
        Ok(())
    }

    /// What it does, and in what time. Like any other command it begins without a connection.
    ///
    /// # Errors
    /// It failed.
    pub fn takes(self) -> Verdict<Took> {
        let (cluster, access) = (self.cluster()?, self.access());
        let (mut began, mut each) = (Instant::now(), BTreeMap::new());
        let mut watch = |event: &ApplyEvent<'_>| match event.phase {
            Phase::Begin => began = Instant::now(),
            Phase::Done => {
                each.insert(event.change.id.to_string(), began.elapsed());
            }
            _ => {}
        };
        let (done, within) = apply(self.lab, &cluster, self.trial, &access, &mut watch)?;
        Ok(Took { done, within, each })
    }

    /// It finds nothing to do.
    ///
    /// # Errors
    /// It found something, or failed.
    pub fn finds_nothing_to_do(mut self) -> Verdict {
        let done = self.apply(&self.access(), &mut |_| {})?;
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

    /// The master is given its address and not found there, because whoever provisions looks for it where nobody listens. For a
    /// while it is there all the same.
    ///
    /// # Errors
    /// It was found, or the run failed for another reason, or it is not there.
    pub fn does_not_find_it_at_home(mut self) -> Verdict {
        let master = self.lab.master();
        let mut access = self.access();
        access.at.insert(master.name().to_owned(), NOWHERE.into());
        access.patience = Arc::new(|_| Box::new(|| false));
        match self.apply(&access, &mut |_| {}) {
            Err(failure) if failure.message.contains(NOT_AT_HOME) => {
                self.lab.story().note(format!("as expected: {}", failure.message));
            }
            Err(failure) => return Err(failure),
            Ok(_) => {
                return Err(Failure::product(
                    "provision passed, though it cannot have found the master",
                ));
            }
        }
        master.until_ssh().map(drop)
    }

    /// Whoever provisions loses the connection once a change is made, which to the master is as if the run were killed: its script
    /// goes on until it says something. Another run goes on, and is killed in turn, until one finds nothing to do.
    ///
    /// # Errors
    /// A run failed for another reason, or made a change again that was made.
    pub fn is_killed_at_every_turn(mut self) -> Verdict {
        let master = self.lab.master();
        let mut made: Vec<String> = Vec::new();
        loop {
            let (mut done, mut again) = (None, None);
            let mut watch = |event: &ApplyEvent<'_>| {
                if event.phase != Phase::Done || done.is_some() {
                    return;
                }
                let id = event.change.id.to_string();
                again = made.contains(&id).then(|| id.clone());
                done = Some(id);
                master.hang_up();
            };
            let outcome = self.apply(&self.access(), &mut watch);
            if let Some(id) = again {
                let what = format!("{id} was made, and the next run made it again");
                return Err(Failure::product(what).on(master.name()));
            }
            match (done, outcome) {
                (None, Ok(done)) if done.plan.is_empty() => break,
                // The one that was killed is still at what it began.
                (None, Err(failure)) if failure.message.contains(AT_IT) => {}
                (None, outcome) => {
                    return Err(outcome.err().unwrap_or_else(|| {
                        Failure::product("a run changed something and did not say what")
                    }));
                }
                (Some(id), _) => made.push(id),
            }
        }
        if made.is_empty() {
            return Err(Failure::product("provision found nothing to do"));
        }
        self.lab.story().summary(format!("killed {} times", made.len()));
        Ok(())
    }

    /// The master's power fails at a moment, and with it the run. Gives what was copied by then.
    ///
    /// # Errors
    /// The moment did not come, or the run passed in spite of it.
    pub fn loses_power(self, moment: Moment) -> Verdict<Copied> {
        self.meets("power", moment, &mut |_| {}, &mut cut).map(|(_, copied)| copied)
    }

    /// The same, while the disks of the master are recorded: what provisioning does becomes part of the recording.
    ///
    /// # Errors
    /// As [`Self::loses_power`], or the recording failed.
    pub fn loses_power_on(self, recording: &Recording, moment: Moment) -> Verdict {
        let mut failed = None;
        let mut seen = |event: &ApplyEvent<'_>| {
            let words = match event.phase {
                Phase::Begin => "begins",
                Phase::Moved(..) => "copies",
                Phase::Done => "is done",
                Phase::Output(_) | Phase::Failed => return,
            };
            let said = recording.say(&format!("{} {words}", event.change.id));
            failed = failed.take().or(said.err());
        };
        self.meets("power", moment, &mut seen, &mut cut)?;
        failed.map_or(Ok(()), Err)
    }

    /// Somebody pulls the SSD out of the running master at a moment, and the run fails, and says all of these words.
    ///
    /// # Errors
    /// The moment did not come, the run passed in spite of it, or it did not say so.
    pub fn loses_ssd(self, moment: Moment, words: &[&str]) -> Verdict {
        self.fails_when(moment, |master| master.unplug_ssd().map(drop), words)
    }

    /// Something happens to the master at a moment, and the run fails, and says all of these words.
    ///
    /// # Errors
    /// The moment did not come, the run passed in spite of it, or it did not say so.
    pub fn fails_when(
        self,
        moment: Moment,
        mut happens: impl FnMut(&Node) -> Verdict + Send,
        words: &[&str],
    ) -> Verdict {
        let (failure, _) = self.meets("what it needs", moment, &mut |_| {}, &mut happens)?;
        says(&failure, words)
    }

    /// The mirror from which packages come is not to be reached any more from a moment on, and the run fails, and says all of
    /// these words. It is there again afterwards.
    ///
    /// # Errors
    /// The moment did not come, the run passed in spite of it, or it did not say so.
    pub fn loses_mirror(self, moment: Moment, words: &[&str]) -> Verdict {
        let (bench, mut gone) = (Arc::clone(self.lab.bench()), None);
        let lose = |master: &Node| {
            let http = Fault::cut(master.name()).only(Traffic::Http);
            gone = Some(inject(&bench, http)?);
            Ok(())
        };
        let failed = self.fails_when(moment, lose, words);
        if let Some(fault) = gone {
            clear(&bench, fault)?;
        }
        failed
    }

    /// The run fails, and says all of these words.
    ///
    /// # Errors
    /// It passed, or did not say so.
    pub fn fails(mut self, words: &[&str]) -> Verdict {
        let Err(failure) = self.apply(&self.access(), &mut |_| {}) else {
            return Err(Failure::product("provision passed and should have failed"));
        };
        self.lab.story().note(format!("as expected: {}", failure.message));
        says(&failure, words)?;
        // Provisioning took the connection. A bare master may not let anybody in yet.
        if self.lab.bare.is_none() {
            self.lab.master().until_ssh()?;
        }
        Ok(())
    }

    /// Something happens to the master at a moment, after which it is without what it had; how the run fails, and what
    /// was copied by then.
    fn meets(
        mut self,
        without: &str,
        moment: Moment,
        seen: &mut (dyn FnMut(&ApplyEvent<'_>) + Send),
        happens: &mut (dyn FnMut(&Node) -> Verdict + Send),
    ) -> Verdict<(Failure, Copied)> {
        let master = self.lab.master();
        let mut happened = None;
        let (mut began, mut copied) = (Instant::now(), Copied::default());
        let mut watch = |event: &ApplyEvent<'_>| {
            seen(event);
            match event.phase {
                Phase::Begin => (began, copied) = (Instant::now(), Copied::default()),
                Phase::Moved(bytes, _) if happened.is_none() => {
                    copied = Copied { bytes, within: began.elapsed() };
                }
                _ => {}
            }
            if happened.is_none() && moment.is(event) {
                happened = Some(happens(&master));
            }
        };
        let outcome = self.apply(&self.access(), &mut watch);
        match (happened, outcome) {
            (Some(Err(failure)), _) => Err(failure),
            (Some(Ok(())), Err(failure)) => {
                self.lab.story().note(format!("as expected: {}", failure.message));
                Ok((failure, copied))
            }
            (Some(Ok(())), Ok(_)) => {
                Err(Failure::product(format!("provision passed, without {without} {moment}"))
                    .on(master.name()))
            }
            (None, outcome) => Err(outcome
                .err()
                .unwrap_or_else(|| Failure::scenario(format!("there was no moment {moment}")))),
        }
    }
}

/// Whether a failure says all of these words.
fn says(failure: &Failure, words: &[&str]) -> Verdict {
    match words.iter().find(|words| !failure.message.contains(**words)) {
        None => Ok(()),
        Some(words) => Err(Failure::product(format!("the failure does not say \"{words}\""))
            .detail(failure.message.clone())),
    }
}

fn cut(master: &Node) -> Verdict {
    master.cut_power_if_on();
    Ok(())
}

/// The cluster, with the SSD that is plugged into its master.
fn with_ssd(cluster: &Cluster, master: &Node) -> Verdict<Cluster> {
    let disk = master.ssd_in_guest().parse().map_err(|invalid: feeder_cluster::Invalid| {
        Failure::scenario(format!("the SSD cannot be named: {invalid}"))
    })?;
    let mut cluster = cluster.clone();
    cluster.master.ssd = Some(Ssd { disk, file_system: FileSystem::Ext4, sd_card: SdCard::Kept });
    Ok(cluster)
}

fn apply(
    lab: &mut Lab,
    cluster: &Cluster,
    trial: bool,
    access: &Access,
    watch: &mut (dyn FnMut(&ApplyEvent<'_>) + Send),
) -> Verdict<(Provisioned, Duration)> {
    let master = lab.master();
    let bench = lab.bench().clone();
    // Provisioning makes its own connection, and the master's address may change under ours.
    master.forget_connection();
    let story = bench.story.clone();
    let budget = if cluster.master.ssd.is_some() { WITH_MOVE } else { PROVISION };
    let mut has_begun = false;
    let done = master.in_guest("provisioning", budget, || {
        let mut permits = Permits {
            erase: cluster.master.ssd.as_ref().map(|ssd| ssd.disk.name().to_owned()),
            confirm: &mut |_, _| false,
            program_usb_boot: false,
            trial,
            scope: Scope::default(),
        };
        let began = Instant::now();
        let done = provision(cluster, access, Mode::Apply, &mut permits, &mut |event| {
            has_begun = true;
            watch(&event);
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
        });
        // What follows here, no command does.
        done.map(|done| (done, began.elapsed())).map_err(Box::new)
    })?;
    if has_begun || done.is_ok() {
        // Nothing else is changed before the master has its address, however the run ends.
        (lab.bare, lab.first_contact) = (None, None);
    }
    let (done, within) =
        done.map_err(|error| Failure::expected("provisioning failed", &*error).on(master.name()))?;
    story.emit(
        Some(master.name()),
        Event::Provisioned { changed: done.changed, unchanged: done.plan.as_wanted },
    );
    for note in &done.notes {
        story.note(note.clone());
    }
    master.until_ssh()?;
    Ok((done, within))
}
