//! A host that is as wanted, in its own words.

use crate::{Resource, Step, StepsError, Unit, facts, resource::Access};

/// What a host on which all of these steps are done prints when it is asked about them: for tests of what asks hosts.
///
/// # Errors
/// The steps make no sense together.
pub fn as_wanted(steps: &[Step]) -> Result<String, StepsError> {
    let steps = crate::check::check(steps)?;
    let resources: Vec<&Resource> = steps.iter().flat_map(|step| &step.resources).collect();
    let (mut lines, mut sums, mut units) = (Vec::new(), Vec::new(), Vec::new());
    for resource in resources {
        match resource {
            Resource::Package(name) => lines.push(format!("package\t{name}\tii \t1")),
            Resource::File(file) => {
                lines.push(path(0o100_000, &file.access, file.path.as_str()));
                sums.push(format!("{}  {}", file.content.sha256(), file.path));
            }
            Resource::Directory(it) => lines.push(path(0o040_000, &it.access, it.path.as_str())),
            Resource::Symlink(link) => {
                let anybody = Access { mode: 0o777, user: "0".into(), group: "0".into() };
                lines.push(path(0o120_000, &anybody, link.path.as_str()));
                lines.push(format!("link\t{}\t{}", link.path, link.target));
            }
            Resource::Absent(_) => {}
            // Asked about in the order of their names.
            Resource::Unit(it) => units.push((it.name.as_str(), unit(it))),
            Resource::Hostname(name) => lines.push(format!("hostname\t{0}\t{0}", name.0)),
            Resource::Task(task) => lines.push(format!("task\t{}\t0\t{}", task.id, task.wanted)),
        }
    }
    units.sort();
    units.dedup_by(|one, other| one.0 == other.0);
    let units: Vec<String> = units.into_iter().map(|(_, said)| said).collect();
    Ok(format!(
        "{}\n{}\nsums\n{}\nend\nunits\n{}\nend\n{}\n",
        facts::HEADER,
        lines.join("\n"),
        sums.join("\n"),
        units.join("\n\n"),
        facts::END
    ))
}

fn path(kind: u32, Access { mode, user, group }: &Access, path: &str) -> String {
    format!("path\t{:x}\t{user}\t{group}\t{user}\t{group}\t0\t{path}", kind | mode)
}

fn unit(wanted: &Unit) -> String {
    let load = if wanted.masked == Some(true) { "masked" } else { "loaded" };
    let active = if wanted.active == Some(true) { "active" } else { "inactive" };
    let file = if wanted.enabled == Some(true) { "enabled" } else { "disabled" };
    format!("LoadState={load}\nActiveState={active}\nSubState=\nUnitFileState={file}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Absent, Directory, File, Hostname, Notify, Question, Symlink, Task, plan, plan::HostPlan,
    };

    fn planned(steps: &[Step], said: String) -> HostPlan {
        let status = feeder_process::Status { code: Some(0), signal: None };
        let output = feeder_process::Output { status, stdout: said.into(), stderr: String::new() };
        plan(steps, &Question::about(steps).unwrap().read("cluster00", &output).unwrap()).unwrap()
    }

    #[test]
    fn there_is_nothing_to_do() {
        let steps = [Step::new("all")
            .packages(["dnsmasq"])
            .with(File::new("/etc/x y", "text").secret().owner("root", "pi"))
            .with(Directory::new("/srv/tftp").mode(0o750))
            .with(Symlink::new("/etc/resolv.conf", "/run/x y"))
            .with(Absent::tree("/srv/old"))
            .with(Hostname::new("cluster00"))
            .with(Unit::new("z.service").enabled().active())
            .with(Unit::new("a.service").masked())
            .with(Unit::new("b.timer").disabled().inactive())
            .with(Task::new("swap", "no swap").probe("swapon --show").wanted(""))
            .notify(Notify::restart("z.service").when(["/etc/x y"]))];
        let plan = planned(&steps, as_wanted(&steps).unwrap());
        assert!(plan.is_empty(), "{plan}");
        assert_eq!(plan.as_wanted, 10);
    }
}
