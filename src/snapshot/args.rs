//! The command line of `snapshot`.

use crate::cli::PlaceArgs;
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Arguments of `snapshot`.
#[derive(Args, Clone, Debug)]
pub struct SnapshotArgs {
    /// Where.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// How the answer is told.
    #[arg(short, long, global = true, value_enum, default_value_t = Form::Table)]
    pub output: Form,
    /// S3-compatible storage.
    #[command(flatten)]
    pub s3: S3Args,
    /// What to do.
    #[command(subcommand)]
    pub verb: SnapshotVerb,
}

/// How an answer is told.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A table.
    Table,
    /// JSON.
    Json,
}

/// How S3-compatible storage is reached. The keys are those of `--s3-credentials-file`, or of the environment
/// (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`).
#[derive(Args, Clone, Debug, Default)]
pub struct S3Args {
    /// The server (https://host:port); AWS' own if it is not given
    #[arg(long, global = true, value_name = "URL")]
    pub s3_endpoint: Option<String>,
    /// The region
    #[arg(long, global = true, value_name = "NAME", default_value = "us-east-1")]
    pub s3_region: String,
    /// Whether the bucket stands in the path and not in the host's name; true if --s3-endpoint is given
    #[arg(long, global = true, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub s3_path_style: Option<bool>,
    /// The keys, in the form of ~/.aws/credentials; without it, those of the environment
    #[arg(long, global = true, value_name = "FILE")]
    pub s3_credentials_file: Option<PathBuf>,
    /// The CA of the server, PEM; the machine's own if it is not given
    #[arg(long, global = true, value_name = "FILE")]
    pub s3_ca_file: Option<PathBuf>,
}

/// What is done with snapshots.
#[derive(Subcommand, Clone, Debug)]
pub enum SnapshotVerb {
    /// Take a snapshot of the store of a cluster, running or not, or of any etcd server
    Save(SaveArgs),
    /// Say which snapshots there are
    List(WhereArgs),
    /// Verify a snapshot and say what is in it
    Status(FileArgs),
    /// Make the store of a data directory from a snapshot, from an etcd cluster's data or from k3s' database
    Restore(Box<RestoreArgs>),
    /// Remove all but the newest of the snapshots that were named by time
    Prune(PruneArgs),
}

/// Arguments of `snapshot save`.
#[derive(Args, Clone, Debug)]
pub struct SaveArgs {
    /// The file (or s3://BUCKET/KEY) to write, or with a / at its end the folder; by default DATA-DIR/snapshots/
    pub to: Option<String>,
    /// How an etcd server is reached.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// How an etcd server is reached.
#[derive(Args, Clone, Debug)]
pub struct ServerArgs {
    /// An etcd server (https://host:port), in the place of the cluster of --data-dir; of several the first that answers
    #[arg(long, value_name = "URL", value_delimiter = ',')]
    pub endpoints: Vec<String>,
    /// The CA of the etcd server, PEM
    #[arg(long, value_name = "FILE")]
    pub cacert: Option<PathBuf>,
    /// The certificate to show to the etcd server, PEM
    #[arg(long, value_name = "FILE", requires = "key")]
    pub cert: Option<PathBuf>,
    /// The key of --cert, PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,
}

/// Where snapshots are.
#[derive(Args, Clone, Debug)]
pub struct WhereArgs {
    /// The folder (or s3://BUCKET/FOLDER); by default DATA-DIR/snapshots
    pub place: Option<String>,
}

/// A snapshot.
#[derive(Args, Clone, Debug)]
pub struct FileArgs {
    /// The file, or s3://BUCKET/KEY
    pub file: String,
    /// Take a file that has no hash, as a copy of etcd's member/snap/db
    #[arg(long)]
    pub skip_hash_check: bool,
}

/// Arguments of `snapshot prune`.
#[derive(Args, Clone, Debug)]
pub struct PruneArgs {
    /// Where.
    #[command(flatten)]
    pub place: WhereArgs,
    /// How many to keep
    #[arg(long, value_name = "N")]
    pub keep: usize,
}

/// Arguments of `snapshot restore`.
#[derive(Args, Clone, Debug)]
pub struct RestoreArgs {
    /// The snapshot: a file, or s3://BUCKET/KEY
    #[arg(required_unless_present_any = ["from_etcd", "from_k3s"])]
    pub file: Option<String>,
    /// An etcd cluster's data: a snapshot file, a copy of member/snap/db, or an endpoint (https://host:port)
    #[arg(long, value_name = "SNAPSHOT|ENDPOINT", conflicts_with_all = ["file", "from_k3s"])]
    pub from_etcd: Option<String>,
    /// The database of k3s, such as /var/lib/rancher/k3s/server/db/state.db
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    pub from_k3s: Option<PathBuf>,
    /// The CA of the etcd server, PEM
    #[arg(long, value_name = "FILE")]
    pub cacert: Option<PathBuf>,
    /// The certificate to show to the etcd server, PEM
    #[arg(long, value_name = "FILE", requires = "key")]
    pub cert: Option<PathBuf>,
    /// The key of --cert, PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,
    /// Take a file that has no hash, as a copy of etcd's member/snap/db
    #[arg(long)]
    pub skip_hash_check: bool,
    /// Put the store that is there aside
    #[arg(long)]
    pub replace: bool,
    /// How much to increase the newest revision, so that no client has seen a newer one
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub bump_revision: u64,
    /// Forget what was before the newest revision (required with --bump-revision)
    #[arg(long)]
    pub mark_compacted: bool,
    /// The member's name, when it is one of several that restore the same snapshot for `ferrokube etcd`
    #[arg(long)]
    pub name: Option<String>,
    /// All members with their peer URLs (a=http://a:2380,b=http://b:2380)
    #[arg(long, value_name = "LIST")]
    pub initial_cluster: Option<String>,
    /// What sets the cluster apart from others
    #[arg(long, value_name = "TEXT")]
    pub initial_cluster_token: Option<String>,
    /// This member's peer URLs
    #[arg(long, value_name = "URL", value_delimiter = ',')]
    pub initial_advertise_peer_urls: Vec<String>,
}
