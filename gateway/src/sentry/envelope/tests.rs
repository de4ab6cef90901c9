use super::*;

fn parse(envelope: &str) -> Result<Envelope, String> {
    Envelope::parse(&Bytes::copy_from_slice(envelope.as_bytes()))
        .map_err(|status| status.message().to_owned())
}

fn items(envelope: &str) -> Vec<(String, String)> {
    let envelope = parse(envelope).unwrap_or_else(|error| panic!("{envelope:?}: {error}"));
    let text = |item: &Item| String::from_utf8(item.payload.to_vec()).unwrap();
    envelope.items.iter().map(|item| (item.kind.clone(), text(item))).collect()
}

fn item(kind: &str, payload: &str) -> (String, String) {
    (kind.to_owned(), payload.to_owned())
}

#[test]
fn items_end_at_their_length_or_at_their_line() {
    let event = item("event", r#"{"message":"m"}"#);
    for envelope in [
        "{}\n{\"type\":\"event\",\"length\":15}\n{\"message\":\"m\"}\n",
        "{}\n{\"type\":\"event\",\"length\":15}\n{\"message\":\"m\"}",
        "{}\n{\"type\":\"event\"}\n{\"message\":\"m\"}\n",
        "{}\n{\"type\":\"event\"}\n{\"message\":\"m\"}",
        "{}\n{\"type\":\"event\",\"length\":null,\"content_type\":\"application/json\"}\n{\"message\":\"m\"}\n\n\n",
        "{}\r\n{\"type\":\"event\",\"length\":15}\r\n{\"message\":\"m\"}\r\n",
        "  {} \n\n {\"length\":15,\"type\":\"e\\u0076ent\"} \n{\"message\":\"m\"}\n",
    ] {
        assert_eq!(items(envelope), std::slice::from_ref(&event), "{envelope:?}");
    }
    let envelope = "{}\n{\"type\":\"attachment\",\"length\":7}\nab\n\n\u{0}c\n\n{\"type\":\"session\"}\n{}\n\
                    {\"type\":\"x\",\"length\":0}\n\n{\"type\":\"y\"}\n\n{\"type\":\"z\"}";
    let expected = [
        item("attachment", "ab\n\n\u{0}c\n"),
        item("session", "{}"),
        item("x", ""),
        item("y", ""),
        item("z", ""),
    ];
    assert_eq!(items(envelope), expected);
}

#[test]
fn an_envelope_may_be_empty_and_its_header_may_say_more() {
    for envelope in ["{}", "{}\n", "{}\n\n", "{\"sdk\":{\"a\":[1e400]},\"sent_at\":\"x\",\"trace\":{}}\n"] {
        let envelope = parse(envelope).unwrap();
        assert!(envelope.items.is_empty() && envelope.event_id.is_none() && envelope.dsn.is_none());
    }
    let envelope = parse(r#"{"event_id":"A","dsn":"https:\/\/k@h/1"}"#).unwrap();
    assert_eq!((envelope.event_id.as_deref(), envelope.dsn.as_deref()), (Some("A"), Some("https://k@h/1")));
    let none = parse(r#"{"event_id":null,"dsn":null}"#).unwrap();
    assert_eq!((none.event_id, none.dsn), (None, None));
}

#[test]
fn what_is_no_envelope_is_refused_with_the_place() {
    let deep = format!("{{\"trace\":{}}}", "[".repeat(10_000));
    let long = format!("{{\"trace\":\"{}\"}}", "x".repeat(20_000));
    for (envelope, why) in [
        ("", "has no header"),
        ("\n{\"type\":\"event\"}\n{}", "has no header"),
        ("[]\n", "the envelope's header is not a JSON object"),
        ("{\n}\n", "the envelope's header cannot be read"),
        ("{\"event_id\":5}\n", "the envelope's header cannot be read"),
        ("{\"event_id\":\"a\",\"event_id\":\"a\"}\n", "duplicate field"),
        (&deep, "the envelope's header cannot be read"),
        (&long, "the envelope's header has more than"),
        ("{}\nhello\n", "item 1 of the envelope is not a JSON object"),
        (
            "{}\n{\"length\":2}\n{}\n",
            "the header of item 1 of the envelope cannot be read: missing field `type`",
        ),
        ("{}\n{\"type\":5}\n{}\n", "the header of item 1"),
        (
            "{}\n{\"type\":\"a\"}\n{}\n{\"type\":\"event\",\"length\":3}\n{}",
            "item 2 of the envelope is cut off",
        ),
        (
            "{}\n{\"type\":\"event\",\"length\":1}\n{}\n",
            "item 1 of the envelope has a length that does not end",
        ),
        ("{}\n{\"type\":\"event\",\"length\":-1}\n{}\n", "has a length that is no number of bytes"),
        ("{}\n{\"type\":\"event\",\"length\":1.5}\n{}\n", "has a length that is no number of bytes"),
        ("{}\n{\"type\":\"event\",\"length\":\"2\"}\n{}\n", "has a length that is no number of bytes"),
        ("{}\n{\"type\":\"event\",\"length\":18446744073709551615}\n{}\n", "is cut off"),
        (
            "{}\n{\"type\":\"event\",\"length\":18446744073709551616}\n{}\n",
            "has a length that is no number of bytes",
        ),
        ("{}\n{\"type\":\"event\",\"length\":99999999999999999999999}\n{}\n", "no number of bytes"),
        ("{}\n{\"type\":\"event\"", "the header of item 1 of the envelope cannot be read: EOF"),
    ] {
        let error = parse(envelope).unwrap_err();
        assert!(error.contains(why) && error.len() < 300, "{envelope:.100} gave {error}");
    }
    let not_utf8 = Bytes::from_static(b"{\"dsn\":\"\xff\"}\n");
    assert!(Envelope::parse(&not_utf8).is_err());
}

#[test]
fn cut_off_anywhere_it_is_refused_or_whole_up_to_there() {
    let envelope = "{\"event_id\":\"a\"}\n{\"type\":\"event\",\"length\":15}\n{\"message\":\"m\"}\n\
                    {\"type\":\"attachment\",\"length\":3}\nabc\n";
    for length in 0..envelope.len() {
        if let Ok(envelope) = parse(&envelope[..length]) {
            for item in envelope.items {
                assert!(matches!(&item.payload[..], b"{\"message\":\"m\"}" | b"abc"), "{item:?}");
            }
        }
    }
}

#[test]
fn items_are_bounded() {
    let envelope = |count: usize| format!("{{}}\n{}", "{\"type\":\"session\"}\n{}\n".repeat(count));
    assert_eq!(parse(&envelope(1000)).unwrap().items.len(), 1000);
    for count in [1001, 100_000] {
        assert!(parse(&envelope(count)).unwrap_err().contains("more than 1000 items"));
    }
}
