//! The project's own commands, as `cargo xtask`: test everything, build the test images, run a benchmark against its peer,
//! check the rules that a machine can check. It never becomes a part of the product, and knows the crates only by their names.
#![expect(
    clippy::disallowed_methods,
    reason = "a command of developers takes its time and settings from the system"
)]

mod apt;
mod bench;
mod fuzz;
mod images;
mod schema;
mod test;
mod tidy;
mod tools;
mod vm;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    about = "The project's own commands",
    disable_help_subcommand = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run everything that CI runs, fast things first.
    Test(test::Options),
    /// Fetch the tools of the tests, build the test images from Debian packages (all kept in the cache), and push them.
    Images {
        /// Push the images to this registry, as http://HOST:PORT.
        #[arg(long, value_name = "URL")]
        push: Option<String>,
        /// Build them again, although they are in the cache.
        #[arg(long)]
        rebuild: bool,
    },
    /// Measure ours and a peer in turn, a line a case.
    Bench(bench::Options),
    /// Give a decoder of `fuzz/targets` what libFuzzer makes up, for a while.
    Fuzz(fuzz::Options),
    /// Make the table of field facts from a published OpenAPI v2 document.
    Schema(schema::Options),
    /// Check the rules of the code base that a machine can check.
    Tidy,
    /// Run the runtime's pod tests in QEMU on Debian's kernel, with cgroups of version 2.
    Vm(vm::Options),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Task::Test(options) => test::run(&options),
        Task::Images { push, rebuild } => images::run(push.as_deref(), rebuild),
        Task::Bench(options) => bench::run(&options),
        Task::Fuzz(options) => fuzz::run(&options),
        Task::Schema(options) => schema::run(&options),
        Task::Tidy => tidy::run(),
        Task::Vm(options) => vm::run(&options),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
