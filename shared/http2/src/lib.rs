//! The server's side of HTTP/2 (RFC 9113, with the headers of RFC 7541), made for very many small calls on a connection.
//!
//! One task serves a connection: it reads as much as has come, gives all requests in it to the [`Service`], and writes all
//! answers that are ready at once. A small call, whose only message has come whole, gets no task: it is given to
//! [`Service::call`] where it was read, and whoever has its answer says so from any thread by [`Answering`]. Any other
//! request has a task of its own and a body, [`Incoming`], that comes as fast as it is read.
//!
//! A client can make neither memory nor work without end: what it may have under way, keep unread, reset and ask in vain is
//! bounded, and who oversteps is told so by GOAWAY. It never speaks HTTP/1.1; [`sniff`] says what a client speaks.

mod answer;
mod connection;
mod flood;
mod frame;
mod head;
mod hpack;
mod incoming;
mod limits;
mod outbox;
mod reason;
mod serve;
mod stream;

pub use answer::{Answering, Gone, Sending, Turn};
pub use incoming::{Broken, Incoming};
pub use limits::Limits;
pub use reason::Reason;
pub use serve::{serve, sniff};

use http::{Request, request::Parts};

/// What answers the requests of a connection.
pub trait Service: Send + Sync + 'static {
    /// What is known of a call as soon as its head is: which it is, and whose. It is found once for calls that have the same
    /// head, as nearly all of a client have.
    type Known: Send + Sync + 'static;

    /// Whether requests of this head are small calls of gRPC.
    fn known(&self, head: &Parts) -> Option<Self::Known>;

    /// Bytes of a message that is given to [`Service::call`], at most.
    fn most(&self) -> usize;

    /// What a client may do.
    fn limits(&self) -> Limits {
        Limits::default()
    }

    /// Answers a small call, now or later. It must not take long: other calls of the connection wait.
    fn call(&self, known: &Self::Known, message: &[u8], answering: Answering);

    /// Answers any other request, in a task of its own, which ends when the client resets the request or goes.
    fn request(
        &self,
        request: Request<Incoming>,
        answering: Answering,
    ) -> impl Future<Output = ()> + Send + 'static;
}
