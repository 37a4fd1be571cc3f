//! nftables over netlink: a [`Batch`] is one transaction of tables, chains, sets, elements and rules, which the
//! kernel takes whole or not at all. Also the clean-up of tracked connections ([`conntrack`]).
//!
//! It knows no Kubernetes and no policy: who uses it says what the rules are. It never calls the `nft` program.

mod attr;
mod batch;
pub mod conntrack;
mod expr;
mod socket;

pub use batch::{Batch, Chain, Data, Element, Family, Hook, HookKind, Set, SetFlags, Verdict, keys};
pub use expr::{Compare, CtKey, DynsetOp, Expr, Meta, Payload, Reg, Reject};

/// Why the kernel did not do it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The socket does not work.
    #[error("netfilter socket: {0}")]
    Socket(nix::Error),
    /// The kernel refused one message of the transaction; nothing of it was done.
    #[error("nftables refused {what}: {errno}")]
    Refused {
        /// Which message.
        what: String,
        /// Why.
        errno: nix::Error,
    },
    /// The kernel's answer did not come or cannot be read.
    #[error("netfilter gave no answer: {0}")]
    NoAnswer(&'static str),
}
