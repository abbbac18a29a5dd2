//! The master moves from its SD card to an SSD, and boots from one of the two at every instant.

mod disks;
mod refuse;
mod script;
mod status;

use feeder_cluster::Ssd;
use feeder_plan::{Step, Task};
use feeder_ui::size;

pub use disks::{Disk, Disks, MoveState};
pub(crate) use refuse::{Refusal, must_program, way};
pub(crate) use script::{Script, Way};
pub use status::{Card, SsdStatus, finish, status};

use crate::{
    Part, Site,
    firmware::{flushed, rewritten},
};

pub(crate) const NAME: &str = "ssd-boot";
/// The step that ends with another disk: provisioning applies it by itself, last, and restarts the master.
pub(crate) const MOVE: &str = "ssd-move";
/// The resource of that step.
pub(crate) const MOVE_TASK: &str = "task:ssd-move";

/// The SSD of the cluster and what the survey says about disks, when the master is to have one.
pub(crate) fn wanted<'s>(site: &Site<'s>) -> Option<(&'s Ssd, &'s Disks)> {
    Some((site.cluster.master.ssd.as_ref()?, site.survey.disks.as_ref()?))
}

/// Why the disk is left alone.
pub(crate) fn refusal(site: &Site<'_>) -> Option<Refusal> {
    let (ssd, disks) = wanted(site)?;
    refuse::target(disks, ssd, site.cluster.master.board).err()
}

/// The disk that would lose what is on it, by its name, unless it was agreed to already.
pub(crate) fn to_be_erased<'s>(site: &Site<'s>) -> Option<(&'s str, &'s Disk)> {
    let (ssd, disks) = wanted(site)?;
    let name = ssd.disk.name();
    (disks.state == MoveState::None).then_some(())?;
    Some((name, disks.named(name)?))
}

/// What whoever moves a master should know, as far as it is not done yet.
pub(crate) fn notes(site: &Site<'_>) -> Vec<String> {
    let Some((ssd, disks)) = wanted(site) else { return Vec::new() };
    if disks.state == MoveState::Running {
        return Vec::new();
    }
    let mut notes = vec![
        "power: an SSD on a 3B+ should draw no more than 600 mA; all USB ports together give 1.2 A. What wants more needs a hub with a supply of its own"
            .to_owned(),
    ];
    match refuse::way(disks, ssd) {
        Way::Kept => notes.push(
            "slow disks: with the card kept the board waits 5 s for the SSD (file `timeout` on the card). One that takes longer is missed: give it power before the board"
                .to_owned(),
        ),
        Way::Removed => {
            let row = disks.otp.map_or_else(|| "not readable".to_owned(), |row| format!("{row:08x}"));
            notes.push(format!(
                "without its card the board waits 2 s for the SSD. OTP row 17 is {row}; 3020000a is a boot ROM that looks at USB"
            ));
        }
        Way::Eeprom => notes.push(format!(
            "boot order of the EEPROM: {}; USB will come first. A slow SSD needs USB_MSD_STARTUP_DELAY or USB_MSD_LUN_TIMEOUT there",
            disks.boot_order.as_deref().filter(|order| !order.is_empty()).unwrap_or("as it came")
        )),
    }
    notes
}

fn switch(way: Way) -> &'static str {
    match way {
        Way::Kept => "the SD card keeps only what starts the board",
        Way::Removed => "the master switches itself off, and the SD card is to be taken out",
        Way::Eeprom => "the EEPROM prefers USB",
    }
}

/// Takes what the trial needed off the card again.
pub(crate) fn after_trial() -> String {
    let files = "/boot/firmware/tryboot.txt /boot/firmware/feeder-try.txt";
    format!("rm -f {files}\n{}", flushed("/boot/firmware".into()))
}

/// The last step, by itself.
pub(crate) fn move_step(site: &Site<'_>) -> Option<Step> {
    let (ssd, disks) = wanted(site)?;
    let script = Script::on_master(site, ssd, disks);
    let summary = format!(
        "last copy with services stopped, verification, then {}; restart from {}",
        switch(script.way),
        ssd.disk.name()
    );
    let task = move_task(&script, summary);
    Some(Step::new(NAME).named(MOVE).title("from the SD card to the SSD").with(task))
}

fn move_task(script: &Script, summary: String) -> Task {
    Task::new("ssd-move", summary).probe(script.probe(&["running"])).apply(script.last_move())
}

/// From a disk that `what` describes to a copy of `used` bytes, made while the system runs.
fn copy_tasks(script: &Script, what: &str, used: u64) -> [Task; 3] {
    let file_system = script.file_system;
    [
        Task::new("ssd-partitions", format!("SSD {what}"))
            .probe(script.probe(&["made", "formatted", "copied", "sealed", "running"]))
            .apply(script.partition()),
        Task::new("ssd-file-system", format!("SSD: root file system {file_system}"))
            .probe(script.probe(&["formatted", "copied", "sealed", "running"]))
            .apply(script.format()),
        Task::new("ssd-copy", format!("SSD: copy of the running system, {}", size(used)))
            .probe(script.probe(&["copied", "sealed", "running"]))
            .apply(script.first_copy()),
    ]
}

pub(crate) fn part(site: &Site<'_>) -> Part {
    let Some((ssd, disks)) = wanted(site) else { return Part::default() };
    let script = Script::on_master(site, ssd, disks);
    let name = ssd.disk.name();
    let what = disks.named(name).map_or_else(
        || name.to_owned(),
        |disk| {
            let holds = disk.holds();
            format!("{name} ({}): boot partition {} MiB, root over the rest; destroys what it holds now ({holds}), which needs `--erase {name}`", disk.describe(), script.boot_mib)
        },
    );
    let step = Step::new(NAME)
        .title("a copy of the system on the SSD")
        .after(crate::workers::NAME)
        .after(crate::boot_server::NAME)
        .with_all(copy_tasks(&script, &what, disks.used));
    let mut packages = vec!["dosfstools", "fdisk", "mtools", "rsync"];
    if ssd.file_system == feeder_cluster::FileSystem::F2fs {
        packages.push("f2fs-tools");
    }
    let packages = packages.into_iter().map(str::to_owned).collect();
    let last = move_step(site).map(|step| step.after(NAME));
    Part { packages, steps: [step].into_iter().chain(last).collect(), ..Part::default() }
}

const CONFIG: &str = "/boot/firmware/config.txt";
const PROGRAM: &str = "program_usb_boot_mode=1";

/// Has the boot ROM look at USB from its next start on, which cannot be undone.
pub(crate) fn program_usb_boot() -> String {
    rewritten(
        CONFIG.into(),
        &format!("grep -vx '{PROGRAM}' {CONFIG}\nprintf '[all]\\n%s\\n' '{PROGRAM}'"),
    )
}

/// Takes the line out of config.txt again: it has done what it can do.
pub(crate) fn usb_boot_was_programmed() -> String {
    rewritten(CONFIG.into(), &format!("grep -vx '{PROGRAM}' {CONFIG}"))
}

#[cfg(test)]
pub(crate) mod tests;
