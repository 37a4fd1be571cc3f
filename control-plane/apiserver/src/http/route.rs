//! What a URL asks for, as upstream's request info reads it.

use super::query::Query;
use api::{FieldSelector, Gvr};
use http::Method;

/// A request, read from its method and URL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Route {
    /// The verb for authorization.
    pub verb: &'static str,
    /// Group, version and plural name; the last is empty when it is no resource.
    pub gvr: Gvr,
    /// Namespace; empty for none.
    pub namespace: String,
    /// Name; empty for a collection.
    pub name: String,
    /// Subresource; empty for none.
    pub subresource: String,
    /// What follows the subresource, such as the path behind `proxy`.
    pub rest: String,
    /// The path.
    pub path: String,
}

impl Route {
    /// Reads method, path and query.
    pub fn parse(method: &Method, path: &str, query: &Query) -> Self {
        let mut route = Self {
            path: path.to_owned(),
            ..Self::default()
        };
        // As upstream, escaped slashes divide as well.
        let decoded = super::query::percent_decode(path);
        let parts: Vec<&str> = segments(&decoded);
        let (group, version, mut rest) = match parts.as_slice() {
            ["api", version, rest @ ..] if !rest.is_empty() => ("", *version, rest),
            ["apis", group, version, rest @ ..] if !rest.is_empty() => (*group, *version, rest),
            _ => {
                route.verb = method_verb(method);
                return route;
            }
        };
        let watched = rest.len() > 1 && rest[0] == "watch" && matches!(*method, Method::GET | Method::HEAD);
        if watched {
            rest = &rest[1..];
        }
        let rest = route.take_namespace(rest);
        let resource = rest.first().copied().unwrap_or_default();
        let at = |index: usize| rest.get(index).copied().unwrap_or_default().to_owned();
        (route.name, route.subresource) = (at(1), at(2));
        route.rest = rest.get(3..).unwrap_or_default().join("/");
        route.gvr = Gvr {
            group: group.to_owned().into(),
            version: version.to_owned().into(),
            resource: resource.to_owned().into(),
        };
        route.verb = if watched {
            "watch"
        } else {
            verb(method, query, route.name.is_empty())
        };
        if route.name.is_empty() && matches!(route.verb, "list" | "watch" | "deletecollection") {
            // A collection of one name is asked for as that name, so that rules by name apply.
            let selector = FieldSelector::parse(query.get("fieldSelector")).unwrap_or_default();
            route.name = selector.required("metadata.name").unwrap_or_default().to_owned();
        }
        route
    }

    /// Takes `namespaces/NAME` from the front, unless it is the namespace itself that is asked for.
    fn take_namespace<'a, 'b>(&mut self, parts: &'b [&'a str]) -> &'b [&'a str] {
        match parts {
            ["namespaces", namespace, "status" | "finalize"] | ["namespaces", namespace] => {
                self.namespace = (*namespace).to_owned();
                parts
            }
            ["namespaces", namespace, rest @ ..] => {
                self.namespace = (*namespace).to_owned();
                rest
            }
            _ => parts,
        }
    }

    /// Whether a resource is asked for.
    pub fn is_resource(&self) -> bool {
        !self.gvr.resource.is_empty()
    }

    /// Whether the answer may take as long as it likes.
    pub fn is_long(&self) -> bool {
        self.verb == "watch"
            || matches!(
                self.subresource.as_str(),
                "log" | "exec" | "attach" | "portforward" | "proxy"
            )
    }
}

/// The parts of a path. One with an empty part inside, but behind the subresource, is no path of a resource.
pub fn segments(path: &str) -> Vec<&str> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let parts: Vec<&str> = path.strip_suffix('/').unwrap_or(path).split('/').collect();
    match parts.iter().position(|part| part.is_empty()) {
        Some(at) if at < 8 && !parts[..at].contains(&"proxy") => Vec::new(),
        _ => parts,
    }
}

fn method_verb(method: &Method) -> &'static str {
    match *method {
        Method::GET => "get",
        Method::HEAD => "head",
        Method::POST => "post",
        Method::PUT => "put",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        Method::OPTIONS => "options",
        _ => "",
    }
}

fn verb(method: &Method, query: &Query, collection: bool) -> &'static str {
    match *method {
        Method::GET | Method::HEAD if collection && query.flag("watch") => "watch",
        Method::GET | Method::HEAD if collection => "list",
        Method::GET | Method::HEAD => "get",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE if collection => "deletecollection",
        Method::DELETE => "delete",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(method: Method, url: &str) -> Route {
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        Route::parse(&method, path, &Query::parse(query))
    }

    #[test]
    fn urls_are_read_as_upstream_reads_them() {
        for (method, url, expected) in [
            (Method::GET, "/api/v1/pods", "list /v1/pods ns= name= sub="),
            (
                Method::GET,
                "/api/v1/namespaces/a/pods?watch=1",
                "watch /v1/pods ns=a name= sub=",
            ),
            (
                Method::POST,
                "/api/v1/namespaces/a/pods/b/binding",
                "create /v1/pods ns=a name=b sub=binding",
            ),
            (
                Method::PUT,
                "/api/v1/namespaces/a/finalize",
                "update /v1/namespaces ns=a name=a sub=finalize",
            ),
            (
                Method::GET,
                "/api/v1/namespaces/a",
                "get /v1/namespaces ns=a name=a sub=",
            ),
            (
                Method::GET,
                "/api/v1/namespaces",
                "list /v1/namespaces ns= name= sub=",
            ),
            (
                Method::DELETE,
                "/apis/apps/v1/namespaces/a/deployments",
                "deletecollection apps/v1/deployments ns=a name= sub=",
            ),
            (
                Method::PATCH,
                "/apis/apps/v1/namespaces/a/deployments/b/scale",
                "patch apps/v1/deployments ns=a name=b sub=scale",
            ),
            (
                Method::GET,
                "/api/v1/pods?fieldSelector=metadata.name%3Dx",
                "list /v1/pods ns= name=x sub=",
            ),
            (Method::GET, "/apis/apps/v1", "get // ns= name= sub="),
            (
                Method::GET,
                "/api/v1/watch/namespaces/a/pods",
                "watch /v1/pods ns=a name= sub=",
            ),
            (
                Method::GET,
                "/api/v1/watch/namespaces/a/pods/b",
                "watch /v1/pods ns=a name=b sub=",
            ),
            (
                Method::GET,
                "/apis/apps/v1/watch/deployments",
                "watch apps/v1/deployments ns= name= sub=",
            ),
            (
                Method::GET,
                "/api/v1/namespaces/a/pods/",
                "list /v1/pods ns=a name= sub=",
            ),
            (
                Method::GET,
                "/api/v1/namespaces/a/pods/b%2Flog",
                "get /v1/pods ns=a name=b sub=log",
            ),
            (
                Method::GET,
                "/api/v1/namespaces/..%2fpods",
                "list /v1/pods ns=.. name= sub=",
            ),
            (
                Method::GET,
                "/api/v1/namespaces/..%2f/pods",
                "get // ns= name= sub=",
            ),
            (Method::GET, "/api/v1//pods", "get // ns= name= sub="),
            (
                Method::GET,
                "/api/v1/namespaces/a/pods/b/proxy/c//d",
                "get /v1/pods ns=a name=b sub=proxy",
            ),
        ] {
            let r = route(method, url);
            let told = format!(
                "{} {}/{}/{} ns={} name={} sub={}",
                r.verb, r.gvr.group, r.gvr.version, r.gvr.resource, r.namespace, r.name, r.subresource
            );
            assert_eq!(told, expected, "{url}");
        }
    }
}
