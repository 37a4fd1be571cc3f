//! Layers to folders. Every path is looked up with the layer's folder as root, so that no name or symlink in an archive
//! leads out of it. Whiteouts become overlayfs whiteouts.

use component::hex;
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags, chownat,
    fsetxattr, linkat, makedev, mkdirat, mknodat, openat2, statat, symlinkat, unlinkat, utimensat,
};
use sha2::{Digest, Sha256};
use std::{
    ffi::OsString,
    fs::File,
    io::{self, BufReader, Read},
    os::{fd::OwnedFd, unix::ffi::OsStringExt},
    path::{Component, Path, PathBuf},
};
use tar::{Entry, EntryType};

const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";

/// Unpacks the layer in `blob` into the folder `to`; the digest of its uncompressed form and its size.
pub(super) fn layer(blob: &Path, to: &Path) -> io::Result<(String, u64)> {
    let mut reader = Hashing {
        inner: decompressed(File::open(blob)?)?,
        hash: Sha256::new(),
    };
    let root = rustix::fs::open(
        to,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let mut unpack = Unpack {
        root,
        dirs: Vec::new(),
        size: 0,
    };
    let mut archive = tar::Archive::new(&mut reader);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        unpack
            .entry(&mut entry, &path)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
    }
    unpack.finish();
    io::copy(&mut reader, &mut io::sink())?;
    Ok((
        format!("sha256:{}", hex::encode(reader.hash.finalize())),
        unpack.size,
    ))
}

/// By what the bytes are, not by what the manifest says.
fn decompressed(mut file: File) -> io::Result<Box<dyn Read>> {
    let mut magic = Vec::new();
    file.by_ref().take(4).read_to_end(&mut magic)?;
    io::Seek::rewind(&mut file)?;
    let file = BufReader::with_capacity(1 << 18, file);
    Ok(match magic[..] {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
        [0x28, 0xb5, 0x2f, 0xfd] => Box::new(zstd::stream::read::Decoder::with_buffer(file)?),
        _ => Box::new(file),
    })
}

struct Hashing<R> {
    inner: R,
    hash: Sha256,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hash.update(&buffer[..count]);
        Ok(count)
    }
}

struct Unpack {
    root: OwnedFd,
    /// Folders whose times are set at the end, when nothing is put in them any more.
    dirs: Vec<(PathBuf, i64)>,
    size: u64,
}

impl Unpack {
    fn entry<R: Read>(&mut self, entry: &mut Entry<'_, R>, path: &Path) -> io::Result<()> {
        let path = relative(path)?;
        let Some(name) = path.file_name().map(ToOwned::to_owned) else {
            let root = self.open(Path::new("."), OFlags::DIRECTORY | OFlags::RDONLY)?;
            return own(&root, Path::new("."), entry);
        };
        let parent = self.parent(path.parent().unwrap_or(Path::new("")))?;
        if let Some(hidden) = name.as_encoded_bytes().strip_prefix(WHITEOUT.as_bytes()) {
            return self.whiteout(&parent, &path, &name, hidden);
        }
        let replaced = self.clear(&parent, &name, entry.header().entry_type())?;
        match entry.header().entry_type() {
            EntryType::Directory => {
                if !replaced.kept {
                    mkdirat(&parent, &name, Mode::from(0o755))?;
                }
                if replaced.whiteout {
                    let dir = self.open(&path, OFlags::DIRECTORY | OFlags::RDONLY)?;
                    fsetxattr(&dir, "trusted.overlay.opaque", b"y", XattrFlags::empty())?;
                }
                self.dirs
                    .push((path.clone(), entry.header().mtime().unwrap_or(0) as i64));
            }
            EntryType::Symlink => {
                let target = entry.link_name()?.ok_or(io::ErrorKind::InvalidData)?;
                symlinkat(&*target, &parent, &name)?;
            }
            EntryType::Link => {
                let target = relative(&entry.link_name()?.ok_or(io::ErrorKind::InvalidData)?)?;
                let of = self.parent(target.parent().unwrap_or(Path::new("")))?;
                let target = target.file_name().ok_or(io::ErrorKind::InvalidData)?;
                // A hard link shares what was set for its target.
                return Ok(linkat(&of, target, &parent, &name, AtFlags::empty())?);
            }
            kind @ (EntryType::Char | EntryType::Block | EntryType::Fifo) => {
                let header = entry.header();
                let (major, minor) = (
                    header.device_major()?.unwrap_or(0),
                    header.device_minor()?.unwrap_or(0),
                );
                let kind = match kind {
                    EntryType::Char => FileType::CharacterDevice,
                    EntryType::Block => FileType::BlockDevice,
                    _ => FileType::Fifo,
                };
                mknodat(&parent, &name, kind, Mode::from(0o600), makedev(major, minor))?;
            }
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                let flags =
                    OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let mut file = File::from(rustix::fs::openat(&parent, &name, flags, Mode::from(0o600))?);
                self.size += io::copy(entry, &mut file)?;
            }
            // Headers that say something of others are the reader's business.
            _ => return Ok(()),
        }
        own(&parent, Path::new(&name), entry)
    }

    /// Opens a path in the layer.
    fn open(&self, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        Ok(openat2(
            &self.root,
            path,
            flags | OFlags::CLOEXEC,
            Mode::empty(),
            resolve,
        )?)
    }

    /// Opens a folder in the layer, made if it is not there.
    fn parent(&self, path: &Path) -> io::Result<OwnedFd> {
        match self.open(path, OFlags::DIRECTORY | OFlags::RDONLY) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let above = self.parent(path.parent().ok_or(error)?)?;
                let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
                match mkdirat(&above, name, Mode::from(0o755)) {
                    Ok(()) => self.open(path, OFlags::DIRECTORY | OFlags::RDONLY),
                    Err(error) => Err(error.into()),
                }
            }
            other => other,
        }
    }

    fn whiteout(&self, parent: &OwnedFd, path: &Path, name: &OsString, hidden: &[u8]) -> io::Result<()> {
        if name == OPAQUE {
            let dir = self.open(
                path.parent().unwrap_or(Path::new("")),
                OFlags::DIRECTORY | OFlags::RDONLY,
            )?;
            return Ok(fsetxattr(
                &dir,
                "trusted.overlay.opaque",
                b"y",
                XattrFlags::empty(),
            )?);
        }
        if hidden.is_empty() || hidden == b"." || hidden == b".." {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "invalid whiteout"));
        }
        let hidden = OsString::from_vec(hidden.to_vec());
        match mknodat(
            parent,
            &hidden,
            FileType::CharacterDevice,
            Mode::empty(),
            makedev(0, 0),
        ) {
            // What the same layer brings is not what it hides.
            Err(rustix::io::Errno::EXIST) => Ok(()),
            other => Ok(other?),
        }
    }

    /// Makes room for an entry where the layer has something of that name already.
    fn clear(&self, parent: &OwnedFd, name: &OsString, kind: EntryType) -> io::Result<Replaced> {
        let Ok(stat) = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) else {
            return Ok(Replaced::default());
        };
        let there = FileType::from_raw_mode(stat.st_mode);
        if there == FileType::Directory && kind == EntryType::Directory {
            return Ok(Replaced {
                kept: true,
                whiteout: false,
            });
        }
        if there == FileType::Directory {
            remove_tree(parent, name)?;
            return Ok(Replaced::default());
        }
        unlinkat(parent, name, AtFlags::empty())?;
        Ok(Replaced {
            kept: false,
            whiteout: there == FileType::CharacterDevice && stat.st_rdev == 0,
        })
    }

    fn finish(&self) {
        for (path, mtime) in self.dirs.iter().rev() {
            if let Ok(dir) = self.open(path, OFlags::DIRECTORY | OFlags::RDONLY) {
                let _ = rustix::fs::futimens(&dir, &times(*mtime));
            }
        }
    }
}

#[derive(Default)]
struct Replaced {
    /// A folder stays.
    kept: bool,
    /// It was a whiteout: what is below stays hidden.
    whiteout: bool,
}

/// The path without `.`, `/` at its start; `..` is refused.
fn relative(path: &Path) -> io::Result<PathBuf> {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(part) => clean.push(part),
            Component::ParentDir => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "the path leads out of the layer",
                ));
            }
            _ => {}
        }
    }
    Ok(clean)
}

/// Owner, mode, time and extended attributes.
fn own<R: Read>(parent: &OwnedFd, name: &Path, entry: &mut Entry<'_, R>) -> io::Result<()> {
    let header = entry.header();
    let (uid, gid, mode) = (header.uid()? as u32, header.gid()? as u32, header.mode()?);
    let (kind, mtime) = (header.entry_type(), header.mtime().unwrap_or(0) as i64);
    chownat(
        parent,
        name,
        Some(Uid::from_raw(uid)),
        Some(Gid::from_raw(gid)),
        AtFlags::SYMLINK_NOFOLLOW,
    )?;
    if kind == EntryType::Symlink {
        utimensat(parent, name, &times(mtime), AtFlags::SYMLINK_NOFOLLOW)?;
        return Ok(());
    }
    rustix::fs::chmodat(parent, name, Mode::from_raw_mode(mode & 0o7777), AtFlags::empty())?;
    if matches!(
        kind,
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse | EntryType::Directory
    ) {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = rustix::fs::openat(parent, name, flags, Mode::empty())?;
        for extension in entry.pax_extensions()?.into_iter().flatten().flatten() {
            let Some(attribute) = extension
                .key()
                .ok()
                .and_then(|key| key.strip_prefix("SCHILY.xattr."))
            else {
                continue;
            };
            match fsetxattr(&file, attribute, extension.value_bytes(), XattrFlags::empty()) {
                // An attribute that this file system cannot hold is left out, as containerd does.
                Ok(()) | Err(rustix::io::Errno::NOTSUP | rustix::io::Errno::PERM) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(utimensat(parent, name, &times(mtime), AtFlags::SYMLINK_NOFOLLOW)?)
}

fn times(mtime: i64) -> Timestamps {
    let time = Timespec {
        tv_sec: mtime,
        tv_nsec: 0,
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}

/// Removes a folder of the layer, without following anything.
fn remove_tree(parent: &OwnedFd, name: &OsString) -> io::Result<()> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = rustix::fs::openat(parent, name, flags, Mode::empty())?;
    for entry in rustix::fs::Dir::read_from(&dir)? {
        let entry = entry?;
        let below = OsString::from_vec(entry.file_name().to_bytes().to_vec());
        match (below.as_encoded_bytes(), entry.file_type()) {
            (b"." | b"..", _) => {}
            (_, FileType::Directory) => remove_tree(&dir, &below)?,
            _ => unlinkat(&dir, &below, AtFlags::empty())?,
        }
    }
    Ok(unlinkat(parent, name, AtFlags::REMOVEDIR)?)
}
