//! TOML tables: setting, laying one over another, comparing.

use crate::train::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;
use toml::{Table, Value};

/// A value of a type from a table; errors name the field.
pub(super) fn read<T: for<'t> Deserialize<'t>>(table: Table) -> Result<T> {
    table.try_into().map_err(|error: toml::de::Error| Error::config(error.to_string().trim_end()))
}

/// The text of something.
pub(super) fn text(value: &impl Serialize) -> Result<String> {
    toml::to_string_pretty(value).map_err(Error::config)
}

/// Sets a field of a table within a table, making those that are not there.
pub(super) fn set(table: &mut Table, path: &[String], value: &Value) -> Result<()> {
    match path {
        [] => Ok(()),
        [field] => {
            table.insert(field.clone(), value.clone());
            Ok(())
        }
        [first, rest @ ..] => {
            let inner = table.entry(first.clone()).or_insert_with(|| Value::Table(Table::new()));
            let inner = inner.as_table_mut();
            set(
                inner.ok_or_else(|| Error::config(format!("\"{first}\" is no table")))?,
                rest,
                value,
            )
        }
    }
}

/// Names of the fields that two tables do not share, such as `method.rate`.
pub(super) fn differences(one: &Table, other: &Table) -> Vec<String> {
    let mut found = Vec::new();
    let names: std::collections::BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    for name in names {
        match (one.get(name), other.get(name)) {
            (Some(Value::Table(one)), Some(Value::Table(other))) => {
                let inner = differences(one, other);
                found.extend(inner.iter().map(|field| format!("{name}.{field}")));
            }
            (one, other) if one == other => {}
            _ => found.push(name.to_string()),
        }
    }
    found
}
