//! Alarms, which all members know of.

use super::{Failure, Inner, Replica};
use crate::state::Command;
use bytes::Bytes;
use std::{collections::BTreeMap, sync::atomic::Ordering};

const PREFIX: &str = "alarms/";

/// What is wrong with a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// It has no room for more.
    NoSpace,
    /// It holds other data than the others.
    Corrupt,
}

impl Alarm {
    const ALL: [Self; 2] = [Self::NoSpace, Self::Corrupt];

    fn name(self) -> &'static str {
        match self {
            Self::NoSpace => "nospace",
            Self::Corrupt => "corrupt",
        }
    }

    fn bit(self) -> u8 {
        match self {
            Self::NoSpace => 1,
            Self::Corrupt => 2,
        }
    }

    fn key(self, member: u64) -> Bytes {
        format!("{PREFIX}{}/{member:016x}", self.name()).into()
    }
}

/// Whether a command of the table is about an alarm.
pub fn concerns(command: &Command) -> bool {
    matches!(command, Command::Meta { key, .. } if key.starts_with(PREFIX.as_bytes()))
}

fn read(table: &BTreeMap<Bytes, Bytes>) -> Vec<(u64, Alarm)> {
    let keys = table.keys().filter_map(|key| std::str::from_utf8(key).ok());
    keys.filter_map(|key| {
        let (name, member) = key.strip_prefix(PREFIX)?.split_once('/')?;
        let alarm = Alarm::ALL.into_iter().find(|alarm| alarm.name() == name)?;
        Some((u64::from_str_radix(member, 16).ok()?, alarm))
    })
    .collect()
}

impl Inner {
    /// Looks at the table again.
    pub(super) fn see_alarms(&self) {
        let alarms = read(&self.engine().meta_all());
        let bits = alarms.into_iter().fold(0, |bits, (_, alarm)| bits | alarm.bit());
        self.alarms.store(bits, Ordering::Release);
    }
}

impl Replica {
    /// The alarms that are raised, with the members they are about.
    pub fn alarms(&self) -> Vec<(u64, Alarm)> {
        match self.0.alarms.load(Ordering::Acquire) {
            0 => Vec::new(),
            _ => read(&self.0.engine().meta_all()),
        }
    }

    /// Whether an alarm is raised about any member.
    pub fn is_raised(&self, alarm: Alarm) -> bool {
        self.0.alarms.load(Ordering::Acquire) & alarm.bit() != 0
    }

    /// Raises an alarm about a member, or takes it back.
    pub async fn set_alarm(&self, member: u64, alarm: Alarm, raised: bool) -> Result<(), Failure> {
        let command = Command::Meta {
            key: alarm.key(member),
            value: raised.then(|| Bytes::from_static(b"1")),
        };
        self.submit(command).await.map(drop)
    }
}
