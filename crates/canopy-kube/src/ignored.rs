//! Fields that a workload leaves to others, such as replicas that an autoscaler sets.
//!
//! Server-side apply takes a field away when its manager applies without it. Therefore a field is
//! left out only once somebody else holds it; as long as it is ours it goes along.

use canopy_upkeep::{IgnoreCondition, IgnoreFields};
use kube::ResourceExt;
use kube::api::DynamicObject;
use serde_json::Value;

use crate::applyset::FIELD_MANAGER;

/// The object without what is left to others, given what is there.
pub(crate) fn leave(wanted: &DynamicObject, live: &DynamicObject, ignored: &[IgnoreFields]) -> DynamicObject {
    let (Ok(mut value), Ok(present)) = (serde_json::to_value(wanted), serde_json::to_value(live)) else {
        return wanted.clone();
    };
    for rule in ignored {
        for path in rule.json_paths.iter().filter_map(|path| canopy_upkeep::fields(path)) {
            match (is_ours(live, &path), rule.condition) {
                (true, IgnoreCondition::OnSpokeChange) => {}
                (true, IgnoreCondition::OnSpokePresent) => put(&mut value, &path, field(&present, &path)),
                (false, _) => put(&mut value, &path, None),
            }
        }
    }
    serde_json::from_value(value).unwrap_or_else(|_| wanted.clone())
}

/// Whether the server's record says that we hold a field, alone or with all that is around it.
fn is_ours(live: &DynamicObject, path: &[String]) -> bool {
    let ours = live.managed_fields().iter().filter(|entry| entry.manager.as_deref() == Some(FIELD_MANAGER));
    ours.filter_map(|entry| entry.fields_v1.as_ref()).any(|fields| {
        let mut at = &fields.0;
        for name in path {
            match at.get(format!("f:{name}")) {
                Some(inner) => at = inner,
                None => return false,
            }
            if at.as_object().is_some_and(serde_json::Map::is_empty) {
                return true;
            }
        }
        true
    })
}

fn field<'a>(object: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(object, |at, name| at.get(name))
}

/// Sets a field of an object, or takes it away. What leads to it must be there.
fn put(object: &mut Value, path: &[String], field: Option<&Value>) {
    let Some((last, around)) = path.split_last() else { return };
    let around = around.iter().try_fold(object, |at, name| at.get_mut(name));
    let Some(Value::Object(fields)) = around else { return };
    match field {
        Some(field) => fields.insert(last.clone(), field.clone()),
        None => fields.remove(last),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn deployment(replicas: u32, ours: Value) -> DynamicObject {
        let object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web",
            "managedFields": [{"manager": "canopy", "operation": "Apply", "fieldsV1": ours}]},
            "spec": {"replicas": replicas}});
        serde_json::from_value(object).unwrap()
    }

    fn left(ours: Value, condition: IgnoreCondition) -> Value {
        let rule = IgnoreFields { condition, json_paths: vec![".spec.replicas".into()] };
        let wanted = leave(&deployment(2, json!({})), &deployment(5, ours), &[rule]);
        wanted.data["spec"]["replicas"].clone()
    }

    #[test]
    fn a_field_is_left_out_once_somebody_else_holds_it() {
        use IgnoreCondition::{OnSpokeChange, OnSpokePresent};
        let (ours, theirs) = (json!({"f:spec": {"f:replicas": {}}}), json!({"f:spec": {"f:paused": {}}}));
        assert_eq!(left(ours.clone(), OnSpokeChange), 2, "a newer manifest counts");
        assert_eq!(left(ours, OnSpokePresent), 5, "what is there counts");
        assert_eq!(left(theirs.clone(), OnSpokeChange), Value::Null);
        assert_eq!(left(theirs, OnSpokePresent), Value::Null);
        assert_eq!(left(json!({"f:spec": {}}), OnSpokeChange), 2, "held with all that is around it");
    }
}
