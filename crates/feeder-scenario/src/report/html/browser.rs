//! The page in a real browser, which is driven over a pipe and has no network.

use std::{
    io::{BufRead, BufReader, Write},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use camino::Utf8Path;
use feeder_process::{Child, Cmd, find_program};
use serde_json::{Value, json};

use super::sample;
use crate::testing::temp_root;

/// Longer than a browser ever takes for anything here, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(120);
/// `$0` is the directory with the pipes. The browser reads requests from descriptor 3 and answers on 4.
const START: &str = "exec chromium --headless --no-sandbox --disable-gpu --no-first-run \
    --disable-background-networking --disable-component-update --disable-sync --disable-extensions \
    --disable-dev-shm-usage --user-data-dir=\"$0/profile\" --remote-debugging-pipe about:blank \
    3<\"$0/in\" 4>\"$0/out\" >\"$0/log\" 2>&1";

/// A tab of a browser.
struct Tab {
    to: fs_err::File,
    from: Receiver<Value>,
    child: Child,
    session: Option<String>,
    asked: u64,
    /// What it reported without being asked.
    events: Vec<Value>,
}

impl Tab {
    fn open(dir: &Utf8Path) -> Self {
        for pipe in ["in", "out"] {
            Cmd::new("mkfifo").arg(dir.join(pipe).as_str()).run().unwrap();
        }
        let child = Cmd::new("sh").args(["-c", START, dir.as_str()]).spawn().unwrap();
        let to = fs_err::OpenOptions::new().write(true).open(dir.join("in")).unwrap();
        let answers = BufReader::new(fs_err::File::open(dir.join("out")).unwrap());
        let (sender, from) = channel();
        std::thread::spawn(move || {
            for message in answers.split(0).map_while(Result::ok) {
                if sender.send(serde_json::from_slice(&message).unwrap()).is_err() {
                    break;
                }
            }
        });
        let mut tab = Self { to, from, child, session: None, asked: 0, events: Vec::new() };
        let target = tab.ask("Target.createTarget", json!({"url": "about:blank"}));
        let attached = json!({"targetId": target["targetId"], "flatten": true});
        let attached = tab.ask("Target.attachToTarget", attached);
        tab.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            tab.ask(&format!("{domain}.enable"), json!({}));
        }
        let offline =
            json!({"offline": true, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0});
        tab.ask("Network.emulateNetworkConditions", offline);
        tab
    }

    fn ask(&mut self, method: &str, params: Value) -> Value {
        self.asked += 1;
        let mut request = json!({"id": self.asked, "method": method, "params": params});
        if let Some(session) = &self.session {
            request["sessionId"] = json!(session);
        }
        let mut bytes = request.to_string().into_bytes();
        bytes.push(0);
        self.to.write_all(&bytes).unwrap();
        loop {
            let message = self.from.recv_timeout(PATIENCE).expect("the browser answers");
            if message["id"] == self.asked {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].clone();
            }
            self.events.push(message);
        }
    }

    fn show(&mut self, page: &Utf8Path) {
        self.ask("Page.navigate", json!({"url": format!("file://{page}")}));
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            let event = self.from.recv_timeout(PATIENCE).expect("the page loads");
            self.events.push(event);
        }
    }

    fn eval(&mut self, script: &str) -> Value {
        let asked = json!({"expression": script, "returnByValue": true});
        let answer = self.ask("Runtime.evaluate", asked);
        assert!(answer["exceptionDetails"].is_null(), "{script}: {answer}");
        answer["result"]["value"].clone()
    }

    fn press(&mut self, key: &str) {
        let code = if key == "Tab" { 9 } else { i32::from(key.as_bytes()[0].to_ascii_uppercase()) };
        let mut event = json!({"type": "keyDown", "key": key, "windowsVirtualKeyCode": code});
        if key.len() == 1 {
            event["text"] = json!(key);
        }
        self.ask("Input.dispatchKeyEvent", event);
        let up = json!({"type": "keyUp", "key": key, "windowsVirtualKeyCode": code});
        self.ask("Input.dispatchKeyEvent", up);
    }

    fn events(&self, method: &str) -> Vec<&Value> {
        self.events.iter().filter(|event| event["method"] == method).collect()
    }
}

impl Drop for Tab {
    fn drop(&mut self) {
        self.child.kill();
    }
}

/// A tab that shows a page, or a visible reason to skip.
fn tab(test: &str, html: &str) -> Option<(tempfile::TempDir, Tab)> {
    if find_program("chromium").is_none() {
        eprintln!("skipped {test}: no chromium on this machine; `cargo xtask setup` brings it");
        return None;
    }
    let (guard, dir) = temp_root();
    let page = dir.join("report.html");
    fs_err::write(&page, html).unwrap();
    let mut tab = Tab::open(&dir);
    tab.show(&page);
    Some((guard, tab))
}

const FOCUSED: &str = "document.activeElement.id || document.activeElement.className";
const LEFT: &str = "Array.from(document.querySelectorAll('.consoles p:not([hidden])'), (p) => p.closest('tr').hidden ? 'in a hidden row' : p.textContent)";

#[test]
fn the_page_is_whole_and_asks_for_nothing() {
    let html = sample::passed().html();
    let Some((_guard, mut tab)) = tab("the_page_is_whole_and_asks_for_nothing", &html) else {
        return;
    };
    let landmarks = "['header', 'nav', 'main', 'h1', '#timeline', '#steps', '#boots', '#time', \
        '#consoles', '#evidence', 'svg a', '[role=search]'].filter((s) => !document.querySelector(s))";
    assert_eq!(tab.eval(landmarks), json!([]));
    assert_eq!(tab.eval("document.title"), "netboot passed · feeder");
    assert_eq!(tab.eval("document.images.length + document.scripts.length"), 1);
    let ids = "(() => { const ids = Array.from(document.querySelectorAll('[id]'), (e) => e.id); return ids.length - new Set(ids).size })()";
    assert_eq!(tab.eval(ids), 0, "every id is there once");
    let dangling = "Array.from(document.querySelectorAll('a[href^=\"#\"]'), (a) => a.getAttribute('href')).filter((h) => !document.getElementById(h.slice(1)))";
    assert_eq!(tab.eval(dangling), json!([]), "every link leads somewhere");
    let shown = format!("document.body.innerText.includes({})", json!(sample::HOSTILE));
    assert_eq!(tab.eval(&shown), true, "what the guest said can be read");

    let wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth";
    let narrow = json!({"width": 800, "height": 900, "deviceScaleFactor": 1, "mobile": false});
    tab.ask("Emulation.setDeviceMetricsOverride", narrow);
    assert_eq!(tab.eval(wide), 0, "wide things scroll by themselves");
    let paper = "getComputedStyle(document.body).backgroundColor";
    let mut papers = Vec::new();
    for scheme in ["light", "dark"] {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        tab.ask("Emulation.setEmulatedMedia", json!({"features": features}));
        papers.push(tab.eval(paper));
    }
    assert_ne!(papers[0], papers[1]);

    for errors in ["Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"] {
        assert!(tab.events(errors).is_empty(), "{:?}", tab.events(errors));
    }
    for request in tab.events("Network.requestWillBeSent") {
        let url = request["params"]["request"]["url"].as_str().unwrap();
        assert!(url.starts_with("file://") || url.starts_with("data:"), "{url}");
    }
}

#[test]
fn the_page_works_by_keyboard() {
    let html = sample::failed().html();
    let Some((_guard, mut tab)) = tab("the_page_works_by_keyboard", &html) else {
        return;
    };
    tab.press("Tab");
    assert_eq!(tab.eval(FOCUSED), "skip", "the first stop leads past the navigation");
    tab.press("Tab");
    assert_eq!(tab.eval("document.activeElement.hash"), "#timeline");
    let outline = "getComputedStyle(document.activeElement).outlineStyle";
    assert_eq!(tab.eval(outline), "solid", "the focus can be seen");
    for (key, step) in [("j", "step-1"), ("j", "step-2"), ("j", "step-3"), ("k", "step-2")] {
        tab.press(key);
        assert_eq!(tab.eval(FOCUSED), step, "after {key}");
    }

    tab.press("/");
    assert_eq!(tab.eval(FOCUSED), "filter");
    let all = tab.eval(LEFT).as_array().unwrap().len();
    tab.ask("Input.insertText", json!({"text": "RPC-statd"}));
    assert_eq!(tab.eval(LEFT), json!(["systemd[1]: Started rpc-statd.service."]));
    assert_eq!(tab.eval("document.getElementById('matches').value"), "1 line");
    tab.press("j");
    assert_eq!(tab.eval(FOCUSED), "filter", "letters belong to the filter now");
    assert_eq!(tab.eval(LEFT), json!([]));
    tab.press("Escape");
    assert_eq!(tab.eval(LEFT).as_array().unwrap().len(), all);
    assert!(tab.events("Runtime.exceptionThrown").is_empty());
}
