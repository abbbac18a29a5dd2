use super::*;
use crate::board::BoardModel;
use proptest::prelude::*;

fn board() -> BoardProfile {
    BoardProfile { serial: 0xb66c_4c16, ..BoardProfile::of(BoardModel::Pi3BPlus) }
}

/// Settings in effect and warnings, as text.
fn read_on(board: &BoardProfile, text: &str, stage: Stage, includes: &[(&str, &str)]) -> String {
    let includes = includes
        .iter()
        .map(|(name, text)| ((*name).to_owned(), Arc::new(text.as_bytes().to_vec())))
        .collect();
    let (config, warnings) = parse(text.as_bytes(), "config.txt", board, stage, &includes);
    let mut out = String::new();
    for Setting { key, value, file, line } in &config.settings {
        out += &format!("{key} = {value} ({file}:{line})\n");
    }
    for name in &config.missing_includes {
        out += &format!("wants {name}\n");
    }
    for warning in warnings {
        out += &format!("warning: {warning}\n");
    }
    out
}

fn read(text: &str) -> String {
    read_on(&board(), text, Stage::Start, &[])
}

#[test]
fn an_image_of_raspberry_pi_os() {
    let text = "# For more options and information see\n\
        # http://rptl.io/configtxt\n\
        dtparam=audio=on\n\
        camera_auto_detect=1\n\
        display_auto_detect=1\n\
        auto_initramfs=1\n\
        dtoverlay=vc4-kms-v3d\n\
        max_framebuffers=2\n\
        arm_64bit=1\n\
        \n\
        [cm4]\n\
        otg_mode=1\n\
        \n\
        [cm5]\n\
        dtoverlay=dwc2,dr_mode=host\n\
        \n\
        [all]\n\
        enable_uart=1\n";
    insta::assert_snapshot!(read(text), @r"
    dtparam = audio=on (config.txt:3)
    camera_auto_detect = 1 (config.txt:4)
    display_auto_detect = 1 (config.txt:5)
    auto_initramfs = 1 (config.txt:6)
    dtoverlay = vc4-kms-v3d (config.txt:7)
    max_framebuffers = 2 (config.txt:8)
    arm_64bit = 1 (config.txt:9)
    enable_uart = 1 (config.txt:18)
    ");
    let (config, _) =
        parse(text.as_bytes(), "config.txt", &board(), Stage::Start, &BTreeMap::new());
    assert_eq!(
        config.unknown_keys(),
        ["camera_auto_detect", "display_auto_detect", "max_framebuffers"]
    );
    assert!(config.on("arm_64bit"));
}

#[test]
fn filters_of_one_type_replace_and_of_two_types_combine() {
    let text = "[pi3]\na=pi3\n[pi3+]\na=pi3+\n[pi4]\na=pi4\n[0xb66c4c16]\na=pi4-and-serial\n\
        [pi3]\na=pi3-and-serial\n[0x1]\na=other-serial\n[all]\na=all\n";
    insta::assert_snapshot!(read(text), @r"
    a = pi3 (config.txt:2)
    a = pi3+ (config.txt:4)
    a = pi3-and-serial (config.txt:10)
    a = all (config.txt:14)
    ");
    let older = BoardProfile { serial: 1, ..BoardProfile::of(BoardModel::Pi3B) };
    insta::assert_snapshot!(read_on(&older, text, Stage::Start, &[]), @r"
    a = pi3 (config.txt:2)
    a = other-serial (config.txt:12)
    a = all (config.txt:14)
    ");
}

#[test]
fn none_lasts_until_all() {
    insta::assert_snapshot!(read("[none]\na=1\n[pi3]\na=2\n[all]\na=3\n"), @"a = 3 (config.txt:6)");
}

#[test]
fn other_filters() {
    let text = "[tryboot]\na=tryboot\n[all]\n[board-type=0x0d]\na=type\n[all]\n[gpio4=1]\na=gpio4\n\
        [gpio17=1]\na=gpio17\n[all]\n[HDMI:0]\na=hdmi\n[EDID=VSC-TD2220]\na=edid\n[all]\n\
        [boot_count=3]\na=count\n[all]\n[PI3+]\na=case\n";
    insta::assert_snapshot!(read(text), @r"
    a = type (config.txt:5)
    a = gpio4 (config.txt:8)
    a = hdmi (config.txt:13)
    a = case (config.txt:21)
    warning: config.txt:17: `[boot_count=3]` is not known here and taken for false
    ");
    let trying = BoardProfile { tryboot: true, ..board() };
    assert!(read_on(&trying, text, Stage::Start, &[]).starts_with("a = tryboot"));
}

#[test]
fn lines_are_cut_at_98_characters() {
    let fits = format!("cmdline={}", "x".repeat(90));
    assert!(!read(&fits).contains("warning"));
    let long = format!("cmdline={}y", "x".repeat(90));
    let seen = read(&long);
    assert!(seen.contains("xx (config.txt:1)") && !seen.contains("xy"), "{seen}");
    assert!(
        seen.contains("warning: config.txt:1: 99 characters; the firmware reads only the first 98"),
        "{seen}"
    );
    assert_eq!(read(&format!("#{}", "-".repeat(120))), "");
}

#[test]
fn initramfs_has_its_own_form() {
    insta::assert_snapshot!(
        read("initramfs initrd.img followkernel\ninitramfs\ninitramfs a,b 0x00800000\n"),
        @r"
    initramfs = initrd.img followkernel (config.txt:1)
    initramfs = a,b 0x00800000 (config.txt:3)
    warning: config.txt:2: `initramfs` names no file
    ");
}

#[test]
fn include_belongs_to_start_elf_and_keeps_the_filter() {
    let text = "[pi4]\ninclude four.txt\n[pi3]\ninclude three.txt\nkernel=x\n";
    let parts = [("four.txt", "a=4\n"), ("three.txt", "a=3\n[pi4]\nb=4\n")];
    insta::assert_snapshot!(read_on(&board(), text, Stage::Start, &parts), @"a = 3 (three.txt:1)");
    insta::assert_snapshot!(read_on(&board(), text, Stage::Start, &[]), @r"
    kernel = x (config.txt:5)
    wants three.txt
    ");
    insta::assert_snapshot!(read_on(&board(), text, Stage::Bootcode, &parts), @"kernel = x (config.txt:5)");
}

#[test]
fn a_file_that_includes_itself_ends() {
    let seen = read_on(&board(), "include a.txt", Stage::Start, &[("a.txt", "include a.txt\nk=1")]);
    assert_eq!(seen.matches("k = 1").count(), INCLUDE_DEPTH);
    assert!(seen.contains("nested too deeply"));
}

#[test]
fn what_the_firmware_would_misread_is_reported() {
    insta::assert_snapshot!(
        read("\u{feff}arm_64bit=1\nkernel = kernel8.img\narm_64bit\n[pi3\ngpu_mem=16\r\n  kernel=a  \n"),
        @r"
    gpu_mem = 16 (config.txt:5)
    kernel = a (config.txt:6)
    warning: config.txt:1: the file begins with a byte order mark, so its first line is not understood
    warning: config.txt:2: there must be no space around `=`; `kernel` is ignored
    warning: config.txt:3: `arm_64bit` is neither `key=value` nor a known word and is ignored
    warning: config.txt:4: `[pi3` has no closing bracket and is ignored
    ");
}

#[test]
fn the_last_value_counts_and_numbers_may_be_hex() {
    let (config, _) = parse(
        b"gpu_mem=16\ngpu_mem=0x40\nx=\n",
        "config.txt",
        &board(),
        Stage::Start,
        &BTreeMap::new(),
    );
    assert_eq!(config.number("gpu_mem"), Some(64));
    assert_eq!(config.get("x"), Some(""));
    assert!(!config.on("x") && !config.on("absent"));
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(text in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = parse(&text, "config.txt", &board(), Stage::Start, &BTreeMap::new());
    }

    /// Lines of the right shape with arbitrary parts, including multi-byte characters at the cut.
    #[test]
    fn any_lines_are_read_and_those_outside_filters_kept(
        lines in proptest::collection::vec(
            prop_oneof![
                "[a-z_]{1,8}=[^\n\r]{0,120}",
                "\\[[^\n\r]{0,20}\\]",
                "(include|initramfs) ?[^\n\r]{0,20}",
            ],
            0..20,
        ),
    ) {
        let text = format!("{}\n[all]\nlast=1\n", lines.join("\n"));
        let (config, warnings) =
            parse(text.as_bytes(), "config.txt", &board(), Stage::Start, &BTreeMap::new());
        prop_assert_eq!(config.get("last"), Some("1"));
        prop_assert!(config.settings.iter().all(|s| s.key.len() + s.value.chars().count() <= LINE_LENGTH));
        prop_assert!(warnings.iter().all(|w| (1..=lines.len() + 2).contains(&w.line)));
    }
}
