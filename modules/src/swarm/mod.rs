//! The swarm that master and workers form.
//!
//! Unlike the other modules this one is about several hosts at once, so it gives no resources: [`settle`] asks the master's engine
//! what the swarm is, compares it with the cluster, and changes what differs. Workers are talked to only when the managers do not
//! see them, and those that do not answer are left for the next run: a worker without power is nothing unusual.

mod availability;
mod engine;
mod error;
mod lock;
mod orders;
mod reconcile;
mod seen;
#[cfg(test)]
mod tests;

use std::time::Duration;

use feeder_cluster::{Cluster, Ipv4Net, Swarm, Worker};
use feeder_plan::{ApplyEvent, Change, Mode, Phase, Sign};
use feeder_process::interrupt;
use feeder_remote::{Host, RemoteError, Ssh, in_parallel};
use serde_json::{Value, json};

pub use self::{availability::set_availability, error::SwarmError};
use self::{
    engine::{Request, ask, order},
    reconcile::{Kind, Standing, absent, standing},
    seen::{Engine, LocalState, Member, members},
};
use crate::{Awaited, KeepWaiting, Patience, Scope};

pub(crate) const NAME: &str = "swarm";

/// Where managers listen for nodes.
const PORT: u16 = 2377;
/// From one look at a node that has yet to come to the next.
const PACE: Duration = Duration::from_secs(1);
/// How often the members are gone over before they count as never content: one change can be the reason for another.
const PASSES: usize = 3;
/// Of which overlay networks get their addresses: the first that has nothing to do with the cluster's own.
const POOLS: [&str; 3] = ["10.0.0.0/8", "172.24.0.0/13", "192.168.128.0/17"];

/// What was found, and done about it.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    /// What differed; with [`Mode::Apply`] it was changed.
    pub(crate) changes: Vec<Change>,
    /// Nodes that are as wanted.
    pub(crate) as_wanted: usize,
    /// What whoever does this should know.
    pub(crate) notes: Vec<String>,
    /// With [`Mode::Plan`], the nodes that are about to be seen by the managers: not before is it known what differs of them.
    pub(crate) awaited: Vec<String>,
}

impl Settled {
    /// Nothing was to be done, and nothing is waited for.
    pub(crate) fn is_as_wanted(&self) -> bool {
        self.changes.is_empty() && self.awaited.is_empty()
    }
}

/// What came of an attempt to reach a node.
pub(crate) type Connected = Result<Box<dyn Host>, RemoteError>;

/// The way to the nodes.
pub(crate) struct Reach<'a> {
    /// Whose place in the swarm is looked at.
    pub(crate) scope: &'a Scope,
    /// The master.
    pub(crate) master: &'a dyn Host,
    /// A worker, if it answers now.
    pub(crate) worker: &'a (dyn Fn(&Worker) -> Connected + Sync),
    /// Whether to go on waiting for a node.
    pub(crate) patience: &'a Patience,
}

/// The ways over SSH.
pub(crate) fn over_ssh(cluster: &Cluster, access: &crate::Access, worker: &Worker) -> Connected {
    let name = worker.name.as_str();
    let Some(mut options) = access.node(cluster, name) else {
        return Err(RemoteError::GaveUp {
            host: name.to_owned(),
            last: "it is not in the cluster".to_owned(),
        });
    };
    // Several may have no power.
    options.connect_timeout = access.connect_timeout / 2;
    Ok(Box::new(Ssh::connect(options)?))
}

/// Compares the swarm with the cluster and, with [`Mode::Apply`], changes what differs.
///
/// # Errors
/// Every [`SwarmError`]. What was changed before stays; a next run goes on from there.
pub(crate) fn settle(
    cluster: &Cluster,
    swarm: &Swarm,
    reach: &Reach<'_>,
    mode: Mode,
    events: &mut dyn FnMut(ApplyEvent<'_>),
) -> Result<Settled, SwarmError> {
    let mut this = Pass { cluster, swarm, reach, events, settled: Settled::default() };
    let mut view = match this.unlocked(mode)? {
        // What else is to be done the swarm alone knows.
        Unlocked::Planned => return Ok(this.settled),
        Unlocked::Is(view) => view,
        Unlocked::Leaderless(_) => this.led(mode)?,
    };
    if view.is_none() {
        let name = cluster.master.name.as_str();
        if !reach.scope.has_host(name) {
            return Err(SwarmError::NoSwarm { host: name.to_owned() });
        }
        this.nobody_is_in_another()?;
        let init = Change::elsewhere(format!("swarm:{name}"), Sign::Add, "a swarm, managed here");
        if mode == Mode::Plan {
            this.settled.changes.push(init);
            this.settled.changes.extend(reach.scope.workers(cluster).map(joins));
            return Ok(this.settled);
        }
        this.change(init, |this| this.init())?;
        view = this.look()?;
    }
    let Some(view) = view else { return Err(this.no_swarm()) };
    this.heartbeat(&view, mode)?;
    this.autolock(&view, mode)?;
    let (mut coming, joining) = this.absent(&view, mode)?;
    if mode == Mode::Plan {
        let differs = this.differs(&view.members);
        let joining = joining.iter().map(|joining| joins(joining.worker));
        this.settled.changes.extend(joining.chain(differs.iter().map(shown)));
        this.settled.as_wanted = this.as_wanted(&view.members, &differs);
        this.settled.awaited = coming;
        this.remarks(&view.members);
        return Ok(this.settled);
    }
    // Whoever does not come keeps nobody from the rest.
    let mut failed = None;
    for (joining, joined) in joining.iter().zip(this.join(&joining)?) {
        if let Err(error) = joined {
            coming.retain(|name| name != joining.worker.name.as_str());
            failed.get_or_insert(error);
        }
    }
    // Where nobody came, they are as they were found.
    let came = if coming.is_empty() { Ok(view.members) } else { this.ready(&coming) };
    if !joining.is_empty() {
        this.rotate()?;
    }
    let members = match came {
        Err(error) if interrupt::requested() => return Err(error),
        Err(error) => {
            failed.get_or_insert(error);
            this.ready(&[])?
        }
        Ok(members) => members,
    };
    this.members(members)?;
    failed.map_or(Ok(this.settled), Err)
}

/// Has those nodes leave that the cluster has not any more, and does nothing else. A swarm that takes no orders now, though locked
/// managers were given their key, is left to [`settle`]: what its managers lack may be what the master is about to get.
///
/// # Errors
/// Every [`SwarmError`]. What was changed before stays.
pub(crate) fn retire(
    cluster: &Cluster,
    swarm: &Swarm,
    reach: &Reach<'_>,
    events: &mut dyn FnMut(ApplyEvent<'_>),
) -> Result<Vec<Change>, SwarmError> {
    let mut this = Pass { cluster, swarm, reach, events, settled: Settled::default() };
    let view = match this.unlocked(Mode::Apply) {
        Ok(Unlocked::Is(view)) => view,
        Ok(Unlocked::Leaderless(true)) => this.led(Mode::Apply).ok().flatten(),
        _ => None,
    };
    let Some(view) = view else { return Ok(this.settled.changes) };
    let retire = |change: &reconcile::Change| change.kind == Kind::Retire;
    for change in this.differs(&view.members).into_iter().filter(retire) {
        this.change(shown(&change), |this| this.treat(&change))?;
    }
    Ok(this.settled.changes)
}

/// The swarm as the master's engine sees it.
struct View {
    members: Vec<Member>,
    root_ca: Option<String>,
    /// It locks its managers.
    autolock: bool,
    /// Seconds from one sign of life of a node to the next.
    heartbeat: Option<u64>,
}

/// The swarm, after those that were locked have been unlocked.
enum Unlocked {
    /// It is so, and takes orders. None: there is no swarm.
    Is(Option<View>),
    /// Its managers have no leader; whether some of them have just been unlocked.
    Leaderless(bool),
    /// They would be unlocked.
    Planned,
}

/// One settling.
struct Pass<'a> {
    cluster: &'a Cluster,
    swarm: &'a Swarm,
    reach: &'a Reach<'a>,
    events: &'a mut dyn FnMut(ApplyEvent<'_>),
    settled: Settled,
}

/// A worker that is about to join.
struct Joining<'a> {
    worker: &'a Worker,
    host: Box<dyn Host>,
    /// Whether it must leave first what is left of an earlier membership.
    was: Standing,
}

/// What became of a worker that the managers do not see.
enum Met {
    /// It does not answer.
    Silent(String),
    /// Its system has no engine.
    NoEngine,
    /// Its engine does not answer.
    NoAnswer(String),
    /// It answered.
    Stands(Standing, Engine, Box<dyn Host>),
}

fn joins(worker: &Worker) -> Change {
    let id = format!("swarm:{}", worker.name);
    Change::elsewhere(id, Sign::Add, format!("node {}: joins", worker.name))
}

fn shown(change: &reconcile::Change) -> Change {
    let id = format!("swarm:{}", change.member.host);
    Change::elsewhere(id, change.sign(), change.text.clone())
}

impl<'a> Pass<'a> {
    fn master(&self) -> &'a str {
        self.cluster.master.name.as_str()
    }

    fn no_swarm(&self) -> SwarmError {
        SwarmError::Engine {
            host: self.master().to_owned(),
            doing: "look at the swarm".to_owned(),
            said: "there is none though it was made".to_owned(),
        }
    }

    /// Makes a change, and tells of it.
    fn change(
        &mut self,
        change: Change,
        make: impl FnOnce(&mut Self) -> Result<(), SwarmError>,
    ) -> Result<(), SwarmError> {
        let master = self.master();
        self.tell(master, &change, Phase::Begin);
        let made = make(self);
        self.tell(self.master(), &change, if made.is_ok() { Phase::Done } else { Phase::Failed });
        self.settled.changes.push(change);
        made
    }

    fn tell(&mut self, host: &str, change: &Change, phase: Phase<'_>) {
        (self.events)(ApplyEvent { host, step: NAME, change, phase });
    }

    /// The swarm, if the master manages one. None: it is in none, or has no engine yet.
    fn look(&self) -> Result<Option<View>, SwarmError> {
        let host = self.reach.master;
        let asked = ask(host, &[Request::get("/info"), Request::get("/nodes")])?;
        let Some([info, nodes]) = asked.answers.as_deref() else { return Ok(None) };
        let info = info.value(host.name(), "look at the engine")?;
        let engine = parsed(Engine::parse(info, asked.root_ca.clone()), host)?;
        match engine.state {
            LocalState::Inactive => return Ok(None),
            LocalState::Locked => {
                let (host, why) = (host.name().to_owned(), engine.error);
                return Err(SwarmError::Locked { host, why });
            }
            _ if !engine.manages
                && engine.error.is_empty()
                && engine.state == LocalState::Active =>
            {
                return Err(SwarmError::Elsewhere {
                    host: host.name().to_owned(),
                    managers: engine.managers,
                });
            }
            _ => {}
        }
        let is = self.cluster.master.address.to_string();
        if !engine.address.is_empty() && engine.address != is {
            let (host, was) = (host.name().to_owned(), engine.address);
            return Err(SwarmError::Moved { host, was, is });
        }
        let Some(list) = nodes.json() else {
            let said = if engine.error.is_empty() { nodes.message() } else { engine.error };
            return Err(SwarmError::NoQuorum { host: host.name().to_owned(), said });
        };
        let members = parsed(members(list), host)?;
        let Engine { autolock, heartbeat, .. } = engine;
        Ok(Some(View { members, root_ca: asked.root_ca, autolock, heartbeat }))
    }

    /// The same. Managers that are locked are given their key first: the master, and those without which there is no leader.
    fn unlocked(&mut self, mode: Mode) -> Result<Unlocked, SwarmError> {
        let unlocked = match self.look() {
            Err(SwarmError::Locked { .. }) => {
                let key = self.key(self.master())?;
                let unlocks = self.unlocks(self.master());
                if mode == Mode::Plan {
                    self.settled.changes.push(unlocks);
                } else {
                    self.change(unlocks, |this| this.unlock_with_others(&key))?;
                }
                true
            }
            Err(SwarmError::NoQuorum { .. }) => {
                self.swarm.autolock.is_some() && self.unlock_workers(mode)?
            }
            view => return Ok(Unlocked::Is(view?)),
        };
        Ok(match mode {
            Mode::Plan if unlocked => Unlocked::Planned,
            _ => Unlocked::Leaderless(unlocked),
        })
    }

    /// Before a swarm is made: with another one that its workers are in, the cluster would have two.
    fn nobody_is_in_another(&self) -> Result<(), SwarmError> {
        let workers: Vec<_> = self.cluster.workers.iter().collect();
        for (worker, met) in workers.iter().zip(self.meet(&workers, None, &[])?) {
            if let Met::Stands(Standing::Elsewhere, Engine { managers, .. }, _) = met {
                return Err(SwarmError::Elsewhere { host: worker.name.to_string(), managers });
            }
        }
        Ok(())
    }

    /// The same, when its managers have found a leader: after a start, or when one of them is lost, that takes some seconds.
    fn led(&self, mode: Mode) -> Result<Option<View>, SwarmError> {
        let mut keep_waiting = self.patience();
        loop {
            let view = self.look();
            let Err(SwarmError::NoQuorum { host, .. }) = &view else { return view };
            if mode == Mode::Plan || !self.pause(&mut keep_waiting, host)? {
                return view;
            }
        }
    }

    /// For something that is tried until it works.
    fn patience(&self) -> KeepWaiting {
        (self.reach.patience)(Awaited::Swarm)
    }

    /// Lets a moment pass before another attempt; false when patience is at its end.
    fn pause(&self, keep_waiting: &mut KeepWaiting, host: &str) -> Result<bool, SwarmError> {
        if !keep_waiting() {
            return Ok(false);
        }
        if interrupt::wait_timeout(PACE) {
            return Err(RemoteError::Interrupted { host: host.to_owned() }.into());
        }
        Ok(true)
    }

    fn init(&self) -> Result<(), SwarmError> {
        let body = json!({
            "ListenAddr": format!("0.0.0.0:{PORT}"),
            "AdvertiseAddr": self.cluster.master.address.to_string(),
            "DefaultAddrPool": [pool(self.cluster.network.subnet)],
            "SubnetSize": 24,
            "Spec": {},
        });
        let doing = "make a swarm";
        order(self.reach.master, Request::post("/swarm/init", body), doing)?
            .done(self.master(), doing)
    }

    /// Of the workers that the managers do not see: the names of those that must be ready in the end, and those that join.
    ///
    /// Managers among them that are locked are unlocked: without them others may not even agree on who joins.
    fn absent<'c>(
        &mut self,
        view: &View,
        mode: Mode,
    ) -> Result<(Vec<String>, Vec<Joining<'c>>), SwarmError>
    where
        Self: 'c,
    {
        let mut absent = absent(self.cluster, &view.members);
        absent.retain(|worker| self.reach.scope.has_host(worker.name.as_str()));
        let met = self.meet(&absent, view.root_ca.as_deref(), &view.members)?;
        let (mut coming, mut joining) = (Vec::new(), Vec::new());
        for (worker, met) in absent.into_iter().zip(met) {
            let name = worker.name.as_str();
            match met {
                Met::Silent(why) => self.settled.notes.push(format!(
                    "{name} is not in the swarm and does not answer: {why}. Give it power and provision again"
                )),
                Met::NoEngine => self.settled.notes.push(format!(
                    "{name} is not in the swarm: the system that it runs has no Docker. \
                     `cargo xtask node reboot {name}`, then provision again"
                )),
                Met::NoAnswer(said) => self.settled.notes.push(format!(
                    "{name} is not in the swarm. Its engine cannot be asked: {said}. \
                     When it runs, as a rule after `cargo xtask node reboot {name}`, provision again"
                )),
                Met::Stands(Standing::Elsewhere, engine, _) => {
                    let managers = engine.managers;
                    return Err(SwarmError::Elsewhere { host: name.to_owned(), managers });
                }
                Met::Stands(Standing::Coming, ..) => coming.push(name.to_owned()),
                Met::Stands(Standing::Locked, _, host) => {
                    coming.push(name.to_owned());
                    self.unlock_worker(&*host, mode)?;
                }
                Met::Stands(was @ (Standing::Free | Standing::Orphan), _, host) => {
                    coming.push(name.to_owned());
                    joining.push(Joining { worker, host, was });
                }
            }
        }
        Ok((coming, joining))
    }

    /// Asks workers how they stand to the swarm, several at a time.
    fn meet(
        &self,
        workers: &[&Worker],
        root_ca: Option<&str>,
        members: &[Member],
    ) -> Result<Vec<Met>, SwarmError> {
        let meet = |worker: &Worker| -> Result<Met, SwarmError> {
            let host = match (self.reach.worker)(worker) {
                Ok(host) => host,
                Err(error) if error.is_transient() => return Ok(Met::Silent(error.to_string())),
                Err(error) => return Err(error.into()),
            };
            let asked = ask(&*host, &[Request::get("/info")])?;
            let Some([info]) = asked.answers.as_deref() else { return Ok(Met::NoEngine) };
            if info.is_none() {
                return Ok(Met::NoAnswer(info.message()));
            }
            let info = info.value(host.name(), "look at the engine")?;
            let engine = parsed(Engine::parse(info, asked.root_ca.clone()), &*host)?;
            let mut standing = standing(&engine, members, root_ca);
            let moved = !engine.address.is_empty() && engine.address != worker.address.to_string();
            if standing == Standing::Coming && moved {
                // Others look for it where it was.
                standing = Standing::Orphan;
            }
            Ok(Met::Stands(standing, engine, host))
        };
        in_parallel(workers, |worker| meet(worker)).into_iter().collect()
    }

    /// Lets workers join. The token travels from the master to each worker by standard input.
    /// What came of it, for each.
    fn join(&mut self, joining: &[Joining<'_>]) -> Result<Vec<Result<(), SwarmError>>, SwarmError> {
        if joining.is_empty() {
            return Ok(Vec::new());
        }
        let changes: Vec<Change> = joining.iter().map(|joining| joins(joining.worker)).collect();
        for (joining, change) in joining.iter().zip(&changes) {
            self.tell(joining.worker.name.as_str(), change, Phase::Begin);
        }
        let cluster = self.read()?;
        let Some(token) = cluster["JoinTokens"]["Worker"].as_str() else {
            return Err(self.no_swarm());
        };
        let manager = format!("{}:{PORT}", self.cluster.master.address);
        let joined = in_parallel(joining, |joining| joining.join(&manager, token));
        for ((joining, change), joined) in joining.iter().zip(changes).zip(&joined) {
            let host = joining.worker.name.as_str();
            self.tell(host, &change, if joined.is_ok() { Phase::Done } else { Phase::Failed });
            self.settled.changes.push(change);
        }
        Ok(joined)
    }

    /// The swarm as a whole, its tokens among it.
    fn read(&self) -> Result<Value, SwarmError> {
        let doing = "read the swarm's join token";
        order(self.reach.master, Request::get("/swarm"), doing)?.value(self.master(), doing)
    }

    /// Makes the join token of workers another one: whoever has seen the last one cannot use it.
    fn rotate(&self) -> Result<(), SwarmError> {
        let cluster = self.read()?;
        let doing = "make a new join token";
        let version = &cluster["Version"]["Index"];
        let path = format!("/swarm/update?version={version}&rotateWorkerToken=true");
        let spec = cluster["Spec"].clone();
        order(self.reach.master, Request::post(path, spec), doing)?.done(self.master(), doing)
    }
}

impl Joining<'_> {
    fn join(&self, manager: &str, token: &str) -> Result<(), SwarmError> {
        let name = self.worker.name.as_str();
        if self.was == Standing::Orphan {
            let doing = "leave the swarm that knows it no more";
            let leave = Request::post("/swarm/leave?force=true", Value::Null);
            order(&*self.host, leave, doing)?.done(name, doing)?;
        }
        let body = json!({
            "ListenAddr": format!("0.0.0.0:{PORT}"),
            "AdvertiseAddr": self.worker.address.to_string(),
            "RemoteAddrs": [manager],
            "JoinToken": token,
        });
        let doing = "join the swarm";
        let answer = order(&*self.host, Request::post("/swarm/join", body), doing)?;
        if answer.goes_on() { Ok(()) } else { answer.done(name, doing) }
    }
}

fn parsed<T>(value: Option<T>, host: &dyn Host) -> Result<T, SwarmError> {
    value.ok_or_else(|| SwarmError::Engine {
        host: host.name().to_owned(),
        doing: "understand the engine".to_owned(),
        said: "its answer has another form than that of Docker 20 to 29".to_owned(),
    })
}

/// Addresses for overlay networks that are not the cluster's own: with Docker's own choice, the routing mesh would take those
/// of a cluster on 10.0.0.0/24.
fn pool(subnet: Ipv4Net) -> &'static str {
    let free = |pool: &&&str| {
        pool.parse::<Ipv4Net>().is_ok_and(|pool| !pool.contains(&subnet) && !subnet.contains(&pool))
    };
    POOLS.iter().find(free).copied().unwrap_or(POOLS[0])
}
