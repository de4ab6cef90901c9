//! Fields of every type, from the path, the query and the body.

use serde_json::{Value, json};

use crate::support::{Gateway, echo};

const EVERYTHING: &str = include_str!("everything.proto");

/// What of the message is not its default.
async fn get(gateway: &Gateway, query: &str) -> Value {
    set(gateway.get(&format!("/get?{query}")).await.ok())
}

fn set(message: Value) -> Value {
    let fields = match message {
        Value::Object(fields) => fields,
        Value::Array(values) => return values.into_iter().map(set).collect(),
        other => return other,
    };
    let unset = [
        json!(""),
        json!(0),
        json!(0.0),
        json!("0"),
        json!(false),
        json!([]),
        json!({}),
        json!("COLOR_UNSPECIFIED"),
    ];
    Value::Object(
        fields
            .into_iter()
            .filter(|(name, value)| name == "maybe" || !unset.contains(value))
            .map(|(name, value)| (name, set(value)))
            .collect(),
    )
}

#[tokio::test]
async fn parameters_of_every_type() {
    let gateway = echo(EVERYTHING).await;
    for (query, expected) in [
        ("", json!({})),
        ("&&", json!({})),
        ("text=a+b%2Bc%26d%3D%C3%BC", json!({"text": "a b+c&d=ü"})),
        ("text", json!({})),
        ("text==", json!({"text": "="})),
        ("an_int32=-2147483648", json!({"anInt32": -2_147_483_648})),
        ("anInt32=5", json!({"anInt32": 5})),
        ("an_int64=9223372036854775807", json!({"anInt64": "9223372036854775807"})),
        ("a_uint32=4294967295", json!({"aUint32": 4_294_967_295_u32})),
        ("a_uint64=18446744073709551615", json!({"aUint64": "18446744073709551615"})),
        ("a_sint32=-1&a_sint64=-1", json!({"aSint32": -1, "aSint64": "-1"})),
        ("a_fixed32=1&a_fixed64=1", json!({"aFixed32": 1, "aFixed64": "1"})),
        ("an_sfixed32=-1&an_sfixed64=-1", json!({"anSfixed32": -1, "anSfixed64": "-1"})),
        ("a_float=0.5&a_double=-1e-3", json!({"aFloat": 0.5, "aDouble": -0.001})),
        ("a_double=Infinity", json!({"aDouble": "Infinity"})),
        ("a_bool=true", json!({"aBool": true})),
        ("a_bool=false", json!({})),
        ("a_bytes=AP%2B/", json!({"aBytes": "AP+/"})),
        ("a_bytes=AP-_AA", json!({"aBytes": "AP+/AA=="})),
        ("color=COLOR_BLUE", json!({"color": "COLOR_BLUE"})),
        ("color=2", json!({"color": "COLOR_BLUE"})),
        ("color=77", json!({"color": 77})),
        ("time=2024-02-29T12:00:00.5%2B01:00", json!({"time": "2024-02-29T11:00:00.500Z"})),
        ("duration=1.5s", json!({"duration": "1.500s"})),
        ("mask=anInt32,nested.text", json!({"mask": "anInt32,nested.text"})),
        ("big=-5&truth=true&note=x", json!({"big": "-5", "truth": true, "note": "x"})),
        ("ratio=2.5&blob=AA&small=3", json!({"ratio": 2.5, "blob": "AA==", "small": 3})),
        (
            "nested.text=a&nested.nested.an_int32=1",
            json!({"nested": {"text": "a", "nested": {"anInt32": 1}}}),
        ),
        ("numbers=1&numbers=2&numbers=1", json!({"numbers": [1, 2, 1]})),
        ("colors=COLOR_RED&colors=2", json!({"colors": ["COLOR_RED", "COLOR_BLUE"]})),
        ("times=2024-01-01T00:00:00Z", json!({"times": ["2024-01-01T00:00:00Z"]})),
        ("maybe=0", json!({"maybe": 0})),
        ("left=x", json!({"left": "x"})),
        ("otherName=x", json!({"otherName": "x"})),
        ("renamed=x", json!({"otherName": "x"})),
    ] {
        assert_eq!(get(&gateway, query).await, expected, "{query}");
    }
}

#[tokio::test]
async fn parameters_that_cannot_be() {
    let gateway = echo(EVERYTHING).await;
    let deep = "nested.".repeat(3000) + "text";
    for (query, field) in [
        ("unknown=1", "unknown"),
        ("nested.unknown=1", "nested.unknown"),
        ("text.x=1", "text.x"),
        ("time.seconds=1", "time.seconds"),
        (".text=1", ".text"),
        ("text=a&text=b", "text"),
        ("an_int32=1&anInt32=1", "an_int32"),
        ("an_int32=", "an_int32"),
        ("an_int32=2147483648", "an_int32"),
        ("an_int32=1.5", "an_int32"),
        ("an_int64=9223372036854775808", "an_int64"),
        ("a_uint32=-1", "a_uint32"),
        ("a_uint64=18446744073709551616", "a_uint64"),
        ("a_bool=1", "a_bool"),
        ("a_bool=", "a_bool"),
        ("truth=yes", "truth"),
        ("a_double=x", "a_double"),
        ("a_bytes=!", "a_bytes"),
        ("color=RED", "color"),
        ("color=99999999999", "color"),
        ("time=yesterday", "time"),
        ("time=2024-02-30T00:00:00Z", "time"),
        ("duration=5", "duration"),
        ("mask=a_b", "mask"),
        ("numbers=1&numbers=x", "numbers"),
        ("free=1", "free"),
        ("value=1", "value"),
        ("any=1", "any"),
        ("nested=1", "nested"),
        ("children=1", "children"),
        ("children.text=1", "children.text"),
        ("counts=1", "counts"),
        ("counts.a=1", "counts.a"),
        ("parts.a.text=1", "parts.a.text"),
        ("left=a&right=b", "right"),
        ("text=%ff", "text"),
        ("%ff=x", "%ff"),
        (&format!("{deep}=x"), &deep),
    ] {
        gateway.get(&format!("/get?{query}")).await.refuses(field);
    }
    gateway.post("/post?text=x", "{}").await.refuses("text");
    gateway.post("/nested/x?nested.text=x", "{}").await.refuses("nested.text");
    gateway.post("/nested/x?text=x", "{}").await.refuses("text");
    assert_eq!(set(gateway.post("/nested/x?an_int32=4", "{}").await.ok())["anInt32"], 4);
}

#[tokio::test]
async fn path_variables_of_every_type() {
    let gateway = echo(EVERYTHING).await;
    for (path, expected) in [
        ("/text/a%20b", json!({"text": "a b"})),
        ("/int32/-7", json!({"anInt32": -7})),
        ("/uint64/18446744073709551615", json!({"nested": {"aUint64": "18446744073709551615"}})),
        ("/bool/true", json!({"aBool": true})),
        ("/double/0.25", json!({"aDouble": 0.25})),
        ("/bytes/AP-_", json!({"aBytes": "AP+/"})),
        ("/color/COLOR_RED", json!({"color": "COLOR_RED"})),
        ("/color/1", json!({"color": "COLOR_RED"})),
        ("/time/2024-01-01T00:00:00Z", json!({"time": "2024-01-01T00:00:00Z"})),
        ("/maybe/0", json!({"maybe": 0})),
    ] {
        assert_eq!(set(gateway.get(path).await.ok()), expected, "{path}");
    }
    for (path, field) in [
        ("/int32/x", "an_int32"),
        ("/uint64/-1", "nested.a_uint64"),
        ("/bool/yes", "a_bool"),
        ("/color/GREEN", "color"),
        ("/time/now", "time"),
        ("/text/x?text=x", "text"),
    ] {
        gateway.get(path).await.refuses(field);
    }
}

#[tokio::test]
async fn bodies_of_every_type_come_back_as_they_went() {
    let gateway = echo(EVERYTHING).await;
    let message = json!({
        "text": "a\u{0}\n\u{1F600}", "anInt32": -1, "anInt64": "-9007199254740993", "aUint32": 1, "aUint64": "1",
        "aSint32": -1, "aSint64": "-1", "aFixed32": 1, "aFixed64": "1", "anSfixed32": -1, "anSfixed64": "-1",
        "aFloat": 0.5, "aDouble": "NaN", "aBool": true, "aBytes": "AAE=", "color": "COLOR_RED",
        "time": "2024-01-01T00:00:00.123456789Z", "duration": "-1.500s", "mask": "aBool,nested.text",
        "big": "5", "truth": false, "note": "", "free": {"a": [1.0, {"b": null}], "c": "d"}, "value": [true, null],
        "nested": {"text": "x", "children": [{"text": "y"}]}, "numbers": [1, 2], "colors": ["COLOR_RED", "COLOR_BLUE"],
        "times": ["2024-01-01T00:00:00Z"], "children": [{"text": "a"}, {"left": ""}],
        "counts": {"a": 1, "": 2}, "parts": {"x": {"anInt32": 1}}, "maybe": 0, "right": "",
        "any": {"@type": "type.googleapis.com/test.v1.Message", "text": "x"}, "otherName": "x",
    });
    let answer = gateway.post("/post", &message.to_string()).await.ok();
    for (field, value) in message.as_object().unwrap() {
        let same = match field.as_str() {
            "children" => answer["children"][1] == json!(null) || answer["children"][0]["text"] == "a",
            "nested" | "parts" | "any" => set(answer[field].clone()) == *value,
            _ => answer[field] == *value,
        };
        assert!(same, "{field}: {} is not {value}", answer[field]);
    }
    // Both names are read, 64-bit integers as numbers too, and null is nothing.
    let odd = r#"{"an_int64": 9007199254740993, "a_bool": null, "nested": null, "children": null, "renamed": "x", "color": 2,
        "an_int32": 1.0, "a_uint32": "7", "value": null}"#;
    assert_eq!(
        set(gateway.post("/post", odd).await.ok()),
        json!({"anInt64": "9007199254740993", "otherName": "x", "color": "COLOR_BLUE", "anInt32": 1, "aUint32": 7, "value": null}),
    );
    assert_eq!(gateway.post("/struct", r#"{"a": {"b": [1.5]}}"#).await.ok(), json!({"a": {"b": [1.5]}}));
    assert_eq!(gateway.post("/empty", "{}").await.ok(), json!({}));
}

#[tokio::test]
async fn fields_without_presence_are_always_there_and_others_only_when_set() {
    let gateway = echo(EVERYTHING).await;
    let answer = gateway.get("/get").await.ok();
    assert_eq!(
        (&answer["text"], &answer["anInt64"], &answer["aBool"]),
        (&json!(""), &json!("0"), &json!(false))
    );
    assert_eq!((&answer["color"], &answer["children"]), (&json!("COLOR_UNSPECIFIED"), &json!([])));
    assert_eq!((&answer["counts"], &answer["aBytes"]), (&json!({}), &json!("")));
    for unset in ["time", "big", "nested", "maybe", "left", "right", "free", "any"] {
        assert!(answer.get(unset).is_none(), "{unset}");
    }
}

#[tokio::test]
async fn the_path_and_the_body_must_not_contradict_each_other() {
    let gateway = echo(EVERYTHING).await;
    assert_eq!(set(gateway.post("/text/a", "{}").await.ok()), json!({"text": "a"}));
    assert_eq!(set(gateway.post("/text/a", r#"{"text": "a", "aBool": true}"#).await.ok())["text"], "a");
    assert_eq!(set(gateway.post("/text/a", r#"{"text": ""}"#).await.ok())["text"], "a");
    gateway.post("/text/a", r#"{"text": "b"}"#).await.refuses("text");
    gateway.post("/left/a", r#"{"right": "b"}"#).await.refuses("left");
}
