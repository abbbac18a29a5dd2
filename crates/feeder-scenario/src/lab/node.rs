//! One node of the cluster: its power, its boot, its shell.

mod desk;
pub(super) mod restart;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use camino::{Utf8Path, Utf8PathBuf};
use feeder_bootrom::{BoardModel, BoardProfile, Boot, NetBoot, TryBoot};
use feeder_cluster::Board;
use feeder_lan::QemuPort;
use feeder_machine::{Accel, DeviceTree, Machine, Nic, Spec, State as Power, StopReason};
use feeder_remote::{Host, HostKeys, RemoteError, Ssh, wait_until_reachable};
use fs_err as fs;
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use super::{
    bench::Bench,
    disks::Medium,
    firmware::{BootRecord, netboot},
    guest::{MachineGuest, watch_console},
};
use crate::{Class, Failure, Firmware, OrFail, Poll, PowerEnd, Verdict, WaitSpec, clock::locked};

/// From power to a login, in vCPU seconds of an untuned boot with room to spare.
pub(super) const BOOT: u64 = 240;
/// From power, or one MiB of its files, to the next or to a kernel, in vCPU seconds of it and the master: a thousand packets, while
/// the master may serve other nodes, too. The firmware gives up by itself.
const FIRMWARE: u64 = 120;
/// One command in a shell.
const COMMAND: u64 = 120;
/// From one look at something that has yet to come to the next.
const PACE: Duration = Duration::from_secs(1);
/// The same at most. A look is work of the machine that is waited for, so it is left alone for [`LEFT_ALONE`] times as long.
const SLOW_PACE: Duration = Duration::from_secs(5);
const LEFT_ALONE: u32 = 3;

/// A node; cheap to clone, a clone is the same node.
#[derive(Clone)]
pub struct Node {
    shared: Arc<Shared>,
}

struct Shared {
    bench: Arc<Bench>,
    name: String,
    board: Board,
    boots_from: BootsFrom,
    cable: QemuPort,
    state: Mutex<State>,
}

/// Where a node's firmware finds something to start.
pub(crate) enum BootsFrom {
    /// Its SD card, or a disk on USB.
    Disks { mac: [u8; 6] },
    /// The network.
    Network { mac: [u8; 6], serial: u32 },
}

#[derive(Default)]
pub(super) struct State {
    pub(super) card: Option<Medium>,
    /// A disk on USB.
    pub(super) ssd: Option<Medium>,
    pub(super) machine: Option<Running>,
    pub(super) ssh: Option<Arc<Ssh>>,
    /// In the run whose state it goes on from, until it is logged in to again.
    pub(super) was_logged_in: bool,
    pub(super) boot: BootRecord,
    /// What its last restart asked of the firmware.
    pub(super) tryboot: TryBoot,
}

impl State {
    /// Whether it is this machine that has power.
    fn is_on(&self, machine: &Arc<Machine>) -> bool {
        self.machine.as_ref().is_some_and(|on| Arc::ptr_eq(&on.machine, machine))
    }
}

#[derive(Clone)]
pub(super) struct Running {
    pub(super) machine: Arc<Machine>,
    /// What its firmware handed to QEMU, and where.
    pub(super) loaded: Loaded,
    /// The same where kept states have it.
    pub(super) kept: Option<Loaded>,
}

/// What a firmware loaded into memory, as files.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Loaded {
    kernel: Utf8PathBuf,
    initrd: Option<Utf8PathBuf>,
    dtb: Option<Utf8PathBuf>,
    command_line: String,
}

impl Loaded {
    pub(crate) fn files(&self) -> impl Iterator<Item = &Utf8PathBuf> {
        [Some(&self.kernel), self.initrd.as_ref(), self.dtb.as_ref()].into_iter().flatten()
    }

    /// The same, with each file where `to` puts it.
    pub(crate) fn moved(
        &self,
        mut to: impl FnMut(&Utf8Path) -> Verdict<Utf8PathBuf>,
    ) -> Verdict<Self> {
        Ok(Self {
            kernel: to(&self.kernel)?,
            initrd: self.initrd.as_deref().map(&mut to).transpose()?,
            dtb: self.dtb.as_deref().map(&mut to).transpose()?,
            command_line: self.command_line.clone(),
        })
    }
}

impl Node {
    pub(crate) fn new(
        bench: Arc<Bench>,
        name: &str,
        board: Board,
        boots_from: BootsFrom,
        card: Option<Utf8PathBuf>,
    ) -> Verdict<Self> {
        let cable = bench.lan.attach_qemu(name).or_fail(Class::Harness, "cannot lay a cable")?;
        let name = name.to_owned();
        Ok(Self {
            shared: Arc::new(Shared {
                bench,
                name,
                board,
                boots_from,
                cable,
                state: Mutex::new(State { card: card.map(Medium::new), ..State::default() }),
            }),
        })
    }

    /// What the cluster calls it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// What its last boot over the network heard and fetched.
    #[must_use]
    pub fn boot_record(&self) -> BootRecord {
        locked(&self.shared.state).boot.clone()
    }

    pub(super) fn has_power(&self) -> bool {
        locked(&self.shared.state).machine.is_some()
    }

    /// Gives it power: its firmware finds a kernel, and the kernel starts.
    ///
    /// # Errors
    /// The firmware found nothing to start, or the emulator did not.
    pub fn power_on(&self) -> Verdict<&Self> {
        let bench = &self.shared.bench;
        if self.has_power() {
            return Err(Failure::scenario(format!("{} has power already", self.name())));
        }
        bench.story.power_on(self.name(), bench.machine_of(self.name()).name);
        let boot = match &self.shared.boots_from {
            BootsFrom::Disks { .. } => self.boot_disks(),
            BootsFrom::Network { mac, serial } => self.boot_network(*mac, *serial),
        }
        .inspect_err(|failure| self.found_nothing(failure))?;
        bench.story.firmware(
            self.name(),
            Firmware::Starts {
                kernel: boot.kernel.name.clone(),
                command_line: boot.command_line.clone(),
            },
        );
        for warning in &boot.warnings {
            bench.story.note(format!("{}: firmware: {warning}", self.name()));
        }
        let loaded = self.hand_over(&boot)?;
        let machine = Machine::power_on(self.spec(&loaded)?).map_err(|error| {
            Failure::expected("cannot start the machine", &error).on(self.name())
        })?;
        self.runs(Arc::new(machine), loaded, None);
        Ok(self)
    }

    pub(super) fn bench(&self) -> &Bench {
        &self.shared.bench
    }

    pub(super) fn state(&self) -> &Mutex<State> {
        &self.shared.state
    }

    /// It has power, and its console is followed.
    pub(super) fn runs(&self, machine: Arc<Machine>, loaded: Loaded, kept: Option<Loaded>) {
        let story = &self.shared.bench.story;
        watch_console(story, self.name(), &machine);
        story.guest(self.name(), Arc::new(MachineGuest(Arc::clone(&machine))));
        let running = Running { machine: Arc::clone(&machine), loaded, kept };
        locked(&self.shared.state).machine = Some(running);
        self.restarts(&machine);
    }

    pub(super) fn model(&self) -> BoardModel {
        match self.shared.board {
            Board::Pi3B => BoardModel::Pi3B,
            Board::Pi3BPlus => BoardModel::Pi3BPlus,
        }
    }

    pub(super) fn profile(&self) -> BoardProfile {
        let mut profile = BoardProfile::of(self.model()).patient().without_initial_wait();
        profile.serial0.clone_from(&self.shared.bench.serial0);
        profile
    }

    fn boot_network(&self, mac: [u8; 6], serial: u32) -> Verdict<Boot> {
        let bench = &self.shared.bench;
        let port = bench.lan.attach(self.name()).or_fail(Class::Harness, "cannot join the LAN")?;
        let twin = NetBoot::new(self.profile(), mac, serial);
        let spec =
            WaitSpec::new(self.name(), "a kernel from the network", bench.unhurried(FIRMWARE))
                .watching([bench.cluster.master.name.as_str()]);
        let mut record = BootRecord::default();
        let outcome = bench.story.wait_in(spec, |waiting| {
            netboot(&bench.story, self.name(), &port, twin, &mut record, &mut |got_on| {
                if got_on {
                    waiting.got_on();
                }
                waiting.go_on()
            })
        });
        if let Ok(Ok(boot)) = &outcome {
            record.files = boot
                .files
                .iter()
                .map(|file| (file.name.clone(), file.bytes, file.sha256_hex()))
                .collect();
        }
        locked(&self.shared.state).boot = record;
        outcome?.map_err(|dead| {
            Failure::product(format!("{} does not boot: {dead}", self.name()))
                .on(self.name())
                .with_hint("a real board stays silent now until its power is cycled")
        })
    }

    /// Writes down what the firmware loaded, for QEMU to load it.
    fn hand_over(&self, boot: &Boot) -> Verdict<Loaded> {
        let bench = &self.shared.bench;
        let scratch = bench.story.dir().scratch();
        let write = |kind: &str, bytes: &[u8]| -> Verdict<Utf8PathBuf> {
            let path = scratch.join(format!("{}.{kind}", self.name()));
            fs::write(&path, bytes)
                .or_fail(Class::Host, "cannot hand over what the firmware loaded")?;
            Ok(path)
        };
        let initrd =
            boot.initramfs.as_ref().map(|file| write("initramfs", &file.bytes)).transpose()?;
        let profile = bench.machine_of(self.name());
        let dtb = match profile.device_tree {
            DeviceTree::Machine => None,
            DeviceTree::Given => {
                boot.device_tree.as_ref().map(|file| write("dtb", &file.bytes)).transpose()?
            }
        };
        let kernel = write("kernel", &boot.kernel.bytes)?;
        Ok(Loaded { kernel, initrd, dtb, command_line: boot.command_line.clone() })
    }

    /// The machine with what its firmware loaded.
    pub(super) fn spec(&self, loaded: &Loaded) -> Verdict<Spec> {
        let shared = &*self.shared;
        let bench = &shared.bench;
        let dir =
            bench.story.dir().node(self.name()).or_fail(Class::Harness, "cannot keep logs")?;
        let (BootsFrom::Network { mac, .. } | BootsFrom::Disks { mac }) = shared.boots_from;
        Ok(Spec {
            name: self.name().to_owned(),
            profile: bench.machine_of(self.name()),
            kernel: loaded.kernel.clone(),
            initrd: loaded.initrd.clone(),
            dtb: loaded.dtb.clone(),
            command_line: loaded.command_line.clone(),
            disks: self.disks(),
            nic: Some(Nic { mac, qemu: shared.cable.qemu.clone(), lan: shared.cable.lan.clone() }),
            dir,
            sockets: bench.story.dir().sockets().to_owned(),
            accel: Accel::Tcg,
        })
    }

    /// Cuts its power, as pulling the plug does.
    ///
    /// # Errors
    /// It has none.
    pub fn cut_power(&self) -> Verdict<&Self> {
        let Some(machine) = self.take_machine() else {
            return Err(Failure::scenario(format!("{} has no power to cut", self.name())));
        };
        machine.cut();
        self.hang_up();
        self.shared.bench.story.power_off(self.name(), PowerEnd::Cut, None);
        Ok(self)
    }

    /// Cuts its power if it has any: after a boot that may have ended anywhere.
    pub fn cut_power_if_on(&self) {
        self.power_off_because(None);
    }

    pub(crate) fn power_off_because(&self, why: Option<&str>) {
        let Some(machine) = self.take_machine() else { return };
        let (end, why) = match machine.state() {
            Power::Stopped(reason @ StopReason::Crashed { .. }) => {
                (PowerEnd::Died, Some(reason.to_string()))
            }
            _ => (PowerEnd::Cut, why.map(str::to_owned)),
        };
        machine.cut();
        self.hang_up();
        self.shared.bench.story.power_off(self.name(), end, why);
    }

    /// Whoever is logged in to it learns at once that the connection is lost: waiting for that would prove nothing.
    pub(crate) fn hang_up(&self) {
        let lan = &self.shared.bench.lan;
        let (BootsFrom::Disks { mac } | BootsFrom::Network { mac, .. }) = self.shared.boots_from;
        let at_home = self.bench().cluster.nodes().find(|node| node.name.as_str() == self.name());
        let leases = lan.leases().into_iter().filter(|lease| lease.mac == mac);
        for address in
            at_home.map(|node| node.address).into_iter().chain(leases.map(|lease| lease.address))
        {
            lan.hang_up(address);
        }
    }

    /// Ends the program that emulates it, as a fault in that program would.
    pub(crate) fn crash(&self) -> Verdict {
        let running = locked(&self.shared.state).machine.clone();
        let pid = running.and_then(|running| i32::try_from(running.machine.pid()).ok());
        let Some(pid) = pid.and_then(Pid::from_raw) else { return Ok(()) };
        kill_process(pid, Signal::KILL).or_fail(Class::Harness, "cannot end an emulator")
    }

    fn take_machine(&self) -> Option<Arc<Machine>> {
        let mut state = locked(&self.shared.state);
        state.ssh = None;
        state.tryboot = TryBoot::Off;
        Some(state.machine.take()?.machine)
    }

    /// Waits until it answers over SSH under the host key that is known for it.
    ///
    /// # Errors
    /// It does not, or shows another key.
    pub fn until_ssh(&self) -> Verdict<&Self> {
        let bench = &self.shared.bench;
        self.connect(self.at_home(&bench.access())?)
    }

    pub(super) fn at_home(
        &self,
        access: &feeder_modules::Access,
    ) -> Verdict<feeder_remote::SshOptions> {
        access
            .node(&self.shared.bench.cluster, self.name())
            .ok_or_else(|| Failure::scenario(format!("{} is not in the cluster", self.name())))
    }

    /// Waits until it answers over SSH at an address that is not yet its own, under whatever key it shows.
    ///
    /// # Errors
    /// It does not.
    pub(crate) fn until_ssh_at(&self, address: SocketAddr) -> Verdict<&Self> {
        self.connect(self.away(address)?)
    }

    pub(super) fn away(&self, address: SocketAddr) -> Verdict<feeder_remote::SshOptions> {
        let mut access = self.shared.bench.access();
        access.at.insert(self.name().to_owned(), address);
        let mut options = self.at_home(&access)?;
        options.host_keys = HostKeys::AcceptNew;
        Ok(options)
    }

    fn connect(&self, options: feeder_remote::SshOptions) -> Verdict<&Self> {
        let ssh = self.reach(options)?;
        locked(&self.shared.state).ssh = Some(Arc::new(ssh));
        self.shared.bench.story.ready(self.name(), "ssh");
        Ok(self)
    }

    pub(super) fn reach(&self, options: feeder_remote::SshOptions) -> Verdict<Ssh> {
        let bench = &self.shared.bench;
        let spec = WaitSpec::new(self.name(), "an SSH login", bench.budget(BOOT)).watching([bench
            .cluster
            .master
            .name
            .as_str()]);
        let mut refused = None;
        let came = bench.story.wait_in(spec, |waiting| {
            match wait_until_reachable(&options, &mut || waiting.go_on()) {
                Ok(ssh) => Some(Ok(ssh)),
                Err(RemoteError::GaveUp { last, .. }) => {
                    waiting.saw(last);
                    None
                }
                Err(error) => {
                    refused = Some(error);
                    Some(Err(()))
                }
            }
        })?;
        match (came, refused) {
            (Ok(ssh), _) => Ok(ssh),
            (Err(()), Some(error)) => {
                Err(Failure::expected("cannot log in", &error).on(self.name()))
            }
            (Err(()), None) => Err(Failure::harness("a refusal without a reason")),
        }
    }

    /// The address that the LAN's router gave it.
    ///
    /// # Errors
    /// It never asked for one.
    pub fn leased_address(&self) -> Verdict<std::net::Ipv4Addr> {
        let bench = &self.shared.bench;
        let (BootsFrom::Disks { mac } | BootsFrom::Network { mac, .. }) = &self.shared.boots_from;
        let spec = WaitSpec::new(self.name(), "an address from the router", bench.budget(BOOT));
        let lease = bench
            .story
            .wait_in(spec, |waiting| bench.lan.wait_lease(*mac, &mut || waiting.go_on()))?;
        Ok(lease.address)
    }

    /// Runs a script as root, and gives what it prints.
    ///
    /// # Errors
    /// It ended with a status other than 0, or the machine did not come to its end.
    pub fn run(&self, script: &str) -> Verdict<String> {
        self.run_within(COMMAND, script)
    }

    /// Runs a script as root that may fail; the inner error is the script's own.
    ///
    /// # Errors
    /// The machine did not come to its end.
    pub fn try_run(&self, script: &str) -> Verdict<Result<String, RemoteError>> {
        self.try_run_within(COMMAND, script)
    }

    /// As [`Self::run`], for what takes longer than a command should: within that many vCPU seconds.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_within(&self, seconds: u64, script: &str) -> Verdict<String> {
        let said = self.try_run_within(seconds, script)?;
        said.map_err(|error| Failure::expected("a command failed", &error).on(self.name()))
    }

    fn try_run_within(&self, seconds: u64, script: &str) -> Verdict<Result<String, RemoteError>> {
        let ssh = self.logged_in()?;
        let said = self.in_guest("a command", seconds, move || ssh.run(script))?;
        match said {
            Ok(output) => Ok(Ok(output.stdout_text().trim_end().to_owned())),
            Err(error @ RemoteError::Script { .. }) => Ok(Err(error)),
            Err(error) => Err(Failure::expected("a command failed", &error).on(self.name())),
        }
    }

    /// Writes a file of any size that a command takes, as root.
    ///
    /// # Errors
    /// It could not be written, or the machine did not come to its end.
    pub fn put(&self, path: &str, bytes: &[u8]) -> Verdict {
        let ssh = self.logged_in()?;
        let put = || ssh.put(Utf8Path::new(path), bytes, 0o644);
        let put = self.in_guest("a file", COMMAND, put)?;
        put.map_err(|error| Failure::expected("cannot write a file", &error).on(self.name()))
    }

    /// Runs a script every few seconds until it prints this, within a budget of vCPU seconds of all these nodes together.
    ///
    /// # Errors
    /// It did not; the last thing that it printed is told.
    pub fn until_says(&self, wanted: &str, script: &str, with: &[&Node], seconds: u64) -> Verdict {
        let bench = &self.shared.bench;
        let ssh = self.logged_in()?;
        let awaited = format!("`{script}` to say \"{wanted}\"");
        let spec = WaitSpec::new(self.name(), awaited, bench.budget(seconds))
            .watching(with.iter().map(|node| node.name()));
        let mut failed = None;
        let came = bench.story.wait_in(spec, |waiting| {
            while waiting.go_on() {
                let began = Instant::now();
                match ssh.run(script) {
                    Ok(output) if output.stdout_text().trim_end() == wanted => return Some(()),
                    Ok(output) => waiting.saw(output.stdout_text().trim_end().to_owned()),
                    Err(error @ RemoteError::Script { .. }) => waiting.saw(error.to_string()),
                    Err(error) => {
                        failed = Some(error);
                        return None;
                    }
                }
                // An interrupt ends the wait at its next turn.
                let pause = (LEFT_ALONE * began.elapsed()).clamp(PACE, SLOW_PACE);
                let _interrupted = feeder_process::interrupt::wait_timeout(pause);
            }
            None
        });
        match failed {
            Some(error) => Err(Failure::expected("a command failed", &error).on(self.name())),
            None => came,
        }
    }

    fn logged_in(&self) -> Verdict<Arc<Ssh>> {
        locked(&self.shared.state)
            .ssh
            .clone()
            .ok_or_else(|| Failure::scenario(format!("{} was not logged in to", self.name())))
    }

    /// Does something that waits for this machine by itself, within a budget of the machine's work. When the budget is used
    /// up or the machine lost, its power is cut, so that whatever waits for it ends.
    ///
    /// # Errors
    /// The budget was used up, or the machine lost.
    pub fn in_guest<T: Send>(
        &self,
        awaited: &str,
        seconds: u64,
        work: impl FnOnce() -> T + Send,
    ) -> Verdict<T> {
        let bench = &self.shared.bench;
        let story = &bench.story;
        let spec = WaitSpec::new(self.name(), awaited, bench.budget(seconds)).watching([bench
            .cluster
            .master
            .name
            .as_str()]);
        std::thread::scope(|scope| {
            let (sender, receiver) = std::sync::mpsc::sync_channel(1);
            scope.spawn(move || {
                let done = work();
                // Nobody listens any more when the wait has failed.
                let _ = sender.send(done);
                story.clock().ring();
            });
            let came = story.wait(spec, || match receiver.try_recv() {
                Ok(value) => Poll::Ready(value),
                Err(std::sync::mpsc::TryRecvError::Empty) => Poll::Pending,
                Err(std::sync::mpsc::TryRecvError::Disconnected) => {
                    Poll::Failed(Failure::harness("a helper thread panicked"))
                }
            });
            if came.is_err() {
                self.power_off_because(Some("something waited for it in vain"));
            }
            came
        })
    }

    pub(crate) fn forget_connection(&self) {
        locked(&self.shared.state).ssh = None;
    }
}
