//! The calls that are asked most, each of one message that is answered by one: the message is read where it lies and the
//! answer is a single piece, without what streams of messages need. What is not as usual about one is left to the library.

use super::{Member, calls::One, http::Body};
use bytes::{BufMut, Bytes, BytesMut};
use etcd_proto::etcdserverpb::kv_server::Kv;
use futures::{StreamExt, stream};
use http::{HeaderMap, HeaderValue, Response, header::CONTENT_TYPE, request::Parts};
use http_body::Frame;
use http_body_util::{BodyExt, BodyStream, StreamBody};
use prost::Message;
use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};
use tonic::{Request, Status, codegen::StdError, metadata::MetadataMap};

/// Bytes before a message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// A method that is answered here.
#[derive(Clone, Copy)]
pub enum Method {
    Range,
    Put,
    DeleteRange,
    Txn,
}

impl Method {
    /// The one of a request, if it is one and asked as usual.
    pub fn of<B>(request: &http::Request<B>) -> Option<Self> {
        let method = match request.uri().path().strip_prefix("/etcdserverpb.KV/")? {
            "Range" => Self::Range,
            "Put" => Self::Put,
            "DeleteRange" => Self::DeleteRange,
            "Txn" => Self::Txn,
            _ => return None,
        };
        let headers = request.headers();
        let usual = headers
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind == "application/grpc")
            && !headers.contains_key("grpc-encoding");
        usual.then_some(method)
    }
}

impl Member {
    /// Answers a call whose message was read.
    pub(super) async fn one(
        &self,
        method: Method,
        call: One<'_>,
        parts: Parts,
        message: Bytes,
    ) -> Response<Body> {
        let metadata = MetadataMap::from_headers(parts.headers);
        macro_rules! answer {
            ($method:ident) => {
                // What is kept of it is copied out, so that nothing holds what else was read with it.
                match Message::decode(&message[PREFIX..]) {
                    Ok(asked) => {
                        drop(message);
                        let request = Request::from_parts(metadata, parts.extensions, asked);
                        self.$method(request)
                            .await
                            .map(|answer| framed(&answer.into_inner()))
                    }
                    Err(error) => Err(Status::internal(error.to_string())),
                }
            };
        }
        let answered = match method {
            Method::Range => answer!(range),
            Method::Put => answer!(put),
            Method::DeleteRange => answer!(delete_range),
            Method::Txn => answer!(txn),
        };
        match answered {
            Ok(bytes) => {
                call.answered(bytes.len());
                let mut response = Response::new(Body::new(Answer::Message(bytes)));
                let kind = HeaderValue::from_static("application/grpc");
                response.headers_mut().insert(CONTENT_TYPE, kind);
                response
            }
            Err(status) => {
                call.ended(status.code());
                status.into_http()
            }
        }
    }
}

fn framed(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut out = BytesMut::with_capacity(PREFIX + length);
    out.put_u8(0);
    out.put_u32(length as u32);
    // There is room for it.
    let _ = message.encode(&mut out);
    out.freeze()
}

/// Reads the only message of a body, with its prefix. If it is compressed, larger than `most` or not alone, the body comes
/// back as it was.
pub async fn only<B>(mut body: B, most: usize) -> Result<Bytes, Body>
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<StdError> + Send,
{
    let (mut first, mut more) = (Bytes::new(), BytesMut::new());
    loop {
        let read = if more.is_empty() { &first[..] } else { &more[..] };
        let length = match read.first_chunk::<PREFIX>() {
            Some([0, a, b, c, d]) => Some(u32::from_be_bytes([*a, *b, *c, *d]) as usize),
            Some(_) => Some(usize::MAX),
            None => None,
        };
        let read = read.len();
        let is_odd = length.is_some_and(|length| length > most || read > PREFIX + length);
        let next = match is_odd || body.is_end_stream() {
            true => None,
            false => body.frame().await,
        };
        let failed = match next {
            Some(Ok(frame)) => {
                let Ok(data) = frame.into_data() else { continue };
                if read == 0 {
                    first = data;
                } else {
                    if more.is_empty() {
                        more.reserve(PREFIX + length.unwrap_or_default());
                        more.extend_from_slice(&first);
                    }
                    more.extend_from_slice(&data);
                }
                continue;
            }
            Some(Err(error)) => Some(Err(Status::from_error(error.into()))),
            None => None,
        };
        let read = if more.is_empty() { first } else { more.freeze() };
        if !is_odd && failed.is_none() && length.is_some_and(|length| read.len() == PREFIX + length) {
            return Ok(read);
        }
        let rest = BodyStream::new(body).map(|frame| frame.map_err(|error| Status::from_error(error.into())));
        let again = stream::iter([Ok(Frame::data(read))])
            .chain(stream::iter(failed))
            .chain(rest);
        return Err(Body::new(StreamBody::new(again)));
    }
}

/// The body of an answer: its message, then that it is well.
enum Answer {
    Message(Bytes),
    Well,
    Over,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(match std::mem::replace(&mut *self, Self::Over) {
            Self::Message(message) => {
                *self = Self::Well;
                Some(Ok(Frame::data(message)))
            }
            Self::Well => {
                let mut trailers = HeaderMap::with_capacity(1);
                trailers.insert("grpc-status", HeaderValue::from_static("0"));
                Some(Ok(Frame::trailers(trailers)))
            }
            Self::Over => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(bytes: &[u8], size: usize) -> Body {
        let parts: Vec<Bytes> = bytes.chunks(size).map(Bytes::copy_from_slice).collect();
        let frames = parts
            .into_iter()
            .map(|part| Ok::<_, Infallible>(Frame::data(part)));
        Body::new(StreamBody::new(stream::iter(frames)))
    }

    #[tokio::test]
    async fn a_message_is_read_however_it_is_cut_and_what_is_odd_comes_back() {
        let message = [&[0, 0, 0, 0, 4][..], b"text"].concat();
        for size in 1..=message.len() {
            let read = only(parts(&message, size), 4).await.unwrap();
            assert_eq!(read, message, "in parts of {size}");
        }
        let odd = [
            (&message[..], 3),
            (&message[..7], 4),
            (&[&message[..], b"x"].concat(), 4),
            (&[&[1], &message[1..]].concat(), 4),
            (b"", 4),
        ];
        for (bytes, most) in odd {
            for size in 1..=message.len() {
                let body = only(parts(bytes, size), most).await.unwrap_err();
                let again = body.collect().await.unwrap().to_bytes();
                assert_eq!(again, bytes, "in parts of {size}");
            }
        }
    }
}
