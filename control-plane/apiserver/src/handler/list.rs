//! LIST: from a snapshot, in pages.

use super::{Handler, Place};
use crate::cache::{Held, Selection, Snapshot};
use api::Status;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long a read waits for a revision that is not there yet, as upstream.
const FUTURE: Duration = Duration::from_secs(3);

/// The value of `resourceVersionMatch`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Match {
    /// Not given.
    #[default]
    Unset,
    /// Exactly this version.
    Exact,
    /// This version or a newer one.
    NotOlderThan,
}

/// What to list.
#[derive(Clone, Debug, Default)]
pub struct ListQuery {
    /// Which objects.
    pub selection: Selection,
    /// At most so many; 0: all.
    pub limit: usize,
    /// Go on from here.
    pub continue_token: String,
    /// `None`: the newest; `Some(0)`: any.
    pub resource_version: Option<u64>,
    /// What the version means.
    pub version_match: Match,
}

/// A part of a list.
#[derive(Debug, Default)]
pub struct Page {
    /// The objects.
    pub items: Vec<Held>,
    /// The version the list is of.
    pub revision: u64,
    /// Where the next page starts; empty: this was the last.
    pub continue_token: String,
    /// Objects after this page, when it is known without looking at them.
    pub remaining: Option<usize>,
}

/// A continue token: the key to go on from, and the version.
#[derive(Serialize, Deserialize)]
struct Token {
    v: String,
    rv: i64,
    start: String,
}

impl Token {
    fn encode(rv: i64, start: String) -> String {
        let token = Self {
            v: "meta.k8s.io/v1".to_owned(),
            rv,
            start,
        };
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&token).unwrap_or_default())
    }

    fn decode(text: &str) -> Result<Self, Status> {
        let bad = |why: String| {
            Status::bad_request(format!(
                "invalid continue token: continue key is not valid: {why}"
            ))
        };
        let bytes = URL_SAFE_NO_PAD
            .decode(text.trim_end_matches('='))
            .map_err(|e| bad(e.to_string()))?;
        let token: Self = serde_json::from_slice(&bytes).map_err(|e| bad(e.to_string()))?;
        if token.v != "meta.k8s.io/v1" {
            return Err(bad(format!(
                "server does not recognize this encoded version {:?}",
                token.v
            )));
        }
        if token.rv == 0 {
            let why = "incorrect encoded start resourceVersion (version meta.k8s.io/v1)";
            return Err(bad(why.to_owned()));
        }
        if token.start.is_empty() {
            let why = "encoded start key empty (version meta.k8s.io/v1)";
            return Err(bad(why.to_owned()));
        }
        // It must not lead out of the collection.
        if token.start.split('/').any(|part| matches!(part, "." | "..")) {
            return Err(bad(token.start));
        }
        Ok(token)
    }
}

/// The version of a token that goes on with what is there now.
const NEWEST: i64 = -1;

impl Handler {
    /// Lists a collection.
    pub async fn list(&self, place: &Place, query: &ListQuery) -> Result<Page, Status> {
        let (snapshot, start) = if query.continue_token.is_empty() {
            (self.snapshot(place, query).await?, String::new())
        } else {
            self.continued(place, query).await?
        };
        place.cache.readable(None)?;
        if query.selection.converted.is_some() {
            let range = snapshot.range(place.row(), &query.selection.namespace, &start);
            let all: Vec<Held> = range.map(|(_, held)| held.clone()).collect();
            self.ensure(place, &all).await?;
        }
        let page = page(place, query, &snapshot, &start);
        self.ensure(place, &page.items).await?;
        Ok(page)
    }

    async fn snapshot(&self, place: &Place, query: &ListQuery) -> Result<Snapshot, Status> {
        let Some(wanted) = query.resource_version else {
            if query.version_match != Match::Unset {
                let why = "resourceVersionMatch is forbidden unless resourceVersion is provided";
                return Err(forbidden_match(why));
            }
            self.fresh().await?;
            return Ok(place.cache.snapshot());
        };
        // Upstream's older rule: a limit makes a version exact.
        let exact = match query.version_match {
            Match::Exact if wanted == 0 => {
                let why = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
                return Err(forbidden_match(why));
            }
            Match::Exact => true,
            Match::Unset => query.limit > 0 && wanted > 0,
            Match::NotOlderThan => false,
        };
        self.wait_for(wanted).await?;
        if !exact {
            return Ok(place.cache.snapshot());
        }
        let too_old = || Status::expired("The resourceVersion for the provided list is too old.");
        place.cache.snapshot_at(wanted).ok_or_else(too_old)
    }

    /// Waits a little for a version that is not there yet.
    pub(super) async fn wait_for(&self, wanted: u64) -> Result<(), Status> {
        if self.feed.revision() >= wanted
            || self
                .env
                .clock
                .timeout(FUTURE, self.feed.reached(wanted))
                .await
                .is_some()
        {
            return Ok(());
        }
        let message = format!(
            "Timeout: Too large resource version: {wanted}, current: {}",
            self.feed.revision()
        );
        let status = Status::timeout(&message);
        Err(status.with_cause("ResourceVersionTooLarge", "Too large resource version", ""))
    }

    async fn continued(&self, place: &Place, query: &ListQuery) -> Result<(Snapshot, String), Status> {
        if query.version_match != Match::Unset {
            let why = "resourceVersionMatch is forbidden when continue is provided";
            return Err(forbidden_match(why));
        }
        if query.resource_version.is_some_and(|version| version != 0) {
            return Err(Status::bad_request(
                "specifying resource version is not allowed when using continue",
            ));
        }
        let token = Token::decode(&query.continue_token)?;
        let Ok(revision) = u64::try_from(token.rv) else {
            self.fresh().await?;
            return Ok((place.cache.snapshot(), token.start));
        };
        match place.cache.snapshot_at(revision) {
            Some(snapshot) => Ok((snapshot, token.start)),
            None => Err(Status::expired(INCONSISTENT).continued(Token::encode(NEWEST, token.start))),
        }
    }
}

const INCONSISTENT: &str = "The provided continue parameter is too old to display a consistent list result. You can \
    start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder \
    of the results. Continuing with the provided token results in an inconsistent list - objects that were created, \
    modified, or deleted between the time the first chunk was returned and now may show up in the list.";

fn forbidden_match(why: &str) -> Status {
    let error = api::field::Error::forbidden("resourceVersionMatch", why);
    Status::invalid("meta.k8s.io", "ListOptions", "", vec![error])
}

fn page(place: &Place, query: &ListQuery, snapshot: &Snapshot, start: &str) -> Page {
    let (row, selection) = (place.row(), &query.selection);
    let mut page = Page {
        revision: snapshot.revision,
        ..Page::default()
    };
    if let Some(only) = selection.only(row) {
        let held = snapshot
            .objects
            .get(only.as_str())
            .filter(|held| selection.wants(row, held));
        page.items.extend(held.cloned());
        return page;
    }
    // Then the key says all, and the objects are not looked at.
    let all = selection.is_everything();
    let mut range = snapshot.range(row, &selection.namespace, start);
    let mut last: Option<&str> = None;
    while let Some((key, held)) = range.next() {
        if !(all || selection.wants(row, held)) {
            continue;
        }
        if query.limit > 0 && page.items.len() == query.limit {
            page.continue_token = {
                let revision = i64::try_from(snapshot.revision).unwrap_or(i64::MAX);
                Token::encode(revision, format!("{}\0", last.unwrap_or_default()))
            };
            page.remaining = all.then(|| 1 + range.count());
            break;
        }
        page.items.push(held.clone());
        last = Some(key);
    }
    page
}
