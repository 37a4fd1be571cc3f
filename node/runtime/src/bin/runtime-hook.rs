//! The runtime's applets as a program of their own: what the tests run as supervisor.

fn main() {
    if let Some(code) = runtime::hook() {
        std::process::exit(code);
    }
    eprintln!("runtime-hook: not started as an applet of the runtime");
    std::process::exit(2);
}
