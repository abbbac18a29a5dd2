//! Boards as data: what distinguishes one model's firmware from another's.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// The boards whose firmware this crate reproduces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BoardModel {
    /// Raspberry Pi 3 Model B: the first network boot ROM, with its bugs.
    Pi3B,
    /// Raspberry Pi 3 Model B+: most of them fixed.
    Pi3BPlus,
}

impl fmt::Display for BoardModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pi3B => "Raspberry Pi 3 Model B",
            Self::Pi3BPlus => "Raspberry Pi 3 Model B Plus",
        })
    }
}

/// Everything the twin knows about one board. Start from [`BoardProfile::of`] and change fields:
/// all of it is data.
#[derive(Clone, Debug)]
pub struct BoardProfile {
    /// Which board this is.
    pub model: BoardModel,
    /// Low 32 bits of the serial number: option 97, the TFTP prefix and `[0x…]` filters.
    /// [`NetBoot::new`](crate::NetBoot::new) overwrites it.
    pub serial: u32,
    /// Conditional filters of `config.txt` that are true on this board, without brackets.
    pub filters: &'static [&'static str],
    /// The type field of the board's revision code, for `[board-type=…]`.
    pub board_type: u32,
    /// Memory in MiB; selects among `gpu_mem_256`, `gpu_mem_512` and `gpu_mem_1024`.
    pub memory_mib: u32,
    /// Whether the one-shot `tryboot` flag is set: reads `tryboot.txt` and makes `[tryboot]` true.
    pub tryboot: bool,
    /// Levels of GPIO pins for `[gpioN=…]`; pins not listed have the reset pull (0–8 high, others low).
    pub gpio: BTreeMap<u8, bool>,
    /// The device tree of Raspberry Pi's kernel.
    pub device_tree: &'static str,
    /// The device tree of the upstream kernel, preferred with `upstream_kernel=1`.
    pub upstream_device_tree: &'static str,
    /// What `console=serial0` becomes: `ttyS0` or `ttyS1` for the mini UART, `ttyAMA0` for the PL011.
    /// It depends on overlays and on the kernel, so whoever starts the kernel says it.
    pub serial0: String,
    /// Arguments the firmware adds between the device tree's and those of `cmdline.txt`.
    /// Empty by default: they describe the VideoCore's share of the memory, which no emulator has.
    pub firmware_arguments: Vec<String>,
    /// DHCP as the boot ROM does it.
    pub rom_dhcp: DhcpProfile,
    /// DHCP as `bootcode.bin` does it, in its own round after the ROM's.
    pub bootcode_dhcp: DhcpProfile,
    /// Time between `start.elf`'s last byte and its first request.
    pub start_delay: Duration,
    /// TFTP.
    pub tftp: TftpProfile,
    /// ARP.
    pub arp: ArpProfile,
}

/// One round of DHCP: DISCOVERs at fixed intervals, never a REQUEST.
#[derive(Clone, Debug)]
pub struct DhcpProfile {
    /// Time from the start of the stage (for the ROM: power-on) to the first DISCOVER.
    pub first: Duration,
    /// How many DISCOVERs are sent.
    pub tries: u32,
    /// Time from one DISCOVER to the next, and from the last to giving up.
    pub interval: Duration,
    /// Option 55, in the order on the wire.
    pub parameter_request: &'static [u8],
    /// Option 97.
    pub machine_id: MachineId,
    /// Text that option 43 must contain.
    pub boot_text: &'static str,
    /// Whether replies that went through a relay (`hops` not 0) are taken.
    pub accepts_relayed: bool,
    /// Replies sooner than this after a DISCOVER are lost: the fault of the 3B that
    /// `dhcp-reply-delay` cures (raspberrypi/firmware#934). Zero unless a test asks for it.
    pub deaf_for: Duration,
}

/// What option 97 carries after its type byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MachineId {
    /// Sixteen times `0x44`: the 3B's ROM.
    Constant,
    /// The serial number, little endian, four times.
    SerialFourTimes,
}

/// TFTP's timing and manners.
#[derive(Clone, Debug)]
pub struct TftpProfile {
    /// Source ports of the boot ROM.
    pub rom_ports: Ports,
    /// Source ports of `bootcode.bin` and of `start.elf`; both start anew.
    pub later_ports: Ports,
    /// Block size asked for after the ROM stage; `None` asks for none, which means 512.
    ///
    /// `None` is what captures of 3B and 3B+ show (raspberrypi/firmware#1041, #1700): only `tsize`.
    pub block_size: Option<u16>,
    /// How long without progress until a file is given up, which the firmware takes for "absent"
    /// (raspberrypi/firmware#1025, #1292).
    pub patience: Duration,
    /// Resend our last packet after this long without progress. `None`, as on the boards: never.
    pub retransmit: Option<Duration>,
    /// How a probe ends.
    pub probe_end: ProbeEnd,
}

/// How source ports of TFTP requests are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ports {
    /// The same port for every request.
    Fixed(u16),
    /// Counting up from this one.
    From(u16),
}

/// When a request that only asks for a file's existence and size is broken off with
/// `ERROR 0 "Early terminate"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeEnd {
    /// In answer to OACK.
    AtOack,
    /// OACK is acknowledged; the error answers the first DATA.
    AtFirstBlock,
}

/// Address resolution.
#[derive(Clone, Debug)]
pub struct ArpProfile {
    /// Time between requests.
    pub interval: Duration,
    /// How many are sent.
    pub tries: u32,
    /// Whether requests for our own address are answered while files are being fetched.
    pub answers: bool,
    /// Whether a server outside the subnet is reached through the router of option 3.
    pub uses_router: bool,
}

/// 12 items: 43, 60, 67, 128–135, 66 (boot-net.adoc).
const PARAMETERS_OLD: &[u8] = &[43, 60, 67, 128, 129, 130, 131, 132, 133, 134, 135, 66];
/// 14 items: the old ones, then subnet mask and router (order as in raspberrypi/firmware#941).
const PARAMETERS_NEW: &[u8] = &[43, 60, 67, 128, 129, 130, 131, 132, 133, 134, 135, 66, 1, 3];

const BOOT_TEXT: &str = "Raspberry Pi Boot";

impl BoardProfile {
    /// The profile of a board as it behaves in the field.
    #[must_use]
    pub fn of(model: BoardModel) -> Self {
        match model {
            BoardModel::Pi3B => Self::pi3b(),
            BoardModel::Pi3BPlus => Self::pi3b_plus(),
        }
    }

    fn pi3b_plus() -> Self {
        // Four DISCOVERs, the first 18 s and the last 33 s after power-on: raspberrypi/firmware#1081.
        let rom_dhcp = DhcpProfile {
            first: Duration::from_secs(18),
            tries: 4,
            interval: Duration::from_secs(5),
            parameter_request: PARAMETERS_NEW,
            machine_id: MachineId::SerialFourTimes,
            boot_text: BOOT_TEXT,
            accepts_relayed: true,
            deaf_for: Duration::ZERO,
        };
        // 100 ms after bootcode.bin's last byte in a log of 2025; "about one minute" of tries in
        // raspberrypi/firmware#1124.
        let bootcode_dhcp =
            DhcpProfile { first: Duration::from_millis(100), tries: 12, ..rom_dhcp.clone() };
        Self {
            model: BoardModel::Pi3BPlus,
            serial: 0,
            filters: &["pi3", "pi3+"],
            board_type: 0x0d,
            memory_mib: 1024,
            tryboot: false,
            gpio: BTreeMap::new(),
            device_tree: "bcm2710-rpi-3-b-plus.dtb",
            upstream_device_tree: "bcm2837-rpi-3-b-plus.dtb",
            serial0: "ttyS0".into(),
            firmware_arguments: Vec::new(),
            rom_dhcp,
            bootcode_dhcp,
            start_delay: Duration::from_millis(150),
            tftp: TftpProfile {
                rom_ports: Ports::From(49153),
                later_ports: Ports::From(49153),
                block_size: None,
                patience: Duration::from_secs(1),
                retransmit: None,
                probe_end: ProbeEnd::AtFirstBlock,
            },
            arp: ArpProfile {
                interval: Duration::from_secs(1),
                tries: 5,
                answers: true,
                uses_router: true,
            },
        }
    }

    fn pi3b() -> Self {
        let plus = Self::pi3b_plus();
        Self {
            model: BoardModel::Pi3B,
            filters: &["pi3"],
            board_type: 0x08,
            device_tree: "bcm2710-rpi-3-b.dtb",
            upstream_device_tree: "bcm2837-rpi-3-b.dtb",
            // Five tries, five seconds apart, from about five seconds on: boot-net.adoc.
            rom_dhcp: DhcpProfile {
                first: Duration::from_secs(5),
                tries: 5,
                parameter_request: PARAMETERS_OLD,
                machine_id: MachineId::Constant,
                boot_text: "Raspberry Pi Boot   ",
                accepts_relayed: false,
                ..plus.rom_dhcp.clone()
            },
            tftp: TftpProfile { rom_ports: Ports::Fixed(49152), ..plus.tftp.clone() },
            arp: ArpProfile { answers: false, uses_router: false, ..plus.arp.clone() },
            ..plus
        }
    }

    /// For a server that is itself emulated: ten times the patience, and lost packets sent again.
    ///
    /// On the boards one lost packet loses the file, because `bootcode.bin` gives up after a second
    /// and dnsmasq resends after two. Where a slow host must not decide the outcome, use this.
    #[must_use]
    pub fn patient(mut self) -> Self {
        self.tftp.patience *= 10;
        self.tftp.retransmit = Some(Duration::from_secs(1));
        self
    }

    /// Without the ROM's search for SD card and USB disks before its first DISCOVER.
    #[must_use]
    pub fn without_initial_wait(mut self) -> Self {
        self.rom_dhcp.first = Duration::ZERO;
        self
    }

    /// The directory this board asks for first on a TFTP server: eight lower-case hex digits.
    #[must_use]
    pub fn prefix(&self) -> String {
        format!("{:08x}", self.serial)
    }
}
