//! A definition, compiled: all that serves its objects and may change while they are served.

use super::{Names, intern};
use crate::{Cell, Row, ScalePaths, cells};
use api::Object;
use jiff::Timestamp;
use schema::{Instance, JsonPath, Published, Rules, Structural};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{cmp::Ordering, sync::OnceLock};

/// A custom resource as its definition has it now.
#[derive(Debug)]
pub struct Custom {
    /// Its row: what does not change with a schema.
    pub row: &'static Row,
    /// Its versions: those that are served in the row's order, then the others.
    pub versions: Vec<CustomVersion>,
    /// Which of them is stored.
    pub hub: usize,
    /// Who converts between versions; none: only the name of the version changes.
    pub webhook: Option<Client>,
    /// The definition is being deleted: nothing new may be made.
    pub terminating: bool,
}

/// A version of a custom resource.
#[derive(Debug)]
pub struct CustomVersion {
    /// Its name.
    pub name: String,
    /// `group/version`.
    pub api_version: String,
    /// Its schema.
    pub schema: Option<Structural>,
    /// The rules of its schema in CEL, compiled when the first object is written.
    rules: OnceLock<Option<Rules>>,
    /// Fields that the schema does not name stay.
    pub preserve: bool,
    /// It has the subresource `status`.
    pub status: bool,
    /// Where its `/scale` finds its numbers.
    pub scale: Option<ScalePaths>,
    /// What its tables show beside the name.
    pub columns: Vec<CustomColumn>,
    /// How it is shown in documents.
    pub published: Published,
    /// What its users are told.
    pub warning: Option<String>,
    /// Paths of its selectable fields.
    pub selectable: Vec<String>,
}

/// A column of a table of custom resources.
#[derive(Debug)]
pub struct CustomColumn {
    /// Heading.
    pub name: String,
    /// `string`, `integer`, `number`, `boolean` or `date`.
    pub kind: String,
    /// Format.
    pub format: String,
    /// 0: always shown; else wide only.
    pub priority: i32,
    /// For a person.
    pub description: String,
    path: Option<JsonPath>,
}

/// A webhook that converts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Client {
    /// Where, if it is no service of the cluster.
    pub url: Option<String>,
    /// The service.
    pub service: Option<Service>,
    /// Whom its certificate must be of: PEM, in base64; empty: the roots of the host.
    pub ca_bundle: String,
    /// Versions of `ConversionReview` that it knows.
    #[serde(skip)]
    pub review_versions: Vec<String>,
}

/// A service of the cluster that a webhook is behind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Service {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Path of the URL.
    pub path: String,
    /// Port.
    pub port: Option<u16>,
}

#[derive(Deserialize)]
struct View<'a> {
    #[serde(borrow)]
    spec: SpecView<'a>,
    #[serde(default)]
    status: StatusView,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SpecView<'a> {
    group: String,
    scope: String,
    #[serde(borrow)]
    versions: Vec<VersionView<'a>>,
    #[serde(default)]
    preserve_unknown_fields: bool,
    #[serde(default)]
    conversion: ConversionView,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct StatusView {
    accepted_names: Names,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ConversionView {
    strategy: String,
    webhook: WebhookView,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WebhookView {
    client_config: Client,
    conversion_review_versions: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct VersionView<'a> {
    name: String,
    served: bool,
    storage: bool,
    #[serde(default, borrow)]
    schema: SchemaView<'a>,
    #[serde(default)]
    subresources: SubresourcesView,
    #[serde(default)]
    additional_printer_columns: Vec<ColumnView>,
    #[serde(default)]
    deprecated: bool,
    #[serde(default)]
    deprecation_warning: Option<String>,
    #[serde(default)]
    selectable_fields: Vec<FieldView>,
}

#[derive(Default, Deserialize)]
struct SchemaView<'a> {
    #[serde(default, borrow, rename = "openAPIV3Schema")]
    schema: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SubresourcesView {
    status: Option<serde::de::IgnoredAny>,
    scale: Option<ScaleView>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ScaleView {
    spec_replicas_path: String,
    status_replicas_path: String,
    label_selector_path: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ColumnView {
    name: String,
    r#type: String,
    format: String,
    priority: i32,
    description: String,
    json_path: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct FieldView {
    json_path: String,
}

impl Custom {
    /// Compiles a definition whose names were accepted; or says why that cannot be.
    pub fn compile(definition: &Object) -> Result<Self, String> {
        let view: View<'_> = serde_json::from_slice(definition.body()).map_err(|error| error.to_string())?;
        let (spec, names) = (view.spec, view.status.accepted_names);
        let mut views = spec.versions;
        views.sort_by(|a, b| {
            b.served
                .cmp(&a.served)
                .then_with(|| by_priority(&a.name, &b.name))
        });
        let hub = views
            .iter()
            .position(|v| v.storage)
            .ok_or("no version is stored")?;
        let shape = intern::Shape {
            group: &spec.group,
            namespaced: spec.scope == "Namespaced",
            versions: views
                .iter()
                .filter(|v| v.served)
                .map(|v| v.name.as_str())
                .collect(),
            hub: &views[hub].name,
            status: views.iter().any(|v| v.served && v.subresources.status.is_some()),
            scale: views.iter().any(|v| v.served && v.subresources.scale.is_some()),
            fields: selectable(&views),
            names: &names,
        };
        let row = intern::row(&shape).ok_or("there is no room for the names of more custom resources")?;
        let preserve = spec.preserve_unknown_fields;
        let made = views
            .into_iter()
            .map(|view| version(view, &spec.group, &names, preserve));
        let webhook = spec.conversion.webhook;
        Ok(Self {
            row,
            versions: made.collect::<Result<_, _>>()?,
            hub,
            webhook: (spec.conversion.strategy == "Webhook").then_some(Client {
                review_versions: webhook.conversion_review_versions,
                ..webhook.client_config
            }),
            terminating: definition.deletion_timestamp().is_some(),
        })
    }

    /// The stored version.
    pub fn stored(&self) -> &CustomVersion {
        &self.versions[self.hub]
    }

    /// The version of an object, by its `apiVersion`.
    pub fn version_of(&self, api_version: &str) -> Option<usize> {
        self.versions.iter().position(|v| v.api_version == api_version)
    }

    /// An object as it came from the store or a webhook, with defaults and without what its version does not name.
    pub fn shaped(&self, version: usize, body: &[u8]) -> Result<Vec<u8>, String> {
        let of = &self.versions[version];
        let instance = Instance::parse(body).map_err(|error| error.to_string())?;
        let shaped = instance.shaped(of.schema.as_ref(), of.preserve)?;
        Ok(shaped.instance.to_json())
    }

    /// An object in another version, when only its name differs.
    pub fn renamed(&self, version: usize, body: &[u8]) -> Result<Vec<u8>, String> {
        let of = &self.versions[version];
        let mut instance = Instance::parse(body).map_err(|error| error.to_string())?;
        instance.set_text("apiVersion", &of.api_version);
        if !of.preserve {
            instance = instance.pruned(of.schema.as_ref());
        }
        Ok(instance.to_json())
    }
}

/// Selectable fields of all served versions, without the dot in front.
fn selectable(views: &[VersionView<'_>]) -> Vec<String> {
    let served = views.iter().filter(|v| v.served);
    let mut fields: Vec<String> = served.flat_map(|v| paths(&v.selectable_fields)).collect();
    fields.sort();
    fields.dedup();
    fields
}

fn paths(fields: &[FieldView]) -> impl Iterator<Item = String> {
    fields
        .iter()
        .map(|field| field.json_path.trim_start_matches('.').to_owned())
}

fn version(
    view: VersionView<'_>,
    group: &str,
    names: &Names,
    preserve: bool,
) -> Result<CustomVersion, String> {
    let text = view.schema.schema.map(|raw| raw.get().as_bytes());
    let schema = text.map(Structural::parse).transpose()?;
    let api_version = format!("{group}/{}", view.name);
    let warning = view.deprecated.then(|| {
        view.deprecation_warning
            .unwrap_or_else(|| format!("{api_version} {} is deprecated", names.kind))
    });
    let scale = match &view.subresources.scale {
        Some(scale) => Some(scale_paths(scale).ok_or("there is no room for the paths of more scales")?),
        None => None,
    };
    let mut columns: Vec<CustomColumn> = view.additional_printer_columns.into_iter().map(column).collect();
    if columns.is_empty() {
        columns.push(age());
    }
    let selectable: Vec<String> = paths(&view.selectable_fields).collect();
    Ok(CustomVersion {
        published: Published::new(&names.list_kind, text, preserve, selectable.clone()),
        name: view.name,
        api_version,
        schema,
        rules: OnceLock::new(),
        preserve,
        status: view.subresources.status.is_some(),
        scale,
        columns,
        warning,
        selectable,
    })
}

fn scale_paths(scale: &ScaleView) -> Option<ScalePaths> {
    let path = |path: &str| intern::text(path.trim_start_matches('.'));
    Some(ScalePaths {
        spec_replicas: path(&scale.spec_replicas_path)?,
        status_replicas: path(&scale.status_replicas_path)?,
        selector: path(&scale.label_selector_path)?,
    })
}

fn column(view: ColumnView) -> CustomColumn {
    let path = JsonPath::parse(&view.json_path);
    let description = match view.description.as_str() {
        "" => format!(
            "Custom resource definition column (in JSONPath format): {}",
            view.json_path
        ),
        _ => view.description,
    };
    CustomColumn {
        name: view.name,
        kind: view.r#type,
        format: view.format,
        priority: view.priority,
        description,
        path,
    }
}

fn age() -> CustomColumn {
    column(ColumnView {
        name: "Age".to_owned(),
        r#type: "date".to_owned(),
        description: "When the object was created.".to_owned(),
        json_path: ".metadata.creationTimestamp".to_owned(),
        ..ColumnView::default()
    })
}

impl CustomVersion {
    /// The rules of its schema in CEL.
    pub fn rules(&self) -> Option<&Rules> {
        let compile = || self.schema.as_ref().and_then(Rules::of);
        self.rules.get_or_init(compile).as_ref()
    }

    /// The cells of an object of this version: its name, and one a column.
    pub fn cells(&self, object: &Object, now: Timestamp) -> Vec<Cell> {
        let mut row = vec![cells::name(object)];
        let Ok(instance) = Instance::parse(object.body()) else {
            row.resize(self.columns.len() + 1, Cell::Nothing);
            return row;
        };
        row.extend(self.columns.iter().map(|column| column.cell(&instance, now)));
        row
    }
}

impl CustomColumn {
    fn cell(&self, object: &Instance, now: Timestamp) -> Cell {
        let Some(path) = &self.path else {
            return Cell::Nothing;
        };
        let cell = match self.kind.as_str() {
            "string" => path.text(object).map(Cell::Text),
            "integer" => path.integer(object).map(Cell::Int),
            "number" => path.number(object).map(Cell::Number),
            "boolean" => path.boolean(object).map(Cell::Bool),
            "date" => path.string(object).map(|text| Cell::Text(ago(&text, now))),
            _ => None,
        };
        cell.unwrap_or(Cell::Nothing)
    }
}

fn ago(text: &str, now: Timestamp) -> String {
    text.parse::<Timestamp>()
        .map_or_else(|_| "<invalid>".to_owned(), |at| crate::since(Some(at), now))
}

/// The order of versions: general availability before beta before alpha, newer before older, other names last.
pub fn by_priority(a: &str, b: &str) -> Ordering {
    match (rank(a), rank(b)) {
        (Some(a), Some(b)) => b.cmp(&a),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.cmp(b),
    }
}

/// Stability, major and minor number of a version's name.
fn rank(name: &str) -> Option<(u8, u64, u64)> {
    let rest = name.strip_prefix('v')?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (major, rest) = rest.split_at(end);
    let major = major.parse().ok()?;
    let (stability, minor) = match rest {
        "" => return Some((2, major, 0)),
        _ => match (rest.strip_prefix("beta"), rest.strip_prefix("alpha")) {
            (Some(minor), _) => (1, minor),
            (_, Some(minor)) => (0, minor),
            _ => return None,
        },
    };
    Some((stability, major, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::by_priority;

    #[test]
    fn versions_stand_in_the_order_of_their_stability() {
        let mut names = [
            "foo1",
            "v10beta3",
            "v2",
            "v1",
            "v11alpha2",
            "v12alpha1",
            "v3beta1",
            "v10",
            "foo10",
        ];
        names.sort_by(|a, b| by_priority(a, b));
        let expected = [
            "v10",
            "v2",
            "v1",
            "v10beta3",
            "v3beta1",
            "v12alpha1",
            "v11alpha2",
            "foo1",
            "foo10",
        ];
        assert_eq!(names, expected);
    }
}
