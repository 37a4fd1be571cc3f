//! Sealing anew what another key sealed, so that the old key can go.

use super::Sealed;
use bytes::Bytes;
use etcd::{Durability, Error, KeyValue, Op, RangeRequest, TxnRequest};
use std::collections::BTreeSet;

/// Values read at a time.
const PAGE: usize = 500;

/// All keys of the API stand under this.
const ROOT: &str = "/registry";

impl Sealed {
    /// Seals with the first provider what was not; the answer is how many values. A value that changes meanwhile is
    /// written with the first provider by whoever changes it.
    pub(super) async fn renew(&self) -> Result<usize, Error> {
        let mut count = 0;
        for prefix in self.prefixes() {
            let (mut start, end) = (
                Bytes::from(format!("{prefix}/")),
                Bytes::from(format!("{prefix}0")),
            );
            loop {
                let request = RangeRequest {
                    start: start.clone(),
                    end: end.clone(),
                    limit: PAGE,
                    ..RangeRequest::default()
                };
                let page = self.inner.range(request).await?.kvs;
                let Some(last) = page.last() else { break };
                start = [&last.key[..], b"\0"].concat().into();
                for kv in page {
                    count += usize::from(self.renew_one(kv).await?);
                }
            }
        }
        if count > 0 {
            tracing::info!(count, "stored values were sealed with the first key");
        }
        Ok(count)
    }

    /// What the keys to look at start with: those of the resources that are named, or all if others are named too.
    fn prefixes(&self) -> Vec<&'static str> {
        let (keyring, rows) = (self.seal.keyring(), &self.seal.rows);
        let known: BTreeSet<_> = rows.values().copied().collect();
        if keyring.beyond(&known) {
            return vec![ROOT];
        }
        let concerned = rows
            .iter()
            .filter(|(_, (group, plural))| keyring.concerns(group, plural));
        concerned.map(|(prefix, _)| *prefix).collect()
    }

    async fn renew_one(&self, kv: KeyValue) -> Result<bool, Error> {
        let Some(of) = self.seal.resource(&kv.key) else {
            return Ok(false);
        };
        let Ok(opened) = self.seal.keyring().open(of, &kv.key, kv.value) else {
            return Ok(false);
        };
        if !opened.stale {
            return Ok(false);
        }
        let value = self.seal.close(&kv.key, opened.value)?;
        let request = TxnRequest {
            expect: Some(kv.mod_revision),
            op: Op::Put {
                value,
                lease: kv.lease,
            },
            durability: Durability::Durable,
            key: kv.key,
        };
        let outcome = self.inner.txn(request).await?;
        Ok(matches!(outcome, etcd::TxnOutcome::Done(_)))
    }
}
