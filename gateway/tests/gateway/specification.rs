//! The examples of the specification, run as they stand there: in the comment of `google.api.HttpRule` each service
//! is followed by HTTP requests, and by the gRPC call that each of them is.

use prost_reflect::{DynamicMessage, MessageDescriptor};
use serde_json::{Deserializer, Value};

use crate::support::{echo, pool};

const SPECIFICATION: &str = include_str!("../../../proto/googleapis/google/api/http.proto");

/// A service, and what is said of it.
struct Example {
    proto: String,
    /// HTTP requests and gRPC calls.
    cases: Vec<(String, String)>,
}

/// The examples, in their order.
fn examples() -> Vec<Example> {
    let start = SPECIFICATION.find("// gRPC Transcoding\n").unwrap();
    let comment = SPECIFICATION[start..].lines().map_while(|line| line.strip_prefix("//"));
    let mut examples: Vec<Example> = Vec::new();
    let mut code = String::new();
    let mut item = String::new();
    // An item of a list may go on in the next lines; the end of the comment ends the last one.
    for line in comment.chain([""]) {
        if let Some(line) = line.strip_prefix("     ") {
            code.push_str(line);
            code.push('\n');
        } else if code.starts_with("service ") {
            examples.push(Example { proto: std::mem::take(&mut code), cases: Vec::new() });
        } else if !line.is_empty() {
            code.clear();
        }
        if line.is_empty() || line.starts_with(" - ") {
            let item = std::mem::take(&mut item);
            let cases = examples.last_mut().map(|example| &mut example.cases);
            if let Some(request) = item.strip_prefix(" - HTTP: ") {
                cases.unwrap().push((request.trim_matches('`').to_owned(), String::new()));
            } else if let Some(call) = item.strip_prefix(" - gRPC: ") {
                cases.unwrap().last_mut().unwrap().1.push_str(call.trim_matches('`'));
            }
        }
        item.push_str(line);
    }
    examples
}

/// The message that a call such as `Get(id: "1" sub: Sub(a: 2) other { b: "x" })` has.
fn argument(call: &str, message: &MessageDescriptor) -> DynamicMessage {
    let (_, fields) = call.split_once('(').unwrap();
    let mut json = String::from("{");
    let mut rest = fields.trim();
    while let Some(next) = rest.chars().next() {
        let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let (token, after) = match next {
            '"' => rest.split_at(rest[1..].find('"').unwrap() + 2),
            ')' | '}' => ("},", &rest[1..]),
            '{' | '(' => ("{", &rest[1..]),
            _ => rest.split_at(word),
        };
        rest = after.trim_start();
        if next.is_alphabetic() {
            // A field's name, unless it is the name of the message that follows.
            let colon = rest.strip_prefix(':').map(str::trim_start);
            if colon.is_some() || rest.starts_with('{') {
                json.extend(["\"", token, "\":"]);
            }
            rest = colon.unwrap_or(rest);
        } else {
            json.push_str(token);
            json.push_str(if next == '"' || next.is_numeric() { "," } else { "" });
        }
    }
    let json = json.trim_end_matches(',').replace(",}", "}");
    let mut json = Deserializer::from_str(&json);
    DynamicMessage::deserialize(message.clone(), &mut json).unwrap_or_else(|error| panic!("{call}: {error}"))
}

#[tokio::test]
async fn every_example_is_the_call_that_it_is_said_to_be() {
    let examples = examples();
    let counts: Vec<_> = examples.iter().map(|example| example.cases.len()).collect();
    assert_eq!(counts, [1, 1, 1, 1, 2], "the comment is not what it was");
    let message = examples[0].proto.lines().skip_while(|line| *line != "message Message {");
    let message = message.collect::<Vec<_>>().join("\n");
    for Example { mut proto, cases } in examples {
        if !proto.contains("message Message {") {
            // Of the first example.
            proto.push_str(&message);
        }
        // The server gives back what it was sent: the response is the request message.
        let (head, tail) = proto.split_once(") returns (").unwrap();
        let input = head.rsplit_once('(').unwrap().1.to_owned();
        let proto = format!("{head}) returns ({input}{}", &tail[tail.find(')').unwrap()..]);
        let message = pool(&proto).get_message_by_name(&format!("test.v1.{input}")).unwrap();
        let gateway = echo(&proto).await;
        for (request, call) in cases {
            let (line, body) = request
                .split_once(" {")
                .map_or((request.as_str(), None), |(line, body)| (line, Some(format!("{{{body}"))));
            let (method, path) = line.split_once(' ').unwrap();
            let answer: Value = gateway.send(method, path, body.as_deref()).await.ok();
            let answered = DynamicMessage::deserialize(message.clone(), answer).unwrap();
            let json = |message: DynamicMessage| serde_json::to_value(message).unwrap();
            assert_eq!(json(answered), json(argument(&call, &message)), "{request}");
        }
    }
}
