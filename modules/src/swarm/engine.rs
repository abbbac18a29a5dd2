//! Questions and orders to a node's engine, over SSH and its socket.
//!
//! curl takes the body of a request from its standard input, so that a join token is in no argument list. Nothing is asked of
//! the `docker` command, which takes tokens as arguments, and seconds to start on a Pi.

use feeder_remote::Host;
use serde_json::Value;

use super::SwarmError;

/// One request of the engine's HTTP interface.
pub(super) struct Request {
    method: &'static str,
    path: String,
    body: Option<Value>,
}

/// What the engine answered.
pub(super) struct Answer {
    /// 0 when it did not.
    status: u16,
    /// How curl ended.
    exit: u16,
    body: String,
}

/// What asking an engine came to.
pub(super) struct Asked {
    /// One answer for each request. None: there is no engine.
    pub(super) answers: Option<Vec<Answer>>,
    /// SHA-256 of the certificate of the swarm that the node is or was in.
    pub(super) root_ca: Option<String>,
}

impl Request {
    pub(super) fn get(path: &str) -> Self {
        Self { method: "GET", path: path.to_owned(), body: None }
    }

    pub(super) fn delete(path: String) -> Self {
        Self { method: "DELETE", path, body: None }
    }

    pub(super) fn post(path: impl Into<String>, body: Value) -> Self {
        Self { method: "POST", path: path.into(), body: Some(body) }
    }

    fn script(&self) -> String {
        let Self { method, path, body } = self;
        match body {
            None => format!("ask {method} '{path}' </dev/null\n"),
            // JSON on one line: no line of it can be the end of the document.
            Some(body) => format!(
                "ask {method} '{path}' --data-binary @- <<'FEEDER-BODY'\n{body}\nFEEDER-BODY\n"
            ),
        }
    }
}

impl Answer {
    /// The JSON of an answer that says yes.
    pub(super) fn json(&self) -> Option<Value> {
        self.says_yes().then(|| serde_json::from_str(&self.body).ok()).flatten()
    }

    fn says_yes(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Insists that the engine did it.
    pub(super) fn done(&self, host: &str, doing: &str) -> Result<(), SwarmError> {
        if self.says_yes() { Ok(()) } else { Err(self.refused(host, doing)) }
    }

    /// Insists on JSON.
    pub(super) fn value(&self, host: &str, doing: &str) -> Result<Value, SwarmError> {
        self.json().ok_or_else(|| self.refused(host, doing))
    }

    /// What the engine said, as far as it said no.
    pub(super) fn message(&self) -> String {
        if self.is_late() {
            return format!("it did not answer within {PATIENCE} s");
        }
        if self.is_none() {
            return "it takes no requests; `journalctl -u docker` there says why".to_owned();
        }
        let parsed: Option<Value> = serde_json::from_str(&self.body).ok();
        let message = parsed.as_ref().and_then(|body| body["message"].as_str());
        // An answer that is no error may hold what nobody should see.
        message.map_or_else(|| format!("status {}", self.status), str::to_owned)
    }

    fn refused(&self, host: &str, doing: &str) -> SwarmError {
        SwarmError::Engine { host: host.to_owned(), doing: doing.to_owned(), said: self.message() }
    }

    /// The engine goes on with it by itself.
    pub(super) fn goes_on(&self) -> bool {
        self.status == 503 && self.body.contains("will continue in the background")
    }

    /// No within the time that it was given: as a rule it goes on with it by itself.
    pub(super) fn is_late(&self) -> bool {
        self.exit == LATE
    }

    /// It is none: the engine did not answer, or there is nobody at its socket to do so.
    pub(super) fn is_none(&self) -> bool {
        self.status == 0
    }

    /// What it refuses now it may do a moment later: the managers had changed the node meanwhile, or have yet to agree on
    /// who leads them or who they are (swarmkit, `manager/controlapi/node.go` and `manager/state/raft`).
    pub(super) fn passes(&self) -> bool {
        const PASSING: [&str; 4] = [
            "out of sequence",
            "does not have a leader",
            "can't find manager in raft memberlist",
            "raft: no elected cluster leader",
        ];
        !self.says_yes() && PASSING.iter().any(|words| self.body.contains(words))
    }
}

/// Ends an answer: ASCII's record separator, which no JSON holds.
const MARK: char = '\u{1e}';
/// How many seconds an engine may take for an answer: joining a swarm takes it long on a board.
const PATIENCE: u32 = 150;
/// How curl ends when that is over.
const LATE: u16 = 28;
/// Stands in place of answers.
const NO_ENGINE: &str = "no engine";

const PRELUDE: &str = r#"set -eu
docker=${FEEDER_DOCKER:-/var/lib/docker} socket=${FEEDER_DOCKER_SOCKET:-/run/docker.sock}
ca=$docker/swarm/certificates/swarm-root-ca.crt
if [ -r "$ca" ]; then sha256sum <"$ca" | cut -d ' ' -f 1; else echo none; fi
if [ ! -S "$socket" ] || ! command -v curl >/dev/null; then echo 'no engine'; exit; fi
mark=$(printf '\036')
ask() {
  method=$1 path=$2
  shift 2
  curl --silent --show-error --max-time "$patience" --unix-socket "$socket" --header 'Content-Type: application/json' \
    --write-out "$mark%{http_code} %{exitcode}\n" --request "$method" "$@" "http://engine$path" || case $? in
    # Nobody listens; late; no answer; reset. An engine that cannot start resets, as systemd has its socket.
    7 | 28 | 52 | 56) ;;
    *) return 1 ;;
    esac
}
"#;

/// Asks an engine, in one round trip.
pub(super) fn ask(host: &dyn Host, requests: &[Request]) -> Result<Asked, SwarmError> {
    let script: String = requests.iter().map(Request::script).collect();
    let output = host.run(&format!("patience={PATIENCE}\n{PRELUDE}{script}"))?;
    let asked = parse(&output.stdout_text());
    match &asked.answers {
        Some(answers) if answers.len() != requests.len() => Err(SwarmError::Engine {
            host: host.name().to_owned(),
            doing: "understand the engine".to_owned(),
            said: format!("{} answers to {} requests", answers.len(), requests.len()),
        }),
        _ => Ok(asked),
    }
}

/// Gives one order.
pub(super) fn order(host: &dyn Host, request: Request, doing: &str) -> Result<Answer, SwarmError> {
    let asked = ask(host, &[request])?;
    let answer = asked.answers.and_then(|answers| answers.into_iter().next());
    answer.ok_or_else(|| SwarmError::Engine {
        host: host.name().to_owned(),
        doing: doing.to_owned(),
        said: "no engine runs there".to_owned(),
    })
}

fn parse(text: &str) -> Asked {
    let (root_ca, rest) = text.split_once('\n').unwrap_or((text, ""));
    let root_ca = Some(root_ca).filter(|ca| !matches!(*ca, "none" | "")).map(str::to_owned);
    if rest.trim_end() == NO_ENGINE {
        return Asked { answers: None, root_ca };
    }
    let mut answers = Vec::new();
    let mut rest = rest;
    while let Some((body, more)) = rest.split_once(MARK) {
        let (ended, more) = more.split_once('\n').unwrap_or((more, ""));
        let mut ended = ended.split_whitespace().map(|number| number.parse().unwrap_or_default());
        answers.push(Answer {
            status: ended.next().unwrap_or_default(),
            exit: ended.next().unwrap_or_default(),
            body: body.to_owned(),
        });
        rest = more;
    }
    Asked { answers: Some(answers), root_ca }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart() {
        let asked =
            parse("abc\n{\"a\":1}\n\u{1e}200 0\n{\"message\":\"This node is not\"}\n\u{1e}503 0\n");
        assert_eq!(asked.root_ca.as_deref(), Some("abc"));
        let answers = asked.answers.expect("there are some");
        assert_eq!(answers.len(), 2);
        assert_eq!(answers[0].json().expect("json")["a"], 1);
        assert!(answers[1].json().is_none());
        let error = answers[1].done("cluster00", "look at its swarm").expect_err("a refusal");
        assert_eq!(error.to_string(), "cannot look at its swarm on cluster00: This node is not");
    }

    #[test]
    fn no_engine_is_no_answer() {
        let asked = parse("none\nno engine\n");
        assert!(asked.answers.is_none() && asked.root_ca.is_none());
    }

    #[test]
    fn an_engine_that_is_late_has_not_said_yes() {
        let asked = parse("abc\n\u{1e}000 28\n");
        let answer = &asked.answers.expect("there is one")[0];
        assert!(answer.is_late() && !answer.goes_on() && answer.json().is_none());
        let error = answer.done("cluster00", "make a swarm").expect_err("no answer");
        assert_eq!(
            error.to_string(),
            "cannot make a swarm on cluster00: it did not answer within 150 s"
        );
    }

    #[test]
    fn an_engine_that_takes_no_requests_does_nothing_by_itself() {
        for exit in ["7", "52", "56"] {
            let asked = parse(&format!("abc\n\u{1e}000 {exit}\n"));
            let answer = &asked.answers.expect("there is one")[0];
            assert!(answer.is_none() && !answer.is_late() && answer.json().is_none());
            assert!(answer.message().contains("journalctl -u docker"), "{}", answer.message());
        }
    }

    #[test]
    fn an_answer_that_is_no_error_is_not_repeated() {
        let answer =
            Answer { status: 200, exit: 0, body: "{\"JoinTokens\":\"SWMTKN-1\"}".to_owned() };
        assert!(!answer.message().contains("SWMTKN"));
    }
}
