//! One look at a master: what it is, how much of what is wanted is there, and by which keys its workers will be known.
//!
//! What is wanted of a master depends on what it is, so that its first answer decides what it is asked next. Both fit into one
//! round trip all the same: what it was the last time is remembered, and the question that follows from that is sent along. Its
//! answer counts when the same question follows from what the master is now; otherwise the right one costs a second round trip.

use camino::Utf8PathBuf;
use feeder_cluster::Cluster;
use feeder_plan::{Facts, Question, RunError, Step};
use feeder_process::Output;
use feeder_remote::{Host, RemoteError, apart, together};

use crate::{
    Access, Layout, Module, ProvisionError, Scope, Secrets, Site, Survey,
    known_hosts::{self, replace},
    part::digest,
    provision::{steps, suitable},
};

/// A cluster as it should be, for whatever its master turns out to be.
#[derive(Clone, Copy)]
pub(crate) struct Blueprint<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) secrets: &'a Secrets,
    pub(crate) layout: &'a Layout,
    pub(crate) modules: &'a [Module],
}

impl<'a> Blueprint<'a> {
    pub(crate) fn site<'s>(&self, survey: &'s Survey) -> Site<'s>
    where
        'a: 's,
    {
        Site::new(self.cluster, self.secrets, survey, self.layout, self.modules)
    }

    /// What a master would be asked that says so about itself.
    fn question(&self, said: &str) -> Option<Question> {
        Question::about(&steps(&self.site(&Survey::parse(said)))).ok()
    }

    fn name(&self) -> &'a str {
        self.cluster.master.name.as_str()
    }
}

/// What a master said besides what it is.
pub(crate) struct Answers {
    /// What it is, in its words.
    pub(crate) said: String,
    asked: Option<Asked>,
}

struct Asked {
    question: Question,
    answer: Result<Output, RemoteError>,
    keys: Result<Output, RemoteError>,
}

/// Looks at a master, in one round trip, which `ask` makes: with what it is, the answer to the question that it would be asked if it
/// were still what it was when it said `remembered`.
///
/// # Errors
/// It cannot be asked, or is nothing that can be provisioned.
pub(crate) fn look<H>(
    blueprint: &Blueprint<'_>,
    remembered: Option<&str>,
    ask: impl FnOnce(&str) -> Result<(H, Output), ProvisionError>,
) -> Result<(H, Survey, Answers), ProvisionError> {
    let cluster = blueprint.cluster;
    let survey = Survey::script(cluster.master.ssd.as_ref());
    let question = remembered.and_then(|said| blueprint.question(said));
    let keys = keys_script(blueprint);
    let mut scripts = vec![survey.as_str()];
    if let Some(question) = &question {
        scripts.extend([question.script(), &keys]);
    }
    let (host, output) = ask(&together(&scripts))?;
    let mut answers = apart(blueprint.name(), &output, scripts.len()).into_iter();
    let mut next = || answers.next().unwrap_or_else(|| Err(silent(blueprint.name())));
    let said = next()?.stdout_text();
    let survey = Survey::parse(&said);
    suitable(cluster, &survey)?;
    let asked = question.map(|question| Asked { question, answer: next(), keys: next() });
    Ok((host, survey, Answers { said, asked }))
}

/// A part of a script that was not even begun.
fn silent(host: &str) -> RemoteError {
    RemoteError::Script {
        host: host.to_owned(),
        status: feeder_process::Status { code: None, signal: None },
        stderr_tail: String::new(),
    }
}

impl Answers {
    /// The facts about these steps, and the workers' host keys as the master holds them: an error as long as it does not. When it
    /// was asked about other steps, it is asked again.
    ///
    /// # Errors
    /// It cannot be asked, or its answer is not understood.
    pub(crate) fn about(
        self,
        steps: &[Step],
        blueprint: &Blueprint<'_>,
        host: &dyn Host,
    ) -> Result<(Facts, Result<Output, RemoteError>), ProvisionError> {
        let question = Question::about(steps).map_err(gather_error)?;
        let Asked { question, answer, keys } = match self.asked {
            Some(asked) if asked.question == question => asked,
            _ => {
                let keys = keys_script(blueprint);
                let output = host.run(&together(&[question.script(), &keys]))?;
                let mut answers = apart(host.name(), &output, 2).into_iter();
                let mut next = || answers.next().unwrap_or_else(|| Err(silent(host.name())));
                Asked { question, answer: next(), keys: next() }
            }
        };
        Ok((question.read(host.name(), &answer?).map_err(gather_error)?, keys))
    }
}

fn gather_error(error: impl Into<feeder_plan::GatherError>) -> ProvisionError {
    RunError::from(error.into()).into()
}

/// Prints the workers' public host keys, each behind its worker's name.
fn keys_script(blueprint: &Blueprint<'_>) -> String {
    let key = |worker: &feeder_cluster::Worker| {
        // Written by the master, in a folder that the worker can write to: no link is followed.
        let key = blueprint.layout.host_key(worker);
        format!("[ ! -L {key}.pub ] && printf '%s ' {} && cat {key}.pub\n", worker.name)
    };
    let keys: String = blueprint.cluster.workers.iter().map(key).collect();
    format!("set -e\n{keys}")
}

/// Records the workers' public host keys for the user. A run that is not about everything may come before there are any.
pub(crate) fn record_keys(
    keys: Result<Output, RemoteError>,
    access: &Access,
    scope: &Scope,
) -> Result<(), ProvisionError> {
    let keys = match keys {
        Err(RemoteError::Script { .. }) if !scope.is_everything() => return Ok(()),
        keys => keys?,
    };
    let text = keys.stdout_text();
    let keys: Vec<(String, String)> = text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(name, key)| (name.to_owned(), key.to_owned()))
        .collect();
    if keys.is_empty() {
        return Ok(());
    }
    known_hosts::record(&access.known_hosts, &keys)
        .map_err(|source| ProvisionError::KnownHosts { path: access.known_hosts.clone(), source })
}

/// Once all is done: records the workers' keys, and remembers what the master has become.
pub(crate) fn last_look(
    host: &dyn Host,
    blueprint: &Blueprint<'_>,
    access: &Access,
    scope: &Scope,
) -> Result<(), ProvisionError> {
    let survey = Survey::script(blueprint.cluster.master.ssd.as_ref());
    let output = host.run(&together(&[&keys_script(blueprint), &survey]))?;
    let mut answers = apart(host.name(), &output, 2).into_iter();
    if let Some(keys) = answers.next() {
        record_keys(keys, access, scope)?;
    }
    if let Some(survey) = answers.next() {
        Memory::of(access, blueprint.cluster).keep(&survey?.stdout_text());
    }
    Ok(())
}

/// What a master said it was, kept on this machine. It only saves a round trip: nothing depends on its being there or right.
pub(crate) struct Memory(Option<Utf8PathBuf>);

impl Memory {
    /// Beside other clusters' masters of the same name: clusters differ in their `known_hosts`.
    pub(crate) fn of(access: &Access, cluster: &Cluster) -> Self {
        let file = |folder: &Utf8PathBuf| {
            let whole = std::path::absolute(&access.known_hosts).ok()?;
            let cluster_of = digest(&whole.to_string_lossy());
            Some(folder.join(format!("{}-{}", cluster.master.name, &cluster_of[..16])))
        };
        Self(access.surveys.as_ref().and_then(file))
    }

    pub(crate) fn recall(&self) -> Option<String> {
        fs_err::read_to_string(self.0.as_ref()?).ok()
    }

    pub(crate) fn keep(&self, said: &str) {
        if let Some(file) = &self.0
            && self.recall().as_deref() != Some(said)
        {
            // Where it cannot be kept, the next run asks twice.
            let _not_kept = replace(file, said);
        }
    }
}

#[cfg(test)]
mod tests;
