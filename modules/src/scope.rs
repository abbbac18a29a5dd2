//! What of a cluster one run is about.

use std::collections::BTreeSet;

use feeder_cluster::{Cluster, Swarm, Worker};
use feeder_plan::{Facts, HostPlan, RunError, Step, plan};

use crate::{ProvisionError, swarm, workers};

/// What of a cluster one run is about: everything, unless some of it is named.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// Modules, by the names that plans show; when there are none, all.
    pub modules: Vec<String>,
    /// Nodes; when there are none, all. What the master keeps for a worker belongs to the worker.
    pub hosts: Vec<String>,
}

impl Scope {
    pub(crate) fn has_module(&self, name: &str) -> bool {
        self.modules.is_empty() || self.modules.iter().any(|module| module == name)
    }

    pub(crate) fn has_host(&self, name: &str) -> bool {
        self.hosts.is_empty() || self.hosts.iter().any(|host| host == name)
    }

    pub(crate) fn is_everything(&self) -> bool {
        self.modules.is_empty() && self.hosts.is_empty()
    }

    /// Whether it is about this module on this node.
    pub(crate) fn has(&self, module: &str, host: &str) -> bool {
        self.has_module(module) && self.has_host(host)
    }

    /// The cluster's swarm, when it is about that.
    pub(crate) fn swarm<'c>(&self, cluster: &'c Cluster) -> Option<&'c Swarm> {
        cluster.swarm.as_ref().filter(|_| self.has_module(swarm::NAME))
    }

    /// The workers that it is about.
    pub(crate) fn workers<'c>(&self, cluster: &'c Cluster) -> impl Iterator<Item = &'c Worker> {
        cluster.workers.iter().filter(|worker| self.has_host(worker.name.as_str()))
    }

    fn has_step(&self, cluster: &Cluster, step: &Step) -> bool {
        self.has(&step.module, whose(cluster, step))
    }

    /// Whether all names mean something.
    pub(crate) fn check(&self, cluster: &Cluster, steps: &[Step]) -> Result<(), ProvisionError> {
        let nodes: Vec<&str> = cluster.nodes().map(|node| node.name.as_str()).collect();
        let mut modules: Vec<&str> = Vec::new();
        for step in steps {
            if !modules.contains(&&*step.module) {
                modules.push(&step.module);
            }
        }
        modules.extend(cluster.swarm.is_some().then_some(swarm::NAME));
        unknown("node", &self.hosts, &nodes)?;
        unknown("module", &self.modules, &modules)
    }

    /// The steps that it is about. One that comes after a step which is left out needs that step to be as wanted.
    pub(crate) fn narrow(
        &self,
        cluster: &Cluster,
        steps: Vec<Step>,
        facts: &Facts,
    ) -> Result<Vec<Step>, ProvisionError> {
        if self.is_everything() {
            return Ok(steps);
        }
        let whole = plan(&steps, facts).map_err(RunError::from)?;
        self.narrow_by(cluster, steps, &whole)
    }

    /// As [`Self::narrow`], with what differs of all steps.
    fn narrow_by(
        &self,
        cluster: &Cluster,
        steps: Vec<Step>,
        whole: &HostPlan,
    ) -> Result<Vec<Step>, ProvisionError> {
        let differs = |name: &str| {
            whole.steps.iter().any(|step| step.name == name && !step.changes.is_empty())
        };
        for step in steps.iter().filter(|step| self.has_step(cluster, step) && differs(&step.name))
        {
            let first = before(&steps, step).into_iter();
            let mut first =
                first.filter(|first| !self.has_step(cluster, first) && differs(&first.name));
            if let Some(first) = first.next_back() {
                return Err(ProvisionError::OutOfScope {
                    step: step.name.clone(),
                    first: first.name.clone(),
                    module: first.module.clone(),
                    host: whose(cluster, first).to_owned(),
                });
            }
        }
        let mut steps: Vec<Step> =
            steps.into_iter().filter(|step| self.has_step(cluster, step)).collect();
        let names: BTreeSet<String> = steps.iter().map(|step| step.name.clone()).collect();
        // Nothing comes after a step that is not there.
        steps.iter_mut().for_each(|step| step.after.retain(|name| names.contains(name)));
        Ok(steps)
    }
}

/// The node that a step is about, wherever it is done.
fn whose<'a>(cluster: &'a Cluster, step: &Step) -> &'a str {
    let its = |worker: &&Worker| {
        [workers::step_name(worker), workers::copy_step_name(worker)].contains(&step.name)
    };
    let worker = cluster.workers.iter().find(its);
    worker.map_or(cluster.master.name.as_str(), |worker| worker.name.as_str())
}

/// All that must have worked before a step, the nearest first.
fn before<'a>(steps: &'a [Step], step: &Step) -> Vec<&'a Step> {
    let mut found: Vec<&Step> = Vec::new();
    let mut names: Vec<&str> = step.after.iter().map(String::as_str).collect();
    while let Some(name) = names.pop() {
        if found.iter().any(|step| step.name == name) {
            continue;
        }
        if let Some(step) = steps.iter().find(|step| step.name == name) {
            names.extend(step.after.iter().map(String::as_str));
            found.push(step);
        }
    }
    found
}

fn unknown(kind: &'static str, given: &[String], known: &[&str]) -> Result<(), ProvisionError> {
    match given.iter().find(|name| !known.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => Err(ProvisionError::NoSuch {
            kind,
            name: name.clone(),
            known: known.iter().map(ToString::to_string).collect(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use feeder_ui::Expected;

    use super::*;
    use crate::{part::tests::with_site, provision::steps};

    fn scope(modules: &[&str], hosts: &[&str]) -> Scope {
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        Scope { modules: owned(modules), hosts: owned(hosts) }
    }

    /// The names of the steps, or the error, when these steps are as wanted and all others differ.
    fn narrowed(scope: &Scope, as_wanted: &[&str]) -> String {
        let mut said = String::new();
        with_site(|site| {
            let steps = steps(site);
            let mut whole = plan(&steps, &Facts::default()).expect("they make sense");
            for step in whole.steps.iter_mut().filter(|step| as_wanted.contains(&&*step.name)) {
                step.changes.clear();
            }
            let narrow = scope.check(site.cluster, &steps);
            said = match narrow.and_then(|()| scope.narrow_by(site.cluster, steps, &whole)) {
                Ok(steps) => {
                    // What is left makes sense by itself, and all of it is planned.
                    let plan = plan(&steps, &Facts::default()).expect("it makes sense");
                    let planned: BTreeSet<&str> =
                        plan.steps.iter().map(|step| &*step.name).collect();
                    let names: Vec<&str> = steps.iter().map(|step| &*step.name).collect();
                    assert_eq!(planned, names.iter().copied().collect());
                    names.join(" ")
                }
                Err(error) => format!("{error}\n→ {}", error.hint().unwrap_or_default()),
            };
        });
        said
    }

    #[test]
    fn a_run_is_about_what_is_named() {
        let done = ["packages", "generation", "boot-server-config", "nfs"];
        assert_eq!(narrowed(&scope(&["nfs"], &[]), &done), "nfs");
        assert_eq!(narrowed(&scope(&[], &["cluster02"]), &done), "workers-cluster02");
        assert_eq!(
            narrowed(&scope(&["workers"], &[]), &done),
            "workers-cluster01 workers-cluster02 workers"
        );
        let master =
            narrowed(&scope(&[], &["cluster00"]), &["workers-cluster01", "workers-cluster02"]);
        assert!(master.ends_with("generation nfs workers boot-server"), "{master}");
    }

    #[test]
    fn what_is_left_out_must_be_as_wanted() {
        insta::assert_snapshot!(narrowed(&scope(&["nfs"], &[]), &[]));
        insta::assert_snapshot!(narrowed(
            &scope(&[], &["cluster02"]),
            &["nfs", "generation", "packages"]
        ));
    }

    #[test]
    fn names_must_mean_something() {
        insta::assert_snapshot!(narrowed(&scope(&["swarm"], &[]), &[]));
        insta::assert_snapshot!(narrowed(&scope(&[], &["cluster09"]), &[]));
    }
}
