//! POST.

use super::{
    Call, Did, Handler, Incoming, Outcome, Place,
    admit::{Subject, settle},
    commit::Commit,
    managed,
    view::View,
};
use crate::{audit::Layer, cache::Held};
use api::{Object, Status, scan};
use resources::{Op, WriteRequest, Written};

/// How often a generated name is tried, as upstream.
const NAME_TRIES: usize = 8;
/// How often a write picks anew what another server took.
const CLAIM_TRIES: usize = 64;
/// Groups of what guards requests.
const GUARDS: [&str; 2] = ["admissionregistration.k8s.io", "certificates.k8s.io"];
/// A generated name is cut to 63 characters, five of which are random.
const PREFIX_LENGTH: usize = 58;

impl Handler {
    /// Creates an object.
    pub async fn create(&self, place: &Place, call: &Call, body: &[u8]) -> Result<Outcome, Status> {
        let incoming = Incoming::decode(place, call.validation, body)?;
        incoming.check_names(place)?;
        self.fresh().await?;
        if self
            .check_creation(place)
            .is_err_and(|status| status.is_not_found())
        {
            self.provide(place, call).await?;
        }
        self.check_creation(place)?;
        if incoming.object.resource_version() != 0 {
            return Err(Status::bad_request(
                "resourceVersion should not be set on objects to be created",
            ));
        }
        let incoming = self.mutated(place, call, Op::Create, incoming, None).await?;
        let prefix = generate_name(&incoming.object);
        let mut tries = 0;
        loop {
            tries += 1;
            let name = match &prefix {
                Some(prefix) => format!("{prefix}{}", self.env.random.name_suffix(5)),
                None => incoming.object.name().to_owned(),
            };
            match self.create_as(place, call, &incoming, &name).await {
                Err(status) if status.is_already_exists() && prefix.is_some() && tries < NAME_TRIES => {}
                other => return other,
            }
        }
    }

    /// Checks that something new may be made at `place`.
    pub(super) fn check_creation(&self, place: &Place) -> Result<(), Status> {
        self.check_namespace(place)?;
        if place.cache.custom().is_some_and(|custom| custom.terminating) {
            let why = "create not allowed while custom resource definition is terminating";
            return Err(Status {
                message: why.to_owned(),
                ..Status::method_not_allowed()
            });
        }
        Ok(())
    }

    pub(super) async fn create_as(
        &self,
        place: &Place,
        call: &Call,
        incoming: &Incoming,
        name: &str,
    ) -> Result<Outcome, Status> {
        for _ in 0..CLAIM_TRIES {
            if let Some(outcome) = self.create_once(place, call, incoming, name).await? {
                return Ok(outcome);
            }
        }
        Err(Status::modified(&place.gvr(), name))
    }

    /// One try; none when another server took what this one had picked for the object.
    async fn create_once(
        &self,
        place: &Place,
        call: &Call,
        incoming: &Incoming,
        name: &str,
    ) -> Result<Option<Outcome>, Status> {
        let view = View::new(self);
        let written = self
            .prepare(place, call, &view, Op::Create, incoming, None, name)
            .await?;
        let created = self
            .create_admitted(place, call, incoming, name, written, &view)
            .await;
        settle(call, &created).await;
        created
    }

    /// Lets the plugins see what is to be stored, and stores it.
    async fn create_admitted(
        &self,
        place: &Place,
        call: &Call,
        incoming: &Incoming,
        name: &str,
        written: Written,
        view: &View<'_>,
    ) -> Result<Option<Outcome>, Status> {
        let object = Object::parse(written.body.clone(), 0, place.row().fields).map_err(Status::internal)?;
        let subject = Subject::create(incoming.object.name(), object);
        self.validate(place, call, subject).await?;
        if place.cache.get(&place.namespace, name).is_some() {
            return Err(Status::already_exists(&place.gvr(), name));
        }
        let warnings = [incoming.warnings.clone(), written.warnings].concat();
        let created = |object| {
            Ok(Some(Outcome {
                object,
                did: Did::Created,
                warnings,
            }))
        };
        if call.dry_run {
            return created(self.shown(place, written.body, 0).await?);
        }
        let (picked, body) = (view.picked(), Some(written.body.clone()));
        let commit = self.commit_with(&picked, place, name, 0, body);
        match call.notes.during(Layer::Store, commit).await? {
            Commit::Lost => Err(Status::already_exists(&place.gvr(), name)),
            Commit::Again => Ok(None),
            Commit::Done(revision) => {
                call.undo.keep();
                created(self.stored(place, name, written.body, revision).await?)
            }
        }
    }

    /// Lets the row prepare and validate a write, and keeps account of who manages its fields.
    #[expect(clippy::too_many_arguments, reason = "the parts of one WriteRequest")]
    pub(super) async fn prepare(
        &self,
        place: &Place,
        call: &Call,
        view: &View<'_>,
        op: Op,
        incoming: &Incoming,
        old: Option<&Held>,
        name: &str,
    ) -> Result<Written, Status> {
        let row = place.row();
        let custom = place.cache.custom();
        let before = match (old, &custom) {
            (Some(old), Some(_)) => {
                self.ensure(place, std::slice::from_ref(old)).await?;
                Some(old.version(place.version).as_ref())
            }
            (old, _) => old.map(|old| old.hub().as_ref()),
        };
        let written = (row.write)(&WriteRequest {
            op,
            body: &incoming.object.unmanaged(),
            old: before,
            namespace: if row.namespaced { &place.namespace } else { "" },
            name,
            uid: &self.env.random.uuid(),
            now: self.env.clock.wall(),
            user: call.attributes.user.requester(),
            cluster: view,
            custom: custom.as_deref().map(|custom| (custom, place.version)),
            for_admission: false,
        });
        let written = written.inspect_err(|status| tell_refused(place, call, name, status))?;
        let fields = managed::fields(place, call, incoming, old, self.env.clock.wall(), &written)?;
        let written = match &custom {
            Some(custom) => self.stored_form(place, custom, old, op, written).await?,
            None => written,
        };
        managed::keep(fields, old, written)
    }
}

/// What is to guard others' requests and cannot be gone by is told to who runs the server, too.
fn tell_refused(place: &Place, call: &Call, name: &str, status: &Status) {
    if GUARDS.contains(&place.group()) {
        let (kind, user) = (place.row().kind, &call.attributes.user.name);
        tracing::info!(kind, name, user, error = %status.message, "it is refused");
    }
}

/// The prefix of the name that the server is to make; none when the object has a name, or neither.
fn generate_name(object: &Object) -> Option<String> {
    if !object.name().is_empty() {
        return None;
    }
    let prefix = scan::scalar(object.body(), "metadata.generateName").ok()?;
    let end = prefix
        .char_indices()
        .map(|(at, c)| at + c.len_utf8())
        .take_while(|end| *end <= PREFIX_LENGTH)
        .last()?;
    Some(prefix[..end].to_owned())
}
