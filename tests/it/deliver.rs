//! Delivery of alerts, as a user and a receiver see it.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;

use crate::cli::{Case, code};

const SECRET: &str = "T0001/B0002/sEcReTtOkEn";

/// Two things that got through and one that is refused, in two hours.
const TROUBLE: &str = "\
2 123456789012 eni-0a 10.0.2.9 10.0.1.5 49152 22 6 10 840 1790640000 1790640058 ACCEPT OK
2 123456789012 eni-0b 10.0.1.5 10.0.2.9 49152 5432 6 9 760 1790640000 1790640058 REJECT OK
2 123456789012 eni-0a 10.0.2.9 10.0.1.5 49152 23 6 10 840 1790643600 1790643658 ACCEPT OK
";

/// What a receiver does with a request.
#[derive(Clone, Copy)]
enum Do {
    /// Answers with this status.
    Answer(u16),
    /// Reads it and hangs up.
    HangUp,
    /// Reads it and never answers.
    Stall,
}

/// A receiver that does so, and then takes everything; bodies as they come.
fn receiver(first: Vec<Do>) -> (String, Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/services/{SECRET}", listener.local_addr().unwrap());
    let (told, bodies) = channel();
    let mut plan = first.into_iter();
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let Some(body) = request(&stream) else { continue };
            // nobody may look at what comes any more
            let _gone = told.send(serde_json::from_slice(&body).unwrap());
            match plan.next().unwrap_or(Do::Answer(200)) {
                Do::Answer(status) => {
                    let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                    let _gone = stream.write_all(answer.as_bytes());
                }
                Do::HangUp => {}
                Do::Stall => held.push(stream),
            }
        }
    });
    (url, bodies)
}

fn request(stream: &TcpStream) -> Option<Vec<u8>> {
    let mut stream = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim_end().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some(body)
}

/// A case with a log and a sink.
fn case(sink: &str) -> Case {
    let case = Case::new();
    fs::write(case.path().join("logs/a.log"), TROUBLE).unwrap();
    fs::write(case.path().join("flowbound.toml"), sink).unwrap();
    case
}

const REPLAY: &str = "replay logs --map map.toml --out lake --config flowbound.toml";

/// Id and revision of everything that came so far.
fn keys(bodies: &Receiver<Value>) -> Vec<(String, i64)> {
    let key = |body: Value| (body["alert_id"].as_str().unwrap().to_owned(), body["revision"].as_i64().unwrap());
    bodies.try_iter().map(key).collect()
}

/// The same of the lake.
fn known(case: &Case) -> Vec<(String, i64)> {
    let output = case.run("alerts --lake lake --format json --all");
    let text = String::from_utf8(output.stdout).unwrap();
    let alerts = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    alerts.map(|alert| (alert["alert_id"].as_str().unwrap().to_owned(), alert["revision"].as_i64().unwrap())).collect()
}

fn sorted<T: Ord>(mut list: Vec<T>) -> Vec<T> {
    list.sort_unstable();
    list
}

#[test]
fn every_alert_becomes_a_file() {
    let case = case("[[deliver]]\nname = 'archive'\nto = 'file'\npath = 'made/alerts'\n");
    let output = case.run(REPLAY);
    assert_eq!(code(&output), 0, "{}", case.shown(&output));
    assert!(case.shown(&output).contains("Delivered 3 alerts to archive\n"), "{}", case.shown(&output));
    let mut files = Vec::new();
    for entry in fs::read_dir(case.path().join("made/alerts")).unwrap() {
        let path = entry.unwrap().path();
        let alert: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let key = (alert["alert_id"].as_str().unwrap().to_owned(), alert["revision"].as_i64().unwrap());
        assert_eq!(path.file_name().unwrap().to_str().unwrap(), format!("{}-{}.json", key.0, key.1));
        files.push(key);
    }
    assert_eq!(sorted(files), sorted(known(&case)));
    // nothing new is nothing to deliver; and the lake is as promised
    let output = case.run(REPLAY);
    assert!(case.shown(&output).contains("Delivered 0 alerts to archive\n"), "{}", case.shown(&output));
    let output = case.run("lake check lake --repair");
    assert_eq!(code(&output), 0, "{}", case.shown(&output));
    assert!(case.shown(&output).contains("0 errors, 0 notes"), "{}", case.shown(&output));
}

/// A revision of an alert comes too, and one that is withdrawn.
#[test]
fn revisions_are_delivered() {
    let case = case("[[deliver]]\nname = 'out'\nto = 'stdout'\nseverity = 'high'\n");
    let lines = |output: std::process::Output| -> Vec<Value> {
        assert_eq!(code(&output), 0, "{}", case.shown(&output));
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).filter(|v: &Value| v.is_object()).collect()
    };
    let first = lines(case.run(REPLAY));
    assert!(!first.is_empty() && first.iter().all(|alert| alert["severity"] == "high"), "{first:?}");
    let path = case.path().join("logs/a.log");
    let more = TROUBLE.lines().nth(1).unwrap().replace("eni-0b", "eni-0c").replace("49152", "50000");
    fs::write(case.path().join("logs/b.log"), more + "\n").unwrap();
    let second = lines(case.run(REPLAY));
    assert_eq!(second.len(), 1, "{second:?}");
    assert_eq!((&second[0]["revision"], &second[0]["status"]), (&1.into(), &"updated".into()));
    fs::write(path, TROUBLE.lines().skip(2).map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    let third = lines(case.run(&format!("{REPLAY} --overwrite")));
    assert!(third.iter().any(|alert| alert["status"] == "closed"), "{third:?}");
}

/// A receiver that drops requests, is down, has enough, and takes an alert without saying so.
#[test]
fn a_receiver_in_trouble_gets_every_alert() {
    let (url, bodies) = receiver(vec![Do::HangUp, Do::Answer(500), Do::Answer(429), Do::Answer(200), Do::HangUp]);
    let case = case(&format!("[[deliver]]\nname = 'hook'\nto = 'webhook'\nurl = '{url}'\n"));
    let output = case.run(REPLAY);
    assert_eq!(code(&output), 0, "{}", case.shown(&output));
    let came = keys(&bodies);
    assert_eq!(came.len(), 3 + 4, "each failure is one more");
    let mut unique = sorted(came);
    unique.dedup();
    assert_eq!(unique, sorted(known(&case)));
}

#[test]
fn what_is_refused_is_told_and_comes_with_the_next_run() {
    let (url, bodies) = receiver(vec![Do::Answer(200), Do::Answer(400)]);
    let sinks = "[[deliver]]\nname = 'hook'\nto = 'webhook'\nurl-env = 'HOOK'\n\
                 [[deliver]]\nname = 'archive'\nto = 'file'\npath = 'made'\n";
    let case = case(sinks);
    let run =
        |arguments: &str| case.command(arguments).env("HOOK", &url).env("FLOWBOUND_LOG", "trace").output().unwrap();
    let output = run(&format!("{REPLAY} --log-output json"));
    let shown = case.shown(&output);
    assert_eq!(code(&output), 1, "{shown}");
    assert!(shown.contains("the sink hook did not get every alert: http://127.0.0.1:"), "{shown}");
    assert!(shown.contains("the lake has them all, and the next run delivers the others"), "{shown}");
    let lines = "Delivered 1 alert to hook\nNot delivered hook: 1 commit left: http://127.0.0.1:";
    assert!(shown.contains(lines) && shown.contains("Delivered 3 alerts to archive\n"), "{shown}");
    assert!(!shown.contains("sEcReT") && !shown.contains("B0002"), "{shown}");
    assert_eq!(fs::read_dir(case.path().join("made")).unwrap().count(), 3, "the other sink has all");
    let check = case.run("lake check lake --quick --repair");
    assert_eq!(code(&check), 0);
    assert!(
        case.shown(&check).contains("alerts of 1 commits are not delivered to the sink hook"),
        "{}",
        case.shown(&check)
    );
    // the first is not sent again
    let output = run(REPLAY);
    assert_eq!(code(&output), 0, "{}", case.shown(&output));
    let came = keys(&bodies);
    assert_eq!(came.len(), 1 + 1 + 2);
    let mut unique = sorted(came);
    unique.dedup();
    assert_eq!(unique, sorted(known(&case)));
    let json = run(&format!("{REPLAY} --json"));
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(
        json["deliveries"][0],
        serde_json::json!({"sink": "hook", "delivered": 0, "failure": null, "behind": 0})
    );
}

/// Killed when the alerts are committed and the receiver has one of them, but nobody knows.
#[test]
fn a_killed_run_delivers_next_time() {
    let (url, bodies) = receiver(vec![Do::Stall]);
    let sink = |url: &str| format!("[[deliver]]\nname = 'hook'\nto = 'webhook'\nurl = '{url}'\n");
    let case = case(&sink(&url));
    let mut run = case.command(REPLAY).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let taken = bodies.recv_timeout(Duration::from_secs(60)).unwrap();
    run.kill().unwrap();
    run.wait().unwrap();
    assert_eq!(known(&case).len(), 3, "they are in the lake");
    let output = case.run(REPLAY);
    assert_eq!(code(&output), 0, "{}", case.shown(&output));
    assert!(case.shown(&output).starts_with("exit 0\n--- stdout\nNothing new"), "{}", case.shown(&output));
    let came = keys(&bodies);
    assert_eq!(came[0].0, taken["alert_id"].as_str().unwrap(), "in their order");
    assert_eq!(sorted(came), sorted(known(&case)));
}

#[test]
fn a_new_sink_begins_now() {
    let case = case("");
    assert_eq!(code(&case.run(REPLAY)), 0);
    let (url, bodies) = receiver(Vec::new());
    fs::write(case.path().join("url"), format!("{url}\n")).unwrap();
    fs::write(
        case.path().join("flowbound.toml"),
        "[[deliver]]\nname = 'hook'\nto = 'webhook'\nurl_file = 'url'\nformat = 'slack'\n",
    )
    .unwrap();
    assert_eq!(code(&case.run(REPLAY)), 0);
    assert_eq!(bodies.try_iter().count(), 0);
    let later = TROUBLE.lines().next().unwrap().replace(" 22 6 ", " 24 6 ");
    fs::write(case.path().join("logs/b.log"), later + "\n").unwrap();
    assert_eq!(code(&case.run(REPLAY)), 0);
    let came: Vec<Value> = bodies.try_iter().collect();
    assert_eq!(came.len(), 1);
    assert!(came[0]["text"].as_str().unwrap().contains("breach: db 10.0.2.9"), "{came:?}");
}

const MISTAKES: &str = r#"
[[deliver]]
to = "pager"
name = "On call"

[[deliver]]
name = "hook"
to = "webhook"
url = "hooks.example.com/services/T0001/B0002/sEcReTtOkEn"
severty = "high"
topic = "arn:aws:sns:eu-west-1:123456789012:alerts"

[[deliver]]
name = "hook"
to = "webhook"
url = "https://hooks.example.com/services/T0001/B0002/sEcReTtOkEn"
url-env = "HOOK"
detectors = ["breach", "breaches"]

[[deliver]]
name = "topic"
to = "sns"
topic = "alerts"
format = "slack"

[[deliver]]
name = "hub"
to = "eventbridge"
format = "asff"

[[deliver]]
name = "queue"
to = "sqs"
severity = 3
"#;

/// Every mistake in one run, and no secret.
#[test]
fn mistakes_are_told() {
    let case = case(MISTAKES);
    let output = case.run(REPLAY);
    assert_eq!(code(&output), 2);
    let shown = case.shown(&output);
    assert!(!shown.contains("sEcReT") && !shown.contains("T0001"), "{shown}");
    insta::assert_snapshot!("mistakes_of_delivery", shown);
    // not even where the file is no TOML
    for text in [
        format!("[[deliver]]\nurl = \"https://hooks.example.com/{SECRET}\nname = 'x'\n"),
        format!("deliver = [{{ url = 'https://hooks.example.com/{SECRET}' nonsense }}]\n"),
        format!(
            "[[deliver]]\nname = 'https://hooks.example.com/{SECRET}'\nto = 'https://hooks.example.com/{SECRET}'\n"
        ),
        format!("[[deliver]]\nname = 'x'\nto = 'webhook'\n\"url\" = 'hooks/{SECRET}'\n"),
    ] {
        fs::write(case.path().join("flowbound.toml"), &text).unwrap();
        let output = case.run(REPLAY);
        assert_eq!(code(&output), 2, "{text}");
        let shown = case.shown(&output);
        assert!(!shown.contains("sEcReT") && shown.contains("mistake(s)"), "{shown}");
    }
    let sink = |url: &str| format!("[[deliver]]\nname = 'hook'\nto = 'webhook'\n{url}\n");
    for (url, words) in [
        ("url-env = 'HOOK'", "the sink hook: the environment variable HOOK is not set"),
        (
            "url-env = 'BAD_HOOK'",
            "the environment variable BAD_HOOK has no URL of a webhook: give a URL that begins with https://",
        ),
        ("url-file = 'nowhere'", "the sink hook: cannot read the file nowhere"),
    ] {
        fs::write(case.path().join("flowbound.toml"), sink(url)).unwrap();
        let output = case.command(REPLAY).env("BAD_HOOK", format!("hooks/{SECRET}")).output().unwrap();
        let shown = case.shown(&output);
        assert_eq!(code(&output), 2, "{shown}");
        assert!(shown.contains(words) && !shown.contains("sEcReT"), "{words} in {shown}");
    }
}
