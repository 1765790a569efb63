//! Bodies, and what becomes of them when the receiver does not do what it should.

use std::collections::VecDeque;

use aws_config::SdkConfig;
use serde_json::{Value, json};

use super::*;
use crate::alert::tests::alert;
use crate::alert::{Home, to_json, to_ocsf};
use crate::aws::fake::{Answer, Asked, Log, serve};

const KEY: &str = "0123456789abcdef0123456789abcdef-0";
const SECRET: &str = "T0001/B0002/sEcReTtOkEn";
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that answers so, one after the other.
async fn answering(answers: impl IntoIterator<Item = Answer>) -> (SdkConfig, Log) {
    let mut answers: VecDeque<Answer> = answers.into_iter().collect();
    serve(move |_| answers.pop_front().unwrap_or_else(Answer::none)).await
}

fn sink(form: Form, channel: Channel) -> Sink {
    Sink::new("oncall".to_owned(), Wants { severity: Severity::Info, detectors: Vec::new() }, form, channel)
}

fn webhook(config: &SdkConfig, form: Form, timeout: Duration) -> Sink {
    let url = format!("{}/services/{SECRET}", config.endpoint_url().unwrap());
    sink(form, Channel::Webhook(Box::new(Webhook::new(SecretUrl::parse(&url).unwrap(), timeout).unwrap())))
}

async fn post(answers: impl IntoIterator<Item = Answer>) -> (Result<(), String>, Vec<Asked>) {
    let (config, log) = answering(answers).await;
    let sent = webhook(&config, Form::Json, TIMEOUT).send(&alert("breach"), PATIENCE).await;
    let asked = log.lock().unwrap().clone();
    (sent.map_err(|error| error.to_string()), asked)
}

#[test]
fn people_get_a_few_lines() {
    let mut alert = alert("breach");
    let text = "\
[high] breach: app 10.0.1.5 was let through to db 10.0.2.9:5432/tcp, which \"db\" forbids
2026-11-20T01:00:01Z to 2026-11-20T01:00:59Z
3 flows, 1 conversations, 30 packets, 18446744073709551615 bytes, 1 ports, 1 servers
rule db-isolated, reason forbidden:db-isolated
alert 0123456789abcdef0123456789abcdef revision 0";
    assert_eq!(Form::Text.body(&alert), text);
    alert.finding.title = "<!channel> a & b".to_owned();
    let slack: Value = serde_json::from_str(&Form::Slack.body(&alert)).unwrap();
    assert!(slack["text"].as_str().unwrap().starts_with("[high] breach: &lt;!channel&gt; a &amp; b\n"), "{slack}");
    assert_eq!(slack.as_object().unwrap().len(), 1);
    alert.status = AlertStatus::Updated;
    assert!(Form::Text.body(&alert).starts_with("[high] breach, again: "));
}

#[test]
fn machines_get_the_row() {
    let mut alert = alert("breach");
    assert_eq!(Form::Json.body(&alert), to_json(&alert).to_string());
    let home = Home { account: Some("123456789012".to_owned()), region: None };
    assert_eq!(Form::Ocsf(home.clone()).body(&alert), to_ocsf(&alert, &home).to_string());
    let asff = Form::Asff { account: "123456789012".to_owned(), region: "eu-west-1".to_owned() };
    assert!(asff.body(&alert).contains("\"AwsAccountId\":\"123456789012\""));
    // evidence that is too long is left out, and the rest is there
    alert.finding.evidence[0].source = Some("x".repeat(300_000));
    let body: Value = serde_json::from_str(&Form::Json.body(&alert)).unwrap();
    assert_eq!((&body["evidence"], &body["revision"]), (&json!([]), &json!(0)));
}

#[test]
fn a_sink_takes_what_it_wants() {
    let mut alert = alert("breach");
    let takes = |severity, detectors: &[&str], alert: &Alert| {
        let detectors = detectors.iter().map(|name| (*name).to_owned()).collect();
        Wants { severity, detectors }.takes(alert)
    };
    assert!(takes(Severity::High, &[], &alert) && takes(Severity::Info, &["outage", "breach"], &alert));
    assert!(!takes(Severity::Critical, &[], &alert) && !takes(Severity::Info, &["outage"], &alert));
    alert.status = AlertStatus::Closed;
    alert.finding.severity = Severity::Info;
    assert!(takes(Severity::Critical, &[], &alert) && !takes(Severity::Info, &["outage"], &alert));
}

/// Nobody answers, then a service is down, then it has enough, and then it has it.
#[tokio::test]
async fn what_passes_is_posted_again() {
    let (sent, asked) = post([
        Answer::none(),
        Answer::new(500, ""),
        Answer::new(429, "slow down").header("retry-after", "0"),
        Answer::new(503, "").header("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT"),
        Answer::new(200, "ok"),
    ])
    .await;
    assert_eq!(sent, Ok(()));
    assert_eq!(asked.len(), 5);
    for asked in asked {
        assert_eq!(asked.line, format!("POST /services/{SECRET}"));
        assert_eq!(asked.headers["idempotency-key"], KEY);
        assert_eq!(asked.headers["content-type"], "application/json");
        assert_eq!(asked.body, to_json(&alert("breach")).to_string().into_bytes());
    }
}

#[tokio::test]
async fn what_does_not_pass_is_told() {
    for (answer, words) in [
        (
            Answer::new(400, "invalid_payload"),
            "refused the message: check the URL, its rights and the format (400: invalid_payload)",
        ),
        (Answer::new(403, ""), "refused the message: check the URL, its rights and the format (403)"),
        (Answer::new(301, "").header("location", "/elsewhere"), "redirects, which is not followed"),
        (Answer::new(429, "").header("retry-after", "3600"), "has enough of the requests (429)"),
        // one that says what it was asked
        (Answer::new(404, format!("no /services/{SECRET}, no sEcReTtOkEn")), "(404: no …, no …)"),
    ] {
        let (sent, asked) = post([answer, Answer::new(200, "")]).await;
        let told = sent.unwrap_err();
        assert_eq!(asked.len(), 1, "{told}");
        assert!(told.starts_with("http://127.0.0.1:") && told.contains(words), "{words} in {told}");
        assert!(!told.contains("sEcReT") && !told.contains("B0002"), "{told}");
    }
    let (sent, asked) = post((0..9).map(|_| Answer::new(502, ""))).await;
    assert!(sent.unwrap_err().contains("is not able to answer now (502)"));
    assert_eq!(asked.len(), 6, "not for ever");
}

#[tokio::test]
async fn who_does_not_answer_is_not_waited_for() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let url = SecretUrl::parse(&format!("http://{address}/{SECRET}")).unwrap();
    let hook = |timeout| Channel::Webhook(Box::new(Webhook::new(url.clone(), timeout).unwrap()));
    let slow = sink(Form::Json, hook(Duration::from_millis(20)));
    let told = slow.send(&alert("breach"), PATIENCE).await.unwrap_err().to_string();
    assert_eq!(told, format!("http://{address}/… gave no answer within 0.02 s"));
    let slow = sink(Form::Json, hook(TIMEOUT));
    let told = slow.send(&alert("breach"), Duration::from_millis(50)).await.unwrap_err().to_string();
    assert_eq!(told, "no answer within 0.05 s");
    drop(listener);
    let told = slow.send(&alert("breach"), PATIENCE).await.unwrap_err().to_string();
    assert!(told.starts_with(&format!("http://{address}/… cannot be reached: ")), "{told}");
    assert!(!told.contains("T0001"), "{told}");
}

#[test]
fn secrets_are_not_shown() {
    let url = SecretUrl::parse(&format!("https://hooks.example.com:8443/services/{SECRET}?k=v0123456")).unwrap();
    for shown in [format!("{url}"), format!("{url:?}"), format!("{:?}", Webhook::new(url.clone(), TIMEOUT).unwrap())] {
        assert!(shown.contains("https://hooks.example.com:8443/…") && !shown.contains("sEcReT"), "{shown}");
    }
    assert_eq!(url.redact(&format!("a {} b v0123456", url.expose())), "a https://hooks.example.com:8443/… b …");
    for wrong in ["", "hooks/x", "ftp://h/x", "http://hooks.example.com/x", "https://me:word@h/x", "https://a b/x"] {
        assert!(!SecretUrl::parse(wrong).unwrap_err().contains('x'), "{wrong}");
    }
    for right in ["https://h/x", " http://127.0.0.1:80/x\n", "http://[::1]/x", "http://localhost/x"] {
        assert!(SecretUrl::parse(right).is_ok(), "{right}");
    }
}

#[tokio::test]
async fn a_file_is_there_once() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("new/alerts");
    for form in [Form::Json, Form::Json, Form::Text] {
        let files = sink(form, Channel::Folder(Folder::new(place.clone())));
        files.send(&alert("breach"), PATIENCE).await.unwrap();
    }
    let mut names: Vec<_> = std::fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, [format!("{KEY}.json"), format!("{KEY}.txt")].map(std::ffi::OsString::from));
    let text = std::fs::read_to_string(place.join(format!("{KEY}.json"))).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), to_json(&alert("breach")));
    std::fs::write(folder.path().join("file"), "x").unwrap();
    let files = sink(Form::Json, Channel::Folder(Folder::new(folder.path().join("file"))));
    assert!(files.send(&alert("breach"), PATIENCE).await.unwrap_err().to_string().starts_with("cannot write "));
}

/// The parameters of a request in the form of SNS, by name.
fn parameters(asked: &Asked) -> Vec<(String, String)> {
    let decoded = |text: &str| {
        let text = text.replace('+', " ");
        percent_encoding::percent_decode_str(&text).decode_utf8().unwrap().into_owned()
    };
    let body = String::from_utf8(asked.body.clone()).unwrap();
    body.split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect()
}

#[tokio::test]
async fn sns_gets_a_message() {
    let ok = "<PublishResponse><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>";
    for (name, fifo) in [("alerts", false), ("alerts.fifo", true)] {
        let (config, log) = answering([Answer::new(200, ok)]).await;
        let arn = format!("arn:aws:sns:eu-west-1:123456789012:{name}");
        let topic = sink(Form::Json, Channel::Topic(Topic::new(&config, arn.clone())));
        topic.send(&alert("breach"), PATIENCE).await.unwrap();
        let asked = log.lock().unwrap().remove(0);
        assert!(asked.headers["authorization"].contains("/eu-west-1/sns/"), "signed for the topic's region");
        let parameters = parameters(&asked);
        let value = |name: &str| parameters.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str());
        assert_eq!(value("TopicArn"), Some(arn.as_str()));
        assert_eq!(value("Message"), Some(to_json(&alert("breach")).to_string().as_str()));
        assert_eq!(
            value("Subject"),
            Some("app 10.0.1.5 was let through to db 10.0.2.9:5432/tcp, which \"db\" forbids")
        );
        let values: Vec<&str> = parameters
            .iter()
            .filter(|(name, _)| name.ends_with("StringValue"))
            .map(|(_, value)| value.as_str())
            .collect();
        assert_eq!(values.len(), 3);
        assert!(["high", "breach", "0123456789abcdef0123456789abcdef"].iter().all(|value| values.contains(value)));
        assert_eq!(value("MessageDeduplicationId"), fifo.then_some(KEY));
        assert_eq!(value("MessageGroupId"), fifo.then_some("0123456789abcdef0123456789abcdef"));
    }
    let denied = "<ErrorResponse><Error><Code>AuthorizationError</Code><Message>no</Message></Error></ErrorResponse>";
    let (config, _) = answering([Answer::new(403, denied)]).await;
    let topic = sink(Form::Json, Channel::Topic(Topic::new(&config, "arn:aws:sns:eu-west-1:1:a".to_owned())));
    let told = topic.send(&alert("breach"), PATIENCE).await.unwrap_err().to_string();
    assert!(
        told.contains("denies access to the topic arn:aws:sns:eu-west-1:1:a") && told.contains("sns:Publish"),
        "{told}"
    );
}

#[tokio::test]
async fn sqs_gets_a_message() {
    for (name, fifo) in [("alerts", false), ("alerts.fifo", true)] {
        let (config, log) = answering([Answer::new(200, r#"{"MessageId":"1"}"#)]).await;
        let url = format!("{}/123456789012/{name}", config.endpoint_url().unwrap());
        let queue = sink(Form::Json, Channel::Queue(Queue::new(&config, url.clone())));
        queue.send(&alert("breach"), PATIENCE).await.unwrap();
        let asked = log.lock().unwrap().remove(0);
        assert_eq!(asked.headers["x-amz-target"], "AmazonSQS.SendMessage");
        let body: Value = serde_json::from_slice(&asked.body).unwrap();
        assert_eq!(
            (&body["QueueUrl"], &body["MessageBody"]),
            (&json!(url), &json!(to_json(&alert("breach")).to_string()))
        );
        let severity = json!({"DataType": "String", "StringValue": "high"});
        assert_eq!(body["MessageAttributes"]["severity"], severity);
        assert_eq!(body.get("MessageDeduplicationId"), fifo.then_some(&json!(KEY)));
        assert_eq!(body.get("MessageGroupId").is_some(), fifo);
    }
    let (config, _) = answering([Answer::json_error("QueueDoesNotExist")]).await;
    let queue =
        sink(Form::Json, Channel::Queue(Queue::new(&config, "https://sqs.eu-west-1.amazonaws.com/1/q".to_owned())));
    let told = queue.send(&alert("breach"), PATIENCE).await.unwrap_err().to_string();
    assert!(told.starts_with("SQS does not know the queue https://sqs.eu-west-1.amazonaws.com/1/q"), "{told}");
}

/// An answer of 200 may say that the event was not taken.
#[tokio::test]
async fn eventbridge_gets_an_event() {
    let failed = |code| Answer::new(200, json!({"FailedEntryCount": 1, "Entries": [{"ErrorCode": code}]}).to_string());
    let taken = || Answer::new(200, r#"{"FailedEntryCount":0,"Entries":[{"EventId":"1"}]}"#);
    let (config, log) = answering([failed("InternalFailure"), failed("ThrottlingException"), taken()]).await;
    let bus = |config: &SdkConfig| sink(Form::Json, Channel::Bus(Bus::new(config, "security".to_owned())));
    bus(&config).send(&alert("breach"), PATIENCE).await.unwrap();
    let asked = log.lock().unwrap().clone();
    assert_eq!(asked.len(), 3);
    for asked in asked {
        assert_eq!(asked.headers["x-amz-target"], "AWSEvents.PutEvents");
        let body: Value = serde_json::from_slice(&asked.body).unwrap();
        let entry = json!({
            "Source": "flowbound",
            "DetailType": "Alert",
            "Detail": to_json(&alert("breach")).to_string(),
            "EventBusName": "security",
        });
        assert_eq!(body, json!({"Entries": [entry]}));
    }
    let (config, log) = answering([failed("NotAuthorizedForSourceException"), taken()]).await;
    let told = bus(&config).send(&alert("breach"), PATIENCE).await.unwrap_err().to_string();
    assert!(told.contains("the event bus security (NotAuthorizedForSourceException"), "{told}");
    assert_eq!(log.lock().unwrap().len(), 1);
}
