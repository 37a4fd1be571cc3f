//! The order and the filters of a range.

use crate::KeyValue;
use etcd_proto::etcdserverpb::{
    RangeRequest,
    range_request::{SortOrder, SortTarget},
};

/// Whether the answer is more than the first keys in the order of keys.
pub fn is_plain(request: &RangeRequest) -> bool {
    let by_key = request.sort_target() == SortTarget::Key;
    let filtered = [
        request.min_mod_revision,
        request.max_mod_revision,
        request.min_create_revision,
        request.max_create_revision,
    ];
    filtered.iter().all(|bound| *bound == 0)
        && match request.sort_order() {
            // Without an order, a target other than the key means the lowest first, as it does for etcd.
            SortOrder::None | SortOrder::Ascend => by_key,
            SortOrder::Descend => false,
        }
}

/// Filters and sorts what was found.
pub fn arrange(request: &RangeRequest, kvs: &mut Vec<KeyValue>) {
    let within = |low: i64, high: i64, revision: u64| {
        let revision = revision as i64;
        (low == 0 || revision >= low) && (high == 0 || revision <= high)
    };
    kvs.retain(|kv| {
        within(
            request.min_mod_revision,
            request.max_mod_revision,
            kv.mod_revision,
        ) && within(
            request.min_create_revision,
            request.max_create_revision,
            kv.create_revision,
        )
    });
    match request.sort_target() {
        SortTarget::Key => {}
        SortTarget::Version => kvs.sort_by_key(|kv| kv.version),
        SortTarget::Create => kvs.sort_by_key(|kv| kv.create_revision),
        SortTarget::Mod => kvs.sort_by_key(|kv| kv.mod_revision),
        SortTarget::Value => kvs.sort_by(|a, b| a.value.cmp(&b.value)),
    }
    if request.sort_order() == SortOrder::Descend {
        kvs.reverse();
    }
}
