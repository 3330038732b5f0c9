//! A change of a configuration as a patch: RFC 7396, except that lists of named things merge by name.

use serde_json::{Map, Value};

use super::path::{Path, Segment};
use super::problem::Problem;
use crate::error::Code;

/// The key that takes an element out of a list.
const DELETE: &str = "$delete";

/// Applies `patch` to `tree`.
///
/// Connections, devices and groups are found by their `name`, values by their `device` and `name`; elements that are
/// not there yet are added at the end, and `{"name":"x","$delete":true}` takes one out. All other lists are replaced.
///
/// # Errors
/// What the patch says that makes no sense, with its place in the patch.
pub fn apply(tree: &mut Value, patch: &Value) -> Result<(), Problem> {
    if !patch.is_object() {
        return Err(Problem::error(Path::root(), "a patch is a mapping of the keys to change"));
    }
    merge(tree, patch, &Path::root())
}

fn merge(target: &mut Value, patch: &Value, at: &Path) -> Result<(), Problem> {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return Ok(());
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(members) = target else { return Ok(()) };
    for (key, change) in changes {
        let at = at.key(key);
        match change {
            Value::Null => {
                members.remove(key);
            }
            Value::Array(changes) if is_named_list(&at) => {
                let list = members.entry(key.as_str()).or_insert_with(|| Value::Array(Vec::new()));
                if !list.is_array() {
                    *list = Value::Array(Vec::new());
                }
                if let Value::Array(elements) = list {
                    merge_list(elements, changes, &at)?;
                }
            }
            change => merge(members.entry(key.as_str()).or_insert(Value::Null), change, &at)?,
        }
    }
    Ok(())
}

/// `/connections`, `/devices`, `/groups`, `/groups/n/values`.
fn is_named_list(at: &Path) -> bool {
    match at.segments() {
        [Segment::Key(list)] => matches!(list.as_str(), "connections" | "devices" | "groups"),
        [Segment::Key(groups), Segment::Index(_), Segment::Key(values)] => {
            groups == "groups" && values == "values"
        }
        _ => false,
    }
}

fn merge_list(elements: &mut Vec<Value>, changes: &[Value], at: &Path) -> Result<(), Problem> {
    for (index, change) in changes.iter().enumerate() {
        let at = at.index(index);
        let Some(name) = change.get("name").and_then(Value::as_str) else {
            return Err(Problem::error(at, "an element of this list is found by its name, and has none"));
        };
        let found = find(elements, name, change.get("device"), &at)?;
        match (change.get(DELETE), found) {
            (None, Some(found)) => merge(&mut elements[found], change, &at)?,
            (None, None) => {
                let mut element = Value::Object(Map::new());
                merge(&mut element, change, &at)?;
                elements.push(element);
            }
            (Some(Value::Bool(true)), Some(found)) => {
                elements.remove(found);
            }
            (Some(Value::Bool(true)), None) => {
                let message = format!("there is no {name} to take out");
                return Err(Problem::error(at, message).with_code(Code::UnknownName));
            }
            (Some(_), _) => return Err(Problem::error(at.key(DELETE), "only true has a meaning here")),
        }
    }
    Ok(())
}

/// The element of this name. Where the change names devices, it is the element of just these.
fn find(
    elements: &[Value],
    name: &str,
    devices: Option<&Value>,
    at: &Path,
) -> Result<Option<usize>, Problem> {
    let is_named = |element: &Value| element.get("name").and_then(Value::as_str) == Some(name);
    let mut named = elements.iter().enumerate().filter(|(_, element)| is_named(element));
    match devices {
        Some(devices) => {
            Ok(named.find(|(_, it)| it.get("device").map(names) == Some(names(devices))).map(|(at, _)| at))
        }
        None => {
            let first = named.next().map(|(index, _)| index);
            if named.next().is_some() {
                let message = format!("there are several of the name {name}: say of which device");
                return Err(Problem::error(at.clone(), message).with_code(Code::DuplicateName));
            }
            Ok(first)
        }
    }
}

/// One name or several, in order.
fn names(devices: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = match devices {
        Value::String(name) => vec![name],
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    names.sort_unstable();
    names
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn patched(mut tree: Value, patch: &Value) -> Value {
        apply(&mut tree, patch).unwrap_or_else(|problem| panic!("{problem}"));
        tree
    }

    #[test]
    fn mappings_merge_as_rfc_7396_says() {
        // Appendix A, what can stand at the root of a configuration.
        for (tree, patch, expected) in [
            (json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"})),
            (json!({"a":"b"}), json!({"a":null}), json!({})),
            (json!({"a":"b","b":"c"}), json!({"a":null}), json!({"b":"c"})),
            (json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"c"}), json!({"a":["b"]}), json!({"a":["b"]})),
            (json!({"a":{"b":"c"}}), json!({"a":{"b":"d","c":null}}), json!({"a":{"b":"d"}})),
            (json!({"a":[{"b":"c"}]}), json!({"a":[1]}), json!({"a":[1]})),
            (json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1})),
            (json!({}), json!({"a":{"bb":{"ccc":null}}}), json!({"a":{"bb":{}}})),
        ] {
            assert_eq!(patched(tree, &patch), expected, "{patch}");
        }
    }

    #[test]
    fn lists_of_named_things_merge_by_name() {
        let tree = json!({
            "connections": [{"name":"a","host":"h"},{"name":"b","host":"i"}],
            "groups": [{"name":"g","values":[
                {"name":"v","device":"m","obis":"1"},{"name":"v","device":["n","o"],"obis":"2"},{"name":"w","obis":"3"}
            ]}]
        });
        let patch = json!({
            "connections": [{"name":"b","host":null,"port":1},{"name":"c","host":"j","x":null},{"name":"a","$delete":true}],
            "groups": [{"name":"g","values":[{"name":"v","device":["o","n"],"obis":"4"},{"name":"w","$delete":true}]}]
        });
        assert_eq!(
            patched(tree, &patch),
            json!({
                "connections": [{"name":"b","port":1},{"name":"c","host":"j"}],
                "groups": [{"name":"g","values":[
                    {"name":"v","device":"m","obis":"1"},{"name":"v","device":["o","n"],"obis":"4"}
                ]}]
            })
        );
        assert_eq!(patched(json!({}), &json!({"devices":[{"name":"d"}]})), json!({"devices":[{"name":"d"}]}));
        assert_eq!(patched(json!({"devices":[{"name":"d"}]}), &json!({"devices":null})), json!({}));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_place() {
        let tree =
            json!({"groups":[{"name":"g","values":[{"name":"v","device":"m"},{"name":"v","device":"n"}]}]});
        for (patch, pointer) in [
            (json!([]), ""),
            (json!({"devices":[1]}), "/devices/0"),
            (json!({"devices":[{"name":"x","$delete":true}]}), "/devices/0"),
            (json!({"groups":[{"name":"g","$delete":1}]}), "/groups/0/$delete"),
            (json!({"groups":[{"name":"g","values":[{"name":"v","obis":"1"}]}]}), "/groups/0/values/0"),
        ] {
            let problem = apply(&mut tree.clone(), &patch).unwrap_err();
            assert_eq!(problem.path.pointer(), pointer, "{problem}");
        }
    }
}
