//! What the kernel tells of this process, under the names that all of Prometheus' clients use.

use std::{fmt::Write, fs};

/// Ticks of a second, as the kernel shows them to every program.
const TICKS: f64 = 100.0;

/// Writes it; what cannot be read is left out.
pub fn process(out: &mut String) {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let stat = read("/proc/self/stat");
    // The name of the program is in parentheses and may hold anything.
    let stat: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let number = |at: usize| stat.get(at).and_then(|text| text.parse::<f64>().ok());
    let status = read("/proc/self/status");
    let bytes = |name: &str| word(&status, name, 1).map(|kilobytes| kilobytes * 1024.0);
    let boot = word(&read("/proc/stat"), "btime", 1);
    let files = fs::read_dir("/proc/self/fd").map(|all| all.count()).ok();
    // The folder's own is open only while it is read.
    let files = files.and_then(|count| u32::try_from(count.saturating_sub(1)).ok());
    let told = [
        (
            "process_cpu_seconds_total",
            "counter",
            "Total user and system CPU time spent in seconds.",
            number(11)
                .zip(number(12))
                .map(|(user, system)| (user + system) / TICKS),
        ),
        (
            "process_max_fds",
            "gauge",
            "Maximum number of open file descriptors.",
            { word(&read("/proc/self/limits"), "Max open files", 3) },
        ),
        (
            "process_open_fds",
            "gauge",
            "Number of open file descriptors.",
            files.map(f64::from),
        ),
        (
            "process_resident_memory_bytes",
            "gauge",
            "Resident memory size in bytes.",
            bytes("VmRSS:"),
        ),
        (
            "process_start_time_seconds",
            "gauge",
            "Start time of the process since unix epoch in seconds.",
            boot.zip(number(19)).map(|(boot, start)| boot + start / TICKS),
        ),
        (
            "process_virtual_memory_bytes",
            "gauge",
            "Virtual memory size in bytes.",
            bytes("VmSize:"),
        ),
    ];
    for (name, kind, help, value) in told {
        if let Some(value) = value {
            // Writing to a string does not fail.
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
        }
    }
}

/// The word number `at` of the line that starts with `name`.
fn word(text: &str, name: &str, at: usize) -> Option<f64> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(at)?.parse().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_process_tells_of_itself() {
        let mut told = String::new();
        super::process(&mut told);
        let value = |name: &str| {
            let line = told.lines().find(|line| line.starts_with(&format!("{name} ")));
            line.and_then(|line| line.split(' ').nth(1)?.parse::<f64>().ok())
                .unwrap()
        };
        assert!(value("process_resident_memory_bytes") > 1e5, "{told}");
        assert!(value("process_virtual_memory_bytes") > value("process_resident_memory_bytes"));
        assert!(
            value("process_start_time_seconds") > 1e9 && value("process_open_fds") >= 3.0,
            "{told}"
        );
        assert!(value("process_max_fds") >= value("process_open_fds"));
        assert!(told.contains("\nprocess_cpu_seconds_total "));
    }
}
