//! The `zsseg` command; see [`zsseg::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    zsseg::cli::main()
}
