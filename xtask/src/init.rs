//! `cargo xtask init`

mod keys;

use camino::{Utf8Path, Utf8PathBuf};
use clap::Args;
use feeder_cluster::{Ipv4Net, Start};
use feeder_host::Segment;
use feeder_process::quote;
use feeder_ui::{Answer, Exit, Expected, Progress, ask_line};

use crate::{Context, Outcome, Run};

/// Write a cluster.toml to start from
///
/// Asks the few things that only you know, each with a guess that a mere return takes: names, the network that this machine is in,
/// the master's address, workers by their MAC addresses (none, as long as they are not known), and which of your SSH keys open the
/// nodes. What an option says is not asked. The reader of the file checks every answer, and the whole before it is written.
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The file
    #[arg(long, value_name = "FILE", default_value = "cluster.toml")]
    config: Utf8PathBuf,
    /// What the cluster is called
    #[arg(long)]
    name: Option<String>,
    /// The addresses of its network [default: those of the network that this machine is in]
    #[arg(long, value_name = "ADDRESS/PREFIX")]
    subnet: Option<String>,
    /// The router's address
    #[arg(long, value_name = "ADDRESS")]
    gateway: Option<String>,
    /// Who hands out addresses [default: proxy]
    #[arg(long, value_name = "MODE")]
    dhcp: Option<String>,
    /// The master's host name; those of workers count on from it
    #[arg(long, value_name = "NAME")]
    master: Option<String>,
    /// The master's address
    #[arg(long, value_name = "ADDRESS")]
    address: Option<String>,
    /// Who logs in over SSH [default: pi]
    #[arg(long)]
    user: Option<String>,
    /// The MAC address of a worker; may be given several times
    #[arg(long, value_name = "MAC")]
    worker: Vec<String>,
    /// A public key that opens the nodes; may be given several times [default: one of ~/.ssh]
    #[arg(long, value_name = "FILE")]
    key: Vec<Utf8PathBuf>,
    /// Write no public key
    #[arg(long, conflicts_with = "key")]
    no_key: bool,
    /// Ask nothing: take what options say, and guesses for the rest
    #[arg(long)]
    yes: bool,
    /// Replace the file when it is there
    #[arg(long)]
    force: bool,
}

/// Why there is no new file.
#[derive(Debug, thiserror::Error)]
enum InitError {
    #[error("{path} is there already, and stays as it is")]
    Exists { path: Utf8PathBuf },
    #[error("nobody is there to be asked: {question}")]
    Nobody { question: String },
    #[error("interrupted: no file was written")]
    Stopped,
    #[error("{path} cannot be written: {source}")]
    Write { path: Utf8PathBuf, source: std::io::Error },
    #[error("the public key {path} cannot be read: {source}")]
    Key { path: Utf8PathBuf, source: std::io::Error },
}

impl Expected for InitError {
    fn exit(&self) -> Exit {
        match self {
            Self::Stopped => Exit::Interrupted,
            Self::Write { .. } => Exit::Failed,
            Self::Exists { .. } | Self::Nobody { .. } | Self::Key { .. } => Exit::Input,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Exists { .. } => {
                Some("--config names another file; --force replaces this one".into())
            }
            Self::Nobody { .. } => Some("--yes takes guesses for what no option says".into()),
            Self::Write { .. } => Some("check the folder and its permissions".into()),
            Self::Key { .. } => {
                Some("name a file like ~/.ssh/id_ed25519.pub, or say --no-key".into())
            }
            Self::Stopped => None,
        }
    }
}

/// What is guessed where this machine is in no network.
const ELSEWHERE: [u8; 4] = [192, 168, 10, 0];

impl Run for Init {
    fn run(self, context: &Context) -> Outcome {
        if self.config.exists() && !self.force {
            return Err(InitError::Exists { path: self.config }.into());
        }
        let mut dialogue = Dialogue {
            start: guessed(Segment::of_this_machine()),
            file: self.config.as_str(),
            asks: !self.yes,
            progress: &context.progress,
        };
        self.settle(&mut dialogue)?;
        let text = dialogue.start.text();
        write(&self.config, &text, self.force)?;
        let name = &dialogue.start.master;
        context.progress.note(format!("  written    {}", self.config));
        let config = match self.config.as_str() {
            "cluster.toml" => String::new(),
            other => format!(" --config {}", quote(other)),
        };
        context.progress.note(format!(
            "look it through, then see what it would change: cargo xtask provision --plan{config} --at {name}=ADDRESS --accept-new"
        ));
        Ok(Exit::Ok)
    }
}

impl Init {
    fn settle(&self, dialogue: &mut Dialogue<'_>) -> Result<(), Box<dyn Expected>> {
        let start = dialogue.start.clone();
        dialogue
            .one(&self.name, "name of the cluster", &start.name, |start, said| start.name = said)?;
        dialogue.one(&self.subnet, "addresses of its network", start.subnet(), |start, said| {
            start.set_subnet(&said);
        })?;
        let gateway = dialogue.start.gateway().to_owned();
        dialogue.one(&self.gateway, "address of the router", &gateway, |start, said| {
            start.set_gateway(&said);
        })?;
        dialogue.one(&self.master, "name of the master", &start.master, |start, said| {
            start.master = said
        })?;
        let address = dialogue.start.address.clone();
        dialogue.one(&self.address, "address of the master", &address, |start, said| {
            start.address = said
        })?;
        dialogue.option(self.user.as_ref(), |start, said| start.user = said)?;
        dialogue.option(self.dhcp.as_ref(), |start, said| start.dhcp = said)?;
        self.workers(dialogue)?;
        self.keys(dialogue)
    }

    fn workers(&self, dialogue: &mut Dialogue<'_>) -> Result<(), Box<dyn Expected>> {
        for mac in &self.worker {
            dialogue.option(Some(mac), |start, said| start.workers.push(said))?;
        }
        if !self.worker.is_empty() {
            return Ok(());
        }
        while dialogue.asks {
            let number = dialogue.start.workers.len();
            let name = dialogue.start.worker_name(number);
            dialogue.one(
                &None,
                &format!("MAC address of {name}, if it is known"),
                NONE,
                |start, said| {
                    if said != NONE {
                        start.workers.push(said);
                    }
                },
            )?;
            if dialogue.start.workers.len() == number {
                break;
            }
        }
        Ok(())
    }

    fn keys(&self, dialogue: &mut Dialogue<'_>) -> Result<(), Box<dyn Expected>> {
        for path in &self.key {
            let key =
                keys::read(path).map_err(|source| InitError::Key { path: path.clone(), source })?;
            dialogue.option(Some(&key), |start, said| start.keys.push(said))?;
        }
        if self.no_key || !self.key.is_empty() {
            return Ok(());
        }
        let fits = |key: &str| {
            let mut with = dialogue.start.clone();
            with.keys = vec![key.to_owned()];
            with.cluster(dialogue.file).is_ok()
        };
        let found = keys::of_user(fits);
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        let Some(first) = names.first() else {
            dialogue.progress.note("no public key in ~/.ssh: `ssh-keygen` makes one");
            return Ok(());
        };
        let question = format!("key that opens the nodes, of {}, or {NONE}", names.join(", "));
        dialogue.one(&None, &question, first, |start, said| {
            let key = found.iter().find(|(name, _)| *name == said).map(|(_, key)| key.clone());
            // What is no name of one is refused as a key.
            start.keys = if said == NONE { Vec::new() } else { vec![key.unwrap_or(said)] };
        })
    }
}

/// What is typed for nothing.
const NONE: &str = "none";

/// A cluster where this machine is.
fn guessed(segment: Option<Segment>) -> Start {
    let usable = segment.and_then(|segment| {
        let prefix = u8::try_from(segment.prefix).ok()?;
        let subnet = Ipv4Net::new(segment.network, prefix).ok()?;
        let others: Vec<_> = segment.own.into_iter().collect();
        let start = Start::in_segment(subnet, segment.gateway, &others);
        start.cluster("cluster.toml").is_ok().then_some(start)
    });
    usable.unwrap_or_else(|| {
        let [a, b, c, d] = ELSEWHERE;
        let subnet = Ipv4Net::new_assert([a, b, c, d].into(), 24);
        Start::in_segment(subnet, [a, b, c, 1].into(), &[])
    })
}

/// Questions and answers, on the way to a file.
struct Dialogue<'a> {
    start: Start,
    file: &'a str,
    asks: bool,
    progress: &'a Progress,
}

impl Dialogue<'_> {
    /// Settles one answer: what an option says, or what is typed until the reader takes it, or else the guess.
    fn one(
        &mut self,
        option: &Option<String>,
        question: &str,
        guess: &str,
        set: impl Fn(&mut Start, String),
    ) -> Result<(), Box<dyn Expected>> {
        if option.is_some() || !self.asks {
            return self.option(Some(option.as_ref().map_or(guess, String::as_str)), set);
        }
        loop {
            let said = ask_line(question, guess, &feeder_process::interrupt::requested);
            let said = said.map_err(|answer| match answer {
                Answer::NoTerminal => InitError::Nobody { question: question.to_owned() },
                _ => InitError::Stopped,
            })?;
            match self.option(Some(&said), &set) {
                Ok(()) => return Ok(()),
                Err(wrong) => self.progress.note(feeder_ui::render(wrong.as_ref())),
            }
        }
    }

    /// Takes what an option says, when it says something and the reader takes that.
    fn option<S: AsRef<str> + ?Sized>(
        &mut self,
        said: Option<&S>,
        set: impl Fn(&mut Start, String),
    ) -> Result<(), Box<dyn Expected>> {
        let Some(said) = said else { return Ok(()) };
        let mut tried = self.start.clone();
        set(&mut tried, said.as_ref().to_owned());
        tried.cluster(self.file)?;
        self.start = tried;
        Ok(())
    }
}

/// Writes the whole file or nothing, and, without `force`, never over another one.
fn write(path: &Utf8Path, text: &str, force: bool) -> Result<(), InitError> {
    let failed = |source| InitError::Write { path: path.to_owned(), source };
    let folder = path.parent().filter(|parent| !parent.as_str().is_empty()).unwrap_or(".".into());
    let mut file = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(folder)
        .map_err(failed)?;
    std::io::Write::write_all(&mut file, text.as_bytes()).map_err(failed)?;
    let kept = if force { file.persist(path) } else { file.persist_noclobber(path) };
    match kept {
        Ok(_) => Ok(()),
        Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => {
            Err(InitError::Exists { path: path.to_owned() })
        }
        Err(error) => Err(failed(error.error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_that_cannot_be_a_clusters_is_not_guessed() {
        let segment = |network: [u8; 4], prefix, gateway: [u8; 4]| Segment {
            network: network.into(),
            prefix,
            gateway: gateway.into(),
            own: None,
        };
        let subnet = |segment| guessed(segment).subnet().to_owned();
        assert_eq!(subnet(Some(segment([10, 1, 2, 0], 24, [10, 1, 2, 1]))), "10.1.2.0/24");
        assert_eq!(subnet(Some(segment([10, 1, 2, 0], 31, [10, 1, 2, 1]))), "192.168.10.0/24");
        assert_eq!(subnet(None), "192.168.10.0/24");
    }

    #[test]
    fn a_file_that_came_meanwhile_stays() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = Utf8PathBuf::from_path_buf(dir.path().join("cluster.toml")).expect("UTF-8");
        write(&path, "one", false).expect("nothing is there");
        assert!(matches!(write(&path, "two", false), Err(InitError::Exists { .. })));
        assert_eq!(std::fs::read_to_string(&path).expect("a file"), "one");
        write(&path, "two", true).expect("it may");
        assert_eq!(std::fs::read_to_string(&path).expect("a file"), "two");
        assert_eq!(dir.path().read_dir().expect("a folder").count(), 1);
    }
}
