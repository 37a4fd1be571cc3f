//! ComponentStatuses: the scheduler, the controllers and the store are asked when a client asks.

use super::flow::Allowed;
use crate::{
    Server,
    cache::Held,
    handler::{Page, Place},
};
use api::Status;
use component::State;
use serde::Serialize;
use std::{net::Ipv4Addr, time::Duration};

/// What upstream warns of.
pub const WARNING: &str = "v1 ComponentStatus is deprecated in v1.19+";

/// How long a part may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The parts: their names here and on the readiness board, and where they listen when they run alone.
const PARTS: [(&str, &str, u16); 2] = [
    ("scheduler", "kube-scheduler", 10259),
    ("controller-manager", "kube-controller-manager", 10257),
];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Component<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Meta<'a>,
    conditions: [Condition; 1],
}

#[derive(Serialize)]
struct Meta<'a> {
    name: &'a str,
}

#[derive(Serialize)]
struct Condition {
    r#type: &'static str,
    status: &'static str,
    message: String,
}

/// Whether it is these that are asked for.
pub fn are_at(place: &Place) -> bool {
    place.row().group.is_empty() && place.row().plural == "componentstatuses"
}

/// All of them, or those that are selected; or the one of the name.
pub async fn page(allowed: &Allowed, place: &Place) -> Result<Page, Status> {
    let server = &allowed.server;
    let selection = allowed.query.selection(place)?;
    let mut items = Vec::new();
    for (name, part, port) in PARTS {
        items.push(held(place, name, ask(server, part, port).await)?);
    }
    let store = server.handler.store.revision().await;
    items.push(held(
        place,
        "etcd-0",
        store.map(drop).map_err(|error| error.to_string()),
    )?);
    let wanted = |held: &Held| {
        let object = held.hub();
        selection.matches(place.row(), object) && (place.name.is_empty() || object.name() == place.name)
    };
    items.retain(wanted);
    if items.is_empty() && !place.name.is_empty() {
        return Err(Status::not_found(&place.gvr(), &place.name));
    }
    Ok(Page {
        items,
        ..Page::default()
    })
}

fn held(place: &Place, name: &str, health: Result<(), String>) -> Result<Held, Status> {
    let condition = Condition {
        r#type: "Healthy",
        status: if health.is_ok() { "True" } else { "False" },
        message: health.err().unwrap_or_else(|| "ok".to_owned()),
    };
    let component = Component {
        api_version: "v1",
        kind: "ComponentStatus",
        metadata: Meta { name },
        conditions: [condition],
    };
    let body = serde_json::to_vec(&component).map_err(Status::internal)?;
    place.cache.held(body.into(), 0).map_err(Status::internal)
}

/// A part of this process is asked by the board, another at its port of this machine.
async fn ask(server: &Server, part: &str, port: u16) -> Result<(), String> {
    let env = &server.handler.env;
    let state = env.ready.watch().borrow().get(part).cloned();
    match state {
        Some(State::Ready) => return Ok(()),
        Some(State::Starting(why) | State::Failed(why)) => return Err(why),
        None => {}
    }
    let connecting = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port));
    let refused = |why: &str| {
        format!("Get \"https://127.0.0.1:{port}/healthz\": dial tcp 127.0.0.1:{port}: connect: {why}")
    };
    match env.clock.timeout(PATIENCE, connecting).await {
        Some(Ok(_)) => Ok(()),
        Some(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            Err(refused("connection refused"))
        }
        Some(Err(error)) => Err(refused(&error.to_string())),
        None => Err(refused("i/o timeout")),
    }
}
