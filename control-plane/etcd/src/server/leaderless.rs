//! Streams of clients that want no answers of a member without a leader end when it has none for long.

use super::{Member, http::Body};
use futures::{StreamExt, stream};
use http::{HeaderMap, Response};
use http_body_util::{BodyStream, StreamBody};
use hyper::body::Frame;
use tonic::Status;

/// How a client says so.
const NEEDS_LEADER: &str = "hasleader";
/// The methods that may go on for ever.
const STREAMS: &[&str] = &[
    "/etcdserverpb.Watch/Watch",
    "/etcdserverpb.Lease/LeaseKeepAlive",
    "/v3electionpb.Election/Observe",
];
/// After so many elections without a leader streams end: to make them again costs more than to refuse new ones.
const ELECTIONS: u32 = 3;

/// Whether a client wants no answer of a member that has no leader.
pub fn needs_leader(headers: &HeaderMap) -> bool {
    headers.get(NEEDS_LEADER).is_some_and(|needs| needs == "true")
}

impl Member {
    /// Returns when this member has had no leader for long.
    pub(super) async fn leaderless(self) {
        let long = self.replica().settings().election * ELECTIONS;
        let mut view = self.replica().watch_view();
        loop {
            if view.wait_for(|view| view.leader == 0).await.is_err() {
                return;
            }
            let found = view.wait_for(|view| view.leader != 0);
            if self.0.env.clock.timeout(long, found).await.is_none() {
                return;
            }
        }
    }

    /// The answer, if it is a stream as long as there is a leader.
    pub(super) fn while_led(&self, path: &str, answer: Response<Body>) -> Response<Body> {
        if !STREAMS.contains(&path) {
            return answer;
        }
        let lost = Box::pin(self.clone().leaderless());
        answer.map(|body| {
            let going = Some((BodyStream::new(body), lost));
            let frames = stream::unfold(going, |going| async move {
                let (mut frames, mut lost) = going?;
                tokio::select! {
                    biased;
                    () = &mut lost => Some((Ok(no_leader()), None)),
                    frame = frames.next() => frame.map(|frame| (frame, Some((frames, lost)))),
                }
            });
            Body::new(StreamBody::new(frames.boxed()))
        })
    }
}

fn no_leader() -> Frame<bytes::Bytes> {
    let mut trailers = HeaderMap::new();
    // The message is plain text, which is always a header.
    let _ = lost().add_header(&mut trailers);
    Frame::trailers(trailers)
}

/// How streams end then.
pub fn lost() -> Status {
    Status::unavailable("etcdserver: no leader")
}
