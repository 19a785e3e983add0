//! The JSON Schema, made from the model: what the types do not say by themselves, and the test that holds the file to it.

use std::{borrow::Cow, env, fs, path::Path};

use schemars::{
    JsonSchema, Schema, SchemaGenerator,
    generate::SchemaSettings,
    json_schema,
    transform::{Transform, transform_subschemas},
};
use serde_json::{Map, Value, json};

use super::{
    list::{Few, Last, Members},
    model::Record,
    value::{Count, Name, Number, Place, Text, Time},
    word::{Spelled, Word},
};
use crate::event::ids::{Address, Cpu, MonoNanos, Nanos, Pid, Seq, Tid};

/// Declares how values look that have a definition of their own.
macro_rules! defined {
    ($($($name:ty),+ => $definition:literal, $schema:tt;)+) => {$($(
        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                $definition.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )+)+};
}

/// Declares how values look that stand where they are used.
macro_rules! inline {
    ($($name:ty => $schema:tt;)+) => {$(
        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )+};
}

defined! {
    Count => "count", {
        "description": "A number of things.",
        "type": "integer",
        "minimum": 0
    };
    Nanos, MonoNanos => "nanoseconds", {
        "description": "A length of time, or a point on CLOCK_MONOTONIC.",
        "type": "integer",
        "minimum": 0
    };
    Cpu, Pid, Tid, Number => "id", {
        "description": "A number that the kernel gave: CPU, process, thread, interrupt, system call.",
        "type": "integer",
        "minimum": 0,
        "maximum": 4_294_967_295_u32
    };
    Address => "address", {
        "description": "An address: lower-case hexadecimal without leading zeros.",
        "type": "string",
        "pattern": "^0x(0|[1-9a-f][0-9a-f]{0,15})$"
    };
    Time<'_> => "time", {
        "description": "RFC 3339, UTC, nanoseconds.",
        "type": "string",
        "pattern": "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\\.[0-9]{9}Z$"
    };
    Name<'_> => "name", {
        "type": "string",
        "minLength": 1
    };
}

inline! {
    Text<'_> => { "type": "string" };
    Place<'_> => { "type": "string" };
    Seq => { "type": "integer", "minimum": 1 };
}

impl<T: Spelled> JsonSchema for Word<T> {
    fn inline_schema() -> bool {
        T::DEFINITION.is_none()
    }

    fn schema_name() -> Cow<'static, str> {
        T::DEFINITION.unwrap_or(T::WHAT).into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let words: Vec<_> = T::words().collect();
        json_schema!({ "enum": words })
    }
}

/// Declares lists, which look the same however many of them are read.
macro_rules! lists {
    ($($name:ident)+) => {$(
        impl<T: JsonSchema, const N: usize> JsonSchema for $name<T, N> {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                <Vec<T>>::schema_name()
            }

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                <Vec<T>>::json_schema(generator)
            }
        }
    )+};
}

lists! { Few Last }

impl<K: JsonSchema, V: JsonSchema> JsonSchema for Members<K, V> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("{}_by_{}", V::schema_name(), K::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let key = generator.subschema_for::<K>();
        let value = generator.subschema_for::<V>();
        json_schema!({ "type": "object", "propertyNames": key, "additionalProperties": value })
    }
}

/// Members that every record of this version has: a reader does without them.
pub(super) fn always(names: &'static [&'static str]) -> impl Fn(&mut Schema) {
    move |schema| require(schema, names)
}

fn require(schema: &mut Schema, names: &[&str]) {
    let required = schema
        .ensure_object()
        .entry("required")
        .or_insert_with(|| json!([]));
    if let Value::Array(required) = required {
        required.extend(names.iter().map(|&name| name.into()));
    }
}

/// Members that a record of a kind has.
pub(super) fn asks(
    kinds: &'static [(&'static str, &'static [&'static str])],
) -> impl Fn(&mut Schema) {
    move |schema| {
        let asked = kinds.iter().map(|(kind, names)| {
            json!({
                "if": { "properties": { "kind": { "const": kind } } },
                "then": { "required": names }
            })
        });
        schema.insert("allOf".to_owned(), asked.collect());
    }
}

/// A probe that is not attached says why.
pub(super) fn needs_a_reason(schema: &mut Schema) {
    let attached = json!({ "properties": { "state": { "const": "attached" } } });
    schema.insert("if".to_owned(), attached);
    schema.insert("else".to_owned(), json!({ "required": ["why"] }));
}

/// Takes out what serde would read and no log has, `null` for what is not known and defaults, and the ends of the
/// lines of comments.
#[derive(Clone)]
struct Plain;

impl Transform for Plain {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        let Some(object) = schema.as_object_mut() else {
            return;
        };
        object.remove("default");
        object.remove("format");
        if let Some(Value::String(description)) = object.get_mut("description") {
            *description = description.replace('\n', " ");
        }
        if let Some(Value::Array(types)) = object.get_mut("type") {
            types.retain(|kind| kind != "null");
            if let [kind] = types.as_slice() {
                let kind = kind.clone();
                object.insert("type".to_owned(), kind);
            }
        }
        if let Some(Value::Array(words)) = object.get_mut("enum") {
            words.retain(|word| !word.is_null());
        }
        let null = json!({ "type": "null" });
        if let Some(Value::Array(choices)) = object.get("anyOf")
            && let [choice, other] = choices.as_slice()
            && *other == null
            && let Value::Object(choice) = choice.clone()
        {
            object.remove("anyOf");
            for (name, value) in choice {
                object.entry(name).or_insert(value);
            }
        }
    }
}

/// Every record has its type, which serde adds to what the types have.
fn name_types(root: &mut Map<String, Value>) {
    // serde reads the first that fits; of these no two fit the same line.
    let records = root.remove("anyOf").expect("records");
    let names: Vec<String> = records
        .as_array()
        .expect("records")
        .iter()
        .map(|record| {
            let reference = record["$ref"].as_str().expect("a definition");
            reference.rsplit('/').next().expect("a name").to_owned()
        })
        .collect();
    let references = names
        .iter()
        .map(|name| json!({ "$ref": format!("#/$defs/{name}") }))
        .collect();
    root.insert("oneOf".to_owned(), references);
    for name in names {
        let record = &mut root["$defs"][&name];
        record["properties"]["type"] = json!({ "const": name });
        let required = record["required"].as_array_mut().expect("members");
        required.insert(0, "type".into());
    }
}

/// The schema of what `T` is written as; `name` is that of the format, and of the file.
pub(crate) fn generated<T: JsonSchema>(
    settings: SchemaSettings,
    name: &str,
    file: &str,
) -> Map<String, Value> {
    let schema = settings
        .with_transform(Plain)
        .into_generator()
        .into_root_schema_for::<T>();
    let mut root = schema.as_object().expect("an object").clone();
    let folder = "https://github.com/isol-trace/isol-trace/blob/main/docs/schema";
    root.insert("$id".to_owned(), format!("{folder}/{file}").into());
    root.insert("title".to_owned(), name.into());
    root
}

/// Holds a file to a schema, or writes it where `UPDATE_SCHEMA` is set.
pub(crate) fn compare(schema: &Map<String, Value>, file: &str, embedded: &str) {
    let text = serde_json::to_string_pretty(schema).expect("JSON") + "\n";
    if env::var_os("UPDATE_SCHEMA").is_some() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schema");
        fs::write(folder.join(file), text).unwrap();
        return;
    }
    assert!(
        text == embedded,
        "docs/schema/{file} is not what the model says: run this test with UPDATE_SCHEMA=1"
    );
}

/// The file is what the model says. `UPDATE_SCHEMA=1 cargo test -p isol-trace --lib schema` writes it.
#[test]
fn the_schema_is_that_of_the_model() {
    let file = "isol-trace-1.schema.json";
    let mut schema =
        generated::<Record<'_>>(SchemaSettings::draft2020_12(), super::SCHEMA_NAME, file);
    name_types(&mut schema);
    compare(&schema, file, super::SCHEMA);
}
