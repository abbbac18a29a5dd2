//! What the command `generation` does on a master.

use feeder_cluster::{Cluster, Secret, Worker};
use feeder_plan::{ApplyEvent, Mode, RunError, Step, run};
use feeder_remote::{Host, RemoteError, Ssh};

use crate::{
    Access, Boots, Generation, Generations, Layout, MODULES, ProvisionError, Secrets, Site, Source,
    Survey, Uses, boot_server,
    generation::{self, Script},
    lock::Lock,
    nfs,
    provision::{connect, looked_at},
    workers,
};

/// What came of an attempt to make a generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// A new one.
    Made(Generation),
    /// None: it would have been the same as that one.
    SameAs(u32),
}

/// A master, to look at its generations and to change them.
#[derive(Debug)]
pub struct Master<'a> {
    cluster: &'a Cluster,
    /// None of them as long as nothing is made.
    secrets: Secrets,
    /// What sudo asks for, where it does.
    sudo_password: Option<Secret>,
    layout: Layout,
    host: Ssh,
    survey: Survey,
    lock: Option<Lock>,
}

impl<'a> Master<'a> {
    /// Connects to the master of a cluster, and looks which generations it holds.
    ///
    /// # Errors
    /// It cannot be reached, or is no system that can be provisioned.
    pub fn connect(cluster: &'a Cluster, access: &Access) -> Result<Self, ProvisionError> {
        let access = &access.clone().with_sudo_password(cluster)?;
        let host = connect(cluster, access)?;
        let survey = looked_at(&host, cluster)?;
        let (secrets, layout) = (Secrets::default(), Layout::default());
        let sudo_password = access.sudo_password.clone();
        Ok(Self { cluster, secrets, sudo_password, layout, host, survey, lock: None })
    }

    /// Keeps every other run from changing this master as long as this lives; `what` is this command, for whoever is kept. What was
    /// found before is looked at once more.
    ///
    /// # Errors
    /// [`ProvisionError::Locked`] when another run changes it.
    pub fn lock(&mut self, what: &str) -> Result<(), ProvisionError> {
        self.lock = Some(Lock::take(&self.host, what)?);
        self.look_again()
    }

    fn look_again(&mut self) -> Result<(), ProvisionError> {
        self.survey = looked_at(&self.host, self.cluster)?;
        Ok(())
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.cluster.master.name.as_str()
    }

    /// The generations that it holds.
    #[must_use]
    pub fn generations(&self) -> &Generations {
        &self.survey.generations
    }

    /// What it knows about who runs from which.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn uses(&self) -> Result<Uses, ProvisionError> {
        Ok(Uses::parse(&self.host.run(&self.script().uses())?.stdout_text()))
    }

    fn site(&self) -> Site<'_> {
        Site::new(self.cluster, &self.secrets, &self.survey, &self.layout, MODULES)
    }

    /// The site as it is, whatever provisioning would make of it.
    fn settled(&self) -> Site<'_> {
        let active = self.generations().active().map(Boots::of);
        active.map_or_else(|| self.site(), |active| self.site().booting(active))
    }

    fn script(&self) -> Script {
        Script::on_master(&self.site())
    }

    /// The site whose workers boot that generation.
    fn booting(&self, number: u32) -> Result<Site<'_>, ProvisionError> {
        match self.generations().complete(number) {
            Some(generation) => Ok(self.site().booting(Boots::of(generation))),
            None => Err(self.unfit(number, "there is none of that number, or it is not whole")),
        }
    }

    fn unfit(&self, number: u32, why: &str) -> ProvisionError {
        ProvisionError::Unfit { host: self.name().to_owned(), number, why: why.trim().to_owned() }
    }

    fn apply(
        &self,
        steps: &[Step],
        events: &mut dyn FnMut(ApplyEvent<'_>),
    ) -> Result<(), RunError> {
        run(&self.host, steps, Mode::Apply, events).map(drop)
    }

    /// Makes a generation, and exports it to the workers. None of them boots it before it is activated. Lines that the master says
    /// meanwhile go to `on_line`.
    ///
    /// # Errors
    /// It cannot be made; then nothing of it is left. A secret that goes into it is not to be had.
    pub fn create(
        &mut self,
        source: Source,
        on_line: &mut dyn FnMut(&str),
    ) -> Result<Created, ProvisionError> {
        self.secrets = Secrets::of(self.cluster, self.sudo_password.as_ref())?;
        let number = self.generations().next_number();
        let mut same = None;
        let script = format!("exec 2>&1\n{}", self.script().create(number, source, "create"));
        let mut last = String::new();
        let made = self.host.stream(&script, &mut |line| {
            if let Some(number) = line.strip_prefix("feeder-same-as ") {
                same = number.parse().ok();
            } else {
                last = line.to_owned();
                on_line(line);
            }
        });
        match made {
            Ok(_) => {}
            // Its last words went to standard output with all others.
            Err(RemoteError::Script { host, status, .. }) => {
                return Err(RemoteError::Script { host, status, stderr_tail: last }.into());
            }
            Err(error) => return Err(error.into()),
        }
        if let Some(number) = same {
            return Ok(Created::SameAs(number));
        }
        self.look_again()?;
        let Some(generation) = self.generations().complete(number).cloned() else {
            return Err(self.unfit(number, "it was made and is not there"));
        };
        self.apply(&[nfs::exported(&self.settled())], &mut |_| {})?;
        Ok(Created::Made(generation))
    }

    /// Whether all of a generation belongs together: kernel, modules, device trees, initramfs.
    ///
    /// # Errors
    /// [`ProvisionError::Unfit`] with what does not.
    pub fn check(&self, number: u32) -> Result<(), ProvisionError> {
        self.booting(number)?;
        match self.host.run(&self.script().check(number)) {
            Ok(_) => Ok(()),
            Err(RemoteError::Script { stderr_tail, .. }) => {
                let prefix = format!("generation {number} ");
                Err(self.unfit(number, stderr_tail.trim().trim_start_matches(&*prefix)))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Has some workers, by name, boot a generation at their next start. What others boot, and which generation is active, stays.
    ///
    /// # Errors
    /// There is no such generation, or the master could not be changed.
    pub fn assign(&self, workers: &[&str], number: u32) -> Result<(), ProvisionError> {
        let site = self.booting(number)?;
        let workers: Vec<&Worker> =
            workers.iter().filter_map(|name| self.cluster.worker(name)).collect();
        // Those whom an earlier call gave a copy may run from it, and it must stay exported.
        let survey = looked_at(&self.host, self.cluster)?;
        let site = Site { survey: &survey, ..site };
        let mut steps: Vec<Step> =
            workers.iter().filter_map(|worker| workers::copy(&site, worker)).collect();
        // What cannot be copied is not booted.
        let exported = steps.iter().fold(nfs::exported(&site), |step, copy| step.after(&copy.name));
        steps.push(exported);
        let boots = workers.iter().map(|worker| workers::boots(&site, worker).after(nfs::NAME));
        steps.extend(boots);
        Ok(self.apply(&steps, &mut |_| {})?)
    }

    /// Makes a generation, after the same check as [`Self::check`], the one that workers boot.
    ///
    /// # Errors
    /// There is no such generation, what is in it does not belong together, or the master could not be changed.
    pub fn activate(&mut self, number: u32) -> Result<(), ProvisionError> {
        let site = self.booting(number)?;
        let step = Step::new(generation::NAME)
            .with(generation::active(&site))
            .with(boot_server::first_file(&site));
        self.apply(&[step], &mut |_| {})?;
        self.look_again()
    }

    /// Removes generations, and what removals and copies that were cut off have left.
    ///
    /// # Errors
    /// When the master could not be changed.
    pub fn remove(&mut self, numbers: &[u32]) -> Result<(), ProvisionError> {
        self.host.run(&self.script().remove(numbers))?;
        self.look_again()?;
        if !numbers.is_empty() {
            self.apply(&[nfs::exported(&self.settled())], &mut |_| {})?;
        }
        self.host.run(&self.script().sweep())?;
        Ok(())
    }
}
