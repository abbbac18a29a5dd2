//! What a real tcpdump printed of the twin, of a real dnsmasq and of machines that are no workers.

use camino::Utf8PathBuf;
use feeder_remote::Local;

use super::*;

const LAB: &str = include_str!("../../../../fixtures/clusters/lab.toml");
/// The boot of a 3B+ that is not in the sample cluster, with a router and a proxy.
const BOOT: &str = include_str!("../../../../fixtures/watch/discover-3b-plus.txt");
/// The sample's first worker and the master's answer, strangers, and an ordinary system.
const SEGMENT: &str = include_str!("../../../../fixtures/watch/discover-lab.txt");

/// A master that prints a recording where it is asked to listen.
fn heard(
    config: &str,
    recording: &str,
    add: Add,
    ask: &mut dyn FnMut(&str) -> Asked,
) -> (Result<Discovered, DiscoverError>, String, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let folder = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
    let file = folder.join("cluster.toml");
    std::fs::write(&file, config).unwrap();
    std::fs::write(folder.join("recording"), recording).unwrap();
    // In place of the shell: it prints the recording, and says in the words of the transport that it has ended well.
    let end = "printf '\\036feeder begin\\n' >&2; cat \"$0\"; printf '\\n\\036feeder end 0\\n' >&2";
    let words = ["sh", "-c", end, folder.join("recording").as_str()].map(str::to_owned);
    let master = Local::new("cluster00").shell(words);
    let cluster = feeder_cluster::parse(config, "cluster.toml").unwrap().cluster;
    let (progress, record) = Progress::recording();
    let seen = listen((&file, &cluster), &master, Some(1), add, ask, &progress);
    let said = record.lines().iter().map(|note| note.replace(folder.as_str(), "FOLDER")).collect();
    (seen, std::fs::read_to_string(&file).unwrap(), said)
}

fn nobody(_: &str) -> Asked {
    panic!("nobody is to be asked")
}

#[test]
fn boards_are_shown_as_they_appear_and_as_a_table() {
    let cluster = feeder_cluster::parse(LAB, "lab.toml").unwrap().cluster;
    let (seen, file, said) = heard(LAB, BOOT, Add::Nothing, &mut nobody);
    let seen = seen.unwrap();
    assert_eq!(file, LAB);
    insta::assert_snapshot!("boot_lines", said.join("\n"));
    insta::assert_snapshot!("boot_table", table(&seen, &cluster));
    let (seen, _, said) = heard(LAB, SEGMENT, Add::Nothing, &mut nobody);
    let seen = seen.unwrap();
    insta::assert_snapshot!("segment_lines", said.join("\n"));
    insta::assert_snapshot!("segment_table", table(&seen, &cluster));
    insta::assert_snapshot!("segment_json", serde_json::to_string_pretty(&seen).unwrap());
}

#[test]
fn boards_are_added_in_the_hand_of_the_file() {
    let (seen, file, said) = heard(LAB, SEGMENT, Add::All, &mut nobody);
    assert!(seen.unwrap().devices.iter().any(|it| it.place == Place::Added("cluster03".into())));
    insta::assert_snapshot!("added", similar(LAB, &file));
    assert!(said.iter().any(|line| line.contains("as cluster03, at 192.168.10.103")), "{said:?}");
    // The comments of the file are all there, in their places.
    assert!(file.starts_with(LAB.trim_end()), "{file}");
    feeder_cluster::parse(&file, "lab.toml").unwrap();
}

/// The lines that a text has more than another.
fn similar(before: &str, after: &str) -> String {
    after.strip_prefix(before).map_or_else(|| after.to_owned(), str::to_owned)
}

#[test]
fn a_section_is_added_wherever_workers_stand() {
    let without = "[cluster]\nname = 'lab' # mine\n[network]\nsubnet = '10.1.0.0/24'\ngateway = '10.1.0.1'\n[master]\nname = 'pi'\naddress = '10.1.0.7'\n\n# the end\n";
    let (_, file, _) = heard(without, SEGMENT, Add::All, &mut nobody);
    insta::assert_snapshot!("first_worker", file);
    let between = format!("{}\n[swarm]\nmanagers = 1 # enough\n", LAB.trim_end());
    let (_, file, _) = heard(&between, SEGMENT, Add::All, &mut nobody);
    assert!(file.trim_end().ends_with("[swarm]\nmanagers = 1 # enough"), "{file}");
    let cluster = feeder_cluster::parse(&file, "lab.toml").unwrap().cluster;
    assert_eq!(cluster.workers.len(), 3);
    assert!(cluster.workers[2].labels.is_empty());
}

#[test]
fn only_what_somebody_agrees_to_is_added() {
    let mut asked = Vec::new();
    let (_, file, _) = heard(LAB, SEGMENT, Add::Ask, &mut |question| {
        asked.push(question.split(" to /").next().unwrap().to_owned());
        Asked::No
    });
    assert_eq!(file, LAB);
    assert_eq!(asked, ["Add b8:27:eb:99:00:01 (3B+, serial 12990001)"]);
}

#[test]
fn a_file_that_is_wrong_by_now_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = Utf8PathBuf::from_path_buf(dir.path().join("cluster.toml")).unwrap();
    let (seen, _, _) = heard(LAB, SEGMENT, Add::Nothing, &mut nobody);
    let seen = seen.unwrap();
    let board = seen.devices.iter().find(|device| device.place == Place::None).unwrap();
    std::fs::write(&file, "[cluster]\nnmae = 1\n").unwrap();
    let error = enrol::enrol(&file, board).unwrap_err();
    assert_eq!(error.exit(), feeder_ui::Exit::Input);
    let listed = LAB.split("[[worker]]").next().unwrap();
    let inline = format!("worker = []\n{listed}");
    std::fs::write(&file, &inline).unwrap();
    let error = enrol::enrol(&file, board).unwrap_err();
    assert!(error.hint().is_some(), "{error}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), inline);
}

#[test]
fn a_board_of_another_serial_number_than_the_file_says_is_told() {
    let config = LAB.replace("9f404536", "8e404536");
    let (seen, _, _) = heard(&config, SEGMENT, Add::Nothing, &mut nobody);
    let worker = seen.unwrap().devices.remove(0);
    assert_eq!(worker.remarks.len(), 1, "{worker:?}");
    assert!(worker.remarks[0].contains("8e404536, the board says 9f404536"), "{worker:?}");
}

#[test]
fn what_keeps_a_master_from_listening_is_told() {
    for (said, words) in [
        ("no tcpdump\n", "tcpdump is not installed"),
        ("no interface\n", "no address in 192.168.10.0/24"),
        ("", "did not say"),
    ] {
        let (seen, _, _) = heard(LAB, said, Add::Nothing, &mut nobody);
        let error = seen.unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert!(error.to_string().contains("cluster00") && error.hint().is_some(), "{error}");
        assert_eq!(error.exit(), feeder_ui::Exit::Failed);
    }
}
