//! To act as another, one must be allowed to: in one of the modes of constrained impersonation, each with verbs of its own,
//! or by the verb `impersonate` (upstream `apiserver/pkg/endpoints/filters/impersonation`, KEP-5284).

use super::{Attributes, Authorizer, User, authentication::not_prefixed};
use crate::server::forbidden;
use api::Status;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

/// Of so many users it is remembered in which mode they act as others.
const MOST: usize = 10_000;
/// Of so many values it is asked first whether all are allowed.
const MANY: usize = 4;
const AUTHENTICATION: &str = "authentication.k8s.io";
const ACCOUNT: &str = "system:serviceaccount:";
const NODE: &str = "system:node:";

/// By which verbs one may act as another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// A service account as the node that it runs on.
    AssociatedNode,
    /// As any node.
    ArbitraryNode,
    /// As a service account.
    ServiceAccount,
    /// As anybody who is none of these.
    UserInfo,
    /// As anybody, for everything.
    Legacy,
}

impl Mode {
    /// In upstream's order.
    const ALL: [Self; 5] = [
        Self::AssociatedNode,
        Self::ArbitraryNode,
        Self::ServiceAccount,
        Self::UserInfo,
        Self::Legacy,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::AssociatedNode => "associated-node",
            Self::ArbitraryNode => "arbitrary-node",
            Self::ServiceAccount => "serviceaccount",
            Self::UserInfo => "user-info",
            Self::Legacy => "",
        }
    }

    fn verb(self) -> String {
        match self {
            Self::Legacy => "impersonate".to_owned(),
            mode => format!("impersonate:{}", mode.name()),
        }
    }

    /// Whether it is about acting as `wanted`.
    fn fits(self, wanted: &User, asker: &User) -> bool {
        let bare = wanted.uid.is_empty() && wanted.groups.is_empty() && wanted.extra.is_empty();
        let node = node_of(&wanted.name);
        match self {
            Self::AssociatedNode => bare && node.is_some() && node_of_account(asker) == node,
            Self::ArbitraryNode => bare && node.is_some(),
            Self::ServiceAccount => bare && account_of(&wanted.name).is_some(),
            Self::UserInfo => node.is_none() && account_of(&wanted.name).is_none(),
            Self::Legacy => true,
        }
    }
}

/// The node that a user is.
fn node_of(name: &str) -> Option<&str> {
    name.strip_prefix(NODE)
        .filter(|name| api::valid_dns_subdomain(name))
}

/// The node that a service account asks from, as its token tells.
pub(super) fn node_of_account(user: &User) -> Option<&str> {
    account_of(&user.name)?;
    let names = user.extra.get("authentication.kubernetes.io/node-name")?;
    let [name] = names.as_slice() else { return None };
    api::valid_dns_subdomain(name).then_some(name)
}

/// The namespace and name of the service account that a user is.
fn account_of(name: &str) -> Option<(&str, &str)> {
    let (namespace, account) = name.strip_prefix(ACCOUNT)?.split_once(':')?;
    (api::valid_dns_label(namespace) && api::valid_dns_subdomain(account)).then_some((namespace, account))
}

/// Lets users act as others, and remembers how each did it last, which is tried first.
#[derive(Default)]
pub struct Impersonation {
    last: Mutex<HashMap<String, Mode>>,
}

/// Whom a request is made as.
#[derive(Debug)]
pub struct Impersonated {
    /// The user.
    pub user: User,
    /// The verb of the constrained mode that allowed it; empty for none.
    pub constraint: String,
}

impl Impersonation {
    /// Whether the user of `asked` may do that as `wanted`, of whom only what the request says is known; modes other than the
    /// verb `impersonate` are tried if `constrained`.
    ///
    /// # Errors
    /// 403.
    pub async fn of(
        &self,
        authorizer: &dyn Authorizer,
        constrained: bool,
        wanted: &User,
        asked: &Attributes,
    ) -> Result<Impersonated, Status> {
        if !constrained {
            return in_mode(Mode::Legacy, authorizer, wanted, asked).await;
        }
        let known = |last: &HashMap<String, Mode>| last.get(&asked.user.name).copied();
        let last = known(&self.last.lock().unwrap_or_else(PoisonError::into_inner));
        let others = Mode::ALL.into_iter().filter(|mode| Some(*mode) != last);
        let mut refused = None;
        for mode in last.into_iter().chain(others) {
            if !mode.fits(wanted, &asked.user) {
                continue;
            }
            match in_mode(mode, authorizer, wanted, asked).await {
                Ok(allowed) => {
                    if last != Some(mode) {
                        self.remember(&asked.user.name, mode);
                    }
                    return Ok(allowed);
                }
                Err(status) => refused = refused.or(Some(status)),
            }
        }
        Err(refused.unwrap_or_else(|| Status::internal("all impersonation modes failed")))
    }

    fn remember(&self, name: &str, mode: Mode) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() >= MOST {
            last.clear();
        }
        last.insert(name.to_owned(), mode);
    }
}

/// The questions of one mode.
struct Questions<'a> {
    mode: Mode,
    asker: Arc<User>,
    authorizer: &'a dyn Authorizer,
}

async fn in_mode(
    mode: Mode,
    authorizer: &dyn Authorizer,
    wanted: &User,
    asked: &Attributes,
) -> Result<Impersonated, Status> {
    let asker = match mode {
        Mode::AssociatedNode => Arc::new(of_any_node(&asked.user)),
        _ => asked.user.clone(),
    };
    let questions = Questions {
        mode,
        asker,
        authorizer,
    };
    if mode != Mode::Legacy {
        let on = Attributes {
            user: questions.asker.clone(),
            verb: format!("impersonate-on:{}:{}", mode.name(), asked.verb),
            ..asked.clone()
        };
        questions.put(&on).await?;
    }
    let mut user = wanted.clone();
    questions.name(wanted, &mut user).await?;
    if !wanted.uid.is_empty() {
        questions.one(AUTHENTICATION, "uids", "", &wanted.uid).await?;
    }
    questions.groups(&wanted.groups).await?;
    questions.extra(&wanted.extra).await?;
    let in_group = |group: &str| user.groups.iter().any(|known| known == group);
    let (unknown, known) = ("system:unauthenticated", "system:authenticated");
    let all = match user.name.as_str() {
        "system:anonymous" => Some(unknown),
        _ => (!in_group(unknown)).then_some(known),
    };
    if let Some(all) = all.filter(|all| !in_group(all)) {
        user.groups.push(all.to_owned());
    }
    let constraint = match mode {
        Mode::Legacy => String::new(),
        mode => mode.verb(),
    };
    Ok(Impersonated { user, constraint })
}

/// The user without what tells pods of different nodes apart.
fn of_any_node(user: &User) -> User {
    let keys = user.extra.keys().cloned().collect();
    User {
        extra: [(
            "authentication.kubernetes.io/associated-node-keys".to_owned(),
            keys,
        )]
        .into(),
        ..user.clone()
    }
}

impl Questions<'_> {
    fn constrained(&self) -> bool {
        self.mode != Mode::Legacy
    }

    /// The group of the API that users and groups are of.
    fn group(&self) -> &'static str {
        if self.constrained() { AUTHENTICATION } else { "" }
    }

    fn about(&self, group: &str, resource: &str, subresource: &str, name: &str) -> Attributes {
        Attributes {
            user: self.asker.clone(),
            verb: self.mode.verb(),
            group: group.to_owned(),
            version: "v1".to_owned(),
            resource: resource.to_owned(),
            subresource: subresource.to_owned(),
            name: name.to_owned(),
            is_resource: true,
            ..Attributes::default()
        }
    }

    async fn put(&self, asked: &Attributes) -> Result<(), Status> {
        let decision = self.authorizer.authorize(asked).get().await;
        if decision.allowed() {
            return Ok(());
        }
        let why = match (decision.error.as_str(), decision.reason.as_str()) {
            ("", reason) => reason.to_owned(),
            (error, "") => error.to_owned(),
            (error, reason) => format!("{error}: {reason}"),
        };
        Err(forbidden(asked, &why))
    }

    async fn one(&self, group: &str, resource: &str, subresource: &str, name: &str) -> Result<(), Status> {
        self.put(&self.about(group, resource, subresource, name)).await
    }

    /// The name, and the groups that go with it.
    async fn name(&self, wanted: &User, user: &mut User) -> Result<(), Status> {
        let mut asked = self.about(self.group(), "users", "", &wanted.name);
        let node = node_of(&wanted.name).filter(|_| self.constrained());
        if let Some(node) = node {
            "nodes".clone_into(&mut asked.resource);
            node.clone_into(&mut asked.name);
            user.groups = vec!["system:nodes".to_owned()];
        }
        if let Some((namespace, account)) = account_of(&wanted.name) {
            "serviceaccounts".clone_into(&mut asked.resource);
            namespace.clone_into(&mut asked.namespace);
            account.clone_into(&mut asked.name);
            if wanted.groups.is_empty() {
                let of_all = "system:serviceaccounts".to_owned();
                user.groups = vec![of_all, format!("system:serviceaccounts:{namespace}")];
            }
        }
        if self.mode == Mode::AssociatedNode {
            "*".clone_into(&mut asked.name);
        }
        self.put(&asked).await
    }

    async fn groups(&self, groups: &[String]) -> Result<(), Status> {
        let about = |name: &str| self.about(self.group(), "groups", "", name);
        if self.constrained() && groups.iter().any(String::is_empty) {
            let why = "impersonating the empty string group is not allowed";
            return Err(forbidden(&about(""), why));
        }
        const MASTERS: &str = "system:masters";
        if self.constrained() && groups.iter().any(|group| group == MASTERS) {
            let why = "impersonating the system:masters group is not allowed";
            return Err(forbidden(&about(MASTERS), why));
        }
        if self.constrained() && groups.len() >= MANY && self.put(&about("*")).await.is_ok() {
            return Ok(());
        }
        for group in groups {
            self.put(&about(group)).await?;
        }
        Ok(())
    }

    async fn extra(&self, extra: &BTreeMap<String, Vec<String>>) -> Result<(), Status> {
        let about = |key: &str, value: &str| self.about(AUTHENTICATION, "userextras", key, value);
        if self.constrained() {
            if let Some(why) = extra.iter().find_map(|(key, values)| wrong(key, values)) {
                return Err(forbidden(&about("", ""), &why));
            }
            let values: usize = extra.values().map(Vec::len).sum();
            if values >= MANY && self.put(&about("*", "*")).await.is_ok() {
                return Ok(());
            }
        }
        for (key, values) in extra {
            for value in values {
                self.put(&about(key, value)).await?;
            }
        }
        Ok(())
    }
}

/// Why nobody is constrained to that extra.
fn wrong(key: &str, values: &[String]) -> Option<String> {
    if key.is_empty() {
        return Some("impersonating the empty string key in extra is not allowed".to_owned());
    }
    if let Some(why) = not_prefixed(key) {
        let at = format!("extra.key: Invalid value: {key:?}: {why}");
        return Some(format!(
            "impersonating an invalid key in extra is not allowed: {at}"
        ));
    }
    if key.to_lowercase() != key {
        let why = "impersonating a non-lowercase key in extra is not allowed";
        return Some(format!("{why}: {key:?}"));
    }
    let empty = values.iter().any(String::is_empty);
    empty.then(|| "impersonating the empty string value in extra is not allowed".to_owned())
}

/// What a request that names no user, and says more of it, is told; upstream prints its own types.
pub fn nobody(wanted: &User, constrained: bool) -> Status {
    if constrained {
        let list = |list: &[String]| match list {
            [] => "[]string(nil)".to_owned(),
            list => format!("[]string{{{}}}", go_list(list)),
        };
        let extra = match wanted.extra.is_empty() {
            true => "map[string][]string(nil)".to_owned(),
            false => {
                let pairs = wanted.extra.iter();
                let pairs = pairs.map(|(key, values)| format!("{key:?}:[]string{{{}}}", go_list(values)));
                format!("map[string][]string{{{}}}", pairs.collect::<Vec<_>>().join(", "))
            }
        };
        return Status::bad_request(format!(
            "requested &user.DefaultInfo{{Name:\"\", UID:{:?}, Groups:{}, Extra:{extra}}} without impersonating a user \
             name",
            wanted.uid,
            list(&wanted.groups)
        ));
    }
    // Kind, namespace, name, UID, version, resource version, field path.
    let groups = wanted.groups.iter().map(|name| format!("{{Group  {name}    }}"));
    let of_extra = |(key, values): (&String, &Vec<String>)| {
        let one = |value: &String| format!("{{UserExtra  {value}  {AUTHENTICATION}/v1  {key}}}");
        values.iter().map(one).collect::<Vec<_>>()
    };
    let extra = wanted.extra.iter().flat_map(of_extra);
    let uid = Some(&wanted.uid).filter(|uid| !uid.is_empty());
    let uid = uid.map(|uid| format!("{{UID  {uid}  {AUTHENTICATION}/v1  }}"));
    let all: Vec<String> = groups.chain(extra).chain(uid).collect();
    Status::bad_request(format!(
        "requested [{}] without impersonating a user",
        all.join(" ")
    ))
}

fn go_list(list: &[String]) -> String {
    let texts: Vec<String> = list.iter().map(|text| format!("{text:?}")).collect();
    texts.join(", ")
}
