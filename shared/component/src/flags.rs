//! One flag table a component: each of upstream's flags is a row that works, is accepted with a warning, or is refused.
//!
//! Values come, the strongest first, from the command line, from drop-in files in order of their names (the last one
//! wins), from the configuration file, from the table's default. An unknown flag is an error. Flags are written as upstream's are (pflag):
//! `--name=value`, `--name value`, `--name` for a boolean.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// What kind of value a flag has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`; `--name` alone is true.
    Bool,
    /// Any text.
    Text,
    /// A whole number.
    Int,
    /// Go's form: `1h30m`, `500ms`.
    Duration,
    /// Comma-separated; given several times, it adds up.
    List,
    /// `key=value` pairs, comma-separated; given several times, it adds up.
    Map,
    /// The same with `key<value`.
    Limits,
}

impl Kind {
    /// What stands between the key and the value of a pair; none: there are no pairs.
    pub const fn between(self) -> Option<char> {
        match self {
            Self::Map => Some('='),
            Self::Limits => Some('<'),
            _ => None,
        }
    }
}

/// What becomes of a flag that is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It does what upstream's does.
    Works,
    /// It is accepted and changes nothing; why.
    Ignored(&'static str),
    /// It is an error to give it; why.
    Refused(&'static str),
}

/// A flag.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    /// Name, without the dashes.
    pub name: &'static str,
    /// Kind of its value.
    pub kind: Kind,
    /// Its default, as it would be written.
    pub default: &'static str,
    /// The dotted path of the field of the component's configuration kind that says the same; empty: none.
    pub field: &'static str,
    /// It is a field of the configuration file alone, under its `name`; the command line does not know it.
    pub file_only: bool,
    /// What becomes of it.
    pub standing: Standing,
    /// What it does.
    pub help: &'static str,
}

impl Flag {
    /// A flag that works.
    pub const fn new(name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Self {
        Self {
            name,
            kind,
            default,
            field: "",
            file_only: false,
            standing: Standing::Works,
            help,
        }
    }

    /// A flag that is accepted and changes nothing.
    pub const fn ignored(name: &'static str, kind: Kind, why: &'static str) -> Self {
        Self {
            standing: Standing::Ignored(why),
            ..Self::new(name, kind, "", why)
        }
    }

    /// A flag that is an error to give.
    pub const fn refused(name: &'static str, kind: Kind, why: &'static str) -> Self {
        Self {
            standing: Standing::Refused(why),
            ..Self::new(name, kind, "", why)
        }
    }

    /// The same as a field of the configuration file that no flag says; its name is the field's path.
    #[must_use]
    pub const fn file_only(mut self) -> Self {
        self.field = self.name;
        self.file_only = true;
        self
    }

    /// The same flag, said also by a field of the configuration file.
    #[must_use]
    pub const fn field(mut self, path: &'static str) -> Self {
        self.field = path;
        self
    }

    /// As it is written before people: `--name`, or the field's path.
    fn title(&self) -> String {
        if self.file_only {
            self.name.to_owned()
        } else {
            format!("--{}", self.name)
        }
    }
}

/// What is wrong with the flags.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlagError {
    /// There is no such flag.
    #[error("unknown flag: --{0}")]
    Unknown(String),
    /// It is no flag at all.
    #[error("unknown command or argument {0:?}")]
    Stray(String),
    /// A flag without its value.
    #[error("flag needs an argument: --{0}")]
    Missing(String),
    /// A value of another kind.
    #[error("invalid argument {value:?} for \"--{name}\" flag: {why}")]
    Invalid {
        /// The flag.
        name: String,
        /// What was given.
        value: String,
        /// What it should be.
        why: String,
    },
    /// The table refuses it.
    #[error("{0} is not supported: {1}")]
    Refused(String, &'static str),
    /// A field of the configuration file that no flag has.
    #[error("unknown field {0:?} in the configuration file")]
    UnknownField(String),
    /// `--help` was asked for; the text.
    #[error("{0}")]
    Help(String),
}

/// The values of a component's flags.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    values: BTreeMap<&'static str, String>,
    given: BTreeSet<&'static str>,
    /// Flags that were given and change nothing, and why.
    pub warnings: Vec<String>,
}

/// Reads `args` (without the program's name) over `fields` (of the configuration files, the weakest first) over the
/// defaults of `tables`.
pub fn parse(
    tables: &[&'static [Flag]],
    args: &[String],
    fields: &[(String, String)],
) -> Result<Settings, FlagError> {
    let mut settings = Settings::default();
    for flag in tables.iter().flat_map(|t| t.iter()) {
        settings.values.insert(flag.name, flag.default.to_owned());
    }
    for (path, value) in fields {
        let flag = tables
            .iter()
            .flat_map(|t| t.iter())
            .find(|f| !f.field.is_empty() && f.field == path);
        let flag = flag.ok_or_else(|| FlagError::UnknownField(path.clone()))?;
        settings.set(flag, value, false)?;
    }
    let mut args = args.iter().peekable();
    while let Some(arg) = args.next() {
        let Some(name) = arg.strip_prefix("--") else {
            return Err(FlagError::Stray(arg.clone()));
        };
        let (name, inline) = match name.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (name, None),
        };
        if name == "help" {
            return Err(FlagError::Help(help(tables)));
        }
        // pflag takes underscores for dashes.
        let name = name.replace('_', "-");
        let flag = tables
            .iter()
            .flat_map(|t| t.iter())
            .find(|f| f.name == name && !f.file_only);
        let flag = flag.ok_or_else(|| FlagError::Unknown(name.clone()))?;
        let value = match inline {
            Some(value) => value,
            None if flag.kind == Kind::Bool => "true".to_owned(),
            None => args.next().cloned().ok_or(FlagError::Missing(name))?,
        };
        settings.set(flag, &value, true)?;
    }
    Ok(settings)
}

fn help(tables: &[&'static [Flag]]) -> String {
    let mut flags: Vec<&Flag> = tables.iter().flat_map(|t| t.iter()).collect();
    flags.retain(|f| f.standing == Standing::Works && !f.file_only);
    flags.sort_by_key(|f| f.name);
    let line = |f: &&Flag| {
        let default = if f.default.is_empty() {
            String::new()
        } else {
            format!(" (default {})", f.default)
        };
        format!("  --{:<44} {}{default}\n", f.name, f.help)
    };
    flags.iter().map(line).collect()
}

impl Settings {
    fn set(&mut self, flag: &Flag, value: &str, given: bool) -> Result<(), FlagError> {
        match flag.standing {
            Standing::Refused(why) => return Err(FlagError::Refused(flag.title(), why)),
            Standing::Ignored(why) => self
                .warnings
                .push(format!("{} changes nothing: {why}", flag.title())),
            Standing::Works => {}
        }
        check(flag, value)?;
        let many = flag.kind == Kind::List || flag.kind.between().is_some();
        let adds = many && given && self.given.contains(flag.name);
        let entry = self.values.entry(flag.name).or_default();
        if adds {
            entry.push(',');
            entry.push_str(value);
        } else {
            value.clone_into(entry);
        }
        if given {
            self.given.insert(flag.name);
        }
        Ok(())
    }

    /// Whether the flag stands on the command line.
    pub fn is_given(&self, name: &str) -> bool {
        self.given.contains(name)
    }

    /// A text; empty when the table has no such flag.
    pub fn text(&self, name: &str) -> &str {
        self.values.get(name).map_or("", String::as_str)
    }

    /// A boolean.
    pub fn bool(&self, name: &str) -> bool {
        self.text(name) == "true"
    }

    /// A number.
    pub fn int(&self, name: &str) -> i64 {
        self.text(name).parse().unwrap_or(0)
    }

    /// A duration.
    pub fn duration(&self, name: &str) -> Duration {
        parse_duration(self.text(name)).unwrap_or(Duration::ZERO)
    }

    /// A list.
    pub fn list(&self, name: &str) -> Vec<String> {
        self.text(name)
            .split(',')
            .map(str::trim)
            .filter(|s| !s.is_empty())
            .map(str::to_owned)
            .collect()
    }

    /// A map, or limits.
    pub fn map(&self, name: &str) -> BTreeMap<String, String> {
        let pairs = self.list(name);
        pairs
            .iter()
            .filter_map(|p| p.split_once(['=', '<']))
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect()
    }
}

fn check(flag: &Flag, value: &str) -> Result<(), FlagError> {
    let wrong = |why: &str| {
        Err(FlagError::Invalid {
            name: flag.name.to_owned(),
            value: value.to_owned(),
            why: why.to_owned(),
        })
    };
    let between = flag.kind.between();
    let paired = |between| value.is_empty() || value.split(',').all(|p| p.contains(between));
    if let Some(between) = between.filter(|between| !paired(*between)) {
        return wrong(&format!("must be key{between}value pairs"));
    }
    match flag.kind {
        Kind::Bool if !matches!(value, "true" | "false") => wrong("must be true or false"),
        Kind::Int if value.parse::<i64>().is_err() => wrong("must be a whole number"),
        Kind::Duration if parse_duration(value).is_none() => wrong("must be a duration such as 1h30m"),
        _ => Ok(()),
    }
}

/// Reads a duration in Go's form. Negative ones are none.
pub fn parse_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let (mut rest, mut total) = (text, 0f64);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        rest = &rest[end..];
        let units = [
            ("ns", 1e-9),
            ("us", 1e-6),
            ("µs", 1e-6),
            ("ms", 1e-3),
            ("s", 1.0),
            ("m", 60.0),
            ("h", 3600.0),
        ];
        let (unit, seconds) = units.into_iter().find(|(unit, _)| rest.starts_with(unit))?;
        total += number * seconds;
        rest = &rest[unit.len()..];
    }
    Duration::try_from_secs_f64(total).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[Flag] = &[
        Flag::new("bind-address", Kind::Text, "0.0.0.0", "where to listen").field("address"),
        Flag::new("secure-port", Kind::Int, "6443", "at which port"),
        Flag::new("profiling", Kind::Bool, "true", ""),
        Flag::new("grace", Kind::Duration, "40s", ""),
        Flag::new("node-labels", Kind::Map, "", ""),
        Flag::new("eviction-hard", Kind::Limits, "memory.available<100Mi", ""),
        Flag::ignored("v", Kind::Int, "there are no numbered log levels"),
        Flag::refused("insecure-port", Kind::Int, "there is no insecure port"),
        Flag::new("grace.period", Kind::Duration, "1s", "").file_only(),
    ];

    fn read(args: &[&str], fields: &[(&str, &str)]) -> Result<Settings, FlagError> {
        let args: Vec<String> = args.iter().map(|a| (*a).to_owned()).collect();
        let fields: Vec<_> = fields
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        parse(&[TABLE], &args, &fields)
    }

    #[test]
    fn the_command_line_wins_over_files_and_files_over_defaults() {
        assert_eq!(read(&[], &[]).unwrap().text("bind-address"), "0.0.0.0");
        let files = [("address", "1.1.1.1"), ("address", "2.2.2.2")];
        assert_eq!(read(&[], &files).unwrap().text("bind-address"), "2.2.2.2");
        assert_eq!(
            read(&["--bind-address=3.3.3.3"], &files)
                .unwrap()
                .text("bind-address"),
            "3.3.3.3"
        );
        let some = read(
            &[
                "--profiling=false",
                "--grace",
                "1m30s",
                "--node-labels=a=b",
                "--node-labels",
                "c=d",
                "--v=4",
                "--eviction-hard=memory.available<1Gi,nodefs.available<10%",
            ],
            &[],
        )
        .unwrap();
        assert!(!some.bool("profiling"));
        assert_eq!(
            (some.duration("grace").as_secs(), some.int("secure-port")),
            (90, 6443)
        );
        assert_eq!(some.map("node-labels").len(), 2);
        assert_eq!(some.map("eviction-hard")["nodefs.available"], "10%");
        assert_eq!(some.warnings.len(), 1);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (args, words) in [
            (&["--nonsense"][..], "unknown flag: --nonsense"),
            (&["--secure-port"], "flag needs an argument: --secure-port"),
            (
                &["--secure-port=x"],
                "invalid argument \"x\" for \"--secure-port\" flag: must be a whole number",
            ),
            (
                &["--grace=5"],
                "invalid argument \"5\" for \"--grace\" flag: must be a duration such as 1h30m",
            ),
            (
                &["--insecure-port=80"],
                "--insecure-port is not supported: there is no insecure port",
            ),
            (
                &["--eviction-hard=memory.available=1Gi"],
                "invalid argument \"memory.available=1Gi\" for \"--eviction-hard\" flag: must be key<value pairs",
            ),
            (&["extra"], "unknown command or argument \"extra\""),
        ] {
            assert_eq!(read(args, &[]).unwrap_err().to_string(), words);
        }
        assert!(read(&[], &[("nope", "1")]).is_err());
        assert_eq!(
            read(&["--grace.period=2s"], &[]).unwrap_err().to_string(),
            "unknown flag: --grace.period"
        );
        assert_eq!(
            read(&[], &[("grace.period", "2s")])
                .unwrap()
                .duration("grace.period")
                .as_secs(),
            2
        );
    }
}
