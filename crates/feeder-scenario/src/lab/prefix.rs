//! Steps that need not run: the end of every step is kept, and a run goes on from the last one that it finds.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    panic::Location,
    sync::{Arc, atomic::Ordering},
};

use feeder_lan::LanState;
use feeder_remote::in_parallel;
use fs_err as fs;
use serde::{Deserialize, Serialize};

use super::{Lab, saved::SavedNode, ssh_forward};
use crate::{
    Class, Failure, Mutation, OrFail, Reading, Record, Steps, Verdict,
    clock::locked,
    mutation,
    panics::caught,
    snapshot::{Chain, Code, Entry, Live, Next},
};

/// What `provision` runs, as an ingredient of the steps that call it.
pub(crate) const MODULES: &str = "modules";

/// Where a run stands among the states that are kept.
pub(crate) struct Prefix {
    pub(crate) live: Live,
    chain: Chain,
    code: Arc<Code>,
    /// How many steps may at most be taken over.
    most: usize,
    taken: usize,
    /// Steps run from now on.
    playing: bool,
    /// The state to go on from as soon as a step has to run.
    found: Option<Entry>,
    /// The ingredients that the open step has used.
    used: BTreeSet<&'static str>,
    /// Why nothing is kept any more, once told.
    ended: bool,
}

/// A cluster at the end of a step.
#[derive(Serialize, Deserialize)]
struct SavedLab {
    /// What the step told, with times counted from its beginning.
    records: Vec<Record>,
    took: Reading,
    nodes: BTreeMap<String, SavedNode>,
    lan: LanState,
    /// The host keys that provisioning has recorded.
    known_hosts: Option<String>,
    /// The master's address, as long as it is the router's to choose.
    bare: Option<Ipv4Addr>,
}

impl Prefix {
    pub(crate) fn new(live: Live, chain: Chain, code: Arc<Code>, most: usize) -> Self {
        Self {
            live,
            chain,
            code,
            most,
            taken: 0,
            playing: most == 0,
            found: None,
            used: BTreeSet::new(),
            ended: false,
        }
    }

    /// The open step depends on this ingredient.
    pub(crate) fn uses(&mut self, ingredient: &'static str) {
        self.used.insert(ingredient);
    }

    fn next(&self, name: &str, at: &Location<'_>) -> Next {
        self.chain.next(name, self.code.step(at))
    }

    /// The kept end of a step, as long as all steps before it were found, too.
    fn find(&mut self, next: &Next) -> Verdict<Option<Entry>> {
        if self.playing || self.taken == self.most {
            return Ok(None);
        }
        let found = self.live.find(&self.chain, next);
        found.map_err(|error| Failure::expected("cannot look for kept states", &error))
    }
}

impl Lab {
    /// A step of the outermost level: taken over when its end is kept, run otherwise.
    pub(super) fn outer_step(
        &mut self,
        name: String,
        at: &'static Location<'static>,
        body: impl Fn(&mut Self) -> Verdict,
    ) -> Verdict {
        let story = self.story().clone();
        let next = self.prefix.next(&name, at);
        if let Some(mutation) = self.mutation.take_if(|mutation| mutation.before == name) {
            self.break_it(&mutation)?;
        }
        if !story.pauses_before(&name)
            && let Some(entry) = self.prefix.find(&next)?
            && let Some(saved) = saved(&entry)
        {
            story.reuse(&saved.records, saved.took);
            self.prefix.chain.resumed(next, &entry);
            self.prefix.taken += 1;
            self.prefix.found = Some(entry);
            return Ok(());
        }
        self.go_on_from_found()?;
        self.prefix.used.clear();
        let (place, start) = (story.journal().len(), story.now());
        story.step(name, || body(self))?;
        let took = story.now().since(start);
        let used = std::mem::take(&mut self.prefix.used);
        self.prefix.chain.took(next, used);
        if story.touched() {
            // What a person did to the machines is in no key.
            self.prefix.ended = true;
        }
        if !self.prefix.ended
            && let Err(failure) = self.keep(place, start, took)
        {
            self.prefix.ended = true;
            story.note(format!("this state and later ones are not kept: {failure}"));
        }
        Ok(())
    }

    /// Breaks something before a step. From here on the run is none that anything could be taken over from.
    fn break_it(&mut self, mutation: &Mutation<Self>) -> Verdict {
        self.go_on_from_found()?;
        self.prefix.ended = true;
        self.bench().haste.store(mutation::HASTE, Ordering::Relaxed);
        mutation.plant(self)
    }

    /// Keeps the state that the cluster is in, unless another run has. Its processors stand still meanwhile.
    fn keep(&mut self, place: usize, start: Reading, took: Reading) -> Verdict {
        if self.prefix.chain.key().is_none() {
            return Err(Failure::harness("the step's code is not known"));
        }
        let Prefix { live, chain, .. } = &self.prefix;
        let kept = live.has(chain);
        if kept.map_err(|error| Failure::expected("cannot look for kept states", &error))? {
            return Ok(());
        }
        let nodes: Vec<_> = self.nodes.values().cloned().collect();
        if let Some(why) = nodes.iter().find_map(super::Node::cannot_be_saved) {
            return Err(Failure::harness(why));
        }
        if self.script.waits() || !locked(&self.bench().dhcp_servers).is_empty() {
            return Err(Failure::harness("something is still to go wrong, or does"));
        }
        let records = self.story().journal().since(place, start);
        nodes.iter().try_for_each(super::Node::pause)?;
        let saved = self.save(&nodes);
        // Whatever became of it, the story goes on.
        nodes.iter().try_for_each(super::Node::go_on)?;
        let (nodes, lan) = saved?;
        let known_hosts = fs::read_to_string(&self.bench().known_hosts).ok();
        let files: Vec<_> = nodes.values().flat_map(SavedNode::files).cloned().collect();
        let saved = SavedLab { records, took, nodes, lan, known_hosts, bare: self.bare };
        let saved = serde_json::to_value(&saved).or_fail(Class::Harness, "cannot keep a state")?;
        let Prefix { live, chain, .. } = &self.prefix;
        let run = self.story().dir().path().to_owned();
        live.publish(chain, &run, &files, saved)
            .map(drop)
            .map_err(|error| Failure::expected("cannot keep a state", &error))
    }

    fn save(&self, nodes: &[super::Node]) -> Verdict<(BTreeMap<String, SavedNode>, LanState)> {
        let story = self.story();
        let lan = &self.bench().lan;
        let settled = lan.settle(&mut || !story.interrupted());
        if settled.or_fail(Class::Harness, "the LAN does not come to rest")?.is_none() {
            return Err(Failure::interrupted("the run was interrupted"));
        }
        let live = &self.prefix.live;
        let save = |node: &super::Node| caught(|| Ok((node.name().to_owned(), node.save(live)?)));
        let saved = in_parallel(nodes, save).into_iter().collect::<Verdict<_>>()?;
        Ok((saved, lan.state().or_fail(Class::Harness, "the LAN cannot be kept")?))
    }

    /// From now on steps run, on the state that was found last.
    pub(super) fn go_on_from_found(&mut self) -> Verdict {
        self.prefix.playing = true;
        match self.prefix.found.take() {
            Some(entry) => self.go_on_from(&entry),
            None => Ok(()),
        }
    }

    /// Becomes what the cluster was at the end of a step.
    fn go_on_from(&mut self, entry: &Entry) -> Verdict {
        let Some(saved) = saved(entry) else {
            return Err(Failure::harness("a kept state is not understood")
                .with_hint("run it again with --cold"));
        };
        let bench = self.bench().clone();
        if let Some(known_hosts) = &saved.known_hosts {
            fs::write(&bench.known_hosts, known_hosts)
                .or_fail(Class::Host, "cannot write the host keys")?;
        }
        bench.lan.restore(saved.lan).or_fail(Class::Harness, "the LAN cannot go on")?;
        for (name, state) in saved.nodes {
            self.node(&name)?.resume(state, &self.prefix.live)?;
        }
        bench.story.journal().guests_know_their_past();
        self.bare = saved.bare;
        self.first_contact =
            saved.bare.map(|address| ssh_forward(&bench.lan, address)).transpose()?;
        for node in self.nodes.values() {
            node.go_on()?;
        }
        let master = self.master();
        let first_contact = self.first_contact;
        // Each login is a second or two of its guest's work.
        let wake = |node: &super::Node| {
            let away = first_contact.filter(|_| node.name() == master.name());
            caught(|| node.wake(away))
        };
        let nodes: Vec<_> = self.nodes.values().cloned().collect();
        in_parallel(&nodes, wake).into_iter().collect()
    }
}

/// What an entry holds. One that another version of this program has written cannot be told from none.
fn saved(entry: &Entry) -> Option<SavedLab> {
    serde_json::from_value(entry.state.clone()).ok()
}
