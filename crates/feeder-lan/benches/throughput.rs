//! How fast frames pass between two unix-socket peers: through the LAN, with and without capture, and through a bare copy
//! between the same kind of sockets, which is as fast as this host can be.
//!
//! `cargo bench -p feeder-lan`; arguments: frame size in bytes and number of frames (1500 and 300,000).
#![expect(clippy::print_stdout, reason = "a benchmark's output is its purpose")]

use std::os::unix::net::UnixDatagram;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use feeder_lan::{Lan, LanConfig, RouterConfig};
use rustix::time::{ClockId, clock_gettime};

const A: [u8; 6] = [0x02, 0, 0, 0, 0, 0xa];
const B: [u8; 6] = [0x02, 0, 0, 0, 0, 0xb];
/// Frames per acknowledgement, and batches in flight: a window of 384 KB, as TCP has on a LAN.
const BATCH: usize = 64;
const WINDOW: usize = 4;
/// A receiver which gets nothing for this long has got all there is.
const SILENCE: Duration = Duration::from_millis(500);

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

struct Measured {
    sent: u64,
    received: u64,
    took: Duration,
    cpu: Duration,
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
    report("bare copy", size, &bare(size, count)?);
    report("LAN", size, &lan(dir, None, size, count)?);
    report("LAN with capture", size, &lan(dir, Some(dir.join("lan.pcapng")), size, count)?);
    Ok(())
}

fn report(name: &str, size: usize, measured: &Measured) {
    let seconds = measured.took.as_secs_f64();
    let frames = measured.received as f64 / seconds;
    let cpu = format!("{:.1} us", measured.cpu.as_secs_f64() * 1e6 / measured.sent as f64);
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
    let lan = Lan::start(LanConfig { sockets: dir.join("s"), capture, router, seed: 1 })?;
    let (a, b) = (lan.attach_qemu("a")?, lan.attach_qemu("b")?);
    let sender = UnixDatagram::bind(&a.qemu)?;
    let receiver = UnixDatagram::bind(&b.qemu)?;
    // So that the switch knows where B is; A gets the frame too, which shows that B has been learnt.
    receiver.send_to(&frame(A, B, size), &b.lan)?;
    sender.recv(&mut vec![0; size])?;
    let before = lan.stats().cpu;
    let mut measured =
        transfer(&receiver, count, size, move |frame| sender.send_to(frame, &a.lan).map(drop))?;
    measured.cpu = lan.shutdown().cpu - before;
    Ok(measured)
}

fn bare(size: usize, count: usize) -> Outcome<Measured> {
    let (sender, copier) = UnixDatagram::pair()?;
    let (copied, receiver) = UnixDatagram::pair()?;
    let closer = sender.try_clone()?;
    let thread = std::thread::spawn(move || -> std::io::Result<Duration> {
        let mut buffer = vec![0; 65536];
        loop {
            match copier.recv(&mut buffer)? {
                0 => return Ok(thread_cpu_time()),
                length => drop(copied.send(&buffer[..length])?),
            }
        }
    });
    let mut measured = transfer(&receiver, count, size, move |frame| sender.send(frame).map(drop))?;
    closer.send(&[])?;
    measured.cpu = thread.join().map_err(|_| "the copying thread panicked")??;
    Ok(measured)
}

fn thread_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

fn transfer(
    receiver: &UnixDatagram,
    count: usize,
    size: usize,
    send: impl Fn(&[u8]) -> std::io::Result<()> + Send + 'static,
) -> Outcome<Measured> {
    receiver.set_read_timeout(Some(SILENCE))?;
    let (acknowledge, acknowledged) = channel();
    let start = Instant::now();
    let sender = std::thread::spawn(move || -> std::io::Result<()> {
        let frame = frame(B, A, size);
        for batch in 0..count / BATCH {
            // As TCP would: no more in flight than a window. What is lost is not waited for.
            if batch >= WINDOW {
                let _ = acknowledged.recv_timeout(SILENCE);
            }
            (0..BATCH).try_for_each(|_| send(&frame))?;
        }
        Ok(())
    });
    let sent = count / BATCH * BATCH;
    let mut buffer = vec![0; 65536];
    let mut received = 0;
    let mut last = start;
    while received < sent && receiver.recv(&mut buffer).is_ok() {
        received += 1;
        last = Instant::now();
        if received % BATCH == 0 {
            // The sender may be done already.
            let _ = acknowledge.send(());
        }
    }
    sender.join().map_err(|_| "the sending thread panicked")??;
    Ok(Measured {
        sent: sent as u64,
        received: received as u64,
        took: last - start,
        cpu: Duration::ZERO,
    })
}

fn frame(to: [u8; 6], from: [u8; 6], size: usize) -> Vec<u8> {
    let mut frame = [&to[..], &from[..], &[0x88, 0xb5]].concat();
    frame.resize(size, 0x55);
    frame
}
