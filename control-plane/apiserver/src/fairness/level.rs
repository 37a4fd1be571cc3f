//! What a PriorityLevelConfiguration says.

use super::{queues::Response, shard::Dealer};
use api::Object;
use http::HeaderValue;
use serde::{Deserialize, Serialize};

/// The level that nothing limits.
pub const EXEMPT: &str = "exempt";
/// The level and the schema of what nothing else matches.
pub const CATCH_ALL: &str = "catch-all";

/// A PriorityLevelConfiguration.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// Its name.
    pub name: String,
    /// Its UID; empty if it is not stored.
    pub uid: HeaderValue,
    /// Shares of the server's seats.
    pub shares: u32,
    /// Percent of its seats that others may borrow.
    pub lendable: u32,
    /// Percent of its seats that it may borrow; none: all there are.
    pub borrowing: Option<u32>,
    /// What it does with what it cannot serve at once.
    pub response: Response,
    /// The cards of a hand; 0 without queues.
    pub hand: u32,
    /// All that can wait.
    pub places: usize,
}

/// What it says.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(default)]
pub struct Spec {
    /// `Exempt` or `Limited`.
    pub r#type: String,
    /// How it is limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limited: Option<Limited>,
    /// What it has although it is not limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exempt: Option<Exempt>,
}

/// The seats of a level.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(default, rename_all = "camelCase")]
pub struct Exempt {
    /// Shares of the server's seats.
    pub nominal_concurrency_shares: u32,
    /// Percent that others may borrow.
    pub lendable_percent: u32,
}

/// The seats of a level, and what it does when they are taken.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(default, rename_all = "camelCase")]
pub struct Limited {
    /// Shares of the server's seats.
    pub nominal_concurrency_shares: u32,
    /// Percent that others may borrow.
    pub lendable_percent: u32,
    /// Percent that it may borrow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub borrowing_limit_percent: Option<u32>,
    /// What it does.
    pub limit_response: Limit,
}

/// What a level does when its seats are taken.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(default)]
pub struct Limit {
    /// `Queue` or `Reject`.
    pub r#type: String,
    /// The queues.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queuing: Option<Queuing>,
}

/// Queues.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(default, rename_all = "camelCase")]
pub struct Queuing {
    /// How many.
    pub queues: u32,
    /// How many of them a flow may use.
    pub hand_size: u32,
    /// How many may wait in one.
    pub queue_length_limit: u32,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct View {
    spec: Spec,
}

impl Configuration {
    /// A stored one; none if it is broken.
    pub fn read(object: &Object) -> Option<Self> {
        let uid = HeaderValue::from_str(object.uid()).ok()?;
        Self::of(object.name(), uid, &object.view::<View>().ok()?.spec)
    }

    /// One that says `spec`; none if that is broken.
    pub fn of(name: &str, uid: HeaderValue, spec: &Spec) -> Option<Self> {
        let usual = |shares, lendable, borrowing| Self {
            name: name.to_owned(),
            uid,
            shares,
            lendable,
            borrowing,
            response: Response::Reject,
            hand: 0,
            places: 1,
        };
        match (spec.r#type.as_str(), &spec.exempt, &spec.limited) {
            ("Exempt", exempt, None) if name == EXEMPT => {
                let Exempt {
                    nominal_concurrency_shares: shares,
                    lendable_percent: lendable,
                } = exempt.clone().unwrap_or_default();
                Some(Self {
                    response: Response::Exempt,
                    ..usual(shares, lendable, None)
                })
            }
            ("Limited", None, Some(limited)) if name != EXEMPT => {
                let one = usual(
                    limited.nominal_concurrency_shares,
                    limited.lendable_percent,
                    limited.borrowing_limit_percent,
                );
                one.with(&limited.limit_response)
            }
            _ => None,
        }
    }

    fn with(self, limit: &Limit) -> Option<Self> {
        match (limit.r#type.as_str(), &limit.queuing) {
            ("Reject", None) => Some(self),
            ("Queue", Some(queuing)) => {
                let size = |size: u32| usize::try_from(size).ok();
                let (queues, length) = (size(queuing.queues)?, size(queuing.queue_length_limit)?);
                Some(Self {
                    response: Response::Queue(Dealer::new(queues, size(queuing.hand_size)?)?, length),
                    hand: queuing.hand_size,
                    places: queues.saturating_mul(length).max(1),
                    ..self
                })
            }
            _ => None,
        }
    }
}

/// The seats of a level, by what it says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seats {
    /// Its share.
    pub nominal: u64,
    /// What it keeps in any case.
    pub least: u64,
    /// What it may have with what it borrows.
    pub most: u64,
    /// What a single request may take of them; 0: any number.
    pub most_of_one: u64,
}

impl Seats {
    /// Of a server with `total` seats, where all shares are `shares`.
    pub fn of(configuration: &Configuration, total: u64, shares: u64) -> Self {
        let nominal = (total * u64::from(configuration.shares)).div_ceil(shares.max(1));
        let percent = |percent: u32| (nominal * u64::from(percent) + 50) / 100;
        let borrowed = configuration.borrowing.map_or(total, percent);
        let most_of_one = match u64::from(configuration.hand) {
            0 => 0,
            // 15 % of the level, so that one request does not stand in the way of all others.
            hand => (nominal * 15).div_ceil(100).min(nominal / hand).max(1),
        };
        Self {
            nominal,
            least: nominal - percent(configuration.lendable).min(nominal),
            most: nominal + borrowed,
            most_of_one,
        }
    }
}
