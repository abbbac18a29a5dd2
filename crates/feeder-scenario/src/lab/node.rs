//! One node of the cluster: its power, its boot, its shell.

mod desk;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use camino::{Utf8Path, Utf8PathBuf};
use feeder_bootrom::{BoardModel, BoardProfile, Boot, NetBoot, boot_from_disk};
use feeder_cluster::Board;
use feeder_lan::QemuPort;
use feeder_machine::{Accel, DeviceTree, Disk, DiskFormat, Machine, Nic, Spec};
use feeder_remote::{Host, HostKeys, RemoteError, Ssh, wait_until_reachable};
use fs_err as fs;

use super::{
    bench::Bench,
    firmware::{BootRecord, netboot},
    guest::{MachineGuest, watch_console},
};
use crate::{
    Budget, Class, Failure, Firmware, OrFail, Poll, PowerEnd, Verdict, WaitSpec, clock::locked,
};

/// From power to a login, in vCPU seconds of an untuned boot with room to spare.
const BOOT: u64 = 240;
/// From power to a kernel, of the master's work: a few thousand packets.
const FIRMWARE: u64 = 120;
/// One command in a shell.
const COMMAND: u64 = 120;
/// What the QEMU machines of this kind call the disk.
const SD: &str = "sd";

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
    /// A raw disk image.
    Sd { disk: Utf8PathBuf, mac: [u8; 6] },
    /// The network.
    Network { mac: [u8; 6], serial: u32 },
}

#[derive(Default)]
struct State {
    machine: Option<Arc<Machine>>,
    ssh: Option<Arc<Ssh>>,
    boot: BootRecord,
}

impl Node {
    pub(crate) fn new(
        bench: Arc<Bench>,
        name: &str,
        board: Board,
        boots_from: BootsFrom,
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
                state: Mutex::default(),
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

    /// Gives it power: its firmware finds a kernel, and the kernel starts.
    ///
    /// # Errors
    /// The firmware found nothing to start, or the emulator did not.
    pub fn power_on(&self) -> Verdict<&Self> {
        let bench = &self.shared.bench;
        if locked(&self.shared.state).machine.is_some() {
            return Err(Failure::scenario(format!("{} has power already", self.name())));
        }
        bench.story.power_on(self.name(), bench.machine_of(self.name()).name);
        let boot = match &self.shared.boots_from {
            BootsFrom::Sd { disk, .. } => self.boot_sd(disk),
            BootsFrom::Network { mac, serial } => self.boot_network(*mac, *serial),
        }
        .inspect_err(|failure| {
            bench.story.power_off(self.name(), PowerEnd::Cut, Some(failure.message.clone()));
        })?;
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
        let machine = Arc::new(Machine::power_on(self.spec(&boot)?).map_err(|error| {
            Failure::expected("cannot start the machine", &error).on(self.name())
        })?);
        watch_console(&bench.story, self.name(), &machine);
        bench.story.guest(self.name(), Arc::new(MachineGuest(Arc::clone(&machine))));
        locked(&self.shared.state).machine = Some(machine);
        Ok(self)
    }

    fn profile(&self) -> BoardProfile {
        let model = match self.shared.board {
            Board::Pi3B => BoardModel::Pi3B,
            Board::Pi3BPlus => BoardModel::Pi3BPlus,
        };
        let mut profile = BoardProfile::of(model).patient().without_initial_wait();
        profile.serial0.clone_from(&self.shared.bench.serial0);
        profile
    }

    fn boot_sd(&self, disk: &Utf8Path) -> Verdict<Boot> {
        let mut file = fs::File::open(disk).or_fail(Class::Harness, "cannot read the SD card")?;
        let boot = boot_from_disk(&mut file, &self.profile()).map_err(|error| {
            Failure::product(format!("{} does not boot from its SD card: {error}", self.name()))
                .on(self.name())
        })?;
        self.shared.bench.story.milestone(self.name(), "SD", None);
        Ok(boot)
    }

    fn boot_network(&self, mac: [u8; 6], serial: u32) -> Verdict<Boot> {
        let bench = &self.shared.bench;
        let port = bench.lan.attach(self.name()).or_fail(Class::Harness, "cannot join the LAN")?;
        let twin = NetBoot::new(self.profile(), mac, serial);
        let spec = WaitSpec::new(self.name(), "a kernel from the network", bench.budget(FIRMWARE))
            .watching([bench.cluster.master.name.as_str()]);
        let mut record = BootRecord::default();
        let outcome = bench.story.wait_in(spec, |waiting| {
            netboot(&bench.story, self.name(), &port, twin, &mut record, &mut || waiting.go_on())
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
    fn spec(&self, boot: &Boot) -> Verdict<Spec> {
        let shared = &*self.shared;
        let bench = &shared.bench;
        let dir =
            bench.story.dir().node(self.name()).or_fail(Class::Harness, "cannot keep logs")?;
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
        let (mac, disks) = match &shared.boots_from {
            BootsFrom::Network { mac, .. } => (*mac, vec![]),
            BootsFrom::Sd { disk, mac } => {
                (*mac, vec![Disk { path: disk.clone(), format: DiskFormat::Raw, id: SD.into() }])
            }
        };
        Ok(Spec {
            name: self.name().to_owned(),
            profile,
            kernel: write("kernel", &boot.kernel.bytes)?,
            initrd,
            dtb,
            command_line: boot.command_line.clone(),
            disks,
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
        self.shared.bench.story.power_off(self.name(), PowerEnd::Cut, None);
        Ok(self)
    }

    /// Cuts its power if it has any: after a boot that may have ended anywhere.
    pub fn cut_power_if_on(&self) {
        self.power_off_because(None);
    }

    pub(crate) fn power_off_because(&self, why: Option<&str>) {
        if self.take_machine().is_some() {
            let why = why.map(str::to_owned);
            self.shared.bench.story.power_off(self.name(), PowerEnd::Cut, why);
        }
    }

    fn take_machine(&self) -> Option<Arc<Machine>> {
        let mut state = locked(&self.shared.state);
        state.ssh = None;
        state.machine.take()
    }

    /// Waits until it answers over SSH under the host key that is known for it.
    ///
    /// # Errors
    /// It does not, or shows another key.
    pub fn until_ssh(&self) -> Verdict<&Self> {
        let bench = &self.shared.bench;
        let Some(options) = bench.access().node(&bench.cluster, self.name()) else {
            return Err(Failure::scenario(format!("{} is not in the cluster", self.name())));
        };
        self.connect(options)
    }

    /// Waits until it answers over SSH at an address that is not yet its own, under whatever key it shows.
    ///
    /// # Errors
    /// It does not.
    pub(crate) fn until_ssh_at(&self, address: SocketAddr) -> Verdict<&Self> {
        let bench = &self.shared.bench;
        let mut access = bench.access();
        access.at.insert(self.name().to_owned(), address);
        let Some(mut options) = access.node(&bench.cluster, self.name()) else {
            return Err(Failure::scenario(format!("{} is not in the cluster", self.name())));
        };
        options.host_keys = HostKeys::AcceptNew;
        self.connect(options)
    }

    fn connect(&self, options: feeder_remote::SshOptions) -> Verdict<&Self> {
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
            (Ok(ssh), _) => {
                locked(&self.shared.state).ssh = Some(Arc::new(ssh));
                bench.story.ready(self.name(), "ssh");
                Ok(self)
            }
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
        let (BootsFrom::Sd { mac, .. } | BootsFrom::Network { mac, .. }) = &self.shared.boots_from;
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
        let said = self.try_run(script)?;
        said.map_err(|error| Failure::expected("a command failed", &error).on(self.name()))
    }

    /// Runs a script as root that may fail; the inner error is the script's own.
    ///
    /// # Errors
    /// The machine did not come to its end.
    pub fn try_run(&self, script: &str) -> Verdict<Result<String, RemoteError>> {
        let Some(ssh) = locked(&self.shared.state).ssh.clone() else {
            return Err(Failure::scenario(format!("{} was not logged in to", self.name())));
        };
        let said = self.in_guest("a command", COMMAND, move || ssh.run(script))?;
        match said {
            Ok(output) => Ok(Ok(output.stdout_text().trim_end().to_owned())),
            Err(error @ RemoteError::Script { .. }) => Ok(Err(error)),
            Err(error) => Err(Failure::expected("a command failed", &error).on(self.name())),
        }
    }

    /// Does something that waits for this machine by itself, within a budget of the machine's work. When the budget is used
    /// up or the machine lost, its power is cut, so that whatever waits for it ends.
    pub(crate) fn in_guest<T: Send>(
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

impl Bench {
    /// A budget in vCPU seconds of the usual machine, on this one.
    pub(crate) fn budget(&self, seconds: u64) -> Budget {
        Budget::seconds(seconds * self.slowness)
    }
}
