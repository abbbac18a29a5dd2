//! The handle to a running LAN.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use camino::Utf8PathBuf;

use crate::capture::Capture;
use crate::clock::Clock;
use crate::config::{LanConfig, RouterConfig, check_node, is_host};
use crate::error::LanError;
use crate::fabric::Fabric;
use crate::fault::{Fault, FaultId, FaultReport, Faults};
use crate::frame::Mac;
use crate::inbox::{self, Inbox, Message};
use crate::lease::{Lease, LeaseBook};
use crate::port::{Port, Shared};
use crate::rogue::{Rogue, RogueDhcp, RogueDhcpConfig};
use crate::router::Router;
use crate::socket_port::SocketPort;
use crate::state::{LanState, Settled};
use crate::stats::Summary;
use crate::tap::{self, Tap};

/// How often a wait asks whether to go on.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// Where QEMU's end of a cable is: `-netdev dgram,local.type=unix,local.path=<qemu>,remote.type=unix,remote.path=<lan>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QemuPort {
    /// The path that QEMU binds.
    pub qemu: Utf8PathBuf,
    /// The path that QEMU sends to; the switch has bound it.
    pub lan: Utf8PathBuf,
}

/// A running LAN: a switch, a router and the capture. Dropping it shuts it down.
pub struct Lan {
    sockets: Utf8PathBuf,
    router: RouterConfig,
    inbox: Inbox,
    leases: Arc<LeaseBook>,
    thread: Mutex<Thread>,
}

enum Thread {
    Running(JoinHandle<Summary>),
    Ended(Summary),
}

impl Lan {
    /// Starts the LAN, with the router on it and no other node.
    ///
    /// # Errors
    /// When the router's settings contradict each other, or the capture file or the directory for sockets cannot be made.
    pub fn start(config: LanConfig) -> Result<Lan, LanError> {
        let LanConfig { sockets, capture, router, seed } = config;
        router.check()?;
        std::fs::create_dir_all(&sockets).map_err(|source| LanError::Socket {
            what: format!("make the directory {sockets}"),
            source,
        })?;
        let clock = Clock::start();
        let capture = capture.map(|path| Capture::create(&path, clock.epoch())).transpose()?;
        let (inbox, outbox) = inbox::pair()
            .map_err(|source| LanError::Socket { what: "make an eventfd".into(), source })?;
        let leases = Arc::new(LeaseBook::default());
        let mut fabric = {
            let router = Router::new(&router, Arc::clone(&leases), seed);
            Fabric::new(clock, outbox, router, Faults::new(seed), capture, Arc::clone(&leases))
        };
        fabric.names(router.names.iter().map(|(name, address)| (*address, name.as_str())));
        fabric.names([(router.address, "router")]);
        let thread = std::thread::Builder::new()
            .name("lan".into())
            .spawn(move || fabric.run())
            .map_err(|source| LanError::Socket { what: "start the LAN's thread".into(), source })?;
        Ok(Lan { sockets, router, inbox, leases, thread: Mutex::new(Thread::Running(thread)) })
    }

    /// Lays a cable for a QEMU process. QEMU may start, die and start again on it; while it is away, frames for it are dropped
    /// and counted.
    ///
    /// # Errors
    /// When the node has such a cable already, its name is not fit for a path, or the socket cannot be bound.
    pub fn attach_qemu(&self, node: &str) -> Result<QemuPort, LanError> {
        check_node(node)?;
        let qemu = self.sockets.join(format!("{node}.qemu"));
        let lan = self.sockets.join(format!("{node}.lan"));
        // A second cable of the same node is found before the first one's socket is touched.
        self.call({
            let node = node.to_owned();
            let (qemu, lan) = (qemu.clone(), lan.clone());
            move |fabric| fabric.attach_qemu(&node, || SocketPort::bind(qemu, lan))
        })??;
        Ok(QemuPort { qemu, lan })
    }

    /// Attaches code in this process. A node can have such a port beside its QEMU's cable: its hardware address is reached
    /// where it last sent from.
    ///
    /// # Errors
    /// When the node has such a port already or its name is not fit for the capture.
    pub fn attach(&self, node: &str) -> Result<Port, LanError> {
        check_node(node)?;
        let shared = Arc::new(Shared::default());
        let id = self.call({
            let (node, shared) = (node.to_owned(), Arc::clone(&shared));
            move |fabric| fabric.attach_local(&node, shared)
        })??;
        Ok(Port::new(id, self.inbox.clone(), shared))
    }

    /// Attaches a second DHCP server, which competes with the router and with whatever boot server there is. On a LAN that goes
    /// on from a state, a server of the same name knows the clients that it had.
    ///
    /// # Errors
    /// When the name is taken or not fit for the capture, or the settings contradict each other.
    pub fn rogue_dhcp(&self, name: &str, config: RogueDhcpConfig) -> Result<RogueDhcp, LanError> {
        check_node(name)?;
        config.check(name)?;
        let node = name.to_owned();
        let id = self.call(move |fabric| fabric.attach_rogue(&node, Rogue::new(config)))??;
        Ok(RogueDhcp::new(name.to_owned(), id, self.inbox.clone()))
    }

    /// Pulls all cables of a node and removes their sockets. A node that is not attached is left alone.
    pub fn detach(&self, node: &str) {
        let node = node.to_owned();
        // A LAN that was shut down has no cables left.
        let _ = self.call(move |fabric| fabric.detach(&node));
    }

    /// Opens a port on the host's loopback which leads to a TCP port of a guest; for the same guest port it is the same one.
    /// The guest need not be there yet: connections to one that does not answer are reset after 30 s, to one that refuses at
    /// once.
    ///
    /// # Errors
    /// When the guest is not in the LAN's network or the host has no port left.
    pub fn forward(&self, guest: SocketAddrV4) -> Result<SocketAddr, LanError> {
        let subnet = self.router.subnet;
        if !is_host(subnet, *guest.ip()) || *guest.ip() == self.router.address || guest.port() == 0
        {
            return Err(LanError::Forward { guest, subnet });
        }
        self.call(move |fabric| fabric.router().forward(guest))?.map_err(|source| {
            LanError::Socket { what: format!("open a port on the loopback for {guest}"), source }
        })
    }

    /// Resets all connections to a guest that came through forwards. Their ends on the host learn at once that it is gone,
    /// and not when they have been without an answer for long enough: for whoever has just taken its power.
    pub fn hang_up(&self, guest: Ipv4Addr) {
        // A LAN that was shut down has no connections left.
        let _ = self.call(move |fabric| fabric.router().hang_up(guest));
    }

    /// The addresses that the router has handed out.
    pub fn leases(&self) -> Vec<Lease> {
        self.leases.all()
    }

    /// Waits until the router has handed an address to a client. `keep_waiting` is asked several times a second. `None`: it
    /// said no, or the LAN was shut down.
    pub fn wait_lease(&self, mac: Mac, keep_waiting: &mut dyn FnMut() -> bool) -> Option<Lease> {
        self.leases.wait(mac, keep_waiting)
    }

    /// Puts a remark into the capture, between the frames before and after it. Readers show it as a frame of its own on the
    /// interface "steps", with `text` as the frame's comment. Everything before it is on its way to the file when this returns.
    pub fn comment(&self, text: &str) {
        let text = text.to_owned();
        // Without a LAN there is nothing to remark on.
        let _ = self.call(move |fabric| fabric.comment(&text));
    }

    /// Puts a fault in force, for frames that are sent from now on. It and all that it does are shown in the capture.
    ///
    /// Nodes need not be attached yet. Faults on one link work one after the other, in the order in which they began. The
    /// same seed takes the same decision for the same frame, whatever else is on the wire.
    ///
    /// # Errors
    /// When the fault makes no sense, or the LAN was shut down.
    pub fn inject(&self, fault: Fault) -> Result<FaultId, LanError> {
        fault.check()?;
        self.call(move |fabric| fabric.inject(fault))
    }

    /// Ends a fault; frames that it holds back still come in their time. `None`: it has ended already.
    ///
    /// # Errors
    /// When the LAN was shut down.
    pub fn clear(&self, fault: FaultId) -> Result<Option<FaultReport>, LanError> {
        self.call(move |fabric| fabric.clear(fault))
    }

    /// Subscribes to copies of the frames that `filter` wants, as they reach the switch. At most `capacity` wait unread; more
    /// are dropped and counted.
    ///
    /// # Errors
    /// When the LAN was shut down.
    pub fn tap(
        &self,
        capacity: usize,
        filter: impl Fn(&[u8]) -> bool + Send + 'static,
    ) -> Result<Tap, LanError> {
        let (tap, sink) = tap::pair(Box::new(filter), capacity);
        self.call(move |fabric| fabric.add_tap(sink))?;
        Ok(tap)
    }

    /// Waits until the LAN is at rest: every frame that a node has sent is where it goes, none is delayed on a link, and the
    /// router has nothing to do before its next timer. Nodes must not send meanwhile: stop their processors first.
    /// `keep_waiting` is asked several times a second. `None`: it said no.
    ///
    /// # Errors
    /// When the LAN was shut down.
    pub fn settle(
        &self,
        keep_waiting: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Settled>, LanError> {
        let (settler, settled) = sync_channel(1);
        self.call(move |fabric| fabric.when_settled(settler))?;
        loop {
            match settled.recv_timeout(ASK_EVERY) {
                Ok(settled) => return Ok(Some(settled)),
                Err(RecvTimeoutError::Disconnected) => return Err(LanError::Stopped),
                Err(RecvTimeoutError::Timeout) if keep_waiting() => {}
                Err(RecvTimeoutError::Timeout) => return Ok(None),
            }
        }
    }

    /// What a LAN that goes on from here has to know. The nodes must be stopped and the LAN be at rest ([`Lan::settle`]) for
    /// it to fit their states.
    ///
    /// # Errors
    /// When the LAN was shut down.
    pub fn state(&self) -> Result<LanState, LanError> {
        self.call(|fabric| fabric.state())
    }

    /// Goes on where another LAN with the same settings was when [`Lan::state`] was taken. Remaining times count from now. To
    /// be called on a fresh LAN, before its nodes send; cables may be laid before or after. Connections of before are not
    /// known: the router answers what guests send on them with resets.
    ///
    /// # Errors
    /// When the LAN was shut down.
    pub fn restore(&self, state: LanState) -> Result<(), LanError> {
        self.call(move |fabric| fabric.restore(&state))
    }

    /// What the LAN did so far; after its end, in all its life.
    pub fn stats(&self) -> Summary {
        self.call(|fabric| fabric.summary()).unwrap_or_else(|_| self.shutdown())
    }

    /// Ends the LAN: the capture is complete, threads have ended, sockets are removed. Later calls give the same summary.
    ///
    /// # Panics
    /// When the LAN's thread has panicked.
    pub fn shutdown(&self) -> Summary {
        self.end().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    fn end(&self) -> std::thread::Result<Summary> {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = match std::mem::replace(&mut *thread, Thread::Ended(Summary::default())) {
            Thread::Ended(summary) => summary,
            Thread::Running(handle) => {
                self.inbox.send(Message::Stop);
                handle.join()?
            }
        };
        *thread = Thread::Ended(ended.clone());
        Ok(ended)
    }

    /// Runs `work` on the LAN's thread.
    fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Fabric) -> T + Send + 'static,
    ) -> Result<T, LanError> {
        let (reply, answer) = sync_channel(1);
        let call = move |fabric: &mut Fabric| {
            // The caller waits; it cannot have gone.
            let _ = reply.send(work(fabric));
        };
        if !self.inbox.send(Message::Call(Box::new(call))) {
            return Err(LanError::Stopped);
        }
        answer.recv().map_err(|_| LanError::Stopped)
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        // Also while panicking: a failed run needs its capture most.
        if let Err(panic) = self.end()
            && !std::thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

impl fmt::Debug for Lan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lan")
            .field("sockets", &self.sockets)
            .field("router", &self.router)
            .finish_non_exhaustive()
    }
}
