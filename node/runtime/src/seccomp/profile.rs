//! A seccomp profile in the form that container engines share, and its translation to filters.

use super::{Program, syscalls};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};
use std::collections::BTreeMap;

/// A profile.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct Profile {
    /// For calls without a rule.
    #[serde(rename = "defaultAction")]
    pub default_action: Action,
    /// The error of an errno default; EPERM when absent.
    #[serde(rename = "defaultErrnoRet")]
    pub default_errno: Option<u32>,
    /// The rules.
    #[serde(default)]
    pub syscalls: Vec<Rule>,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
pub(crate) enum Action {
    #[serde(rename = "SCMP_ACT_ALLOW")]
    Allow,
    #[serde(rename = "SCMP_ACT_ERRNO")]
    Errno,
    #[serde(rename = "SCMP_ACT_KILL_PROCESS")]
    KillProcess,
    #[serde(rename = "SCMP_ACT_KILL", alias = "SCMP_ACT_KILL_THREAD")]
    KillThread,
    #[serde(rename = "SCMP_ACT_LOG")]
    Log,
    #[serde(rename = "SCMP_ACT_TRAP")]
    Trap,
}

/// One rule.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct Rule {
    /// The calls (the old form has one `name`).
    #[serde(default, alias = "name", deserialize_with = "one_or_many")]
    pub names: Vec<String>,
    /// What becomes of them.
    pub action: Action,
    /// The error of an errno rule.
    #[serde(rename = "errnoRet")]
    pub errno: Option<u32>,
    /// Conditions on arguments, all of which must hold.
    #[serde(default)]
    pub args: Vec<Argument>,
}

/// A condition on one argument.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct Argument {
    /// Which argument.
    pub index: u8,
    /// Compared with; the mask of a masked comparison.
    pub value: u64,
    /// What the masked argument must equal.
    #[serde(default, rename = "valueTwo")]
    pub value_two: u64,
    /// How.
    pub op: Operator,
}

/// A comparison.
#[derive(Clone, Copy, Debug, serde::Deserialize)]
pub(crate) enum Operator {
    #[serde(rename = "SCMP_CMP_NE")]
    NotEqual,
    #[serde(rename = "SCMP_CMP_LT")]
    Less,
    #[serde(rename = "SCMP_CMP_LE")]
    LessEqual,
    #[serde(rename = "SCMP_CMP_EQ")]
    Equal,
    #[serde(rename = "SCMP_CMP_GE")]
    GreaterEqual,
    #[serde(rename = "SCMP_CMP_GT")]
    Greater,
    #[serde(rename = "SCMP_CMP_MASKED_EQ")]
    MaskedEqual,
}

fn one_or_many<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Vec<String>, D::Error> {
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum Names {
        One(String),
        Many(Vec<String>),
    }
    Ok(match serde::Deserialize::deserialize(input)? {
        Names::One(name) => vec![name],
        Names::Many(names) => names,
    })
}

impl Rule {
    pub(super) fn allow(names: &[&str], args: Vec<Argument>) -> Self {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Self {
            names,
            action: Action::Allow,
            errno: None,
            args,
        }
    }

    fn filter_action(&self) -> SeccompAction {
        filter_action(self.action, self.errno)
    }
}

impl Argument {
    pub(super) fn new(index: u8, value: u64, op: Operator) -> Self {
        Self {
            index,
            value,
            value_two: 0,
            op,
        }
    }

    fn condition(&self) -> Result<SeccompCondition, String> {
        let (op, value) = match self.op {
            Operator::NotEqual => (SeccompCmpOp::Ne, self.value),
            Operator::Less => (SeccompCmpOp::Lt, self.value),
            Operator::LessEqual => (SeccompCmpOp::Le, self.value),
            Operator::Equal => (SeccompCmpOp::Eq, self.value),
            Operator::GreaterEqual => (SeccompCmpOp::Ge, self.value),
            Operator::Greater => (SeccompCmpOp::Gt, self.value),
            Operator::MaskedEqual => (SeccompCmpOp::MaskedEq(self.value), self.value_two),
        };
        SeccompCondition::new(self.index, SeccompCmpArgLen::Qword, op, value).map_err(|e| e.to_string())
    }
}

fn filter_action(action: Action, errno: Option<u32>) -> SeccompAction {
    match action {
        Action::Allow => SeccompAction::Allow,
        Action::Errno => SeccompAction::Errno(errno.unwrap_or(libc::EPERM as u32)),
        Action::KillProcess => SeccompAction::KillProcess,
        Action::KillThread => SeccompAction::KillThread,
        Action::Log => SeccompAction::Log,
        Action::Trap => SeccompAction::Trap,
    }
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

impl Profile {
    /// Reads a profile file.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(text).map_err(|e| format!("seccomp profile: {e}"))
    }

    /// The filters, to be installed one after the other; the kernel takes the strictest answer. One filter knows one
    /// action beside its default, so each further action gets a filter of its own.
    pub(crate) fn compile(&self) -> Result<Vec<Program>, String> {
        let default = filter_action(self.default_action, self.default_errno);
        let mut groups: Vec<(SeccompAction, Rules)> = Vec::new();
        let mut passed = Rules::new();
        for rule in &self.syscalls {
            let action = rule.filter_action();
            if action == default {
                continue;
            }
            add(&mut passed, rule)?;
            if action == SeccompAction::Allow {
                continue;
            }
            let at = groups
                .iter()
                .position(|(known, _)| *known == action)
                .unwrap_or_else(|| {
                    groups.push((action, Rules::new()));
                    groups.len() - 1
                });
            add(&mut groups[at].1, rule)?;
        }
        let mut programs = Vec::new();
        if default != SeccompAction::Allow {
            programs.push(program(passed, default, SeccompAction::Allow)?);
        }
        for (action, rules) in groups {
            programs.push(program(rules, SeccompAction::Allow, action)?);
        }
        Ok(programs)
    }
}

/// Adds `rule` for each of its calls; an empty list of conditions means always, whatever else was said.
fn add(rules: &mut Rules, rule: &Rule) -> Result<(), String> {
    for number in rule.names.iter().filter_map(|name| syscalls::number(name)) {
        if rule.args.is_empty() {
            rules.insert(number, Vec::new());
            continue;
        }
        let conditions = rule
            .args
            .iter()
            .map(Argument::condition)
            .collect::<Result<Vec<_>, _>>()?;
        let made = SeccompRule::new(conditions).map_err(|e| e.to_string())?;
        match rules.get_mut(&number) {
            Some(known) if known.is_empty() => {}
            Some(known) => known.push(made),
            None => drop(rules.insert(number, vec![made])),
        }
    }
    Ok(())
}

fn program(rules: Rules, mismatch: SeccompAction, matching: SeccompAction) -> Result<Program, String> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(|e| e.to_string())?;
    let filter = SeccompFilter::new(rules, mismatch, matching, arch).map_err(|e| e.to_string())?;
    let program = BpfProgram::try_from(filter).map_err(|e| e.to_string())?;
    Ok(program.into_iter().map(|i| (i.code, i.jt, i.jf, i.k)).collect())
}
