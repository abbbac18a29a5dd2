//! From text to a cluster: read every section, apply the rules, and only then put it together.

use std::net::Ipv4Addr;

use camino::Utf8Path;
use ipnet::Ipv4Net;
use toml::Spanned;
use toml::de::DeTable;

use crate::diagnostic::{Diagnostic, Diagnostics, Severity};
use crate::read::{self, Fields};
use crate::settings::{self, Settings};
use crate::sources::Sources;
use crate::syntax::Syntax;
use crate::value::{
    Invalid, address, archive, archive_key, folder, locale, name_server, package, public_key,
    subnet, time_zone, upstream, user_name,
};
use crate::{
    Archive, Availability, Board, ByteSize, Cluster, DhcpMode, DiskId, Docker, FileSystem, Journal,
    MacAddr, Master, Network, NodeLabel, NodeName, Parsed, PasswordLogin, Registry, Root, SdCard,
    SecretRef, Serial, Share, Ssd, Sudo, Swarm, System, Worker, rules, schema,
};

/// What a file says, as far as it could be read: a value that is wrong or absent is None, so that the rest is still checked.
#[derive(Default)]
pub(crate) struct Draft {
    pub(crate) name: Option<Spanned<NodeName>>,
    pub(crate) subnet: Option<Spanned<Ipv4Net>>,
    pub(crate) gateway: Option<Spanned<Ipv4Addr>>,
    pub(crate) dns: Option<Vec<Spanned<Ipv4Addr>>>,
    pub(crate) dhcp: Option<Spanned<DhcpMode>>,
    pub(crate) master: Option<DraftMaster>,
    pub(crate) workers: Vec<DraftWorker>,
    /// None when there is no such section, as for the others that may be absent.
    pub(crate) system: Option<DraftSystem>,
    pub(crate) share: Option<DraftShare>,
    pub(crate) docker: Option<DraftDocker>,
    pub(crate) swarm: Option<DraftSwarm>,
    pub(crate) registry: Option<DraftRegistry>,
}

/// Each None when it is not given, or wrong.
pub(crate) struct DraftSystem {
    pub(crate) packages: Option<Vec<Spanned<String>>>,
    pub(crate) time_zone: Option<Spanned<String>>,
    pub(crate) locale: Option<Spanned<String>>,
    pub(crate) journal: Option<Spanned<Journal>>,
    pub(crate) groups: Option<Vec<Spanned<String>>>,
    pub(crate) authorized_keys: Option<Vec<Spanned<String>>>,
    pub(crate) password: Option<Spanned<SecretRef>>,
    pub(crate) sudo: Option<Spanned<Sudo>>,
    pub(crate) password_login: Option<Spanned<bool>>,
}

pub(crate) struct DraftShare {
    pub(crate) folder: Option<Spanned<String>>,
}

pub(crate) struct DraftRegistry {
    pub(crate) upstream: Option<Spanned<String>>,
}

pub(crate) struct DraftDocker {
    pub(crate) log_size: Option<Spanned<ByteSize>>,
    /// None when there is no such section; then Docker is Debian's.
    pub(crate) archive: Option<DraftArchive>,
}

pub(crate) struct DraftArchive {
    pub(crate) url: Option<Spanned<String>>,
    pub(crate) key: Option<Spanned<String>>,
}

pub(crate) struct DraftSwarm {
    pub(crate) managers: Option<Spanned<usize>>,
    /// Also None when it is not given.
    pub(crate) master: Option<Spanned<Availability>>,
    /// The same.
    pub(crate) heartbeat: Option<Spanned<u64>>,
    pub(crate) autolock: Option<Spanned<SecretRef>>,
}

pub(crate) struct DraftMaster {
    pub(crate) name: Option<Spanned<NodeName>>,
    pub(crate) address: Option<Spanned<Ipv4Addr>>,
    pub(crate) board: Option<Spanned<Board>>,
    pub(crate) user: Option<Spanned<String>>,
    pub(crate) sudo_password: Option<Spanned<SecretRef>>,
    pub(crate) labels: Option<Vec<Spanned<NodeLabel>>>,
    /// None when there is no such section; then the master stays where it is.
    pub(crate) ssd: Option<DraftSsd>,
}

pub(crate) struct DraftSsd {
    pub(crate) disk: Option<Spanned<DiskId>>,
    pub(crate) file_system: Option<Spanned<FileSystem>>,
    pub(crate) sd_card: Option<Spanned<SdCard>>,
}

pub(crate) struct DraftWorker {
    pub(crate) name: Option<Spanned<NodeName>>,
    pub(crate) mac: Option<Spanned<MacAddr>>,
    pub(crate) serial: Option<Spanned<Serial>>,
    pub(crate) address: Option<Spanned<Ipv4Addr>>,
    pub(crate) board: Option<Spanned<Board>>,
    pub(crate) root: Option<Spanned<Root>>,
    pub(crate) state: Option<Spanned<ByteSize>>,
    pub(crate) labels: Option<Vec<Spanned<NodeLabel>>>,
}

pub(crate) fn check(text: &str, file: &str, settings: &Settings) -> Result<Parsed, Diagnostics> {
    let sources = Sources::new(file, text, settings);
    let (mut root, errors) = DeTable::parse_recoverable(sources.file_text());
    let syntax = Syntax::new(text, &errors);
    let mut problems = Vec::new();
    settings::lay(root.get_mut(), settings, &sources, &mut problems);
    let draft = read(root.get_ref(), text.len(), &mut problems);
    rules::apply(&draft, &sources, &mut problems);
    problems.retain(|problem| syntax.leaves_standing(problem));
    problems.extend(syntax.problems);

    let warnings_only = problems.iter().all(|problem| problem.severity == Severity::Warning);
    let cluster = draft.finish(&sources);
    let diagnostics = Diagnostics::new(sources, problems);
    match cluster {
        Some(cluster) if warnings_only => Ok(Parsed { cluster, warnings: diagnostics }),
        None if warnings_only => panic!("a value of {file} was refused without saying why"),
        _ => Err(diagnostics),
    }
}

fn read<'t>(root: &'t DeTable<'t>, end: usize, problems: &mut Vec<Diagnostic>) -> Draft {
    read::unknown_sections(root, problems);
    let mut draft = Draft::default();
    if let Some(cluster) = read::single(root, &schema::CLUSTER, end, problems) {
        draft.name = cluster.text("name", str::parse, problems);
    }
    if let Some(network) = read::single(root, &schema::NETWORK, end, problems) {
        draft.subnet = network.text("subnet", subnet, problems);
        draft.gateway = network.text("gateway", address, problems);
        draft.dns = network.texts("dns", name_server, problems);
        draft.dhcp = network.text("dhcp", str::parse, problems);
    }
    draft.master =
        read::single(root, &schema::MASTER, end, problems).map(|fields| master(&fields, problems));
    let workers = read::repeated(root, &schema::WORKER, problems);
    draft.workers = workers.iter().map(|fields| worker(fields, problems)).collect();
    draft.system = read::optional(root, &schema::SYSTEM, problems).map(|fields| DraftSystem {
        packages: fields.texts("packages", package, problems),
        time_zone: fields.text("time-zone", time_zone, problems),
        locale: fields.text("locale", locale, problems),
        journal: fields.text("journal", str::parse, problems),
        groups: fields.texts("groups", user_name, problems),
        authorized_keys: fields.texts("authorized-keys", public_key, problems),
        password: fields.secret("password", problems),
        sudo: fields.text("sudo", str::parse, problems),
        password_login: fields.flag("password-login", problems),
    });
    draft.share = read::optional(root, &schema::SHARE, problems)
        .map(|fields| DraftShare { folder: fields.text("folder", folder, problems) });
    draft.docker =
        read::optional(root, &schema::DOCKER, problems).map(|fields| docker(&fields, problems));
    draft.swarm = read::optional(root, &schema::SWARM, problems).map(|fields| DraftSwarm {
        managers: fields.whole("managers", managers, problems),
        master: fields.text("master", str::parse, problems),
        heartbeat: fields.whole("heartbeat", heartbeat, problems),
        autolock: fields.secret("autolock", problems),
    });
    draft.registry = read::optional(root, &schema::REGISTRY, problems)
        .map(|fields| DraftRegistry { upstream: fields.text("upstream", upstream, problems) });
    draft
}

fn docker(fields: &Fields<'_>, problems: &mut Vec<Diagnostic>) -> DraftDocker {
    let size = |text: &str| text.parse().and_then(ByteSize::of_log_file);
    DraftDocker {
        log_size: fields.text("log-size", size, problems),
        archive: fields.nested(&schema::ARCHIVE, problems).map(|fields| DraftArchive {
            url: fields.text("url", archive, problems),
            key: fields.text("key", archive_key, problems),
        }),
    }
}

/// Managers decide by majority: an even number of them survives no more losses than one fewer.
fn managers(number: u64) -> Result<usize, Invalid> {
    if schema::MANAGERS.contains(&number) {
        return Ok(number as usize);
    }
    let why = "1, 3, 5 and 7 are: more than half must be alive, and more make it slow";
    Err(Invalid::new(&number.to_string(), "a number of managers", why))
}

fn heartbeat(seconds: u64) -> Result<u64, Invalid> {
    if schema::HEARTBEATS.contains(&seconds) {
        return Ok(seconds);
    }
    let why = "5, 10, 20, 30 and 60 are: a node that is lost is missed after three times as long";
    Err(Invalid::new(&seconds.to_string(), "a heartbeat in seconds", why))
}

fn master(fields: &Fields<'_>, problems: &mut Vec<Diagnostic>) -> DraftMaster {
    DraftMaster {
        name: fields.text("name", str::parse, problems),
        address: fields.text("address", address, problems),
        board: fields.text("board", str::parse, problems),
        user: fields.text("user", user_name, problems),
        sudo_password: fields.secret("sudo-password", problems),
        labels: fields.texts("labels", str::parse, problems),
        ssd: fields.nested(&schema::SSD, problems).map(|fields| DraftSsd {
            disk: fields.text("disk", str::parse, problems),
            file_system: fields.text("file-system", str::parse, problems),
            sd_card: fields.text("sd-card", str::parse, problems),
        }),
    }
}

fn worker(fields: &Fields<'_>, problems: &mut Vec<Diagnostic>) -> DraftWorker {
    DraftWorker {
        name: fields.text("name", str::parse, problems),
        mac: fields.text("mac", str::parse, problems),
        serial: fields.text("serial", str::parse, problems),
        address: fields.text("address", address, problems),
        board: fields.text("board", str::parse, problems),
        root: fields.text("root", str::parse, problems),
        state: fields.text(
            "state",
            |text| text.parse().and_then(ByteSize::of_state_image),
            problems,
        ),
        labels: fields.texts("labels", str::parse, problems),
    }
}

/// A reference to a secret, with its place; files are looked for beside the file.
fn placed(found: Spanned<SecretRef>, sources: &Sources) -> SecretRef {
    let place = sources.place(found.span().start);
    let base = Utf8Path::new(sources.file()).parent().unwrap_or("".into());
    found.into_inner().found(base, place)
}

impl Draft {
    /// The cluster, when nothing that it needs is None.
    fn finish(self, sources: &Sources) -> Option<Cluster> {
        let master = self.master?;
        let gateway = self.gateway?.into_inner();
        let dns = match self.dns {
            Some(servers) => servers.into_iter().map(Spanned::into_inner).collect(),
            None => vec![gateway],
        };
        let swarm = match self.swarm {
            Some(swarm) => Some(swarm.finish(sources)?),
            None => None,
        };
        let docker = match self.docker {
            Some(docker) => Some(docker.finish()?),
            None => (swarm.is_some() || self.registry.is_some()).then(Docker::default),
        };
        let registry = match self.registry {
            Some(registry) => Some(Registry { upstream: registry.upstream?.into_inner() }),
            None => None,
        };
        let share = match self.share {
            Some(share) => Some(Share { folder: share.folder?.into_inner() }),
            None => None,
        };
        Some(Cluster {
            system: self.system.map(|system| system.finish(sources)).unwrap_or_default(),
            share,
            docker,
            swarm,
            registry,
            name: self.name?.into_inner(),
            network: Network {
                subnet: self.subnet?.into_inner(),
                gateway,
                dns,
                dhcp: self.dhcp?.into_inner(),
            },
            master: Master {
                name: master.name?.into_inner(),
                address: master.address?.into_inner(),
                board: master.board?.into_inner(),
                user: master.user?.into_inner(),
                sudo_password: master.sudo_password.map(|found| placed(found, sources)),
                labels: plain(master.labels),
                ssd: match master.ssd {
                    Some(ssd) => Some(ssd.finish()?),
                    None => None,
                },
            },
            workers: self.workers.into_iter().map(DraftWorker::finish).collect::<Option<_>>()?,
        })
    }
}

impl DraftSystem {
    fn finish(self, sources: &Sources) -> System {
        System {
            packages: plain(self.packages),
            time_zone: self.time_zone.map(Spanned::into_inner),
            locale: self.locale.map(Spanned::into_inner),
            journal: self.journal.map(Spanned::into_inner),
            groups: plain(self.groups),
            authorized_keys: plain(self.authorized_keys),
            password: self.password.map(|found| placed(found, sources)),
            sudo: self.sudo.map(Spanned::into_inner),
            password_login: self
                .password_login
                .map(|allowed| PasswordLogin::from(allowed.into_inner())),
        }
    }
}

impl DraftDocker {
    fn finish(self) -> Option<Docker> {
        let archive = match self.archive {
            Some(DraftArchive { url, key }) => {
                Some(Archive { url: url?.into_inner(), key: key?.into_inner() })
            }
            None => None,
        };
        Some(Docker { log_size: self.log_size?.into_inner(), archive })
    }
}

impl DraftSwarm {
    fn finish(self, sources: &Sources) -> Option<Swarm> {
        Some(Swarm {
            managers: self.managers?.into_inner(),
            master: self.master.map(Spanned::into_inner),
            heartbeat: self.heartbeat.map(Spanned::into_inner),
            autolock: self.autolock.map(|found| placed(found, sources)),
        })
    }
}

/// What a list says that may be absent. One of which a value is wrong has been reported, and nothing is made of it.
fn plain<T>(list: Option<Vec<Spanned<T>>>) -> Vec<T> {
    list.into_iter().flatten().map(Spanned::into_inner).collect()
}

impl DraftSsd {
    fn finish(self) -> Option<Ssd> {
        Some(Ssd {
            disk: self.disk?.into_inner(),
            file_system: self.file_system?.into_inner(),
            sd_card: self.sd_card?.into_inner(),
        })
    }
}

impl DraftWorker {
    fn finish(self) -> Option<Worker> {
        Some(Worker {
            name: self.name?.into_inner(),
            mac: self.mac?.into_inner(),
            serial: self.serial.map(Spanned::into_inner),
            address: self.address?.into_inner(),
            board: self.board?.into_inner(),
            root: self.root?.into_inner(),
            state_size: self.state?.into_inner(),
            labels: plain(self.labels),
        })
    }
}
