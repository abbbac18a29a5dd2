//! Every section and key that a `cluster.toml` can have, as data.
//!
//! The reader refuses what is not listed here and takes presence and defaults from here; the page for people and the JSON Schema for
//! editors are made from it ([`crate::describe`]).

use crate::{Availability, Board, DhcpMode, FileSystem, Journal, Root, SdCard, Sudo};

/// A table of the file.
#[derive(Debug, Clone, Copy)]
pub struct Section {
    /// Its name, without brackets; with a dot, it lies within the section before the dot.
    pub name: &'static str,
    /// How often it may stand in a file.
    pub occurs: Occurs,
    /// What it describes.
    pub doc: &'static str,
    /// Its keys, in the order in which they are documented.
    pub keys: &'static [Key],
}

/// How often a section may stand in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occurs {
    /// The file is wrong without it.
    Once,
    /// Its absence says something.
    AtMostOnce,
    /// It is an array of tables (`[[worker]]`), which may be absent.
    Repeatedly,
}

/// One key of a section.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What kind of TOML value it takes.
    pub kind: Kind,
    /// Whether it must be there.
    pub presence: Presence,
    /// What a text or number of it looks like.
    pub shape: Shape,
    /// A value as one would write it, in TOML.
    pub example: &'static str,
    /// What it means, in Markdown, as the rest of a sentence that begins with its name.
    pub doc: &'static str,
}

/// The kind of a TOML value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A string.
    Text,
    /// An array of strings.
    Texts,
    /// A whole number that is not negative.
    Whole,
    /// `true` or `false`.
    Flag,
    /// A string that says where a secret is to be had. What it holds instead is not shown.
    Secret,
}

/// What a text or number looks like, as far as an editor can tell; the reader knows more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One of these.
    OneOf(&'static [&'static str]),
    /// Matches this regular expression of ECMA-262.
    Like(&'static str),
    /// One of these numbers.
    Among(&'static [u64]),
    /// Either of the two.
    Either,
}

/// Whether a key must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// The file is wrong without it.
    Required,
    /// Without it there is no value, or one that follows from others: this, in a few words.
    Optional(&'static str),
    /// Without it, this counts as given.
    Default(&'static str),
}

impl Section {
    /// The section as its header is written: `[cluster]`, `[[worker]]`.
    pub fn header(&self) -> String {
        match self.occurs {
            Occurs::Repeatedly => format!("[[{}]]", self.name),
            Occurs::Once | Occurs::AtMostOnce => format!("[{}]", self.name),
        }
    }

    /// The section of that name within this one.
    pub(crate) fn within(&self, name: &str) -> Option<&'static Section> {
        SECTIONS.into_iter().find(|section| {
            section.name.split_once('.').is_some_and(|pair| pair == (self.name, name))
        })
    }

    /// Whether a key of that name holds a secret in any section.
    pub(crate) fn secret_anywhere(name: &str) -> bool {
        SECTIONS.iter().filter_map(|section| section.key(name)).any(|key| key.kind == Kind::Secret)
    }

    /// The key of that name.
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

const fn text(
    name: &'static str,
    presence: Presence,
    shape: Shape,
    example: &'static str,
    doc: &'static str,
) -> Key {
    Key { name, kind: Kind::Text, presence, shape, example, doc }
}

const fn secret(
    name: &'static str,
    absent: &'static str,
    example: &'static str,
    doc: &'static str,
) -> Key {
    Key { name, kind: Kind::Secret, presence: Optional(absent), shape: REFERENCE, example, doc }
}

/// What nodes of either kind can have.
const fn labels(example: &'static str) -> Key {
    Key {
        name: "labels",
        kind: Kind::Texts,
        presence: Optional("none"),
        shape: LABEL,
        example,
        doc: "labels of its node in the swarm, each as `name=value`: services are placed by them. Labels that \
              somebody gave it otherwise stay, as long as it keeps its state.",
    }
}

/// How many nodes may manage a swarm.
pub(crate) const MANAGERS: &[u64] = &[1, 3, 5, 7];

/// How many seconds may lie between two heartbeats of a node of a swarm.
pub(crate) const HEARTBEATS: &[u64] = &[5, 10, 20, 30, 60];

use Presence::{Default, Optional, Required};
use Shape::{Among, Either, Like, OneOf};

const NAME: Shape = Like(r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$");
const ADDRESS: Shape = Like(
    r"^(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(\.(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])){3}$",
);
const SUBNET: Shape = Like(
    r"^(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(\.(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])){3}/[0-9]{1,2}$",
);
/// A label of a node: a name as Docker advises them, and a value without blanks and quotes.
const LABEL: Shape = Like(r"^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?=[A-Za-z0-9._:/+@-]{1,128}$");
/// Where a secret is to be had.
const REFERENCE: Shape = Like(r"^(env:[A-Za-z_][A-Za-z0-9_]*|(file|cmd):.*\S.*)$");
const SIZE: Shape = Like(r"^[0-9]+([KMGT]i)?B$");
const BOARD: Shape = OneOf(&[Board::Pi3B.as_str(), Board::Pi3BPlus.as_str()]);

/// `[cluster]`
pub const CLUSTER: Section = Section {
    name: "cluster",
    occurs: Occurs::Once,
    doc: "The cluster as a whole.",
    keys: &[text(
        "name",
        Required,
        NAME,
        r#""lab""#,
        "what the cluster is called; written like the name of a node, and may be the same as one.",
    )],
};

/// `[network]`
pub const NETWORK: Section = Section {
    name: "network",
    occurs: Occurs::Once,
    doc: "The segment that master and workers share.",
    keys: &[
        text(
            "subnet",
            Required,
            SUBNET,
            r#""192.168.10.0/24""#,
            "the addresses of the segment that master and workers share, as `address/prefix` with no host bits set, from \
             /8 to /29. All nodes must be on one segment: a Pi 3 asks for its files by broadcast and cannot reach another \
             subnet.",
        ),
        text(
            "gateway",
            Required,
            ADDRESS,
            r#""192.168.10.1""#,
            "the router's address, in the subnet.",
        ),
        Key {
            name: "dns",
            kind: Kind::Texts,
            presence: Optional("the gateway"),
            shape: ADDRESS,
            example: r#"["192.168.10.1"]"#,
            doc: "an array with at least one name server, in order of preference. They need not be in the subnet.",
        },
        text(
            "dhcp",
            Default("proxy"),
            OneOf(&[DhcpMode::Proxy.as_str()]),
            r#""proxy""#,
            "who hands out addresses on the segment. `proxy`: the router goes on doing so, and the master only adds what \
             booting needs. Reserve the workers' addresses in the router: a Pi 3 takes an offer without ever confirming \
             it, so a router may offer one address to two of them. There is no other mode yet.",
        ),
    ],
};

/// `[master]`
pub const MASTER: Section = Section {
    name: "master",
    occurs: Occurs::Once,
    doc: "The one node with a disk, from which the others boot.",
    keys: &[
        text("name", Required, NAME, r#""cluster00""#, "its host name."),
        text(
            "address",
            Required,
            ADDRESS,
            r#""192.168.10.100""#,
            "its address, in the subnet. The master sets it itself; keep the router from handing it out.",
        ),
        text("board", Default("3b+"), BOARD, r#""3b+""#, "its model: `3b` or `3b+`."),
        text(
            "user",
            Default("pi"),
            Like(r"^[a-z_][a-z0-9_-]{0,31}$"),
            r#""pi""#,
            "who logs in over SSH. Needs `sudo` unless it is `root`.",
        ),
        secret(
            "sudo-password",
            "sudo must not ask",
            r#""cmd:pass show feeder/pi""#,
            "the password of that user, [by reference](#secrets), for nodes on which sudo asks for it. It is given to sudo on \
             its standard input, and only when it asks.",
        ),
        labels(r#"["disk=card"]"#),
    ],
};

/// `[master.ssd]`
pub const SSD: Section = Section {
    name: "master.ssd",
    occurs: Occurs::AtMostOnce,
    doc: "With this section the master moves from its SD card to a USB SSD; without it, it stays where it is. Nothing \
          on the disk is destroyed before `provision` is told so by `--erase` or at a prompt. How it moves, and what \
          can go wrong with power and slow USB bridges: [modules/src/ssd_boot](../modules/src/ssd_boot/README.md).",
    keys: &[
        text(
            "disk",
            Required,
            Like(r"^/dev/disk/by-id/[A-Za-z0-9#+.:=@_-]+$"),
            r#""/dev/disk/by-id/usb-Samsung_Portable_SSD_T5_1234567-0:0""#,
            "the whole disk by its name below `/dev/disk/by-id`, which stays with it. `/dev/sda` and the like are \
             refused: the kernel gives them out anew at every boot. `ls -l /dev/disk/by-id` on the master lists the \
             names; a name that is not there is answered with the disks that are.",
        ),
        text(
            "file-system",
            Default("ext4"),
            OneOf(&[FileSystem::Ext4.as_str(), FileSystem::F2fs.as_str()]),
            r#""ext4""#,
            "of the root on the SSD: `ext4` or `f2fs`. For `f2fs` the kernel must have it built in, or bring it in its \
             initramfs.",
        ),
        text(
            "sd-card",
            Default("kept"),
            OneOf(&[SdCard::Kept.as_str(), SdCard::Removed.as_str()]),
            r#""kept""#,
            "what becomes of the card on a 3B or 3B+. `kept`: it stays in its slot with `bootcode.bin` and `timeout` in \
             force, the files that booted from it moved aside until `cargo xtask ssd finish`. `removed`: the master \
             switches itself off, and you take the card out.",
        ),
    ],
};

/// `[[worker]]`
pub const WORKER: Section = Section {
    name: "worker",
    occurs: Occurs::Repeatedly,
    doc: "A node that boots from the master. One `[[worker]]` for each; a cluster may begin with none.",
    keys: &[
        text("name", Required, NAME, r#""cluster01""#, "its host name."),
        text(
            "mac",
            Required,
            Like(r"^[0-9A-Fa-f]{2}([:-]?[0-9A-Fa-f]{2}){5}$"),
            r#""b8:27:eb:40:45:36""#,
            "the address of its network card, as `b8:27:eb:40:45:36`, `b8-27-eb-40-45-36` or `b827eb404536`. A board \
             shows it with `cat /sys/class/net/eth0/address`. An address outside the blocks known to be Raspberry Pi's is \
             a warning, not a mistake: new blocks appear over the years.",
        ),
        text(
            "address",
            Required,
            ADDRESS,
            r#""192.168.10.101""#,
            "the address it is given, in the subnet, neither the master's nor the gateway's.",
        ),
        text("board", Default("3b+"), BOARD, r#""3b+""#, "its model: `3b` or `3b+`."),
        text(
            "serial",
            Optional("served by MAC address"),
            Like(r"^[0-9A-Fa-f]{8}$"),
            r#""9f404536""#,
            "the last eight digits of its serial number, as the `Serial` line of the board's `/proc/cpuinfo` ends. Boot \
             firmware asks for its files under this name first, which is the safe way to tell workers apart. Of the \
             eight, the last six are those of the MAC address on these boards (a warning when they are not); the first \
             two cannot be known without looking. Without it, the worker is recognised by its MAC address.",
        ),
        text(
            "root",
            Default("shared"),
            OneOf(&[Root::Shared.as_str(), Root::Copy.as_str()]),
            r#""shared""#,
            "what its root is. `shared`: that of the generation, the same for all workers, over which what the worker writes is \
             laid; one more worker takes less than 1 MiB. `copy`: a full copy of it on the master, which the worker alone mounts \
             and changes; it takes as much room as a generation, and every generation that the worker boots begins with a fresh copy: \
             what is to outlive that belongs into `[share]`. What it wrote before under the other kind is kept, and not seen. Counts from the \
             worker's next start on.",
        ),
        text(
            "state",
            Default("8GiB"),
            SIZE,
            r#""8GiB""#,
            "the size of the image on the master that holds all that the worker writes, or with `root = \"copy\"` what cannot lie on NFS, with a unit of `KiB`, `MiB`, \
             `GiB` or `TiB`; from `256MiB` to `16TiB`. The image is sparse: it takes only the room that the worker has ever filled, and \
             keeps it when the worker deletes something (the README of module `docker` says how to get it back). A larger one \
             counts from the worker's next start on, a smaller one is refused.",
        ),
        labels(r#"["disk=none"]"#),
    ],
};

/// `[system]`
pub const SYSTEM: Section = Section {
    name: "system",
    occurs: Occurs::AtMostOnce,
    doc: "What the systems of all nodes have in common. What is not said is left as the image has it. Workers get it with \
          a new generation, which they boot at their next start ([modules/src/base](../modules/src/base/README.md)).",
    keys: &[
        Key {
            name: "packages",
            kind: Kind::Texts,
            presence: Optional("none"),
            shape: Like(r"^[a-z0-9][a-z0-9+.-]+$"),
            example: r#"["vim", "htop"]"#,
            doc: "an array of Debian packages that are installed on all nodes.",
        },
        text(
            "time-zone",
            Optional("as the image has it"),
            Like(r"^[A-Za-z0-9][A-Za-z0-9_+-]*(/[A-Za-z0-9][A-Za-z0-9_+-]*)*$"),
            r#""Europe/Berlin""#,
            "the time zone, by its name below `/usr/share/zoneinfo`.",
        ),
        text(
            "locale",
            Optional("as the image has it"),
            Like(r"^[A-Za-z][A-Za-z_@]*\.UTF-8$"),
            r#""de_DE.UTF-8""#,
            "the locale of programs that are started without another one. It is generated where that is needed.",
        ),
        text(
            "journal",
            Optional("as the image has it"),
            OneOf(&[Journal::Persistent.as_str(), Journal::Volatile.as_str()]),
            r#""persistent""#,
            "where journals are kept: `persistent` on the disk, at most 64 MiB, or `volatile` in memory. A worker's \
             disk is its state image.",
        ),
        Key {
            name: "groups",
            kind: Kind::Texts,
            presence: Optional("none"),
            shape: Like(r"^[a-z_][a-z0-9_-]{0,31}$"),
            example: r#"["sudo", "video"]"#,
            doc: "an array of groups in which the user of `[master]` is on all nodes, beside those of the image. One \
                  that is not there is made.",
        },
        Key {
            name: "authorized-keys",
            kind: Kind::Texts,
            presence: Optional("none"),
            shape: Like(r"^(ssh|ecdsa|sk)-[^']+$"),
            example: r#"["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJlOVLmDiCJHTEhTFkUUlMYQPQ9FQwQyDn0VI0zVdVvL me"]"#,
            doc: "an array of public keys with which one can log in as that user on all nodes, beside those that are \
                  there. One that is taken out of here stays where it is.",
        },
        secret(
            "password",
            "as the image has it",
            r#""file:secrets/pi.hash""#,
            "the hash of that user's password on all nodes, [by reference](#secrets): what `mkpasswd --method=yescrypt` \
             (package whois) or `openssl passwd -6` prints. The password itself is refused. Whoever takes a worker's address \
             can read the hash.",
        ),
        text(
            "sudo",
            Optional("as the image has it"),
            OneOf(&[Sudo::WithPassword.as_str(), Sudo::WithoutPassword.as_str()]),
            r#""with-password""#,
            "whether sudo asks that user for the password on all nodes: `with-password` or `without-password`. The former \
             needs `sudo-password` in `[master]`, or nothing could be provisioned any more; it is tried before sudo asks for it.",
        ),
        Key {
            name: "password-login",
            kind: Kind::Flag,
            presence: Optional("as the image has it"),
            shape: Either,
            example: "false",
            doc: "`true` or `false`: whether one can log in to nodes over SSH with a password. `provision` itself logs in \
                  with a key, so that `false` locks nobody out who could run it.",
        },
    ],
};

/// `[share]`
pub const SHARE: Section = Section {
    name: "share",
    occurs: Occurs::AtMostOnce,
    doc: "With this section a folder of the master is mounted, for reading and writing, in the same place on all workers.",
    keys: &[text(
        "folder",
        Default("/srv/share"),
        Like(r"^/srv/[A-Za-z0-9][A-Za-z0-9_./-]*$"),
        r#""/srv/share""#,
        "its path, below `/srv`. It belongs to the user of `[master]`; root of a worker is nobody there.",
    )],
};

/// `[docker]`
pub const DOCKER: Section = Section {
    name: "docker",
    occurs: Occurs::AtMostOnce,
    doc: "With this section, `[swarm]` or `[registry]`, Docker runs on all nodes. Taking them out removes nothing. Its images and \
          containers lie on a worker's state image, which `state` must have room for \
          ([modules/src/docker](../modules/src/docker/README.md)).",
    keys: &[text(
        "log-size",
        Default("10MiB"),
        SIZE,
        r#""10MiB""#,
        "how large a log file of a container may become before the next is begun, with a unit of `KiB`, `MiB` or \
             `GiB`. Three files of each container are kept.",
    )],
};

/// `[docker.archive]`
pub const ARCHIVE: Section = Section {
    name: "docker.archive",
    occurs: Occurs::AtMostOnce,
    doc: "With this section Docker comes from its makers' own archive, or a mirror of it, in place of Debian's packages: \
          `docker-ce`, `docker-ce-cli` and `containerd.io`. Debian's, where they are, give way to them, and the engine restarts, \
          with its containers. Taking the section out brings Debian's packages back in the same way as long as the cluster has Docker, \
          with an engine that is older as a rule; `/etc/apt/sources.list.d/feeder-docker.sources` stays.",
    keys: &[
        text(
            "url",
            Required,
            Like(r"^https?://[A-Za-z0-9.][A-Za-z0-9._~:/-]*$"),
            r#""https://mirror.example/linux/debian""#,
            "where the archive is, as Docker's instructions for Debian give it. It must have packages for arm64 and the \
             Debian release of the master.",
        ),
        text(
            "key",
            Required,
            Like(r"^\s*-----BEGIN PGP PUBLIC KEY BLOCK-----"),
            r#""-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQINBFit2ioBEADhWpZ8...\n-----END PGP PUBLIC KEY BLOCK-----""#,
            "the public key that it is signed with, armored, as those instructions have you download it: the \
             whole file, as a text of several lines (TOML's three quotes). apt trusts it for this archive alone.",
        ),
    ],
};

/// `[swarm]`
pub const SWARM: Section = Section {
    name: "swarm",
    occurs: Occurs::AtMostOnce,
    doc: "With this section master and workers form a Docker Swarm, which `provision` keeps as it is described here: \
          a worker that is new or has lost its state joins when it answers, and one that is taken out of this file is \
          drained and removed ([modules/src/swarm](../modules/src/swarm/README.md)).",
    keys: &[
        Key {
            name: "managers",
            kind: Kind::Whole,
            presence: Default("1"),
            shape: Among(MANAGERS),
            example: "1",
            doc: "a number, 1, 3, 5 or 7: how many nodes decide together what runs where; the master and the first \
                  workers of the file. More than half of them must be alive for anything to change.",
        },
        text(
            "master",
            Optional("left as it is"),
            OneOf(&[
                Availability::Active.as_str(),
                Availability::Pause.as_str(),
                Availability::Drain.as_str(),
            ]),
            r#""active""#,
            "whether tasks run on the master. `active`: like on workers. `pause`: those that are there stay, and no new \
             ones come. `drain`: none. Workers' availability is what `cargo xtask node drain` and `activate` made it.",
        ),
        Key {
            name: "heartbeat",
            kind: Kind::Whole,
            presence: Optional("left as it is"),
            shape: Among(HEARTBEATS),
            example: "10",
            doc: "a number of seconds, 5, 10, 20, 30 or 60: how often each node tells the managers that it is alive. One \
                  that they do not hear of for three times as long is down, and its tasks start elsewhere. A swarm that \
                  was told nothing takes 5; more is for nodes that are so busy that they are late, and whose tasks would \
                  wander from one to the other.",
        },
        secret(
            "autolock",
            "left as it is",
            r#""file:secrets/swarm-key""#,
            "the file that keeps the swarm's unlock key, as `file:PATH`; `provision` writes it. With this key in the file, what managers keep on \
             their disks is encrypted, and none of them goes on after a restart before `provision` has unlocked it. \
             Keep a copy of it: without it, what the managers know is lost.",
        ),
    ],
};

/// `[registry]`
pub const REGISTRY: Section = Section {
    name: "registry",
    occurs: Occurs::AtMostOnce,
    doc: "With this section the master has a registry for the cluster's own images, and a cache of everybody's, so that \
          N workers fetch an image once over the internet. Docker comes with it \
          ([modules/src/registry](../modules/src/registry/README.md)).",
    keys: &[text(
        "upstream",
        Default("https://registry-1.docker.io"),
        Like(r"^https://[A-Za-z0-9.-]+(:[0-9]{1,5})?$"),
        r#""https://registry-1.docker.io""#,
        "the registry whose images are cached: `https://`, a host, and a port if it is not 443. Engines ask the cache for \
         images that are named without a registry, as those of Docker's own are.",
    )],
};

/// The sections in the order in which they are documented.
pub const SECTIONS: [&Section; 11] = [
    &CLUSTER, &NETWORK, &MASTER, &SSD, &WORKER, &SYSTEM, &SHARE, &DOCKER, &ARCHIVE, &SWARM,
    &REGISTRY,
];
