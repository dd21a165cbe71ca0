//! Reads out of an object what its workload asks to be told.
//!
//! A path that finds nothing, several values, or something that is no number, text or boolean tells
//! nothing. What a Secret holds is never told.

use canopy_model::{FeedbackValue, FieldValue};
use canopy_upkeep::JsonPath as Rule;
use jsonpath_rust::JsonPath as _;
use kube::api::DynamicObject;
use serde_json::Value;

use crate::object::ObjectName;

/// The longest text of one value, in bytes.
const TEXT_BYTES_MAX: usize = 256;

/// The values of one object, in the order of the rules.
pub(crate) fn values(object: &DynamicObject, name: &ObjectName, rules: &[Rule]) -> Vec<FeedbackValue> {
    let is_secret = name.kind.group.is_empty() && name.kind.kind == "Secret";
    if rules.is_empty() || is_secret {
        return Vec::new();
    }
    let Ok(object) = serde_json::to_value(object) else { return Vec::new() };
    let told = rules.iter().filter_map(|rule| {
        let value = value(&object, &rule.query())?;
        Some(FeedbackValue { object: name.to_string(), name: rule.name.clone(), value })
    });
    told.collect()
}

fn value(object: &Value, query: &str) -> Option<FieldValue> {
    let found = object.query(query).ok()?;
    let [found] = &found[..] else { return None };
    Some(match found {
        Value::Bool(boolean) => FieldValue::Boolean(*boolean),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => FieldValue::Integer(integer),
            None => FieldValue::String(number.to_string()),
        },
        Value::String(text) => {
            FieldValue::String(text[..text.floor_char_boundary(TEXT_BYTES_MAX)].to_owned())
        }
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_texts_and_booleans_are_told_and_nothing_else() {
        let object = json!({"metadata": {"annotations": {"a.b/c": "x"}}, "spec": {"paused": true, "ratio": 0.5},
            "status": {"readyReplicas": 2, "long": "ü".repeat(200), "conditions": [
                {"type": "Ready", "status": "True"}, {"type": "Available", "status": "False"}]}});
        let check =
            |path: &str, expected: Option<FieldValue>| assert_eq!(value(&object, path), expected, "{path}");
        let text = |text: &str| Some(FieldValue::String(text.to_owned()));
        check("$.status.readyReplicas", Some(FieldValue::Integer(2)));
        check("$.spec.paused", Some(FieldValue::Boolean(true)));
        check("$.spec.ratio", text("0.5"));
        check("$.status.conditions[?(@.type==\"Ready\")].status", text("True"));
        check("$.status.conditions[1].type", text("Available"));
        check("$.metadata.annotations['a.b/c']", text("x"));
        check("$.status.long", text(&"ü".repeat(128)));
        for nothing in ["$.status.absent", "$.status.conditions[*].type", "$.status", "$.status.conditions"] {
            check(nothing, None);
        }
    }

    #[test]
    fn what_a_secret_holds_is_never_told() {
        let secret =
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "data": {"key": "eA=="}});
        let object: DynamicObject = serde_json::from_value(secret).unwrap();
        let rules = [Rule { name: "key".into(), path: ".data.key".into() }];
        let name = |kind: &str| ObjectName::of(&crate::object::GroupKind::read(kind), &object);
        assert_eq!(values(&object, &name("Secret"), &rules), []);
        assert_eq!(values(&object, &name("ConfigMap"), &rules).len(), 1);
    }
}
