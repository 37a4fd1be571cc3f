//! A file that is put aside when it is large enough.

use component::{Clock, Tasks};
use flate2::{Compression, write::GzEncoder};
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// How old files are named, between the file's stem and its extension.
const STAMP: &str = "%Y-%m-%dT%H-%M-%S";

/// When a file is put aside, and what becomes of old ones.
#[derive(Clone, Debug)]
pub(super) struct Rotation {
    /// Bytes; 0: it never is.
    pub max_size: u64,
    /// Days that old files are kept; 0: for ever.
    pub max_age: u64,
    /// How many are kept; 0: all.
    pub max_backups: usize,
    /// Whether they are compressed.
    pub compress: bool,
}

/// The file.
pub(super) struct Rotating {
    path: PathBuf,
    rotation: Rotation,
    file: File,
    size: u64,
    clock: Clock,
    tasks: Tasks,
}

impl Rotating {
    /// Opens it, or makes it and the folders above it; nobody else may read it.
    pub fn open(path: &Path, rotation: Rotation, clock: Clock, tasks: Tasks) -> io::Result<Self> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let file = append(path)?;
        let size = file.metadata()?.len();
        Ok(Self {
            path: path.to_owned(),
            rotation,
            file,
            size,
            clock,
            tasks,
        })
    }

    /// Writes a line, into a new file if the old one has no room for it.
    pub fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let (most, length) = (
            self.rotation.max_size,
            u64::try_from(line.len()).unwrap_or(u64::MAX),
        );
        if most > 0 {
            if length > most {
                return Err(io::Error::other(format!(
                    "write length {length} exceeds maximum file size {most}"
                )));
            }
            if self.size + length > most {
                self.rotate()?;
            }
        }
        self.file.write_all(line)?;
        self.size += length;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        let now = self.clock.wall();
        fs::rename(&self.path, aside(&self.path, now))?;
        self.file = append(&self.path)?;
        self.size = 0;
        let (path, rotation) = (self.path.clone(), self.rotation.clone());
        self.tasks.spawn_blocking(move || {
            if let Err(error) = tidy(&path, &rotation, now) {
                tracing::warn!(%error, "old audit logs are not all as they should be");
            }
        });
        Ok(())
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
}

fn parts(path: &Path) -> (String, String) {
    let text = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    let extension = match text(path.extension()) {
        extension if extension.is_empty() => extension,
        extension => format!(".{extension}"),
    };
    (format!("{}-", text(path.file_stem())), extension)
}

/// The name of a file that is put aside at `now`.
fn aside(path: &Path, now: Timestamp) -> PathBuf {
    let (stem, extension) = parts(path);
    let millis = now.subsec_millisecond();
    let stamp = now.strftime(STAMP);
    path.with_file_name(format!("{stem}{stamp}.{millis:03}{extension}"))
}

/// When a file was put aside, if it was.
fn since(name: &str, (stem, extension): &(String, String)) -> Option<Timestamp> {
    let name = name.strip_suffix(".gz").unwrap_or(name);
    let stamp = name
        .strip_prefix(stem.as_str())?
        .strip_suffix(extension.as_str())?;
    let (second, millis) = stamp.rsplit_once('.')?;
    let at = DateTime::strptime(STAMP, second)
        .ok()?
        .to_zoned(TimeZone::UTC)
        .ok()?
        .timestamp();
    let millis: i64 = millis.parse().ok()?;
    at.checked_add(jiff::SignedDuration::from_millis(millis)).ok()
}

/// Removes those that are too old or too many, and compresses the rest.
fn tidy(path: &Path, rotation: &Rotation, now: Timestamp) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let of = parts(path);
    let mut old: Vec<(Timestamp, PathBuf)> = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if let Some(at) = since(&entry.file_name().to_string_lossy(), &of) {
            old.push((at, entry.path()));
        }
    }
    old.sort();
    old.reverse();
    let days = i64::try_from(rotation.max_age).unwrap_or(i64::MAX);
    let oldest = now.as_second().saturating_sub(days.saturating_mul(86_400));
    for (at, (since, path)) in old.iter().enumerate() {
        let many = rotation.max_backups > 0 && at >= rotation.max_backups;
        let aged = rotation.max_age > 0 && since.as_second() < oldest;
        if many || aged {
            fs::remove_file(path)?;
        } else if rotation.compress && path.extension().is_none_or(|extension| extension != "gz") {
            compress(path)?;
        }
    }
    Ok(())
}

fn compress(path: &Path) -> io::Result<()> {
    let mut packed = path.as_os_str().to_owned();
    packed.push(".gz");
    let out = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(&packed)?;
    let mut packer = GzEncoder::new(out, Compression::default());
    io::copy(&mut File::open(path)?, &mut packer)?;
    packer.finish()?.sync_all()?;
    fs::remove_file(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[tokio::test(start_paused = true)]
    async fn a_log_is_put_aside_compressed_and_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/audit.log");
        let env = component::Env::simulated(3);
        let rotation = Rotation {
            max_size: 10,
            max_age: 3,
            max_backups: 2,
            compress: true,
        };
        let mut file = Rotating::open(&path, rotation, env.clock.clone(), env.tasks.clone()).unwrap();
        assert!(file.write(b"longer than ten").is_err());
        for line in [b"1234567\n", b"2345678\n", b"3456789\n", b"4567890\n"] {
            file.write(line).unwrap();
            env.clock.sleep(std::time::Duration::from_secs(60)).await;
            // What tidies is blocking work.
            env.tasks.blocking(|| ()).await;
        }
        env.tasks.drain(std::time::Duration::from_secs(10)).await;
        tidy(&path, &file.rotation, env.clock.wall()).unwrap();
        let folder = path.parent().unwrap();
        assert_eq!(
            names(folder),
            [
                "audit-2030-01-01T00-02-00.000.log.gz",
                "audit-2030-01-01T00-03-00.000.log.gz",
                "audit.log"
            ]
        );
        assert_eq!(fs::read(&path).unwrap(), b"4567890\n");
        let later = env.clock.wall() + jiff::SignedDuration::from_hours(80);
        tidy(&path, &file.rotation, later).unwrap();
        assert_eq!(names(folder), ["audit.log"]);
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
