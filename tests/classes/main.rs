//! Classes that come, change and go at run time: masks, meanings, and what is refused.

#[path = "../common/external.rs"]
mod external;
mod meanings;
mod refused;
mod support;
mod table;
