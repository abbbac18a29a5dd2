//! How fast frames pass between two unix-socket peers: through the LAN, with and without capture, and through a bare copy
//! between the same kind of sockets, which is as fast as this host can be.
//!
//! `cargo bench -p feeder-lan`; arguments: frame size in bytes and number of frames (1500 and 300,000).
#![expect(clippy::print_stdout, reason = "a benchmark's output is its purpose")]

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use feeder_lan::{Lan, LanConfig, RouterConfig};

const A: [u8; 6] = [0x02, 0, 0, 0, 0, 0xa];
const B: [u8; 6] = [0x02, 0, 0, 0, 0, 0xb];
/// A receiver which gets nothing for this long has got all there is.
const SILENCE: Duration = Duration::from_millis(500);

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

struct Measured {
    sent: u64,
    received: u64,
    took: Duration,
    cpu: Option<Duration>,
}

fn main() -> Outcome<()> {
    let mut numbers = std::env::args().skip(1).filter_map(|arg| arg.parse::<usize>().ok());
    let size = numbers.next().unwrap_or(1500);
    let count = numbers.next().unwrap_or(300_000);
    let dir = tempfile::tempdir()?;
    let dir =
        Utf8Path::from_path(dir.path()).ok_or("the temporary directory's path is not UTF-8")?;
    println!(
        "{:<22} {:>9} {:>10} {:>8} {:>12}",
        format!("{size}-byte frames"),
        "Mbit/s",
        "frames/s",
        "dropped",
        "CPU/frame"
    );
    report("bare copy", size, &bare(dir, size, count)?);
    report("LAN", size, &lan(dir, None, size, count)?);
    report("LAN with capture", size, &lan(dir, Some(dir.join("lan.pcapng")), size, count)?);
    Ok(())
}

fn report(name: &str, size: usize, measured: &Measured) {
    let seconds = measured.took.as_secs_f64();
    let frames = measured.received as f64 / seconds;
    let cpu = measured.cpu.map_or("-".into(), |cpu| {
        format!("{:.1} us", cpu.as_secs_f64() * 1e6 / measured.sent as f64)
    });
    println!(
        "{name:<22} {:>9.0} {frames:>10.0} {:>8} {cpu:>12}",
        frames * size as f64 * 8.0 / 1e6,
        measured.sent - measured.received
    );
}

fn lan(
    dir: &Utf8Path,
    capture: Option<Utf8PathBuf>,
    size: usize,
    count: usize,
) -> Outcome<Measured> {
    let router = RouterConfig::home("192.168.50.0/24".parse()?);
    let lan = Lan::start(LanConfig { sockets: dir.join("s"), capture, router })?;
    let (a, b) = (lan.attach_qemu("a")?, lan.attach_qemu("b")?);
    let sender = UnixDatagram::bind(&a.qemu)?;
    let receiver = UnixDatagram::bind(&b.qemu)?;
    // So that the switch knows where B is; A gets the frame too, which shows that B has been learnt.
    receiver.send_to(&frame(A, B, size), &b.lan)?;
    sender.recv(&mut vec![0; size])?;
    let before = lan.stats().cpu;
    let mut measured =
        transfer(&receiver, count, size, move |frame| sender.send_to(frame, &a.lan).map(drop))?;
    measured.cpu = Some(lan.shutdown().cpu - before);
    Ok(measured)
}

fn bare(dir: &Utf8Path, size: usize, count: usize) -> Outcome<Measured> {
    let (from, to) = (dir.join("from"), dir.join("to"));
    let copier = UnixDatagram::bind(&from)?;
    let receiver = UnixDatagram::bind(&to)?;
    let thread = std::thread::spawn(move || -> std::io::Result<()> {
        let mut buffer = vec![0; 65536];
        loop {
            match copier.recv(&mut buffer)? {
                0 => return Ok(()),
                length => drop(copier.send_to(&buffer[..length], &to)?),
            }
        }
    });
    let sender = UnixDatagram::unbound()?;
    let closer = sender.try_clone()?;
    let path = from.clone();
    let measured =
        transfer(&receiver, count, size, move |frame| sender.send_to(frame, &path).map(drop))?;
    closer.send_to(&[], &from)?;
    thread.join().map_err(|_| "the copying thread panicked")??;
    Ok(measured)
}

fn transfer(
    receiver: &UnixDatagram,
    count: usize,
    size: usize,
    send: impl Fn(&[u8]) -> std::io::Result<()> + Send + 'static,
) -> Outcome<Measured> {
    receiver.set_read_timeout(Some(SILENCE))?;
    let start = Instant::now();
    let sender = std::thread::spawn(move || {
        let frame = frame(B, A, size);
        (0..count).try_for_each(|_| send(&frame))
    });
    let mut buffer = vec![0; 65536];
    let mut received = 0;
    let mut last = start;
    while received < count as u64 && receiver.recv(&mut buffer).is_ok() {
        received += 1;
        last = Instant::now();
    }
    sender.join().map_err(|_| "the sending thread panicked")??;
    Ok(Measured { sent: count as u64, received, took: last - start, cpu: None })
}

fn frame(to: [u8; 6], from: [u8; 6], size: usize) -> Vec<u8> {
    let mut frame = [&to[..], &from[..], &[0x88, 0xb5]].concat();
    frame.resize(size, 0x55);
    frame
}
