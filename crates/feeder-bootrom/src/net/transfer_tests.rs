use super::*;
use crate::board::{BoardModel, BoardProfile};
use proptest::prelude::*;

fn plus() -> TftpProfile {
    BoardProfile::of(BoardModel::Pi3BPlus).tftp
}

const PORT: u16 = 50_000;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn data(block: u16, bytes: &[u8]) -> Vec<u8> {
    [&[0, 3][..], &block.to_be_bytes(), bytes].concat()
}

#[test]
fn a_probe_acknowledges_the_oack_and_breaks_off_at_the_first_block() {
    let (mut transfer, request) =
        Transfer::begin(ms(0), "s/start.elf", Purpose::Probe, 49153, &plus());
    assert_eq!(request.to_port, 69);
    assert_eq!(request.payload, b"\0\x01s/start.elf\0octet\0tsize\x000\0");
    let (out, end) = transfer.receive(ms(1), PORT, b"\0\x06tsize\x002965216\0");
    assert_eq!(out, Some(Outgoing { to_port: PORT, payload: tftp::ack(0) }));
    assert_eq!(end, None);
    let (out, end) = transfer.receive(ms(2), PORT, &data(1, &[0; 512]));
    assert_eq!(out.unwrap().payload, b"\0\x05\0\0Early terminate\0");
    assert_eq!(end, Some(End::Exists));
}

#[test]
fn a_probe_may_break_off_at_the_oack() {
    let profile = TftpProfile { probe_end: ProbeEnd::AtOack, ..plus() };
    let (mut transfer, _) = Transfer::begin(ms(0), "f", Purpose::Probe, 49153, &profile);
    let (out, end) = transfer.receive(ms(1), PORT, b"\0\x06tsize\x001\0");
    assert_eq!(out.unwrap().payload, b"\0\x05\0\0Early terminate\0");
    assert_eq!(end, Some(End::Exists));
}

#[test]
fn a_server_without_options_is_understood() {
    let profile = TftpProfile { block_size: Some(1024), ..plus() };
    let (mut probe, _) = Transfer::begin(ms(0), "f", Purpose::Probe, 49153, &profile);
    assert_eq!(probe.receive(ms(1), PORT, &data(1, b"x")).1, Some(End::Exists));

    let (mut fetch, request) = Transfer::begin(ms(0), "f", Purpose::Fetch, 49153, &profile);
    assert_eq!(request.payload, b"\0\x01f\0octet\0tsize\x000\0blksize\x001024\0");
    assert_eq!(fetch.receive(ms(1), PORT, &data(1, &[7; 512])).1, None);
    let (_, end) = fetch.receive(ms(1), PORT, &data(2, b"end"));
    let Some(End::Complete { bytes, blocks, announced, .. }) = end else { panic!("not complete") };
    assert_eq!((bytes.len(), blocks, announced), (515, 2, None));
}

#[test]
fn the_server_may_choose_a_smaller_block_but_no_larger_one() {
    let profile = TftpProfile { block_size: Some(1024), ..plus() };
    let (mut transfer, _) = Transfer::begin(ms(0), "f", Purpose::Fetch, 49153, &profile);
    transfer.receive(ms(1), PORT, b"\0\x06tsize\x001000\0blksize\x00600\0");
    assert_eq!(transfer.receive(ms(2), PORT, &data(1, &[1; 600])).1, None);
    let (_, end) = transfer.receive(ms(3), PORT, &data(2, &[2; 400]));
    assert!(matches!(end, Some(End::Complete { announced: Some(1000), .. })));

    let (mut transfer, _) = Transfer::begin(ms(0), "f", Purpose::Fetch, 49153, &profile);
    let (out, end) = transfer.receive(ms(1), PORT, b"\0\x06blksize\x001468\0");
    assert_eq!(out.unwrap().payload[..4], [0, 5, 0, 8]);
    assert!(matches!(end, Some(End::Absent(Absence::Broken(_)))));
}

#[test]
fn a_missing_file_is_absent_with_the_servers_words() {
    let (mut transfer, _) = Transfer::begin(ms(0), "f", Purpose::Fetch, 49153, &plus());
    let (_, end) = transfer.receive(ms(1), PORT, b"\0\x05\0\x01file /srv/f not found\0");
    assert_eq!(
        end,
        Some(End::Absent(Absence::Refused { code: 1, message: "file /srv/f not found".into() }))
    );
}

/// raspberrypi/firmware#1025: after a second it gives up, and says so to the wrong port.
#[test]
fn silence_is_taken_for_absence_after_a_second() {
    let (mut transfer, _) = Transfer::begin(ms(0), "f", Purpose::Fetch, 49171, &plus());
    transfer.receive(ms(100), PORT, &data(1, &[0; 512]));
    assert_eq!(transfer.deadline(), ms(1100));
    assert_eq!(transfer.poll(ms(1099)), (None, None));
    let (out, end) = transfer.poll(ms(1100));
    assert_eq!(out.unwrap().to_port, 49171);
    assert_eq!(end, Some(End::Absent(Absence::TimedOut { after: ms(1000), blocks: 1 })));
}

#[test]
fn a_patient_profile_sends_its_last_packet_again() {
    let profile = BoardProfile::of(BoardModel::Pi3BPlus).patient().tftp;
    let (mut transfer, request) = Transfer::begin(ms(0), "f", Purpose::Fetch, 49153, &profile);
    assert_eq!(transfer.poll(ms(1000)), (Some(request), None));
    let (ack, _) = transfer.receive(ms(1100), PORT, &data(1, &[0; 512]));
    assert_eq!(transfer.poll(ms(2099)), (None, None));
    assert_eq!(transfer.poll(ms(2100)), (ack, None));
    assert!(matches!(transfer.poll(ms(11_100)).1, Some(End::Absent(_))));
}

#[test]
fn packets_of_another_transfer_are_ignored() {
    let (mut transfer, _) = Transfer::begin(ms(0), "f", Purpose::Fetch, 49153, &plus());
    transfer.receive(ms(1), PORT, &data(1, &[0; 512]));
    assert_eq!(transfer.receive(ms(2), PORT + 1, &data(2, b"wrong")), (None, None));
    let (_, end) = transfer.receive(ms(3), PORT, &data(2, b"right"));
    assert!(matches!(end, Some(End::Complete { bytes, .. }) if bytes.ends_with(b"right")));
}

#[test]
fn block_numbers_wrap_around() {
    let (mut transfer, _) = Transfer::begin(ms(0), "f", Purpose::Fetch, 49153, &plus());
    let blocks = 65_537_u64;
    for block in 1..=blocks {
        let (out, end) = transfer.receive(ms(1), PORT, &data(block as u16, &[1; 512]));
        assert_eq!(out.unwrap().payload, tftp::ack(block as u16));
        assert_eq!(end, None);
    }
    let (_, end) = transfer.receive(ms(1), PORT, &data((blocks + 1) as u16, &[]));
    let Some(End::Complete { bytes, blocks: counted, .. }) = end else { panic!("not complete") };
    assert_eq!((bytes.len() as u64, counted), (512 * blocks, blocks + 1));
}

/// A server that sends a block again when asked, and after 300 ms of silence.
struct Server {
    file: Vec<u8>,
    block_size: usize,
    options: bool,
    /// The packet last sent; block 0 is the OACK.
    block: u64,
    sent: Duration,
    started: bool,
}

impl Server {
    fn packet(&self) -> Vec<u8> {
        if self.block == 0 {
            return format!("\0\x06tsize\0{}\0blksize\0{}\0", self.file.len(), self.block_size)
                .into();
        }
        let start = self.file.len().min(self.block_size * (self.block as usize - 1));
        let end = self.file.len().min(start + self.block_size);
        data(self.block as u16, &self.file[start..end])
    }

    fn receive(&mut self, now: Duration, payload: &[u8]) -> Option<Vec<u8>> {
        match payload[1] {
            1 if !self.started => {
                self.started = true;
                self.block = u64::from(!self.options);
                if !self.options {
                    self.block_size = 512;
                }
            }
            4 if self.started && payload[2..] == (self.block as u16).to_be_bytes() => {
                self.block += 1
            }
            _ => return None,
        }
        self.sent = now;
        Some(self.packet())
    }
}

/// What the network does to a packet.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Arrive { after: u64 },
    Twice { first: u64, second: u64 },
    Lost,
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = prop_oneof![
        4 => (0_u64..40).prop_map(|after| Fate::Arrive { after }),
        1 => (0_u64..40, 0_u64..700).prop_map(|(first, second)| Fate::Twice { first, second }),
        1 => Just(Fate::Lost),
    ];
    proptest::collection::vec(fate, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever the network loses, doubles and reorders for a while: the file arrives exactly, as long
    /// as it stays within the profile's patience.
    #[test]
    fn the_exact_bytes_arrive(
        size in prop_oneof![0_usize..5000, Just(512), Just(1024), Just(2048)],
        options: bool,
        fates in fates(),
    ) {
        let file: Vec<u8> = (0..size).map(|at| (at * 31 % 251) as u8).collect();
        let profile = TftpProfile {
            block_size: Some(1024),
            patience: Duration::from_secs(60),
            retransmit: Some(ms(200)),
            ..plus()
        };
        let (mut client, request) = Transfer::begin(ms(0), "f", Purpose::Fetch, 49153, &profile);
        let mut server =
            Server { file: file.clone(), block_size: 1024, options, block: 0, sent: ms(0), started: false };
        let mut fates = fates.into_iter();
        // Packets under way: when, to the client or not, what.
        let mut air: Vec<(Duration, bool, Vec<u8>)> = Vec::new();
        let mut launch = |air: &mut Vec<_>, now: Duration, to_client, payload: Vec<u8>| {
            match fates.next().unwrap_or(Fate::Arrive { after: 1 }) {
                Fate::Lost => {}
                Fate::Arrive { after } => air.push((now + ms(after), to_client, payload)),
                Fate::Twice { first, second } => {
                    air.push((now + ms(first), to_client, payload.clone()));
                    air.push((now + ms(second), to_client, payload));
                }
            }
        };
        launch(&mut air, ms(0), false, request.payload);
        let mut end = None;
        for now in (0..120_000).map(ms) {
            air.sort_by_key(|packet| packet.0);
            while end.is_none() && air.first().is_some_and(|packet| packet.0 <= now) {
                let (_, to_client, payload) = air.remove(0);
                if to_client {
                    let (out, ended) = client.receive(now, PORT, &payload);
                    end = ended;
                    if let Some(out) = out {
                        launch(&mut air, now, false, out.payload);
                    }
                } else if let Some(reply) = server.receive(now, &payload) {
                    launch(&mut air, now, true, reply);
                }
            }
            if end.is_some() {
                break;
            }
            if server.started && now >= server.sent + ms(300) {
                server.sent = now;
                launch(&mut air, now, true, server.packet());
            }
            let (out, ended) = client.poll(now);
            end = ended;
            if let Some(out) = out {
                launch(&mut air, now, false, out.payload);
            }
        }
        let Some(End::Complete { bytes, .. }) = end else { panic!("{end:?}") };
        prop_assert_eq!(bytes, file);
    }
}
