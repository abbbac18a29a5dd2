//! Orders to the master's engine about members, and waiting until they are followed.

use feeder_plan::{Change, Mode, Sign};
use serde_json::{Value, json};

use super::{
    PASSES, PORT, Pass, SwarmError, View,
    engine::{Request, order},
    reconcile::{self, Kind, MANAGER, awaited_managers, changes, demoted, drained, strangers},
    seen::{Member, NANOSECONDS, Spec},
    shown,
};

impl Pass<'_> {
    /// Brings all members to what is wanted of them.
    pub(super) fn members(&mut self, mut members: Vec<Member>) -> Result<(), SwarmError> {
        for _ in 0..PASSES {
            let wanted = self.differs(&members);
            if wanted.is_empty() {
                self.settled.as_wanted = self.as_wanted(&members, &wanted);
                self.remarks(&members);
                return Ok(());
            }
            for change in wanted {
                self.change(shown(&change), |this| this.treat(&change))?;
            }
            members = self.ready(&[])?;
        }
        let left = self.differs(&members);
        if left.is_empty() {
            return Ok(());
        }
        let left = left.into_iter().map(|change| change.text).collect();
        Err(SwarmError::NotAsWanted { left })
    }

    /// How many of the members that this is about are alive, and do not differ.
    pub(super) fn as_wanted(&self, members: &[Member], differs: &[reconcile::Change]) -> usize {
        let differs = |member: &Member| differs.iter().any(|change| change.member.id == member.id);
        let ours = |member: &&Member| member.ready && self.reach.scope.has_host(&member.host);
        members.iter().filter(ours).filter(|member| !differs(member)).count()
    }

    /// What is not as one might think, though nothing is to be done about it.
    pub(super) fn remarks(&mut self, members: &[Member]) {
        let strangers = strangers(self.cluster, members);
        self.settled.notes.extend(strangers.iter().map(|name| {
            format!("{name} is in the swarm and not in cluster.toml, and somebody else joined it: it is left alone")
        }));
        let awaited = awaited_managers(self.cluster, self.swarm, members);
        // Those that are absent have notes of their own.
        let alive = |name: &&&str| members.iter().any(|m| m.ready && m.host == **name);
        self.settled.notes.extend(awaited.iter().filter(alive).map(|name| {
            format!("{name} is to manage the swarm, and the managers do not reach it as one of them on TCP port {PORT}: `cargo xtask node logs {name} --unit docker`")
        }));
    }

    /// What is to be done to the members that this is about.
    pub(super) fn differs(&self, members: &[Member]) -> Vec<reconcile::Change> {
        let mut changes = changes(self.cluster, self.swarm, members);
        changes.retain(|change| self.reach.scope.has_host(&change.member.host));
        changes
    }

    /// The members, when these are alive.
    pub(super) fn ready(&self, names: &[String]) -> Result<Vec<Member>, SwarmError> {
        let mut members = Vec::new();
        let late = |host, last| SwarmError::NotReady { host, last };
        self.until(late, || {
            members = self.led(Mode::Apply)?.ok_or_else(|| self.no_swarm())?.members;
            let alive =
                |name: &&String| members.iter().any(|member| member.ready && member.host == **name);
            Ok(match names.iter().find(|name| !alive(name)) {
                None => Ok(()),
                Some(name) => Err((name.clone(), "they have not heard of it yet".to_owned())),
            })
        })?;
        Ok(members)
    }

    /// Has nodes tell the managers that they are alive as often as they are to.
    pub(super) fn heartbeat(&mut self, view: &View, mode: Mode) -> Result<(), SwarmError> {
        let Some(wanted) = self.swarm.heartbeat.filter(|wanted| view.heartbeat != Some(*wanted))
        else {
            return Ok(());
        };
        let id = format!("swarm:{}", self.master());
        let text = format!("nodes tell the managers every {wanted} s that they are alive");
        let tells = Change::elsewhere(id, Sign::Change, text);
        if mode == Mode::Plan {
            self.settled.changes.push(tells);
            return Ok(());
        }
        let period = json!({ "HeartbeatPeriod": wanted * NANOSECONDS });
        self.change(tells, |this| this.specify("Dispatcher", period, "change its heartbeat"))
    }

    /// Changes one part of what is wanted of the swarm as a whole, and leaves the others.
    pub(super) fn specify(&self, part: &str, wanted: Value, doing: &str) -> Result<(), SwarmError> {
        let swarm = self.read()?;
        let mut spec = swarm["Spec"].clone();
        spec[part] = wanted;
        let path = format!("/swarm/update?version={}", swarm["Version"]["Index"]);
        order(self.reach.master, Request::post(path, spec), doing)?.done(self.master(), doing)
    }

    /// Tries until it works or patience ends, and then it is too `late`: the inner error is of whom, and what is not yet so.
    fn until(
        &self,
        late: impl Fn(String, String) -> SwarmError,
        mut attempt: impl FnMut() -> Result<Result<(), (String, String)>, SwarmError>,
    ) -> Result<(), SwarmError> {
        let mut keep_waiting = self.patience();
        loop {
            let Err((host, last)) = attempt()? else { return Ok(()) };
            if !self.pause(&mut keep_waiting, &host)? {
                return Err(late(host, last));
            }
        }
    }

    pub(super) fn treat(&self, change: &reconcile::Change) -> Result<(), SwarmError> {
        match &change.kind {
            Kind::Becomes(spec) => {
                self.become_so(&change.member, spec)?;
                let promoted = demoted(&change.member).is_none() && spec.role == MANAGER;
                if promoted { self.until_it_manages(&change.member) } else { Ok(()) }
            }
            Kind::Forget => self.remove(&change.member),
            Kind::Retire => {
                if let Some(spec) = drained(&change.member).filter(|_| change.member.ready) {
                    self.become_so(&change.member, &spec)?;
                    self.until_idle(&change.member)?;
                }
                self.remove(&change.member)
            }
        }
    }

    /// The managers change what they know of a node as it changes; an order for what it was before is given again, unless somebody
    /// else has given one meanwhile.
    pub(super) fn become_so(&self, member: &Member, spec: &Spec) -> Result<(), SwarmError> {
        let doing = format!("change node {} of the swarm", member.host);
        let mut version = member.version;
        let late = |_, last| SwarmError::NotDone { doing: doing.clone(), last };
        self.until(late, || {
            let path = format!("/nodes/{}/update?version={version}", member.id);
            let answer = order(self.reach.master, Request::post(path, json!(spec)), &doing)?;
            if !answer.passes() {
                return answer.done(self.master(), &doing).map(Ok);
            }
            match self.newest(member)? {
                Some(now) if now.spec == member.spec => version = now.version,
                _ => return answer.done(self.master(), &doing).map(Ok),
            }
            Ok(Err((member.host.clone(), answer.message())))
        })
    }

    /// The same member as the managers see it now.
    fn newest(&self, member: &Member) -> Result<Option<Member>, SwarmError> {
        let view = self.led(Mode::Apply)?.ok_or_else(|| self.no_swarm())?;
        Ok(view.members.into_iter().find(|now| now.id == member.id))
    }

    /// Until the managers count it among them: before that, one of them that ceases to be one is one fewer.
    fn until_it_manages(&self, member: &Member) -> Result<(), SwarmError> {
        let late = |host, last| SwarmError::NotManager { host, last };
        self.until(late, || {
            Ok(match self.newest(member)? {
                Some(now) if now.manages => Ok(()),
                Some(_) => Err((member.host.clone(), "they do not reach it".to_owned())),
                None => Err((member.host.clone(), "its entry is gone".to_owned())),
            })
        })
    }

    /// Until no task runs on it any more, or nobody hears of it any more: its tasks are others' by then.
    pub(super) fn until_idle(&self, member: &Member) -> Result<(), SwarmError> {
        let doing = format!("see the tasks of node {}", member.host);
        let late = |host, last| SwarmError::NotIdle { host, last };
        self.until(late, || {
            let tasks = order(self.reach.master, Request::get("/tasks"), &doing)?;
            let tasks = tasks.value(self.master(), &doing)?;
            let runs = |task: &&Value| {
                task["NodeID"] == member.id.as_str() && task["Status"]["State"] == "running"
            };
            let running = tasks.as_array().map_or(0, |tasks| tasks.iter().filter(runs).count());
            if running == 0 || !self.newest(member)?.is_some_and(|now| now.ready) {
                return Ok(Ok(()));
            }
            Ok(Err((
                member.host.clone(),
                match running {
                    1 => "a task still runs there".to_owned(),
                    more => format!("{more} tasks still run there"),
                },
            )))
        })
    }

    /// A manager must first cease to be one, which the managers agree on a moment later.
    fn remove(&self, member: &Member) -> Result<(), SwarmError> {
        let doing = format!("remove node {} from the swarm", member.host);
        if demoted(member).is_some()
            && let Some(newest) = self.newest(member)?
            // What it is to be beside that was decided a moment ago: it takes no tasks any more.
            && let Some(spec) = demoted(&newest)
        {
            self.become_so(&newest, &spec)?;
        }
        let late = |_, last| SwarmError::NotDone { doing: doing.clone(), last };
        self.until(late, || {
            let request = Request::delete(format!("/nodes/{}?force=true", member.id));
            let answer = order(self.reach.master, request, &doing)?;
            if answer.message().contains("demoted") || answer.passes() {
                return Ok(Err((member.host.clone(), answer.message())));
            }
            answer.done(self.master(), &doing).map(Ok)
        })
    }
}
