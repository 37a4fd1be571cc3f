//! Stories of several managers and one object: YAML in; the object and who owns what out.

use super::{
    ApplyError, FieldSet, Node, Versions, Writer, apply, raw::Raw, read_managed, set::print, update,
    write_managed,
};
use crate::{document, json_to_yaml, structural::Structural, table::type_of, yaml_to_json};

/// An object, as the API server has it.
struct Story {
    version: &'static str,
    kind: &'static str,
    schema: Option<Structural>,
    live: Option<Vec<u8>>,
    managed: Vec<u8>,
    now: i64,
    reset: FieldSet,
    subresource: &'static str,
}

fn canonical(yaml: &str) -> Vec<u8> {
    document::write(&document::read(&yaml_to_json(yaml.as_bytes()).unwrap()).unwrap())
}

impl Story {
    fn of(version: &'static str, kind: &'static str) -> Self {
        Self {
            version,
            kind,
            schema: None,
            live: None,
            managed: Vec::new(),
            now: 0,
            reset: FieldSet::default(),
            subresource: "",
        }
    }

    /// A custom resource with a spec of this schema.
    fn custom(spec: &str) -> Self {
        let spec = String::from_utf8(canonical(spec)).unwrap();
        let schema = format!(
            r#"{{"type":"object","properties":{{"spec":{spec},"status":{{"type":"object","x-kubernetes-preserve-unknown-fields":true}}}}}}"#
        );
        Self {
            schema: Some(Structural::parse(schema.as_bytes()).unwrap()),
            ..Self::of("test.io/v1", "Widget")
        }
    }

    fn with<T>(&mut self, act: impl FnOnce(Versions<'_>, Writer<'_>) -> T) -> T {
        self.now += 1;
        let node = |version: &str| {
            if self.schema.is_some() {
                return version
                    .starts_with("test.io/")
                    .then_some(Node::Object(self.schema.as_ref()));
            }
            let (group, name) = version.rsplit_once('/').unwrap_or(("", version));
            type_of(group, name, self.kind).map(Node::of)
        };
        let convert = |json: &[u8], _: &str, to: &str| {
            let mut value = document::read(json).map_err(|e| e.to_string())?;
            value["apiVersion"] = to.into();
            Ok(document::write(&value))
        };
        let versions = Versions {
            node: &node,
            convert: &convert,
        };
        let writer = Writer {
            name: "",
            version: self.version,
            subresource: self.subresource,
            now: jiff::Timestamp::from_second(self.now).unwrap(),
            reset: &self.reset,
        };
        act(versions, writer)
    }

    fn body(&self, yaml: &str) -> Vec<u8> {
        let head = format!("apiVersion: {}\nkind: {}\n", self.version, self.kind);
        let metadata = if yaml.contains("metadata:") {
            ""
        } else {
            "metadata: {name: x}\n"
        };
        canonical(&format!("{head}{metadata}{yaml}"))
    }

    fn try_apply(&mut self, manager: &str, yaml: &str, force: bool) -> Result<(), ApplyError> {
        let config = self.body(yaml);
        let (live, managed, kind) = (self.live.clone(), self.managed.clone(), self.kind);
        let done = self.with(|versions, writer| {
            let writer = Writer {
                name: manager,
                ..writer
            };
            apply(versions, writer, kind, live.as_deref(), &managed, &config, force)
        })?;
        (self.live, self.managed) = (Some(done.json), done.managed);
        Ok(())
    }

    fn apply(&mut self, manager: &str, yaml: &str) -> &mut Self {
        self.try_apply(manager, yaml, false).unwrap();
        self
    }

    fn force(&mut self, manager: &str, yaml: &str) -> &mut Self {
        self.try_apply(manager, yaml, true).unwrap();
        self
    }

    fn refused(&mut self, manager: &str, yaml: &str) -> String {
        self.try_apply(manager, yaml, false).unwrap_err().to_string()
    }

    fn update(&mut self, manager: &str, yaml: &str) -> &mut Self {
        let new = self.body(yaml);
        let (live, managed) = (self.live.take(), self.managed.clone());
        self.managed = self.with(|versions, writer| {
            let writer = Writer {
                name: manager,
                ..writer
            };
            update(versions, writer, live.as_deref(), &new, &managed, b"").unwrap()
        });
        self.live = Some(new);
        self
    }

    /// `spec` (or what else the object has) as YAML.
    fn object(&self) -> String {
        let mut value = document::read(self.live.as_ref().unwrap()).unwrap();
        let object = value.as_object_mut().unwrap();
        object.remove("apiVersion");
        object.remove("kind");
        object["metadata"].as_object_mut().unwrap().remove("name");
        object.retain(|_, value| value.as_object().is_none_or(|map| !map.is_empty()));
        json_to_yaml(&document::write(&value)).unwrap()
    }

    /// A line a manager.
    fn owners(&self) -> String {
        let managers = read_managed(&self.managed).unwrap();
        let line = |manager: &super::Manager| {
            let fields: Vec<_> = manager.fields.paths().iter().map(|path| print(path)).collect();
            let sub = if manager.subresource.is_empty() { "" } else { "/" };
            let time = manager
                .time
                .map_or("never".to_owned(), |time| time.as_second().to_string());
            format!(
                "{}{sub}{} {:?} {} at {time}: {}\n",
                manager.name,
                manager.subresource,
                manager.operation,
                manager.version,
                fields.join(" ")
            )
        };
        managers.iter().map(line).collect()
    }
}

const SPEC: &str = "
type: object
properties:
  num: {type: integer}
  s: {type: string}
  list: {type: array, items: {type: string}}
  set: {type: array, x-kubernetes-list-type: set, items: {type: string}}
  map: {type: object, additionalProperties: {type: string}}
  one: {type: object, x-kubernetes-map-type: atomic, additionalProperties: {type: string}}
  any: {type: object, x-kubernetes-preserve-unknown-fields: true}
  items:
    type: array
    x-kubernetes-list-type: map
    x-kubernetes-list-map-keys: [name, zone]
    items:
      type: object
      properties:
        name: {type: string}
        zone: {type: string, default: a}
        v: {type: integer}
        w: {type: integer}
";

#[test]
fn what_is_no_longer_applied_goes() {
    let mut story = Story::custom(SPEC);
    story.apply("a", "spec: {num: 1, s: x, map: {p: '1', q: '2'}, set: [u, v]}");
    assert_eq!(
        story.owners(),
        "a Apply test.io/v1 at 1: .spec.num .spec.s .spec.map.p .spec.map.q .spec.set[=\"u\"] .spec.set[=\"v\"]\n"
    );
    story.update(
        "b",
        "spec: {num: 1, s: x, map: {p: '1', q: '2', r: '3'}, set: [u, v, w]}",
    );
    story.apply("a", "spec: {num: 1, map: {q: '2'}, set: [v]}");
    assert_eq!(
        story.object(),
        "spec:\n  map:\n    q: \"2\"\n    r: \"3\"\n  num: 1\n  set:\n  - v\n  - w\n"
    );
    assert_eq!(
        story.owners(),
        "a Apply test.io/v1 at 3: .spec.num .spec.map.q .spec.set[=\"v\"]\n\
         b Update test.io/v1 at 2: .spec.map.r .spec.set[=\"w\"]\n"
    );
}

#[test]
fn applying_again_changes_nothing() {
    let mut story = Story::custom(SPEC);
    let config = "spec: {num: 1, list: [x, z], set: [u], one: {k: v}, items: [{name: m, v: 1}]}";
    story.apply("a", config);
    let (live, managed) = (story.live.clone(), story.managed.clone());
    story.apply("a", config);
    assert_eq!((story.live, story.managed), (live, managed));
}

#[test]
fn two_who_want_different_things_are_in_conflict() {
    let mut story = Story::of("apps/v1", "Deployment");
    story.apply("alice", "spec: {replicas: 3, minReadySeconds: 5}");
    assert_eq!(
        story.refused("bob", "spec: {replicas: 4}"),
        "Apply failed with 1 conflict: conflict with \"alice\": .spec.replicas"
    );
    story.update(
        "kubectl-client-side-apply",
        "spec: {replicas: 5, minReadySeconds: 5}",
    );
    assert_eq!(
        story.refused("bob", "spec: {replicas: 4}"),
        "Apply failed with 1 conflict: conflict with \"kubectl-client-side-apply\" using apps/v1: .spec.replicas"
    );
    assert_eq!(
        story.refused("bob", "spec: {replicas: 4, minReadySeconds: 6}"),
        "Apply failed with 2 conflicts: conflicts with \"alice\":\n- .spec.minReadySeconds\n\
         conflicts with \"kubectl-client-side-apply\" using apps/v1:\n- .spec.replicas"
    );
    story.force("bob", "spec: {replicas: 4}");
    assert_eq!(
        story.owners(),
        "alice Apply apps/v1 at 1: .spec.minReadySeconds\nbob Apply apps/v1 at 6: .spec.replicas\n"
    );
}

#[test]
fn who_wants_the_same_shares_it_and_it_stays_until_the_last_lets_go() {
    let mut story = Story::of("apps/v1", "Deployment");
    story.apply("alice", "spec: {replicas: 3}");
    story.apply("bob", "spec: {replicas: 3, paused: true}");
    assert!(
        story
            .refused("bob", "spec: {replicas: 4}")
            .contains("conflict with \"alice\"")
    );
    story.apply("alice", "spec: {minReadySeconds: 1}");
    assert_eq!(
        story.object(),
        "spec:\n  minReadySeconds: 1\n  paused: true\n  replicas: 3\n"
    );
    story.apply("bob", "spec: {paused: true}");
    assert_eq!(story.object(), "spec:\n  minReadySeconds: 1\n  paused: true\n");
    // Who lets go of all is no manager any more.
    story.apply("alice", "");
    assert_eq!(story.owners(), "bob Apply apps/v1 at 5: .spec.paused\n");
}

#[test]
fn lists_that_are_maps_merge_by_their_keys_in_the_order_of_who_applies() {
    let mut story = Story::of("v1", "Pod");
    story.update(
        "editor",
        "spec: {containers: [{name: web, image: a}, {name: log, image: l}]}",
    );
    story.force(
        "a",
        "spec: {containers: [{name: new, image: q}, {name: log, ports: [{containerPort: 80}, {containerPort: 80, protocol: UDP}]}]}",
    );
    assert_eq!(
        story.object(),
        "spec:\n  containers:\n  - image: a\n    name: web\n  - image: q\n    name: new\n  - image: l\n    name: log\n    \
         ports:\n    - containerPort: 80\n    - containerPort: 80\n      protocol: UDP\n"
    );
    assert_eq!(
        story.owners().lines().next().unwrap(),
        "a Apply v1 at 2: .spec.containers[name=\"log\"] .spec.containers[name=\"new\"] .spec.containers[name=\"log\"].name \
         .spec.containers[name=\"log\"].ports[containerPort=80,protocol=\"TCP\"] \
         .spec.containers[name=\"log\"].ports[containerPort=80,protocol=\"UDP\"] \
         .spec.containers[name=\"log\"].ports[containerPort=80,protocol=\"TCP\"].containerPort \
         .spec.containers[name=\"log\"].ports[containerPort=80,protocol=\"UDP\"].containerPort \
         .spec.containers[name=\"log\"].ports[containerPort=80,protocol=\"UDP\"].protocol \
         .spec.containers[name=\"new\"].image .spec.containers[name=\"new\"].name"
    );
    story.apply("a", "spec: {containers: [{name: log}]}");
    assert_eq!(
        story.object(),
        "spec:\n  containers:\n  - image: a\n    name: web\n  - image: l\n    name: log\n",
    );
}

#[test]
fn keys_have_defaults_and_elements_of_two_keys_are_two() {
    let mut story = Story::custom(SPEC);
    story.apply("a", "spec: {items: [{name: m, v: 1}]}");
    story.apply(
        "b",
        "spec: {items: [{name: m, zone: a, w: 2}, {name: m, zone: b, w: 3}]}",
    );
    assert_eq!(
        story.object(),
        "spec:\n  items:\n  - name: m\n    v: 1\n    w: 2\n    zone: a\n  - name: m\n    w: 3\n    zone: b\n"
    );
    // The element stays for who still names it.
    story.apply("b", "spec: {items: [{name: m, zone: b, w: 3}]}");
    assert_eq!(
        story.object(),
        "spec:\n  items:\n  - name: m\n    v: 1\n  - name: m\n    w: 3\n    zone: b\n"
    );
    assert_eq!(
        story.refused("c", "spec: {items: [{name: x}, {name: x, zone: a}]}"),
        "failed to create typed patch object (/x; test.io/v1, Kind=Widget): \
         .spec.items: duplicate entries for key [name=\"x\",zone=\"a\"]"
    );
}

#[test]
fn what_is_atomic_has_one_owner() {
    let mut story = Story::custom(SPEC);
    story.apply("a", "spec: {list: [x, z], one: {p: '1'}}");
    assert_eq!(
        story.refused("b", "spec: {list: [x], one: {q: '1'}}"),
        "Apply failed with 2 conflicts: conflicts with \"a\":\n- .spec.list\n- .spec.one"
    );
    story.force("b", "spec: {one: {q: '1'}}");
    assert_eq!(
        story.object(),
        "spec:\n  list:\n  - x\n  - z\n  one:\n    q: \"1\"\n"
    );
    assert_eq!(
        story.owners(),
        "a Apply test.io/v1 at 1: .spec.list\nb Apply test.io/v1 at 3: .spec.one\n"
    );
    let mut story = Story::of("v1", "Service");
    story.apply("a", "spec: {selector: {app: x}}");
    assert_eq!(story.owners(), "a Apply v1 at 1: .spec.selector\n");
}

#[test]
fn without_a_schema_maps_merge_and_lists_are_one() {
    let mut story = Story::custom(SPEC);
    story.apply("a", "spec: {any: {x: {u: 1}, l: [1]}}");
    assert_eq!(
        story.owners(),
        "a Apply test.io/v1 at 1: .spec.any.l .spec.any.x .spec.any.x.u\n"
    );
    story.apply("b", "spec: {any: {x: {z: 2}}}");
    assert!(
        story
            .refused("b", "spec: {any: {l: [1, 2]}}")
            .contains(".spec.any.l")
    );
    story.update("c", "spec: {any: {x: 3, l: [1]}}");
    assert_eq!(
        story.owners(),
        "a Apply test.io/v1 at 1: .spec.any.l\nc Update test.io/v1 at 4: .spec.any.x\n"
    );
}

#[test]
fn a_new_object_is_owned_as_upstream_says() {
    let mut story = Story::of("apps/v1", "Deployment");
    story.reset = FieldSet::of(&["status"]);
    story.update(
        "kubectl-create",
        "metadata: {name: x, labels: {app: x}}\n\
         spec: {replicas: 1, selector: {matchLabels: {app: x}}, strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 25%}}, \
         template: {metadata: {labels: {app: x}}, spec: {containers: [{name: c, image: i, resources: {}}], securityContext: {}}}}\n\
         status: {replicas: 4}",
    );
    let managed: serde_json::Value = serde_json::from_slice(&story.managed).unwrap();
    assert_eq!(
        managed[0]["fieldsV1"].to_string(),
        r#"{"f:metadata":{"f:labels":{".":{},"f:app":{}}},"f:spec":{"f:replicas":{},"f:selector":{},"f:strategy":{"f:rollingUpdate":{".":{},"f:maxSurge":{}},"f:type":{}},"f:template":{"f:metadata":{"f:labels":{".":{},"f:app":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:image":{},"f:name":{},"f:resources":{}}},"f:securityContext":{}}}}}"#
    );
    assert_eq!(managed[0]["manager"], "kubectl-create");
    assert_eq!(managed[0]["time"], "1970-01-01T00:00:01Z");
}

#[test]
fn what_a_subresource_writes_is_owned_by_way_of_it() {
    let mut story = Story::of("apps/v1", "Deployment");
    story.reset = FieldSet::of(&["status"]);
    story.apply("a", "spec: {replicas: 1}\nstatus: {replicas: 9}");
    (story.subresource, story.reset) = ("status", FieldSet::of(&["spec"]));
    story.update("controller", "spec: {replicas: 2}\nstatus: {replicas: 1}");
    assert_eq!(
        story.owners(),
        "a Apply apps/v1 at 1: .spec.replicas\ncontroller/status Update apps/v1 at 2: .status.replicas\n"
    );
    story.force("a", "spec: {replicas: 7}\nstatus: {readyReplicas: 1}");
    assert_eq!(story.owners().lines().count(), 3, "{}", story.owners());
    assert!(story.refused("b", "status: {replicas: 3}").contains(
        "conflict with \"controller\" with subresource \"status\" using apps/v1: .status.replicas"
    ));
}

#[test]
fn what_was_there_before_the_first_apply_has_an_owner_too() {
    let mut story = Story::of("v1", "ConfigMap");
    story.live = Some(story.body("data: {a: '1', b: '2'}"));
    assert_eq!(
        story.refused("me", "data: {a: '3'}"),
        "Apply failed with 1 conflict: conflict with \"before-first-apply\" using v1: .data.a"
    );
    story.apply("me", "data: {a: '1'}");
    assert_eq!(
        story.owners(),
        "me Apply v1 at never: .data.a\nbefore-first-apply Update v1 at 2: .data .data.a .data.b\n"
    );
    let mut story = Story::of("v1", "ConfigMap");
    story.live = Some(story.body("data: {a: '1'}"));
    story.update("me", "data: {a: '2'}");
    assert!(story.managed.is_empty(), "what is not tracked stays so");
}

#[test]
fn of_many_updaters_the_oldest_become_one() {
    let mut story = Story::of("v1", "ConfigMap");
    let mut data = String::new();
    for n in 0..13 {
        data.push_str(&format!("k{n:02}: x, "));
        story.update(&format!("m{n:02}"), &format!("data: {{{data}}}"));
    }
    let owners = story.owners();
    let names: Vec<_> = owners
        .lines()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    assert_eq!(names.len(), 10, "{owners}");
    assert_eq!(names[..2], ["ancient-changes", "m04"]);
    assert!(
        owners.starts_with("ancient-changes Update v1 at 4: .data .data.k00 .data.k01 .data.k02 .data.k03\n")
    );
}

#[test]
fn each_manager_has_the_version_that_it_wrote() {
    let mut story = Story::of("apps/v1", "Deployment");
    story.apply("a", "spec: {replicas: 1, paused: true}");
    story.version = "apps/v1";
    let managed = String::from_utf8(story.managed.clone()).unwrap();
    story.managed = managed.replace("apps/v1", "apps/v1beta9").into_bytes();
    story.apply("b", "spec: {replicas: 2}");
    assert_eq!(
        story.owners(),
        "b Apply apps/v1 at 2: .spec.replicas\n",
        "a version that is gone is forgotten"
    );

    let mut story = Story::custom(SPEC);
    story.version = "test.io/v2";
    story.apply("a", "spec: {num: 1, s: x}");
    story.version = "test.io/v1";
    assert_eq!(
        story.refused("b", "spec: {num: 2}"),
        "Apply failed with 1 conflict: conflict with \"a\": .spec.num"
    );
    story.update("c", "spec: {num: 3, s: x}");
    assert_eq!(
        story.owners(),
        "a Apply test.io/v2 at 1: .spec.s\nc Update test.io/v1 at 3: .spec.num\n"
    );
    story.apply("a", "spec: {}");
    assert_eq!(
        story.object(),
        "spec:\n  num: 3\n",
        "what was applied in another version goes as well"
    );
}

#[test]
fn who_changes_from_client_side_apply_has_no_conflict_with_himself() {
    let last = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"data":{"a":"1","b":"2"}}"#;
    let live = |b: &str| {
        let annotation = serde_json::Value::from(last);
        format!(
            "metadata: {{name: x, annotations: {{kubectl.kubernetes.io/last-applied-configuration: {annotation}}}}}\ndata: {{a: '1', b: '{b}'}}"
        )
    };
    let mut story = Story::of("v1", "ConfigMap");
    story.update("kubectl-client-side-apply", &live("2"));
    assert!(
        story
            .refused("me", "data: {a: '3'}")
            .contains("kubectl-client-side-apply")
    );
    story.apply("kubectl", "data: {a: '3'}");
    let object = story.object();
    assert!(
        object.contains(r#"{"apiVersion":"v1","data":{"a":"3"},"kind":"ConfigMap","metadata":{"name":"x"}}"#),
        "the annotation says what is applied now: {object}"
    );
    // What somebody else changed since is his.
    let mut story = Story::of("v1", "ConfigMap");
    story
        .update("kubectl-client-side-apply", &live("2"))
        .update("other", &live("5"));
    assert_eq!(
        story.refused("kubectl", "data: {a: '3', b: '3'}"),
        "Apply failed with 1 conflict: conflict with \"other\" using v1: .data.b"
    );
}

#[test]
fn a_configuration_of_a_wrong_type_is_refused() {
    let mut story = Story::of("apps/v1", "Deployment");
    let at = "failed to create typed patch object (/x; apps/v1, Kind=Deployment): ";
    for (yaml, why) in [
        (
            "spec: {replica: 1}",
            ".spec.replica: field not declared in schema",
        ),
        (
            "spec: {replicas: x}",
            ".spec.replicas: expected numeric (int or float), got string",
        ),
        ("spec: {paused: 1}", ".spec.paused: expected boolean, got &{1}"),
        (
            "spec: {template: {spec: {containers: [{image: 1}, {image: 2}]}}}",
            "errors:\n  .spec.template.spec.containers[name=\"\"].image: expected string, got &value.valueUnstructured{Value:1}\n  \
             .spec.template.spec.containers: duplicate entries for key [name=\"\"]\n  \
             .spec.template.spec.containers[name=\"\"].image: expected string, got &value.valueUnstructured{Value:2}",
        ),
        (
            "spec: {template: {spec: {containers: {}}}}",
            ".spec.template.spec.containers: expected list, got &{map[]}",
        ),
    ] {
        assert_eq!(story.refused("a", yaml), format!("{at}{why}"));
    }
    story.kind = "ConfigMap";
    story.version = "v1";
    let config = canonical("{apiVersion: v1, kind: ConfigMap, metadata: {managedFields: []}}");
    let refused = |config: &[u8], story: &mut Story| {
        let done =
            story.with(|versions, writer| apply(versions, writer, "ConfigMap", None, b"", config, false));
        done.unwrap_err().to_string()
    };
    assert_eq!(refused(&config, &mut story), "metadata.managedFields must be nil");
    assert_eq!(refused(b"{}", &mut story), "invalid object type: /, Kind=");
}

#[test]
fn a_list_that_became_atomic_is_owned_whole() {
    let mut story = Story::custom(SPEC);
    story.apply("a", "spec: {set: [u, v]}");
    let atomic = SPEC.replace("x-kubernetes-list-type: set", "x-kubernetes-list-type: atomic");
    let now = Story::custom(&atomic);
    story.schema = now.schema;
    story.apply("b", "spec: {num: 1}");
    assert_eq!(
        story.owners(),
        "a Apply test.io/v1 at 1: .spec.set\nb Apply test.io/v1 at 2: .spec.num\n"
    );
}

#[test]
fn managed_fields_that_come_twice_or_are_none_do_no_harm() {
    let mut managers = read_managed(br#"[{"manager":"a","operation":"Update","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":{"f:x":{}}}]"#).unwrap();
    assert_eq!(
        write_managed(&mut managers),
        br#"[{"apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":{"f:x":{}},"manager":"a","operation":"Update"}]"#
    );
    for (text, why) in [
        (r#"[{"manager":"a"}]"#, "operation must be `Apply` or `Update`"),
        (r#"[{"operation":"Apply"}]"#, "apiVersion must not be empty"),
        (
            r#"[{"operation":"Apply","apiVersion":"v1"}]"#,
            "missing fieldsType in managed fields entry 0",
        ),
    ] {
        assert_eq!(read_managed(text.as_bytes()).unwrap_err(), why);
    }
    assert!(Raw::new(b"null").is_null() && read_managed(b"null").unwrap().is_empty());
}
