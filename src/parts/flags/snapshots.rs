//! Flags of snapshots that are taken by schedule; `up` and `etcd` have them.

use component::flags::{
    Flag,
    Kind::{Int, Text},
};

/// Flags of scheduled snapshots.
pub const SNAPSHOTS: &[Flag] = &[
    Flag::new(
        "snapshot-schedule",
        Text,
        "",
        "when snapshots of the store are taken (\"0 */6 * * *\", \"@daily\"), by UTC unless it names a zone; empty: never",
    ),
    Flag::new(
        "snapshot-retention",
        Int,
        "5",
        "how many snapshots are kept in each place; 0: all",
    ),
    Flag::new(
        "snapshot-dir",
        Text,
        "",
        "the folder of the snapshots; empty: DATA-DIR/snapshots, unless there is a bucket",
    ),
    Flag::new(
        "snapshot-s3-bucket",
        Text,
        "",
        "the bucket of S3-compatible storage that snapshots are kept in",
    ),
    Flag::new("snapshot-s3-folder", Text, "", "the folder in the bucket"),
    Flag::new(
        "snapshot-s3-endpoint",
        Text,
        "",
        "the server (https://host:port); empty: AWS' own",
    ),
    Flag::new("snapshot-s3-region", Text, "us-east-1", "the region"),
    Flag::new(
        "snapshot-s3-path-style",
        Text,
        "",
        "whether the bucket stands in the path and not in the host's name (true or false); empty: if there is an endpoint",
    ),
    Flag::new(
        "snapshot-s3-credentials-file",
        Text,
        "",
        "the keys, in the form of ~/.aws/credentials; empty: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    ),
    Flag::new(
        "snapshot-s3-ca-file",
        Text,
        "",
        "the CA of the server, PEM; empty: the machine's own",
    ),
];
