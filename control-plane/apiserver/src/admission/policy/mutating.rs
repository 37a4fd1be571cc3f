//! MutatingAdmissionPolicy.

use super::{
    authorizer::Asker,
    compiled::{Failure, Mutation, Policy},
    inputs::{Inputs, in_version},
    params::collect,
    source::{Binding, Source},
    validating::matches,
};
use crate::{
    Reader,
    admission::{Attributes, Remote, matching::Target},
    handler::merged,
    security::Authorizer,
    splice,
};
use api::{Cause, Object, Status};
use bytes::Bytes;
use cel::{Bindings, Budget, MAX_REQUEST_BYTES, RUNTIME_BUDGET};
use futures::{FutureExt, future::BoxFuture};
use serde_json::Value as Json;
use std::sync::Arc;

/// The plugin.
pub struct Mutating {
    source: Source,
    authorizer: Arc<dyn Authorizer>,
}

impl Mutating {
    /// Over what is stored.
    pub fn new(reader: Reader, authorizer: Arc<dyn Authorizer>) -> Self {
        Self {
            source: Source::new(reader, "mutating"),
            authorizer,
        }
    }
}

impl Remote for Mutating {
    fn mutates(&self, request: &Attributes<'_>) -> bool {
        self.source.concerns(request)
    }

    fn admit<'a>(&'a self, request: &'a mut Attributes<'_>) -> BoxFuture<'a, Result<(), Status>> {
        self.change(request).boxed()
    }
}

impl Mutating {
    /// Lets all policies change the object.
    async fn change(&self, request: &mut Attributes<'_>) -> Result<(), Status> {
        if request.rounds.second && request.rounds.policies.outdated(request.object.as_ref()) {
            request.rounds.policies.changed();
        }
        let mut refusals = Vec::new();
        for hook in self.source.hooks().iter() {
            self.policy(&hook.policy, &hook.bindings, request, &mut refusals)
                .await?;
        }
        request.rounds.policies.left = request.object.clone();
        match refused(request, refusals) {
            Some(status) => Err(status),
            None => Ok(()),
        }
    }
}

/// The refusal, of all that failed.
fn refused(request: &Attributes<'_>, refusals: Vec<String>) -> Option<Status> {
    let first = refusals.first()?.clone();
    let mut status = request.forbidden("");
    status.message = first;
    status.reason = "Invalid".to_owned();
    let details = status.details.get_or_insert_default();
    let causes = refusals.into_iter().map(|message| Cause {
        message,
        ..Cause::default()
    });
    details.causes.extend(causes);
    Some(status)
}

impl Mutating {
    async fn policy(
        &self,
        policy: &Policy,
        bindings: &[Binding],
        request: &mut Attributes<'_>,
        refusals: &mut Vec<String>,
    ) -> Result<(), Status> {
        let reader = &self.source.reader;
        let mut refuse = |binding: Option<&Binding>, why: String| {
            if policy.fail {
                refusals.push(match binding {
                    Some(binding) => format!(
                        "policy '{}' with binding '{}' denied request: {why}",
                        policy.name, binding.name
                    ),
                    None => format!("policy {:?} denied request: {why}", policy.name),
                });
            }
        };
        let target = match policy.matching.matches(request, reader) {
            Ok(None) => return Ok(()),
            Ok(Some(target)) => target,
            Err(status) => {
                refuse(None, format!("failed to configure policy: {}", status.message));
                return Ok(());
            }
        };
        for binding in bindings {
            let namespace = &request.request().namespace;
            let params = match binding.matching.matches(request, reader) {
                Ok(None) => continue,
                Ok(Some(_)) => collect(policy.params.as_ref(), binding.param.as_ref(), namespace, reader),
                Err(status) => Err(status.message),
            };
            let params = match params {
                Ok(params) => params,
                Err(why) => {
                    refuse(Some(binding), format!("failed to configure binding: {why}"));
                    continue;
                }
            };
            for params in &params {
                let failed = self.invoke(policy, binding, &target, params.as_ref(), request);
                for why in failed.await? {
                    refuse(Some(binding), why);
                }
            }
        }
        Ok(())
    }

    /// Lets a policy change the object, with one set of parameters. What failed, for the failure policy.
    async fn invoke(
        &self,
        policy: &Policy,
        binding: &Binding,
        target: &Target,
        params: Option<&Json>,
        request: &mut Attributes<'_>,
    ) -> Result<Vec<String>, Status> {
        let key = key(policy, binding, params);
        {
            let asker = Asker::new(self.authorizer.as_ref(), request);
            let inputs = Inputs::new(request, target, &self.source.reader)?;
            let request: &Attributes<'_> = request;
            let evaluate = || matches(policy, &inputs.bindings(policy, params, request, &asker));
            match asker.settle(evaluate).await {
                Ok(true) => {}
                Ok(false) => return Ok(Vec::new()),
                Err(why) => return Ok(vec![why]),
            }
        }
        let mut failed = Vec::new();
        if request.rounds.second && !request.rounds.policies.again.contains(&key) {
            return Ok(failed);
        }
        let before = request.object.as_ref().map(|object| object.body().clone());
        for mutation in &policy.mutations {
            if let Err(why) = self.mutate(policy, mutation, target, params, request).await? {
                failed.push(why);
            }
        }
        if request.object.as_ref().map(|object| object.body()) != before.as_ref() {
            request.rounds.policies.changed();
            request.rounds.wanted = true;
        }
        if policy.again {
            request.rounds.policies.before.insert(key);
        }
        Ok(failed)
    }

    /// One change. `Ok(Err)`: why not, for the failure policy.
    async fn mutate(
        &self,
        policy: &Policy,
        mutation: &Mutation,
        target: &Target,
        params: Option<&Json>,
        request: &mut Attributes<'_>,
    ) -> Result<Result<(), String>, Status> {
        let Some(object) = request.object.clone() else {
            return Ok(Ok(()));
        };
        let shown = in_version(request, &object, target)?;
        let patch = {
            let asker = Asker::new(self.authorizer.as_ref(), request);
            let inputs = Inputs::new(request, target, &self.source.reader)?;
            let request: &Attributes<'_> = request;
            let evaluate = || patch(mutation, &inputs.bindings(policy, params, request, &asker));
            asker.settle(evaluate).await
        };
        let made = patch.and_then(|patch| changed(request, mutation, &shown, patch));
        let body = match made {
            Ok(Some(body)) => body,
            Ok(None) => return Ok(Ok(())),
            Err(why) => return Ok(Err(why)),
        };
        let body = stored_form(request, &object, target, body)?;
        request.set_object(body)?;
        Ok(Ok(()))
    }
}

/// Who is asked again in the second round.
fn key(policy: &Policy, binding: &Binding, params: Option<&Json>) -> String {
    let of = |name: &str| {
        let metadata = params.and_then(|params| params.get("metadata"));
        metadata
            .and_then(|metadata| metadata.get(name)?.as_str())
            .unwrap_or_default()
    };
    format!(
        "{}/{}/{}/{}",
        policy.name,
        binding.name,
        of("namespace"),
        of("name")
    )
}

/// What the expression wants changed.
fn patch<'a>(mutation: &'a Mutation, bindings: &Bindings<'a>) -> Result<Json, String> {
    let mut budget = Budget::new(RUNTIME_BUDGET);
    let value = mutation
        .patch
        .evaluate(bindings, &mut budget)
        .map_err(Failure::message)?;
    value.to_json(MAX_REQUEST_BYTES as usize)
}

/// The object with the change; none if a test of a JSON patch did not hold.
fn changed(
    request: &Attributes<'_>,
    mutation: &Mutation,
    shown: &Object,
    patch: Json,
) -> Result<Option<Bytes>, String> {
    if mutation.apply {
        let mut patch = patch;
        patch["apiVersion"] = shown.api_version().into();
        patch["kind"] = shown.kind().into();
        let place = request.place.ok_or("there is no schema of the object")?;
        let (live, patch) = (shown.unmanaged(), patch.to_string());
        let merged = merged(place, shown.api_version(), &live, patch.as_bytes())
            .map_err(|why| format!("error applying patch: {why}"))?;
        let managed = shown.managed_fields();
        let managed = (!managed.is_empty()).then_some(managed);
        let body = splice::set(&merged, "metadata.managedFields", managed);
        return body
            .map(|body| Some(body.into()))
            .map_err(|error| error.to_string());
    }
    match schema::json_patch(&shown.to_json(), patch.to_string().as_bytes()) {
        Ok(body) => Ok(Some(body.into())),
        Err(schema::PatchError::Unprocessable(why)) if why.contains("testing value") => Ok(None),
        Err(error) => Err(format!("JSON Patch: {error}")),
    }
}

/// `body`, of the version of `target`, in the form that `object` has.
fn stored_form(
    request: &Attributes<'_>,
    object: &Object,
    target: &Target,
    body: Bytes,
) -> Result<Bytes, Status> {
    let row = request.place.map(|place| place.row());
    let version = row.zip(target.version).map(|(row, at)| &row.versions[at]);
    let now = Object::parse_any(body.clone(), &[]).map_err(Status::internal)?;
    if now.api_version() == object.api_version() {
        return Ok(body);
    }
    match version.and_then(|version| version.to_hub) {
        Some(to_hub) => to_hub(&body).map(Bytes::from),
        None => {
            let name = splice::quoted(object.api_version());
            let body = splice::set(&body, "apiVersion", Some(&name));
            body.map(Bytes::from).map_err(Status::internal)
        }
    }
}
