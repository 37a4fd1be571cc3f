//! AlwaysPullImages: nobody runs an image that is on a node without the right to pull it (upstream
//! `plugin/pkg/admission/alwayspullimages`).

use super::{Attributes, Operation, Plugin, change::Change};
use api::{Object, Status, field};
use serde::Deserialize;

/// The plugin.
pub struct AlwaysPullImages;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Pod {
    spec: Spec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    init_containers: Vec<Container>,
    containers: Vec<Container>,
    ephemeral_containers: Vec<Container>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Container {
    name: String,
    image: String,
    image_pull_policy: String,
}

impl Spec {
    fn of(object: Option<&Object>) -> Result<Self, Status> {
        let pod: Option<Pod> = object.map(Object::view).transpose().map_err(Status::internal)?;
        Ok(pod.unwrap_or_default().spec)
    }

    /// The containers by their list and their place in it.
    fn all(&self) -> impl Iterator<Item = (&'static str, usize, &Container)> {
        let lists = [
            ("initContainers", &self.init_containers),
            ("containers", &self.containers),
            ("ephemeralContainers", &self.ephemeral_containers),
        ];
        let numbered = |(list, containers): (&'static str, &'_ Vec<Container>)| {
            let count = containers.len();
            (0..count).map(move |at| (list, at))
        };
        let places: Vec<(&'static str, usize)> = lists.into_iter().flat_map(numbered).collect();
        let containers = lists.into_iter().flat_map(|(_, containers)| containers);
        places
            .into_iter()
            .zip(containers)
            .map(|((list, at), container)| (list, at, container))
    }

    /// Whether all images were there before.
    fn is_within(&self, old: &Self) -> bool {
        let known = |new: &Container| {
            let mut before = old.all();
            before.any(|(_, _, old)| old.name == new.name && old.image == new.image)
        };
        self.all().all(|(_, _, container)| known(container))
    }
}

impl AlwaysPullImages {
    /// The containers that have another policy; none if no image is new.
    fn others(request: &Attributes<'_>) -> Result<Vec<(String, Container)>, Status> {
        let new = Spec::of(request.object.as_deref())?;
        if request.old.is_some() && new.is_within(&Spec::of(request.old.as_deref())?) {
            return Ok(Vec::new());
        }
        let others = new
            .all()
            .filter(|(_, _, container)| container.image_pull_policy != "Always");
        let place = |(list, at, container): (&str, usize, &Container)| {
            let policy = container.image_pull_policy.clone();
            let container = Container {
                image_pull_policy: policy,
                ..Container::default()
            };
            (format!("{list}/{at}"), container)
        };
        Ok(others.map(place).collect())
    }
}

fn concerns(request: &Attributes<'_>) -> bool {
    request.is("", "pods") && matches!(request.operation, Operation::Create | Operation::Update)
}

impl Plugin for AlwaysPullImages {
    fn mutates(&self, request: &Attributes<'_>) -> bool {
        concerns(request)
    }

    fn admit(&self, request: &mut Attributes<'_>) -> Result<(), Status> {
        let mut change = Change::default();
        for (place, _) in Self::others(request)? {
            change.set(&format!("/spec/{place}/imagePullPolicy"), &"Always")?;
        }
        change.apply(request)
    }

    fn validates(&self, request: &Attributes<'_>) -> bool {
        concerns(request)
    }

    fn validate(&self, request: &Attributes<'_>) -> Result<(), Status> {
        let others = Self::others(request)?;
        let words = others.into_iter().map(|(place, container)| {
            let (list, at) = place.split_once('/').unwrap_or((&place, "0"));
            let path = format!("spec.{list}[{at}].imagePullPolicy");
            field::Error::not_supported(path, container.image_pull_policy, &["Always"]).to_string()
        });
        match words.collect::<Vec<String>>().as_slice() {
            [] => Ok(()),
            [why] => Err(request.forbidden(why)),
            all => Err(request.forbidden(&format!("[{}]", all.join(", ")))),
        }
    }
}
