//! Numbers of members and clusters, as etcd derives them.

use ring::digest;

fn first_eight(bytes: &[u8]) -> u64 {
    let sum = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, bytes);
    let mut number = [0; 8];
    number.copy_from_slice(&sum.as_ref()[..8]);
    u64::from_be_bytes(number)
}

/// The number of a member: of its peer URLs and the cluster's token, and of the second it was added at if it was not
/// there from the beginning.
pub fn member_id(peer_urls: &[String], token: &str, added: Option<i64>) -> u64 {
    let mut urls = peer_urls.to_vec();
    urls.sort();
    let mut bytes = urls.concat().into_bytes();
    bytes.extend_from_slice(token.as_bytes());
    if let Some(second) = added {
        bytes.extend_from_slice(second.to_string().as_bytes());
    }
    first_eight(&bytes)
}

/// The number of a cluster: of those of its first members.
pub fn cluster_id(members: impl IntoIterator<Item = u64>) -> u64 {
    let mut members: Vec<u64> = members.into_iter().collect();
    members.sort_unstable();
    let bytes: Vec<u8> = members.into_iter().flat_map(u64::to_be_bytes).collect();
    first_eight(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_etcds() {
        // Those that etcd prints when it starts without flags.
        let member = member_id(&["http://localhost:2380".to_owned()], "etcd-cluster", None);
        assert_eq!(format!("{member:x}"), "8e9e05c52164694d");
        assert_eq!(format!("{:x}", cluster_id([member])), "cdf818194e3a8c32");
    }
}
