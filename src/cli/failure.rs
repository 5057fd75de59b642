//! How errors reach the user.

use anyhow::{Error, anyhow};
use core::any::Any;
use core::fmt;
use std::io::{ErrorKind, Write};
use std::string::String;

const USAGE_EXIT_CODE: u8 = 2;

/// The command line asks for something that makes no sense, whatever the files hold.
#[derive(Debug)]
pub struct Usage(pub String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for Usage {}

/// The exit code that an error asks for.
pub fn exit_code(error: &Error) -> u8 {
    if error.is::<Usage>() { USAGE_EXIT_CODE } else { 1 }
}

/// Prints an error and its causes to standard error.
pub fn report(error: &Error) {
    let mut stderr = std::io::stderr().lock();
    // Where standard error is closed there is nobody to tell.
    let _ = writeln!(stderr, "error: {error}");
    for cause in error.chain().skip(1) {
        let _ = writeln!(stderr, "  caused by: {cause}");
    }
}

/// Whether the reader of standard output went away, as `head` does: no error to the user.
pub fn is_broken_pipe(error: &Error) -> bool {
    let io = error.root_cause().downcast_ref::<std::io::Error>();
    io.is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

/// Keeps panics, which are caught and reported as errors, from printing a report of their own,
/// unless `RUST_BACKTRACE` asks for it.
pub fn silence_panics() {
    if std::env::var_os("RUST_BACKTRACE").is_none_or(|value| value == "0") {
        std::panic::set_hook(std::boxed::Box::new(|_| {}));
    }
}

/// A caught panic as an error.
pub fn of_panic(panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or(panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no reason");
    anyhow!("internal error, please report it (RUST_BACKTRACE=1 shows where): {text}")
}
