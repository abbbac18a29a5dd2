//! The LAN's thread: everything that happens on the LAN happens here, one thing after the other.
//!
//! It waits in one `poll` for frames from QEMU, for messages from other threads, for host sockets of forwards and for the next
//! timer; then each is looked after with the time told once. A frame crosses its sender's link in [`Fabric::ingress`] and its
//! receiver's link in [`Fabric::egress`], and nowhere else: what links do to frames belongs into these two.

mod links;

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use self::links::Late;
use crate::capture::Capture;
use crate::clock::{Clock, thread_cpu_time};
use crate::error::LanError;
use crate::fault::{Fault, FaultId, FaultReport, Faults};
use crate::inbox::{Message, Outbox};
use crate::lease::LeaseBook;
use crate::port::Shared;
use crate::rogue::Rogue;
use crate::router::{Router, Source};
use crate::socket_port::SocketPort;
use crate::state::{DhcpState, LanState, Settled};
use crate::stats::{NodeStats, Summary};
use crate::switch::{PortId, Switch};
use crate::tap::Sink;

/// The largest datagram that is taken from QEMU.
const DATAGRAM: usize = 64 * 1024 + 64;
/// Frames taken from one source in a row before the others get their turn.
const BATCH: usize = 64;

const ROUTER: PortId = PortId(0);
const ROUTER_NAME: &str = "router";

/// The LAN's state.
pub(crate) struct Fabric {
    clock: Clock,
    outbox: Option<Outbox>,
    switch: Switch,
    ports: BTreeMap<PortId, Attached>,
    next_port: u32,
    nodes: BTreeMap<Arc<str>, Node>,
    router: Router,
    faults: Faults,
    /// Frames that a fault delays.
    late: Late,
    /// What second DHCP servers answer, with their ports.
    answers: VecDeque<(PortId, Vec<u8>)>,
    /// What they remember when they are attached.
    servers: BTreeMap<String, DhcpState>,
    capture: Option<Capture>,
    taps: Vec<Sink>,
    leases: Arc<LeaseBook>,
    frames: u64,
    bytes: u64,
    /// Who waits for the LAN to be at rest.
    settlers: Vec<SyncSender<Settled>>,
    stopping: bool,
}

/// What outlives a node's ports.
#[derive(Debug, Default)]
struct Node {
    /// Its number in the capture.
    interface: u32,
    /// Counters of ports that are gone.
    past: NodeStats,
}

/// A port in use.
struct Attached {
    node: Arc<str>,
    interface: u32,
    stats: NodeStats,
    end: End,
}

/// What is at the other end of a port's cable.
enum End {
    Router,
    Qemu(Box<SocketPort>),
    Local(Arc<Shared>),
    Rogue(Box<Rogue>),
}

/// What a polled descriptor belongs to.
#[derive(Clone, Copy)]
enum Ready {
    Inbox,
    Frames(PortId),
    Room(PortId),
    Router(Source),
}

impl Fabric {
    pub(crate) fn new(
        clock: Clock,
        outbox: Outbox,
        router: Router,
        faults: Faults,
        capture: Option<Capture>,
        leases: Arc<LeaseBook>,
    ) -> Fabric {
        let mut fabric = Fabric {
            clock,
            outbox: Some(outbox),
            switch: Switch::default(),
            ports: BTreeMap::new(),
            next_port: 0,
            nodes: BTreeMap::new(),
            router,
            faults,
            late: Late::default(),
            answers: VecDeque::new(),
            servers: BTreeMap::new(),
            capture,
            taps: Vec::new(),
            leases,
            frames: 0,
            bytes: 0,
            settlers: Vec::new(),
            stopping: false,
        };
        let id = fabric.plug(ROUTER_NAME, End::Router);
        debug_assert_eq!(id, ROUTER);
        fabric
    }

    /// Runs until told to stop; gives what the LAN did in its life.
    pub(crate) fn run(mut self) -> Summary {
        let Some(outbox) = self.outbox.take() else { return self.summary() };
        let mut buffer = vec![0; DATAGRAM];
        while !self.stopping {
            for (ready, events) in self.wait(&outbox) {
                let now = self.clock.now();
                match ready {
                    Ready::Inbox => self.read_inbox(&outbox),
                    Ready::Frames(port) => self.read_frames(port, &mut buffer),
                    Ready::Room(port) => self.flush(now, port),
                    Ready::Router(source) => self.router.ready(source, events),
                }
            }
            self.tick();
        }
        self.finish()
    }

    /// Waits until something is to be done; says what.
    fn wait(&mut self, outbox: &Outbox) -> Vec<(Ready, PollFlags)> {
        let now = self.clock.now();
        let pauses = self.ports.values().filter_map(|port| match &port.end {
            End::Qemu(socket) => socket.paused(),
            _ => None,
        });
        let capture = self.capture.as_ref().and_then(Capture::due);
        let work = pauses.chain(self.router.due(now)).chain(self.late.due()).min();
        // Nothing will come but frames that are in the sockets already: then there is no need to wait for them.
        let settling = !self.settlers.is_empty() && self.is_quiet(now);
        let others = capture.into_iter().chain(self.faults.due()).chain(settling.then_some(now));
        let due = work.into_iter().chain(others).min();
        let timeout = due.map(|due| {
            let left = due.saturating_sub(now);
            Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() }
        });

        let mut sources = Vec::with_capacity(16);
        let mut fds = Vec::with_capacity(16);
        let mut add = |fd, events, source| {
            fds.push(PollFd::from_borrowed_fd(fd, events));
            sources.push(source);
        };
        add(outbox.fd(), PollFlags::IN, Ready::Inbox);
        for (id, port) in &self.ports {
            if let End::Qemu(socket) = &port.end {
                add(socket.receiver().as_fd(), PollFlags::IN, Ready::Frames(*id));
                if let Some(blocked) = socket.blocked_sender() {
                    add(blocked.as_fd(), PollFlags::OUT, Ready::Room(*id));
                }
            }
        }
        self.router
            .poll_set(|fd: BorrowedFd<'_>, events, source| add(fd, events, Ready::Router(source)));

        let nothing = match poll(&mut fds, timeout.as_ref()) {
            Ok(ready) => ready == 0,
            Err(rustix::io::Errno::INTR) => return Vec::new(),
            // Descriptors are owned and the timeout is valid: what is left is a kernel without memory.
            Err(err) => panic!("the virtual LAN cannot poll its sockets: {err}"),
        };
        let revents: Vec<PollFlags> = fds.iter().map(PollFd::revents).collect();
        if settling && nothing {
            self.settled();
        }
        sources.into_iter().zip(revents).filter(|(_, events)| !events.is_empty()).collect()
    }

    /// True when nothing is under way as far as the LAN knows; frames may be in the sockets.
    fn is_quiet(&self, now: Duration) -> bool {
        let pausing =
            |port: &Attached| matches!(&port.end, End::Qemu(socket) if socket.paused().is_some());
        self.late.due().is_none()
            && self.router.due(now).is_none_or(|due| due > now)
            && !self.ports.values().any(pausing)
    }

    /// Tells those who wait for it that the LAN is at rest.
    fn settled(&mut self) {
        let mut undelivered = BTreeMap::new();
        for port in self.ports.values() {
            if let End::Qemu(socket) = &port.end
                && socket.waiting() > 0
            {
                undelivered.insert(port.node.to_string(), socket.waiting());
            }
        }
        for settler in self.settlers.drain(..) {
            // One who no longer waits has no use for it.
            let _ = settler.try_send(Settled { undelivered: undelivered.clone() });
        }
    }

    fn read_inbox(&mut self, outbox: &Outbox) {
        outbox.clear();
        while let Some(message) = outbox.next() {
            match message {
                Message::Frame { from, bytes } => {
                    let Some(Attached { end: End::Local(shared), .. }) = self.ports.get(&from)
                    else {
                        continue;
                    };
                    shared.taken();
                    self.ingress(self.clock.now(), from, &bytes);
                }
                Message::Detach(port) => self.unplug(port),
                Message::Call(call) => call(self),
                Message::Stop => {
                    self.stopping = true;
                    return;
                }
            }
        }
    }

    fn read_frames(&mut self, port: PortId, buffer: &mut [u8]) {
        for _ in 0..BATCH {
            let Some(Attached { end: End::Qemu(socket), .. }) = self.ports.get_mut(&port) else {
                return;
            };
            let Some(length) = socket.receive(buffer) else { return };
            self.ingress(self.clock.now(), port, &buffer[..length]);
        }
    }

    /// Timers, and the router's part.
    fn tick(&mut self) {
        let now = self.clock.now();
        for port in self.ports.values_mut() {
            if let End::Qemu(socket) = &mut port.end {
                socket.end_pause(now);
            }
        }
        while let Some(report) = self.faults.expire(now) {
            self.remark_end(now, &report);
        }
        self.release(now);
        self.run_router(now);
        while let Some((server, answer)) = self.answers.pop_front() {
            self.ingress(now, server, &answer);
        }
        if let Some(capture) = &mut self.capture {
            capture.tick(now);
        }
    }

    fn run_router(&mut self, now: Duration) {
        self.router.run(now);
        while let Some(frame) = self.router.next_frame() {
            self.ingress(now, ROUTER, &frame);
        }
        let named = self.router.new_names();
        if let Some(capture) = &mut self.capture
            && !named.is_empty()
        {
            capture.names(
                named.iter().filter_map(|lease| Some((lease.address, lease.hostname.as_deref()?))),
            );
        }
    }

    /// Sends what waits for a port.
    fn flush(&mut self, now: Duration, id: PortId) {
        let Some(port) = self.ports.get_mut(&id) else { return };
        let End::Qemu(socket) = &mut port.end else { return };
        let lost = socket.flush(now);
        if lost > 0 {
            // They were counted as received when the queue took them.
            port.stats.received_frames = port.stats.received_frames.saturating_sub(lost);
            port.stats.dropped_link_down += lost;
            self.switch.forget(id);
        }
    }

    fn finish(mut self) -> Summary {
        self.leases.close();
        for port in self.ports.values() {
            match &port.end {
                End::Qemu(socket) => socket.remove(),
                End::Local(shared) => shared.detach(),
                End::Router | End::Rogue(_) => {}
            }
        }
        if let Some(capture) = &mut self.capture {
            capture.close();
        }
        self.summary()
    }
}

/// What the handle asks for, on the LAN's thread.
impl Fabric {
    pub(crate) fn attach_qemu(
        &mut self,
        node: &str,
        bind: impl FnOnce() -> Result<SocketPort, LanError>,
    ) -> Result<(), LanError> {
        self.check_free(node, |end| matches!(end, End::Qemu(_)))?;
        self.plug(node, End::Qemu(Box::new(bind()?)));
        Ok(())
    }

    pub(crate) fn attach_local(
        &mut self,
        node: &str,
        shared: Arc<Shared>,
    ) -> Result<PortId, LanError> {
        self.check_free(node, |end| matches!(end, End::Local(_)))?;
        Ok(self.plug(node, End::Local(shared)))
    }

    pub(crate) fn attach_rogue(
        &mut self,
        node: &str,
        mut server: Rogue,
    ) -> Result<PortId, LanError> {
        self.check_free(node, |_| true)?;
        if let Some(state) = self.servers.remove(node) {
            server.restore(self.clock.now(), &state);
        }
        Ok(self.plug(node, End::Rogue(Box::new(server))))
    }

    pub(crate) fn detach(&mut self, node: &str) {
        let ports: Vec<PortId> =
            self.ports.iter().filter(|(_, port)| &*port.node == node).map(|(id, _)| *id).collect();
        for port in ports {
            self.unplug(port);
        }
    }

    /// What a LAN that goes on from here has to know.
    pub(crate) fn state(&self) -> LanState {
        let now = self.clock.now();
        let mut servers = self.servers.clone();
        for port in self.ports.values() {
            if let End::Rogue(server) = &port.end {
                servers.insert(port.node.to_string(), server.state(now));
            }
        }
        LanState { router: self.router.state(now), faults: self.faults.state(now), servers }
    }

    /// Goes on where another LAN was.
    pub(crate) fn restore(&mut self, state: &LanState) {
        let now = self.clock.now();
        self.router.restore(now, &state.router);
        self.faults.restore(now, &state.faults);
        self.servers = state.servers.clone();
        for port in self.ports.values_mut() {
            if let End::Rogue(server) = &mut port.end
                && let Some(state) = self.servers.remove(&*port.node)
            {
                server.restore(now, &state);
            }
        }
        for report in self.faults.reports() {
            self.remark(now, &format!("{} goes on: {}", report.id, report.fault));
        }
    }

    /// Tells `settler` once nothing is under way.
    pub(crate) fn when_settled(&mut self, settler: SyncSender<Settled>) {
        self.settlers.push(settler);
    }

    pub(crate) fn router(&mut self) -> &mut Router {
        &mut self.router
    }

    /// Puts a checked fault in force.
    pub(crate) fn inject(&mut self, fault: Fault) -> FaultId {
        let now = self.clock.now();
        let text = fault.to_string();
        let id = self.faults.inject(now, fault);
        self.remark(now, &format!("{id} begins: {text}"));
        id
    }

    /// Ends a fault. `None`: it has ended already.
    pub(crate) fn clear(&mut self, id: FaultId) -> Option<FaultReport> {
        let now = self.clock.now();
        let report = self.faults.clear(now, id)?;
        self.remark_end(now, &report);
        Some(report)
    }

    pub(crate) fn comment(&mut self, text: &str) {
        self.remark(self.clock.now(), text);
    }

    fn remark_end(&mut self, now: Duration, report: &FaultReport) {
        let FaultReport { id, fault, counts, .. } = report;
        self.remark(now, &format!("{id} ended: {fault}; {counts}"));
    }

    fn remark(&mut self, now: Duration, text: &str) {
        if let Some(capture) = &mut self.capture {
            capture.remark(now, text);
        }
    }

    pub(crate) fn names<'a>(
        &mut self,
        names: impl IntoIterator<Item = (std::net::Ipv4Addr, &'a str)>,
    ) {
        if let Some(capture) = &mut self.capture {
            capture.names(names);
        }
    }

    pub(crate) fn add_tap(&mut self, tap: Sink) {
        self.taps.push(tap);
    }

    pub(crate) fn summary(&self) -> Summary {
        let mut nodes: BTreeMap<String, NodeStats> = BTreeMap::new();
        for (name, node) in &self.nodes {
            nodes.insert(name.to_string(), node.past);
        }
        for port in self.ports.values() {
            nodes.entry(port.node.to_string()).or_default().add(&port.current());
        }
        let (capture_bytes, capture_cpu, capture_failed) =
            self.capture.as_ref().map(Capture::status).unwrap_or_default();
        Summary {
            frames: self.frames,
            bytes: self.bytes,
            nodes,
            faults: self.faults.reports(),
            capture_bytes,
            capture_failed: capture_failed.map(str::to_owned),
            cpu: thread_cpu_time() + capture_cpu,
            elapsed: self.clock.now(),
        }
    }

    fn check_free(&self, node: &str, same: impl Fn(&End) -> bool) -> Result<(), LanError> {
        if self.ports.values().any(|port| &*port.node == node && same(&port.end)) {
            return Err(LanError::Attached { node: node.to_owned() });
        }
        Ok(())
    }

    fn plug(&mut self, name: &str, end: End) -> PortId {
        let name: Arc<str> = name.into();
        let capture = &mut self.capture;
        let node = self.nodes.entry(Arc::clone(&name)).or_insert_with(|| {
            let description =
                if &*name == ROUTER_NAME { "the LAN's router" } else { "network card of a node" };
            let interface =
                capture.as_mut().map_or(0, |capture| capture.interface(&name, description));
            Node { interface, past: NodeStats::default() }
        });
        let id = PortId(self.next_port);
        self.next_port += 1;
        let port =
            Attached { interface: node.interface, node: name, stats: NodeStats::default(), end };
        self.ports.insert(id, port);
        id
    }

    fn unplug(&mut self, id: PortId) {
        let Some(port) = self.ports.remove(&id) else { return };
        self.switch.forget(id);
        match &port.end {
            End::Qemu(socket) => socket.remove(),
            End::Local(shared) => shared.detach(),
            End::Router | End::Rogue(_) => {}
        }
        let current = port.current();
        if let Some(node) = self.nodes.get_mut(&port.node) {
            node.past.add(&current);
        }
    }
}

impl Attached {
    fn current(&self) -> NodeStats {
        let mut stats = self.stats;
        match &self.end {
            End::Router | End::Rogue(_) => {}
            End::Qemu(socket) => stats.link_ups += socket.link_ups(),
            End::Local(shared) => {
                stats.link_ups += 1;
                stats.dropped_from_node += shared.dropped();
            }
        }
        stats
    }
}

#[cfg(test)]
mod tests;
