//! The scripts of the move, on loop devices.

mod bench;

use bench::{bench_or_skip, went_well};
use feeder_process::Output;

fn said(output: &Output) -> String {
    format!("{:?}\n{}\n{}", output.status, output.stdout_text(), output.stderr)
}

#[test]
fn a_card_becomes_an_ssd_that_boots() {
    let bench = bench_or_skip!();
    assert_eq!(bench.state(), "absent");
    for (script, state) in [
        (bench.script.partition(), "made"),
        (bench.script.format(), "formatted"),
        (bench.script.first_copy(), "copied"),
        (bench.script.last_move(), "sealed"),
    ] {
        let output = bench.run(&script);
        assert!(went_well(&output), "{}", said(&output));
        assert_eq!(bench.state(), state, "{}", said(&output));
        assert_eq!(bench.ssd_boots(), state == "sealed");
        assert_eq!(bench.card_boots(), state != "sealed");
    }
    assert_eq!(bench.differences(), ["send etc/fstab"]);
    let id = bench.sh(&format!("blkid -p -s PTUUID -o value {}", bench.ssd()));
    insta::assert_snapshot!("fstab", bench.read("etc/fstab").replace(id.trim(), "DISK-ID"));
    insta::assert_snapshot!(
        "cmdline",
        bench.sh("cat seen/cmdline.txt").replace(id.trim(), "DISK-ID")
    );
    // What the card keeps is what it had, and the SSD has the same.
    assert_eq!(bench.sh("ls firmware"), "bootcode.bin\nfeeder-sd\ntimeout\n");
    bench.sh("cp firmware/bootcode.bin firmware/feeder-sd/; diff -r -x cmdline.txt firmware/feeder-sd seen");
    // Holes stay holes: the card holds 512 MiB of state in less than a MiB.
    let image = "srv/feeder/state/cluster01/state.img";
    let blocks = bench.sh(&format!(
        "mount -o ro {}p2 mnt; du -k mnt/{image} | cut -f 1; umount mnt",
        bench.ssd()
    ));
    assert!(blocks.trim().parse::<u32>().expect("a number") < 1024, "{blocks} KiB");
    let table = bench.sh(&format!("sfdisk -d {} | sed -n 's/.*start= *//p'", bench.ssd()));
    assert_eq!(table, "2048, size=       81920, type=c\n83968, size=      243712, type=83\n");
}

#[test]
fn the_engine_applies_it_and_then_finds_nothing_to_do() {
    use feeder_plan::{Mode, Phase, Step, apply, gather, plan, run};

    let mut bench = bench_or_skip!();
    let host = feeder_remote::Local::new("cluster00").env("FEEDER_RUN", bench.path("run"));
    let copy = |script: &super::Script| {
        [Step::new("ssd-boot").with_all(super::copy_tasks(script, "of the test", 0))]
    };
    let last = |script: &super::Script| {
        [Step::new("ssd-move").with(super::move_task(script, "the move".into()))]
    };
    let mut moved = false;
    let report = run(&host, &copy(&bench.script), Mode::Apply, &mut |event| {
        moved |= matches!(event.phase, Phase::Moved(_, total) if total > 3_000_000);
    });
    assert_eq!(report.map_err(|error| error.to_string()).map(|report| report.changed()), Ok(3));
    assert!(moved, "the copy says how far it is");

    let steps = last(&bench.script);
    let left =
        plan(&steps, &gather(&host, &steps).expect("the host answers")).expect("they make sense");
    assert!(left.to_string().contains("the move: copied → present"), "{left}");
    apply(&host, &left, &mut |_| {}).expect("it moves");
    // It has not been started from there yet: the move is not done.
    assert_eq!(
        plan(&steps, &gather(&host, &steps).expect("the host answers"))
            .expect("they make sense")
            .to_change(),
        1
    );

    bench.start_from_ssd();
    let steps: Vec<Step> = copy(&bench.script).into_iter().chain(last(&bench.script)).collect();
    let left =
        plan(&steps, &gather(&host, &steps).expect("the host answers")).expect("they make sense");
    assert!(left.is_empty(), "{left}");
}

#[test]
fn a_finished_card_only_starts_the_board() {
    let mut bench = bench_or_skip!();
    let too_early = bench.run(&bench.script.finish());
    assert!(too_early.stderr.contains("does not run from"), "{}", said(&too_early));

    assert!(went_well(&bench.run(&bench.whole())));
    bench.start_from_ssd();
    let card = bench.card_in_reader();
    bench.sh("mkdir fat/other; cp -r firmware/. fat/");
    let found = super::Card { partition: format!("{card}p1"), kept: true };
    assert_eq!(super::Card::parse(&bench.run(&bench.script.card()).stdout_text()), Some(found));

    let output = bench.run(&bench.script.finish());
    assert!(went_well(&output), "{}", said(&output));
    assert_eq!(bench.sh("ls fat"), "bootcode.bin\nother\ntimeout\n");
    assert_eq!(bench.sh(&format!("blkid -p -s TYPE -o value {card}p2 || :")), "", "the old root");
    assert_eq!(bench.sh(&format!("blkid -p -s TYPE -o value {card}p1")), "vfat\n");
    assert_eq!(super::Card::parse(&bench.run(&bench.script.card()).stdout_text()), None);
    // Once more, with nothing left to do.
    assert!(went_well(&bench.run(&bench.script.finish())));
}

#[test]
fn a_disk_that_is_used_or_another_one_now_is_left_alone() {
    let bench = bench_or_skip!();
    let ssd = bench.ssd();
    bench.sh(&format!("mkfs.ext4 -q {ssd}; mkdir mnt; mount {ssd} mnt"));
    let output = bench.run(&bench.script.partition());
    assert!(!went_well(&output) && output.stderr.contains("is mounted on"), "{}", said(&output));
    bench.sh("umount mnt");
    let parted = format!(
        "echo 'size=60M' | sfdisk -q --label dos {ssd}; partx -u {ssd}; mkfs.ext4 -q {ssd}p1; mount {ssd}p1 mnt"
    );
    bench.sh(&parted);
    let output = bench.run(&bench.script.partition());
    assert!(!went_well(&output) && output.stderr.contains("p1 is mounted on"), "{}", said(&output));
    bench.sh("echo precious >mnt/file; umount mnt");

    let other = super::Script { serial: "S49WNP0N123456".into(), ..bench.script.clone() };
    let output = bench.run(&other.partition());
    assert!(
        !went_well(&output) && output.stderr.contains("is another disk now"),
        "{}",
        said(&output)
    );

    let hungry = super::Script { drivers: vec!["no-such-driver"], ..bench.script.clone() };
    let output = bench.run(&hungry.partition());
    assert!(!went_well(&output) && output.stderr.contains("no-such-driver"), "{}", said(&output));

    let gone = super::Script { disk: bench.path("gone"), ..bench.script.clone() };
    for script in [gone.partition(), gone.format(), gone.first_copy(), gone.last_move()] {
        let output = bench.run(&script);
        assert!(!went_well(&output) && output.stderr.contains("is not there"), "{}", said(&output));
    }
    assert_eq!(
        bench.sh(&format!("mount -o ro {ssd}p1 mnt; cat mnt/file; umount mnt")),
        "precious\n"
    );
}

#[test]
fn a_root_on_f2fs_is_made() {
    let mut bench = bench_or_skip!();
    bench.script.file_system = feeder_cluster::FileSystem::F2fs;
    for script in [bench.script.partition(), bench.script.format()] {
        let output = bench.run(&script);
        assert!(went_well(&output), "{}", said(&output));
    }
    assert_eq!(bench.state(), "formatted");
    bench.sh(&format!("fsck.f2fs --dry-run {}p2 >/dev/null", bench.ssd()));
    assert_eq!(bench.sh(&format!("blkid -p -s TYPE -o value {}p2", bench.ssd())), "f2fs\n");
}

#[test]
fn a_survey_of_this_machine_is_understood() {
    let bench = bench_or_skip!();
    let output = bench.run(&bench.script.survey());
    let disks = super::Disks::parse(&output.stdout_text()).expect("lsblk's list is understood");
    assert_eq!(disks.state, super::MoveState::None);
    assert!(disks.used > 3_000_000, "{disks:?}");
    assert!(disks.all.iter().all(|disk| disk.size > 0 && disk.sector > 0), "{disks:?}");
}

#[test]
fn a_disk_that_a_starting_master_has_not_found_yet_is_waited_for() {
    let bench = bench_or_skip!();
    bench.sh("mv by-id late");
    // What udev does when it comes to the disk: the first call ends before the kernel shows it.
    bench.sh(
        "cat >bin/udevadm <<UDEVADM\n#!/bin/sh\ncase \\$1 in\n  settle) touch $PWD/settled ;;\n  \
         wait) [ -e $PWD/settled ] && mv $PWD/late $PWD/by-id ;;\nesac\nUDEVADM\nchmod 755 bin/udevadm",
    );
    let output = bench.run(&bench.script.survey());
    assert!(went_well(&output), "{}", said(&output));
    assert!(std::fs::exists(&bench.script.disk).unwrap(), "the survey did not wait");
    bench.sh("rm settled; mv by-id late");
    assert!(went_well(&bench.run(&bench.script.runs_here())));
    assert!(std::fs::exists(&bench.script.disk).unwrap(), "the look at the root did not wait");
}

#[test]
fn a_disk_that_never_comes_is_absent() {
    let bench = bench_or_skip!();
    bench.sh("rm by-id\nprintf '#!/bin/sh\necho \"$*\" >>%s/told\nexit 1\n' $PWD >bin/udevadm\nchmod 755 bin/udevadm");
    let output = bench.run(&bench.script.survey());
    assert!(super::Disks::parse(&output.stdout_text()).is_some(), "it goes on: {}", said(&output));
    let told = format!("settle\nwait --timeout=15 {}\n", bench.script.disk);
    assert_eq!(bench.sh("cat told"), told, "it waits once, and not for ever");
}

#[test]
fn a_disk_that_somebody_partitions_anew_is_not_ours_any_more() {
    let bench = bench_or_skip!();
    for script in [bench.script.partition(), bench.script.format(), bench.script.first_copy()] {
        assert!(went_well(&bench.run(&script)));
    }
    assert_eq!(bench.state(), "copied");
    // Another root in place of ours, with the same table.
    bench.sh(&format!("mkfs.ext4 -q -F {}p2", bench.ssd()));
    assert_eq!(bench.state(), "absent");
    bench.sh(&format!(
        "echo 'label-id: 0x11112222' | sfdisk -q --no-reread --force {} >/dev/null 2>&1 || :",
        bench.ssd()
    ));
    assert_eq!(bench.state(), "absent");
}

#[test]
fn a_disk_that_fills_up_fails_and_the_card_boots() {
    let mut bench = bench_or_skip!();
    bench.plug_in("small.img", 44 << 20);
    bench.script.boot_mib = 8;
    bench.sh("head -c 40000000 /dev/urandom >card/home/pi/more");
    assert!(went_well(&bench.run(&bench.script.partition())));
    assert!(went_well(&bench.run(&bench.script.format())));
    let output = bench.run(&bench.script.first_copy());
    assert!(!went_well(&output) && output.stderr.contains("No space left"), "{}", said(&output));
    assert!(output.stderr.contains("by-id is full. Nothing is lost"), "{}", said(&output));
    assert_eq!(bench.state(), "formatted");
    assert!(bench.card_boots() && !bench.ssd_boots());
}

/// Programs of a master that this machine must not be asked with, in front of all others; they note what they are asked.
fn fakes(bench: &bench::Bench, clients: &str) {
    bench.sh(&format!(
        "cat >bin/ss <<'SS'\n#!/bin/sh\nprintf '{clients}'\nSS\n\
         cat >bin/systemctl <<SYSTEMCTL\n#!/bin/sh\necho \"\\$*\" >>$PWD/asked\nSYSTEMCTL\n\
         chmod 755 bin/ss bin/systemctl"
    ));
}

fn copied() -> Option<bench::Bench> {
    if let Some(why) = bench::lacking() {
        eprintln!("skipped: {why}");
        return None;
    }
    let mut bench = bench::Bench::new();
    bench.script.services = vec!["dnsmasq.service", "nfs-server.service"];
    for script in [bench.script.partition(), bench.script.format(), bench.script.first_copy()] {
        assert!(went_well(&bench.run(&script)));
    }
    Some(bench)
}

#[test]
fn while_workers_run_nothing_is_stopped() {
    let Some(bench) = copied() else { return };
    fakes(
        &bench,
        "0 0 192.168.10.100:2049 192.168.10.101:861\\n0 0 192.168.10.100:2049 192.168.10.101:862\\n",
    );
    let output = bench.run(&bench.script.last_move());
    assert!(!went_well(&output), "{}", said(&output));
    assert!(
        output.stderr.contains("workers run from this master (192.168.10.101)"),
        "{}",
        said(&output)
    );
    assert_eq!(bench.sh("cat asked 2>/dev/null || :"), "");
    assert_eq!(bench.state(), "copied");
}

#[test]
fn a_disk_that_goes_away_in_the_middle_is_called_so() {
    let Some(bench) = copied() else { return };
    fakes(&bench, "");
    let ssd = bench.ssd();
    // As the last copy begins: the name goes away with the disk.
    bench.sh(&format!(
        "mv bin/rsync bin/copies\nprintf '#!/bin/sh\\nrm %s\\nexit 11\\n' {} >bin/rsync; chmod 755 bin/rsync",
        bench.script.disk
    ));
    let output = bench.run(&bench.script.last_move());
    let told = ["rsync stopped with status 11", "went away", "Plug it in again"];
    assert!(told.iter().all(|words| output.stderr.contains(words)), "{}", said(&output));
    bench.sh(&format!("mv bin/copies bin/rsync; ln -s {ssd} {}", bench.script.disk));
    assert!(went_well(&bench.run(&bench.script.last_move())));
    assert_eq!(bench.state(), "sealed");
}

#[test]
fn a_disk_that_gives_errors_is_called_so_with_what_the_kernel_says() {
    let Some(bench) = copied() else { return };
    fakes(&bench, "");
    let name = bench.sh(&format!("basename $(readlink {})", bench.script.disk));
    bench.sh(&format!(
        "printf '#!/bin/sh\\ncat %s/log 2>/dev/null\\n' $PWD >bin/dmesg\n\
         printf '#!/bin/sh\\necho \"[   12.5] I/O error, dev {}, sector 7 op 0x1:(WRITE)\" >%s/log\\nexit 11\\n' $PWD >bin/rsync\n\
         chmod 755 bin/dmesg bin/rsync",
        name.trim()
    ));
    let output = bench.run(&bench.script.last_move());
    let told = format!(
        "by-id fails: I/O error, dev {}, sector 7 op 0x1:(WRITE). Nothing is lost",
        name.trim()
    );
    assert!(output.stderr.contains(&told), "{}", said(&output));
    // An error of before is none of this run.
    let again = bench.run(&bench.script.last_move());
    assert!(!went_well(&again) && !again.stderr.contains("by-id fails"), "{}", said(&again));
}

#[test]
fn a_move_that_fails_starts_again_what_it_stopped() {
    let Some(bench) = copied() else { return };
    fakes(&bench, "");
    bench.sh("echo 'console=tty1' >firmware/cmdline.txt");
    let output = bench.run(&bench.script.last_move());
    assert!(output.stderr.contains("names no root"), "{}", said(&output));
    assert_eq!(
        bench.sh("cat asked"),
        "is-active -q dnsmasq.service\nstop dnsmasq.service\nis-active -q nfs-server.service\nstop nfs-server.service\n\
         start nfs-server.service dnsmasq.service\n"
    );
    assert!(bench.card_boots() && !bench.ssd_boots());
    assert_eq!(bench.state(), "copied");

    // Mended, it goes on, and what was stopped stays so until the restart.
    bench.sh("echo 'console=tty1 root=PARTUUID=fe3de201-02' >firmware/cmdline.txt; rm asked");
    assert!(went_well(&bench.run(&bench.script.last_move())));
    assert!(!bench.sh("cat asked").contains("start "));
    assert_eq!(bench.state(), "sealed");
}

#[test]
fn a_copy_that_was_cut_off_is_gone_over_by_content() {
    let Some(bench) = copied() else { return };
    fakes(&bench, "");
    // What a power cut leaves: size and date of the file, and nothing in it.
    bench.sh(&format!(
        "mkdir -p mnt; mount {}p2 mnt; touch mnt/.feeder-copying\n\
         size=$(stat -c %s card/usr/lib/7); truncate -s 0 mnt/usr/lib/7; truncate -s $size mnt/usr/lib/7\n\
         touch -r card/usr/lib/7 mnt/usr/lib/7; umount mnt",
        bench.ssd()
    ));
    let differs = bench.differences();
    assert!(differs.iter().any(|line| line == "send usr/lib/7"), "{differs:?}");
    let output = bench.run(&bench.script.last_move());
    assert!(went_well(&output), "{}", said(&output));
    assert_eq!(bench.differences(), ["send etc/fstab"]);
}

#[test]
fn what_changes_while_blocks_are_copied_is_copied_once_more() {
    let bench = bench_or_skip!();
    for script in [bench.script.partition(), bench.script.format()] {
        assert!(went_well(&bench.run(&script)));
    }
    // All of it once the blocks are there, and before anybody looks: another content with the same size and date, too.
    bench.sh(
        "mv bin/tune2fs bin/real\ncat >bin/tune2fs <<TUNE2FS\n#!/bin/sh\nmv $PWD/bin/real $PWD/bin/tune2fs\ncd $PWD/card\n\
         touch -r usr/lib/7 $PWD/date; echo 'FILE 7' >usr/lib/7; touch -r $PWD/date usr/lib/7\n\
         rm usr/lib/8; echo new >usr/lib/new; mv usr/lib/9 usr/lib/moved; ln usr/lib/10 usr/lib/link; chmod 0600 usr/lib/11\n\
         rm usr/lib/12; mkdir usr/lib/12; echo within >usr/lib/12/file; ln -sfn elsewhere etc/link; mv home/pi home/user\n\
         touch -r srv/feeder/state/cluster01/state.img $PWD/date\n\
         echo other | dd of=srv/feeder/state/cluster01/state.img conv=notrunc status=none\n\
         touch -r $PWD/date srv/feeder/state/cluster01/state.img\nexec $PWD/bin/tune2fs \"\\$@\"\nTUNE2FS\nchmod 755 bin/tune2fs",
    );
    let output = bench.run(&bench.script.first_copy());
    assert!(went_well(&output), "{}", said(&output));
    let bytes = bench.sh("cat card/usr/lib/7");
    assert_eq!((bench.read("usr/lib/7"), bytes.as_str()), (bytes.clone(), "FILE 7\n"));
    fakes(&bench, "");
    let output = bench.run(&bench.script.last_move());
    assert!(went_well(&output), "{}", said(&output));
    assert_eq!(bench.differences(), ["send etc/fstab"]);
}

#[test]
fn a_clock_that_is_set_back_while_blocks_are_copied_makes_the_last_copy_look_into_files() {
    let bench = bench_or_skip!();
    for script in [bench.script.partition(), bench.script.format()] {
        assert!(went_well(&bench.run(&script)));
    }
    // A change that no date shows, as it would be after such a step: its ctime is of before the copy.
    bench.sh(
        "mv bin/tune2fs bin/real\ncat >bin/tune2fs <<TUNE2FS\n#!/bin/sh\nmv $PWD/bin/real $PWD/bin/tune2fs\n\
         printf '#!/bin/sh\\n[ \"\\$1\" = +%%s ] && echo \\$((\\$(/bin/date +%%s) - 100)) || exec /bin/date \"\\$@\"\\n' >$PWD/bin/date; chmod 755 $PWD/bin/date\n\
         exec $PWD/bin/tune2fs \"\\$@\"\nTUNE2FS\nchmod 755 bin/tune2fs",
    );
    let output = bench.run(&bench.script.first_copy());
    assert!(went_well(&output), "{}", said(&output));
    assert_eq!(bench.read(".feeder-copying"), "");
    bench.sh("touch -r card/usr/lib/7 date; echo 'FILE 7' >card/usr/lib/7; touch -r date card/usr/lib/7; rm bin/date");
    fakes(&bench, "");
    let output = bench.run(&bench.script.last_move());
    assert!(went_well(&output), "{}", said(&output));
    assert_eq!(bench.differences(), ["send etc/fstab"]);
}

#[test]
fn a_trial_is_one_start_and_leaves_nothing_behind() {
    let Some(bench) = copied() else { return };
    fakes(&bench, "");
    assert!(went_well(&bench.run(&bench.script.last_move())));
    // Also after a switch that nobody saw come to its end.
    assert!(!bench.card_boots());
    bench.sh("echo mended >card/etc/mended");
    let output = bench.run(&bench.script.trial());
    assert!(went_well(&output), "{}", said(&output));
    assert!(bench.card_boots() && !bench.ssd_boots());
    assert_eq!(bench.run(&bench.script.runs_here()).stdout_text(), "no\n");
    let id = bench.sh(&format!("blkid -p -s PTUUID -o value {}", bench.ssd()));
    let texts = [
        bench.sh("cat firmware/tryboot.txt"),
        bench.sh("cat firmware/feeder-try.txt"),
        bench.read("etc/fstab"),
    ];
    insta::assert_snapshot!("trial", texts.join("---\n").replace(id.trim(), "DISK-ID"));
    let unit = "etc/systemd/system/sysinit.target.wants/feeder-trial.service";
    assert!(bench.read(unit).contains("sleep 300"));
    // What was done about a trial that failed is tried in the next one.
    assert_eq!(bench.read("etc/mended"), "mended\n");

    let output = bench.run(&bench.script.last_move());
    assert!(went_well(&output), "{}", said(&output));
    assert!(bench.ssd_boots());
    assert_eq!(bench.differences(), ["send etc/fstab"]);
    assert_eq!(bench.sh("ls seen | grep try || :"), "");
}

#[test]
fn a_card_that_is_taken_out_and_one_that_the_eeprom_passes_over_stay_as_they_are() {
    let Some(mut bench) = copied() else { return };
    fakes(&bench, "");
    bench.sh(
        "cat >bin/rpi-eeprom-config <<EEPROM\n#!/bin/sh\nif [ \"\\$1\" = --apply ]; then cp \"\\$2\" $PWD/eeprom; else cat $PWD/eeprom; fi\nEEPROM\n\
         chmod 755 bin/rpi-eeprom-config\nprintf '[all]\\nBOOT_UART=0\\nBOOT_ORDER=0xf41\\n' >eeprom\ncp -r firmware before",
    );
    for (way, order) in [
        (super::Way::Removed, "0xf41"),
        (super::Way::Eeprom, "0xf14"),
        (super::Way::Eeprom, "0xf14"),
    ] {
        bench.script.way = way;
        let output = bench.run(&bench.script.last_move());
        assert!(went_well(&output), "{}", said(&output));
        assert!(bench.ssd_boots() && bench.card_boots());
        bench.sh("diff -r firmware before");
        assert_eq!(bench.sh("cat eeprom"), format!("[all]\nBOOT_UART=0\nBOOT_ORDER={order}\n"));
    }
}

/// Cuts the power at a call of a tool, starts the master again and moves to the end.
fn cut_off_at(make: fn() -> bench::Bench, call: u32, when: &str) {
    let mut bench = make();
    let output = bench.until(&bench.whole(), call, when);
    assert!(!went_well(&output), "{when} call {call}: it was not reached");
    bench.power_cut();
    let boots = (bench.card_boots(), bench.ssd_boots());
    assert!(boots.0 || boots.1, "{when} call {call}: nothing boots: {}", said(&output));
    // The way on begins with what is found on the disk.
    let output = bench.run(&bench.whole());
    assert!(went_well(&output), "{when} call {call}: {}", said(&output));
    assert_eq!(bench.state(), "sealed", "{when} call {call}");
    assert!(bench.ssd_boots(), "{when} call {call}");
    assert_eq!(bench.differences(), ["send etc/fstab"], "{when} call {call}");
}

/// Cuts the power at every `step`th call of a tool, once before and once within it; how many points there are.
fn cut_off(make: fn() -> bench::Bench, step: usize) {
    if let Some(why) = bench::lacking() {
        eprintln!("skipped: {why}");
        return;
    }
    let bench = make();
    assert!(went_well(&bench.run(&bench.whole())));
    let calls = bench.calls();
    drop(bench);
    let points: Vec<(u32, &str)> =
        (1..=calls).flat_map(|call| [(call, "before"), (call, "within")]).step_by(step).collect();
    assert!(points.len() > 2, "{} of {calls} calls", points.len());
    // Disks make them wait, not processors.
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let points = &points;
            scope.spawn(move || {
                for (call, when) in points.iter().skip(worker).step_by(4) {
                    cut_off_at(make, *call, when);
                }
            });
        }
    });
    eprintln!("{} points at {calls} calls, all survived", points.len());
}

#[test]
fn cut_off_it_boots_and_goes_on() {
    cut_off(bench::Bench::new, 61);
}

#[test]
fn cut_off_where_files_are_copied_it_boots_and_goes_on() {
    cut_off(bench::Bench::of_files, 91);
}

#[test]
#[ignore = "takes minutes"]
fn cut_off_anywhere_it_boots_and_goes_on() {
    cut_off(bench::Bench::new, 1);
    cut_off(bench::Bench::of_files, 1);
}

/// Runs with the sample cluster, which has an SSD, on a master with the sample's disks.
pub(crate) fn with_ssd(run: impl FnOnce(&crate::Site<'_>)) {
    let text = include_str!("../../../fixtures/clusters/lab.toml").replacen(
        "[[worker]]",
        "[master.ssd]\ndisk = \"/dev/disk/by-id/usb-Samsung_Portable_SSD_T5_1234567-0:0\"\n\n[[worker]]",
        1,
    );
    crate::part::tests::with_cluster(&text, |site| {
        let disks = Some(super::disks::tests::disks());
        let survey = crate::Survey { disks, ..site.survey.clone() };
        run(&crate::Site { survey: &survey, ..*site });
    });
}

#[test]
fn without_an_ssd_nothing_is_wanted() {
    crate::part::tests::with_site(|site| {
        let part = super::part(site);
        assert!(part.steps.is_empty() && part.packages.is_empty());
        assert_eq!(super::refusal(site), None);
        assert!(super::notes(site).is_empty() && super::to_be_erased(site).is_none());
    });
}

#[test]
fn the_plan_shows_what_would_be_destroyed() {
    with_ssd(|site| {
        let part = super::part(site);
        insta::assert_snapshot!(
            "plan",
            format!("{:#?}\n{}", part.steps, super::notes(site).join("\n"))
        );
    });
}

#[test]
fn scripts_are_valid_shell() {
    with_ssd(|site| {
        let (ssd, disks) = super::wanted(site).expect("it is configured");
        let script = super::Script::on_master(site, ssd, disks);
        for (name, text) in [
            ("partition", script.partition()),
            ("format", script.format()),
            ("first_copy", script.first_copy()),
            ("last_move", script.last_move()),
            ("trial", script.trial()),
            ("runs_here", script.runs_here()),
            ("finish", script.finish()),
            ("card", script.card()),
            ("survey", script.survey()),
            ("probe", script.probe(&["sealed", "running"])),
            ("program_usb_boot", super::program_usb_boot()),
        ] {
            crate::part::tests::shell_accepts(&text);
            // The scripts lie beside this file as they are; what is put in front of them is shown.
            if matches!(name, "probe" | "program_usb_boot") {
                insta::assert_snapshot!(name, text);
            }
        }
    });
}

/// Sources a library and runs a line with it.
fn with_library(library: &str, line: &str) -> String {
    let script = format!("set -eu\nfirmware=/none disk=none\n{library}\n{line}\n");
    feeder_process::Cmd::new("sh").stdin(script).run().expect("it runs").stdout_text()
}

#[test]
fn ranges_are_copied_and_how_far_can_be_read_meanwhile() {
    let tmp = tempfile::tempdir().expect("there is room");
    let work = tmp.path().display();
    let (from, to) = (tmp.path().join("from"), tmp.path().join("to"));
    let mut copied = vec![0x55; 6 << 20];
    std::fs::write(&to, &copied).expect("there is room");
    let original: Vec<u8> = (0..6_u32 << 18).flat_map(u32::to_le_bytes).collect();
    std::fs::write(&from, &original).expect("there is room");
    // Who had opened it before reads on in the old one.
    let line = format!(
        "work={work} block=4096 from={work}/from root_device={work}/to
         echo 0 >$work/copied
         printf '%s\\n' 'copy 1 1' 'zero 3 2' 'copy 256 1280' >$work/ranges
         exec 3<$work/copied
         (copy_ranges)
         cat <&3
         cat $work/copied"
    );
    let said = with_library(include_str!("scripts/blocks.sh"), &line);
    assert_eq!(said, format!("0\n{}\n", 1281 << 12));
    copied[1 << 12..2 << 12].copy_from_slice(&original[1 << 12..2 << 12]);
    copied[3 << 12..5 << 12].fill(0);
    copied[1 << 20..].copy_from_slice(&original[1 << 20..]);
    assert!(std::fs::read(&to).expect("it is there") == copied);
}

#[test]
fn a_disk_that_takes_no_more_and_one_that_ends_too_early_are_told() {
    let tmp = tempfile::tempdir().expect("there is room");
    let work = tmp.path().display();
    for (from, to, said) in [
        ("/dev/zero", "/dev/full", "/dev/full: No space left on device"),
        ("/dev/null", "/dev/zero", "/dev/null: it ends before its file system does"),
        ("/none", "/dev/zero", "/none: No such file or directory"),
    ] {
        let line = format!(
            "work={work} block=4096 from={from} root_device={to}
             echo 'copy 0 8192' >$work/ranges
             (copy_ranges) || cat $work/said"
        );
        assert_eq!(with_library(include_str!("scripts/blocks.sh"), &line).trim_end(), said);
    }
}

#[test]
fn usb_comes_first_in_an_order_that_keeps_the_rest() {
    let orders = "for order in f41 f14 f461 f21 f1 f; do usb_first $order; done";
    let told = with_library(include_str!("scripts/eeprom.sh"), orders);
    assert_eq!(told, "f14\nf14\nf614\nf214\nf14\nf4\n");
}

#[test]
fn the_card_gives_up_names_before_contents() {
    let tmp = tempfile::tempdir().expect("there is room");
    let firmware = tmp.path().display();
    // What is removed and when the disk is told to flush, which `sync -f` does not do on a FAT; and which file is open then.
    let line = format!(
        "firmware={firmware}; aside=$firmware/feeder-sd
         for file in bootcode.bin start.elf start_x.elf kernel8.img; do echo $file >$firmware/$file; done
         open() {{ readlink /proc/self/fd/3 | sed 's|.*/||' || :; }}
         rm() {{ echo \"rm ${{1##*/}}, open: $(open)\"; command rm \"$1\"; }}
         sync() {{ [ \"$1\" != -f ] || return 0; case $(open) in *elf*) echo \"flush, open: $(open)\" ;; *) echo flush ;; esac; }}
         card_leaves
         cd $firmware && echo * feeder-sd/*"
    );
    insta::assert_snapshot!(with_library(concat!(include_str!("scripts/disk.sh"), include_str!("scripts/card.sh")), &line), @r"
    flush
    rm start.elf, open: start.elf
    flush, open: start.elf (deleted)
    rm start_x.elf, open: start_x.elf
    flush, open: start_x.elf (deleted)
    flush
    flush
    bootcode.bin feeder-sd timeout feeder-sd/kernel8.img feeder-sd/start.elf feeder-sd/start_x.elf
    ");
}

#[test]
fn what_a_power_cut_left_of_the_switch_is_mended_before_it_is_read() {
    let tmp = tempfile::tempdir().expect("there is room");
    // A disk with a boot partition: a file, since not every kernel can mount a FAT. The cluster of its folder is free again.
    let made = r"
truncate -s 40M fat
mkfs.vfat -F 32 -s 1 fat >/dev/null
mmd -i fat ::feeder-sd
echo kernel | mcopy -i fat - ::kernel8.img
at=$(($(od -An -j 14 -N 2 -t u2 fat) * 512))
size=$(($(od -An -j 36 -N 4 -t u4 fat) * 512))
for first in $((at + 12)) $((at + size + 12)); do
  head -c 4 /dev/zero | dd of=fat bs=1 seek=$first conv=notrunc status=none
done
";
    let faked = r#"
mkdir bin firmware
cat >bin/fsck.vfat <<FSCK
#!/bin/sh
status=0
$(command -v fsck.vfat) "\$@" >/dev/null || status=\$?
echo "fsck \$1: \$status" >>told
exit \$status
FSCK
chmod 755 bin/fsck.vfat
PATH=$PWD/bin:$PATH
mkdir mounted
mountpoint() { [ -d mounted ]; }
umount() { echo "umount $1" >>told; rmdir mounted; }
mount() { echo "mount $1" >>told; mkdir mounted; }
findmnt() { case $* in *SOURCE*) echo fat ;; *OPTIONS*) echo rw,relatime ;; esac; }
# As the kernel is with a folder that begins nowhere.
find() { fsck.vfat -n fat; }
"#;
    let line = format!(
        "cd {}; firmware=firmware; PATH=/usr/sbin:/sbin:$PATH; export MTOOLSRC=/dev/null
         {made}{faked}
         for _ in damaged whole; do mend_firmware; echo mended >>told; done
         cat told; mdir -b -i fat",
        tmp.path().display()
    );
    let library = concat!(include_str!("scripts/disk.sh"), include_str!("scripts/card.sh"));
    insta::assert_snapshot!(with_library(library, &line), @r"
    fsck -n: 1
    umount firmware
    fsck -a: 1
    fsck -a: 1
    fsck -a: 1
    fsck -a: 0
    mount firmware
    fsck -n: 0
    mended
    fsck -n: 0
    mended
    ::/kernel8.img
    ");
}

#[test]
fn a_command_line_of_a_first_boot_becomes_an_ssds() {
    let line = "printf '%s\\n' 'console=tty1 root=/dev/mmcblk0p2 init=/usr/lib/raspberrypi-sys-mods/firstboot quiet rootfstype=ext4 rootflags=data=ordered' | \
                { disk_id=12345678; file_system=f2fs; cmdline_for; }";
    assert_eq!(
        with_library(include_str!("scripts/boot.sh"), line),
        "console=tty1 root=PARTUUID=12345678-02 quiet rootfstype=f2fs rootwait\n"
    );
}
