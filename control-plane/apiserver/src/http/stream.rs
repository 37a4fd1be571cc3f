//! A watch as a stream of frames over HTTP.

mod chorus;
mod seat;
mod teller;

pub use chorus::Choir;

use super::{door::Way, shape::Shaper};
use crate::{Server, cache::Watcher, security::User};
use bytes::Bytes;
use futures::{Stream, future::BoxFuture, stream};
use seat::{Report, Seat};
use std::{sync::Arc, time::Duration};
use teller::Teller;

/// What a watcher is told, for how long, and how.
pub struct Options {
    /// It wants bookmarks.
    pub bookmarks: bool,
    /// It wants to know when the state at the start was told.
    pub initial: bool,
    /// How long it lasts.
    pub timeout: Duration,
    /// The second way to its connection, which answers only it, in chunks of HTTP/1.1.
    pub way: Option<Arc<dyn Way>>,
    /// Who watches.
    pub user: Arc<User>,
}

/// The frames of `watcher`. The stream ends with its time, when the watcher is cut, and when the server stops.
///
/// When it was told what there is, and there is a second way to its connection, it is told with those who watch the same;
/// then only what finds no room on that way comes here.
pub fn frames(
    server: &Arc<Server>,
    watcher: Watcher,
    shaper: Shaper,
    options: Options,
) -> impl Stream<Item = std::io::Result<Bytes>> + Send + use<> {
    let end = server.handler.env.clock.now() + options.timeout;
    let form = (options.bookmarks, options.initial);
    let teller = Teller::new(server.clone(), watcher, shaper, form, Some(end));
    let second = options.way.map(|way| (way, options.user));
    let watch = Watch::Alone(Box::new(teller), second);
    stream::unfold(watch, |watch| async move {
        let (piece, watch) = watch.next().await?;
        Some((Ok(piece), watch))
    })
}

/// The way to a connection, and its user.
type Second = (Arc<dyn Way>, Arc<User>);

enum Watch {
    Alone(Box<Teller>, Option<Second>),
    Together(Together),
}

/// One of many.
struct Together {
    seat: Seat,
    /// Until its end.
    over: BoxFuture<'static, ()>,
}

impl Watch {
    async fn next(self) -> Option<(Bytes, Self)> {
        let mut together = match self {
            Self::Alone(mut teller, second) => match join(&mut teller, second.as_ref()) {
                Some(together) => together,
                None => {
                    let batch = teller.next().await?;
                    teller.sent.add(batch.events);
                    return Some((batch.after(0), Self::Alone(teller, second)));
                }
            },
            Self::Together(together) => together,
        };
        let piece = together.next().await?;
        Some((piece, Self::Together(together)))
    }
}

/// Takes who listens to `teller` to those who are told the same.
fn join(teller: &mut Teller, second: Option<&Second>) -> Option<Together> {
    let ((way, user), server, end) = (second?, teller.server.clone(), teller.end?);
    let report = || -> Report {
        let (clients, user) = (server.clients.clone(), user.clone());
        Box::new(move |bytes| clients.sent(&user.name, bytes))
    };
    let seat = server.choir.join(teller, way, report)?;
    let clock = server.handler.env.clock.clone();
    let over = Box::pin(async move { clock.sleep_until(end).await });
    Some(Together { seat, over })
}

impl Together {
    async fn next(&mut self) -> Option<Bytes> {
        tokio::select! {
            biased;
            piece = self.seat.next() => piece,
            () = &mut self.over => None,
        }
    }
}
