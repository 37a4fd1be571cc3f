//! Priority: a pod has the priority and the preemption policy of its class (upstream `plugin/pkg/admission/priority`).

use super::PODS;
use crate::{
    WriteRequest,
    scheduling::{self, View as Class},
};
use api::Status;
use k8s_openapi::api::core::v1::Pod;

fn refuse(request: &WriteRequest<'_>, why: &str) -> Status {
    Status::forbidden(&PODS, request.name, why)
}

/// Admits a new pod.
pub(crate) fn admit(pod: &mut Pod, request: &WriteRequest<'_>) -> Result<(), Status> {
    if !request.cluster.admits("Priority") {
        return Ok(());
    }
    let spec = pod.spec.get_or_insert_default();
    let name = spec.priority_class_name.clone().unwrap_or_default();
    let (value, policy) = if name.is_empty() {
        let (class, value, policy) = default_class(request);
        spec.priority_class_name = class;
        (value, policy)
    } else {
        named_class(&name, request)?
    };
    if let Some(given) = spec.priority
        && i64::from(given) != value
    {
        let why = format!(
            "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller \
             computed {value} from the given PriorityClass name"
        );
        return Err(refuse(request, &why));
    }
    if let Some(given) = &spec.preemption_policy
        && *given != policy
    {
        let why = format!(
            "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission \
             controller computed {policy} from the given PriorityClass name"
        );
        return Err(refuse(request, &why));
    }
    spec.priority = i32::try_from(value).ok();
    spec.preemption_policy = Some(policy);
    Ok(())
}

fn named_class(name: &str, request: &WriteRequest<'_>) -> Result<(i64, String), Status> {
    if let Some(object) = request.cluster.get(&scheduling::RESOURCE, "", name) {
        let class: Class = object.view().map_err(Status::internal)?;
        return Ok((class.value, class.preemption_policy));
    }
    let system = scheduling::SYSTEM.iter().find(|(known, _)| *known == name);
    match system {
        Some((_, value)) => Ok((i64::from(*value), "PreemptLowerPriority".to_owned())),
        None => Err(refuse(
            request,
            &format!("no PriorityClass with name {name} was found"),
        )),
    }
}

/// The class that is marked as default (the lowest, should there be several), or none at 0.
fn default_class(request: &WriteRequest<'_>) -> (Option<String>, i64, String) {
    let classes = request.cluster.list(&scheduling::RESOURCE, "");
    let views = classes
        .iter()
        .filter_map(|object| Some((object.name(), object.view::<Class>().ok()?)));
    match views
        .filter(|(_, class)| class.global_default)
        .min_by_key(|(_, class)| class.value)
    {
        Some((name, class)) => (Some(name.to_owned()), class.value, class.preemption_policy),
        None => (None, 0, "PreemptLowerPriority".to_owned()),
    }
}
