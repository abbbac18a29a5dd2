//! The LAN's thread: everything that happens on the LAN happens here, one thing after the other.
//!
//! It waits in one `poll` for frames from QEMU, for messages from other threads, for host sockets of forwards and for the next
//! timer; then each is looked after with the time told once. A frame crosses its sender's link in [`Fabric::ingress`] and its
//! receiver's link in [`Fabric::egress`], and nowhere else: what links do to frames belongs into these two.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, UNIX_EPOCH};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::capture::Capture;
use crate::clock::{Clock, thread_cpu_time};
use crate::error::LanError;
use crate::frame::HEADER;
use crate::inbox::{Message, Outbox};
use crate::lease::LeaseBook;
use crate::port::Shared;
use crate::router::{Router, Source};
use crate::socket_port::{Sent, SocketPort};
use crate::state::{LanState, Settled};
use crate::stats::{NodeStats, Summary};
use crate::switch::{Forward, PortId, Switch};
use crate::tap::{Sink, TappedFrame};

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
        let work = pauses.chain(self.router.due(now)).min();
        // Nothing will come but frames that are in the sockets already: then there is no need to wait for them.
        let settling = !self.settlers.is_empty() && self.is_quiet(now);
        let due = work.into_iter().chain(capture).chain(settling.then_some(now)).min();
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
        self.router.due(now).is_none_or(|due| due > now) && !self.ports.values().any(pausing)
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
        self.run_router(now);
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

    /// A frame leaves a node: it crosses the node's link and reaches the switch.
    fn ingress(&mut self, now: Duration, from: PortId, frame: &[u8]) {
        let Some(port) = self.ports.get_mut(&from) else { return };
        if frame.len() < HEADER {
            port.stats.dropped_from_node += 1;
            return;
        }
        port.stats.sent_frames += 1;
        port.stats.sent_bytes += frame.len() as u64;
        self.frames += 1;
        self.bytes += frame.len() as u64;
        if let Some(capture) = &mut self.capture {
            capture.record(now, port.interface, frame, None);
        }
        if !self.taps.is_empty() {
            let node = Arc::clone(&port.node);
            let at = UNIX_EPOCH + self.clock.epoch() + now;
            let copy =
                || TappedFrame { node: Arc::clone(&node), at, elapsed: now, bytes: frame.to_vec() };
            self.taps.retain(|tap| tap.offer(frame, copy));
        }
        match self.switch.forward(now, from, frame) {
            Forward::To(to) => self.egress(now, to, frame),
            Forward::Flood => self.flood(now, from, frame),
            Forward::Filter => {}
        }
    }

    /// To all other nodes. The ports of one node share its cable: what it sends never comes back to it.
    fn flood(&mut self, now: Duration, from: PortId, frame: &[u8]) {
        let Some(node) = self.ports.get(&from).map(|port| Arc::clone(&port.node)) else { return };
        let others: Vec<PortId> =
            self.ports.iter().filter(|(_, port)| port.node != node).map(|(id, _)| *id).collect();
        for to in others {
            self.egress(now, to, frame);
        }
    }

    /// A frame leaves the switch: it crosses the receiver's link and reaches the node.
    fn egress(&mut self, now: Duration, to: PortId, frame: &[u8]) {
        let Some(port) = self.ports.get_mut(&to) else { return };
        let sent = match &mut port.end {
            End::Router => {
                self.router.receive(now, frame);
                Sent::Accepted
            }
            End::Local(shared) if shared.deliver(frame) => Sent::Accepted,
            End::Local(_) => Sent::QueueFull,
            End::Qemu(socket) => socket.send(now, frame),
        };
        match sent {
            Sent::Accepted => {
                port.stats.received_frames += 1;
                port.stats.received_bytes += frame.len() as u64;
            }
            Sent::QueueFull | Sent::TooLong => port.stats.dropped_queue_full += 1,
            Sent::LinkDown => {
                port.stats.dropped_link_down += 1;
                self.switch.forget(to);
            }
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
                End::Router => {}
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

    pub(crate) fn detach(&mut self, node: &str) {
        let ports: Vec<PortId> =
            self.ports.iter().filter(|(_, port)| &*port.node == node).map(|(id, _)| *id).collect();
        for port in ports {
            self.unplug(port);
        }
    }

    /// What a LAN that goes on from here has to know.
    pub(crate) fn state(&self) -> LanState {
        LanState { router: self.router.state(self.clock.now()) }
    }

    /// Goes on where another LAN was.
    pub(crate) fn restore(&mut self, state: &LanState) {
        self.router.restore(self.clock.now(), &state.router);
    }

    /// Tells `settler` once nothing is under way.
    pub(crate) fn when_settled(&mut self, settler: SyncSender<Settled>) {
        self.settlers.push(settler);
    }

    pub(crate) fn router(&mut self) -> &mut Router {
        &mut self.router
    }

    pub(crate) fn comment(&mut self, text: &str) {
        let now = self.clock.now();
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
            End::Router => {}
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
            End::Router => {}
            End::Qemu(socket) => stats.link_ups += socket.link_ups(),
            End::Local(shared) => {
                stats.link_ups += 1;
                stats.dropped_from_node += shared.dropped();
            }
        }
        stats
    }
}
