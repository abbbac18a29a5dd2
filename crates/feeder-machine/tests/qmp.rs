//! The QMP transport against a server that behaves as QEMU may.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail by panicking, too")]

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    sync::{Arc, Mutex},
    time::Duration,
};

use feeder_machine::{
    Qmp, QmpError,
    qapi::qmp::{query_name, query_status, query_version, stop},
};
use serde_json::{Value, json};

const GREETING: &str = r#"{"QMP": {"version": {"qemu": {"micro": 2, "minor": 0, "major": 10}, "package": ""}, "capabilities": ["oob"]}}"#;

/// QEMU's end of the wire.
struct Server {
    reader: BufReader<UnixStream>,
    writer: UnixStream,
}

impl Server {
    fn says(&mut self, message: impl std::fmt::Display) {
        writeln!(self.writer, "{message}").unwrap();
    }

    fn hears(&mut self) -> Value {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// Answers a command: `{"return": value, "id": …}`.
    fn returns(&mut self, command: &Value, value: Value) {
        self.says(json!({ "return": value, "id": command["id"] }));
    }
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A client after the handshake, its log, and a server that goes on with `script`.
fn with_server(
    script: impl FnOnce(&mut Server) + Send + 'static,
) -> (Qmp, Log, std::thread::JoinHandle<()>) {
    let (client, server) = UnixStream::pair().unwrap();
    let thread = std::thread::spawn(move || {
        let mut server =
            Server { reader: BufReader::new(server.try_clone().unwrap()), writer: server };
        server.says(GREETING);
        let hello = server.hears();
        assert_eq!(hello["execute"], "qmp_capabilities");
        server.returns(&hello, json!({}));
        script(&mut server);
    });
    let log = Log::default();
    let qmp = Qmp::connect(client, log.clone()).unwrap();
    (qmp, log, thread)
}

fn status() -> Value {
    json!({ "running": true, "status": "running" })
}

#[test]
fn events_in_the_middle_known_or_not_do_not_disturb_answers() {
    let (qmp, log, server) = with_server(|server| {
        let command = server.hears();
        server.says(r#"{"event": "STOP", "timestamp": {"seconds": 7, "microseconds": 500000}}"#);
        server.says(r#"{"event": "FROM_THE_FUTURE", "data": {"x": 1}, "timestamp": {"seconds": 8, "microseconds": 0}}"#);
        // Known, but with a value that is not.
        server.says(r#"{"event": "SHUTDOWN", "data": {"guest": true, "reason": "alien-abduction"}, "timestamp": {"seconds": 9, "microseconds": 0}}"#);
        server.says("this is no JSON");
        server.returns(&command, status());
        let command = server.hears();
        server.returns(&command, json!({ "name": "cluster00" }));
    });
    let events = qmp.subscribe();
    assert!(qmp.execute(query_status {}).unwrap().running);
    // The next command works, too: that is what breaks in qapi's own client.
    assert_eq!(qmp.execute(query_name {}).unwrap().name.as_deref(), Some("cluster00"));
    server.join().unwrap();

    let events: Vec<_> = events.iter().collect();
    assert_eq!(
        events.iter().map(|e| (e.name.as_str(), e.typed.is_some())).collect::<Vec<_>>(),
        [("STOP", true), ("FROM_THE_FUTURE", false), ("SHUTDOWN", false)]
    );
    assert_eq!(events[0].at, Duration::from_millis(7500));
    assert_eq!(events[1].data["x"], 1);
    assert_eq!(qmp.events().len(), 3);
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    for line in ["query-status", "FROM_THE_FUTURE", "this is no JSON", "cluster00"] {
        assert!(log.lines().any(|l| l.contains(line)), "{line} is missing in:\n{log}");
    }
}

#[test]
fn answers_find_their_commands_in_any_order() {
    let (qmp, _, server) = with_server(|server| {
        let (first, second) = (server.hears(), server.hears());
        for command in [second, first] {
            let value = match command["execute"].as_str().unwrap() {
                "query-status" => status(),
                _ => json!({ "qemu": { "major": 10, "minor": 0, "micro": 2 }, "package": "" }),
            };
            server.returns(&command, value);
        }
    });
    std::thread::scope(|scope| {
        let version = scope.spawn(|| qmp.execute(query_version {}).unwrap().qemu.major);
        assert!(qmp.execute(query_status {}).unwrap().running);
        assert_eq!(version.join().unwrap(), 10);
    });
    server.join().unwrap();
}

#[test]
fn a_late_answer_is_nobody_elses() {
    let (go_on, late) = std::sync::mpsc::channel();
    let (qmp, _, server) = with_server(move |server| {
        let slow = server.hears();
        late.recv().unwrap();
        server.returns(&slow, json!({}));
        let next = server.hears();
        server.returns(&next, status());
    });
    let err = qmp.execute_within(stop {}, Duration::from_millis(50)).unwrap_err();
    assert!(matches!(err, QmpError::Deadline { command: "stop", .. }), "{err}");
    go_on.send(()).unwrap();
    assert!(qmp.execute(query_status {}).unwrap().running);
    server.join().unwrap();
}

#[test]
fn refusals_surprises_and_the_end_are_told_apart() {
    let (qmp, _, server) = with_server(|server| {
        let command = server.hears();
        server.says(json!({ "id": command["id"], "error": { "class": "GenericError", "desc": "no power button" } }));
        let command = server.hears();
        server.returns(&command, json!({ "running": "perhaps" }));
        server.hears();
    });
    let err = qmp.execute(stop {}).unwrap_err();
    assert_eq!(err.to_string(), "QEMU refused stop: no power button (GenericError)");
    let err = qmp.execute(query_status {}).unwrap_err();
    assert!(matches!(err, QmpError::Answer { command: "query-status", .. }), "{err}");
    // In the middle of a command, and before one.
    for _ in 0..2 {
        let err = qmp.execute(query_status {}).unwrap_err();
        assert!(matches!(err, QmpError::Closed { .. }), "{err}");
    }
    assert!(qmp.wait_closed(Duration::ZERO));
    assert!(qmp.subscribe().recv().is_err(), "no events come from a closed connection");
    server.join().unwrap();
}

#[test]
fn nobody_greets() {
    let (client, server) = UnixStream::pair().unwrap();
    drop(server);
    let err = Qmp::connect(client, std::io::sink()).unwrap_err();
    assert!(matches!(err, QmpError::Closed { .. }), "{err}");
}
