//! Where snapshots are: files, folders, buckets.

use super::args::{S3Args, SnapshotArgs, WhereArgs};
use anyhow::{Context, Result, bail};
use backup::{
    Chunks, Part, Place, Snapshot,
    s3::{Bucket, Credentials, Settings},
};
use component::{Env, pki};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The machine's CAs.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// What is larger goes up in parts.
const PART: usize = 16 << 20;
/// Where what is on its way may be kept while there is no data directory.
const SCRATCH: &str = "/var/tmp";

/// The folder of a cluster's snapshots.
pub fn usual(args: &SnapshotArgs) -> Place {
    Place::Folder(args.place.data_dir.join("snapshots"))
}

/// The folder that is named, or the cluster's.
pub fn place(args: &SnapshotArgs, given: &WhereArgs, env: &Env) -> Result<Place> {
    match &given.place {
        Some(text) => folder(text, args, env),
        None => Ok(usual(args)),
    }
}

/// The bucket of `s3://BUCKET/REST`, and what is to be found in it; none: it is of this machine.
fn in_bucket(text: &str) -> Option<(&str, &str)> {
    let rest = text.strip_prefix("s3://")?;
    Some(rest.split_once('/').unwrap_or((rest, "")))
}

/// A folder of this machine or of a bucket (`s3://BUCKET/FOLDER`).
pub fn folder(text: &str, args: &SnapshotArgs, env: &Env) -> Result<Place> {
    let Some((name, folder)) = in_bucket(text) else {
        return Ok(Place::Folder(PathBuf::from(text)));
    };
    let bucket = bucket(name, &args.s3, &scratch(&args.place.data_dir), env)?;
    Ok(Place::Bucket(
        Arc::new(bucket),
        folder.trim_matches('/').to_owned(),
    ))
}

/// The folder and the name of a file (`s3://BUCKET/FOLDER/NAME`).
pub fn file(text: &str, args: &SnapshotArgs, env: &Env) -> Result<(Place, String)> {
    let Some((bucket, key)) = in_bucket(text) else {
        let path = Path::new(text);
        let name = path.file_name().with_context(|| format!("{text} is no file"))?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let folder = parent.unwrap_or(Path::new(".")).to_owned();
        return Ok((Place::Folder(folder), name.to_string_lossy().into_owned()));
    };
    let (inner, name) = key.rsplit_once('/').unwrap_or(("", key));
    if name.is_empty() {
        bail!("{text} is no file");
    }
    Ok((
        folder(&format!("s3://{bucket}/{inner}"), args, env)?,
        name.to_owned(),
    ))
}

/// Reads and verifies a snapshot.
pub async fn read(args: &SnapshotArgs, text: &str, skip_hash_check: bool, env: &Env) -> Result<Snapshot> {
    let (place, name) = file(text, args, env)?;
    Ok(place.get(&name, skip_hash_check, env).await?)
}

/// Takes in and verifies a snapshot that comes from elsewhere; it is gone when nobody has it any more.
pub async fn receive(args: &SnapshotArgs, chunks: Chunks, env: &Env) -> Result<Snapshot> {
    let part = Part::hidden(&scratch(&args.place.data_dir), env)?;
    part.fill(chunks, env).await?;
    Ok(part.verify(false)?)
}

/// Where what is on its way is kept.
fn scratch(data_dir: &Path) -> PathBuf {
    let there = Some(data_dir).filter(|dir| dir.is_dir());
    there.unwrap_or(Path::new(SCRATCH)).to_owned()
}

/// A bucket; what goes up or came down is kept in `scratch` meanwhile.
pub fn bucket(name: &str, args: &S3Args, scratch: &Path, env: &Env) -> Result<Bucket> {
    let plain = args
        .s3_endpoint
        .as_ref()
        .is_some_and(|url| url.starts_with("http://"));
    let tls = match (&args.s3_ca_file, plain) {
        (None, true) => None,
        (file, _) => {
            let file = file.as_deref().unwrap_or(Path::new(AUTHORITIES));
            let text = fs::read_to_string(file)
                .with_context(|| format!("the CA of S3 storage: {}", file.display()))?;
            Some(Arc::new(pki::client_config(&text, None)?))
        }
    };
    let settings = Settings {
        endpoint: args.s3_endpoint.clone(),
        region: args.s3_region.clone(),
        bucket: name.to_owned(),
        path_style: args.s3_path_style.unwrap_or(args.s3_endpoint.is_some()),
        credentials: credentials(args)?,
        tls,
        part_bytes: PART,
        scratch: scratch.to_owned(),
    };
    Ok(Bucket::new(settings, env.clone())?)
}

/// The keys of the file, else of the environment.
fn credentials(args: &S3Args) -> Result<Credentials> {
    if let Some(file) = &args.s3_credentials_file {
        let text =
            fs::read_to_string(file).with_context(|| format!("--s3-credentials-file: {}", file.display()))?;
        let found = Credentials::parse(&text);
        return found.with_context(|| {
            format!(
                "{}: no aws_access_key_id and aws_secret_access_key in the section default",
                file.display()
            )
        });
    }
    let variable = |name: &str| Some(std::env::var_os(name)?.to_string_lossy().into_owned());
    let why =
        "who asks S3 storage: give --s3-credentials-file, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";
    Ok(Credentials {
        access_key: variable("AWS_ACCESS_KEY_ID").context(why)?,
        secret_key: variable("AWS_SECRET_ACCESS_KEY").context(why)?,
        session_token: variable("AWS_SESSION_TOKEN"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: SnapshotArgs,
    }

    /// What is asked by a command line at a server that nothing is asked of; the keys are in a file of `dir`.
    fn args(dir: &Path) -> SnapshotArgs {
        let keys = dir.join("keys");
        let text = "[default]\naws_access_key_id = a\naws_secret_access_key = b\n";
        fs::write(&keys, text).unwrap();
        let keys = format!("--s3-credentials-file={}", keys.display());
        let line = ["snapshot", "list", "--s3-endpoint=http://127.0.0.1:1", &keys];
        Line::try_parse_from(line).unwrap().args
    }

    #[tokio::test]
    async fn places_are_folders_of_this_machine_or_of_buckets() {
        let dir = tempfile::tempdir().unwrap();
        let (args, env) = (args(dir.path()), Env::system());
        let shown = |place: Place| match place {
            Place::Folder(path) => format!("here {}", path.display()),
            Place::Bucket(_, folder) => format!("bucket {folder}"),
        };
        let folders = [
            ("snapshots", "here snapshots"),
            ("/a/b/", "here /a/b/"),
            ("S3://bucket", "here S3://bucket"),
            ("s3://bucket", "bucket "),
            ("s3://bucket/", "bucket "),
            ("s3://bucket/a", "bucket a"),
            ("s3://bucket//a/b//", "bucket a/b"),
        ];
        for (text, what) in folders {
            assert_eq!(shown(folder(text, &args, &env).unwrap()), what, "{text}");
        }
        let files = [
            ("one.db", "here .", "one.db"),
            ("/a/one.db", "here /a", "one.db"),
            ("s3://bucket/one.db", "bucket ", "one.db"),
            ("s3://bucket/a/b/one.db", "bucket a/b", "one.db"),
        ];
        for (text, what, named) in files {
            let (place, name) = file(text, &args, &env).unwrap();
            assert_eq!((shown(place).as_str(), name.as_str()), (what, named), "{text}");
        }
        for (text, why) in [
            ("s3://bucket", "is no file"),
            ("s3://bucket/a/", "is no file"),
            ("s3:///one.db", "the name of the bucket is missing"),
            ("/", "is no file"),
            ("", "is no file"),
        ] {
            let refused = file(text, &args, &env).err().map(|error| format!("{error:#}"));
            assert!(refused.is_some_and(|said| said.contains(why)), "{text}");
        }
        assert!(folder("s3://", &args, &env).is_err());
    }
}
