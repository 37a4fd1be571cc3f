//! Large lists, which go out while they are written: one takes the memory of a piece, however long it is.

use super::{
    answer,
    answer::Body,
    negotiate::Form,
    shape::{Encoded, Shaper},
};
use crate::{
    cache::{Held, Shape, Text},
    fairness::room::Taken,
    handler::Page,
};
use api::Encoding;
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use futures::stream;
use http::Response;
use std::io::Write;

/// Bytes of a piece, about. The connection gathers some before it writes, which should stay in the processor's cache.
const PIECE: usize = 16 << 10;
/// Bytes of a piece that is compressed.
const PACKED: usize = 32 << 10;
/// Lists of fewer bytes go out whole. Larger ones are compressed when the client can take it, as upstream.
const LARGE: usize = 128 << 10;

/// Whether a list of items of these sizes is large.
fn is_large(mut sizes: impl Iterator<Item = usize>) -> bool {
    sizes
        .try_fold(0, |sum, size| (sum < LARGE).then_some(sum + size))
        .is_none()
}

/// A list that is large as JSON, in pieces; the page itself if it goes out whole.
pub fn json(shaper: Shaper, page: Page, form: Form) -> Result<Response<Body>, Box<(Shaper, Page)>> {
    let streams = form.text == Text::Json && !form.pretty && !matches!(shaper.shape, Shape::Table(_));
    let mut sizes = page
        .items
        .iter()
        .map(|held| held.version(shaper.version).body().len());
    if !(streams && is_large(&mut sizes)) {
        return Err(Box::new((shaper, page)));
    }
    let mut head = Vec::new();
    shaper.list_head(&page, &mut head);
    let items = Items::Json(Box::new(shaper), page.items);
    Ok(in_pieces(
        Listing::new(head, items, b"]}".to_vec(), form),
        "application/json",
    ))
}

/// A list in another form. It holds what it has `taken` while its items are not all kept.
pub fn encoded(list: Encoded, encoding: Encoding, taken: Option<Taken>, form: Form) -> Response<Body> {
    let kind = answer::media_type(encoding);
    let large = is_large(list.items.iter().map(Bytes::len));
    let items = Items::Encoded(encoding, list.items, taken);
    if large {
        return in_pieces(Listing::new(list.head, items, list.tail, form), kind);
    }
    let mut whole = list.head;
    (0..items.len()).for_each(|at| items.write(at, &mut whole));
    whole.extend_from_slice(&list.tail);
    answer::packed(200, whole, kind, form)
}

fn in_pieces(listing: Listing, kind: &'static str) -> Response<Body> {
    let mut response = answer::packed(200, Vec::new(), kind, Form::default());
    if listing.packer.is_some() {
        answer::mark_gzip(response.headers_mut());
    }
    *response.body_mut() = answer::streamed(stream::iter(listing.map(Ok)));
    response
}

/// What is in a list.
enum Items {
    Json(Box<Shaper>, Vec<Held>),
    Encoded(
        Encoding,
        Vec<Bytes>,
        #[expect(dead_code, reason = "it is held")] Option<Taken>,
    ),
}

impl Items {
    fn len(&self) -> usize {
        match self {
            Self::Json(_, items) => items.len(),
            Self::Encoded(_, items, _) => items.len(),
        }
    }

    /// Writes one, with what stands between it and the one before.
    fn write(&self, at: usize, out: &mut Vec<u8>) {
        match self {
            Self::Json(shaper, items) => {
                if at > 0 {
                    out.push(b',');
                }
                shaper.object(&items[at], out);
            }
            Self::Encoded(Encoding::Protobuf, items, _) => schema::put_protobuf_item(out, &items[at]),
            Self::Encoded(Encoding::Cbor, items, _) => out.extend_from_slice(&items[at]),
        }
    }
}

struct Listing {
    head: Vec<u8>,
    items: Items,
    tail: Vec<u8>,
    /// How many items were written.
    told: usize,
    ended: bool,
    packer: Option<GzEncoder<Vec<u8>>>,
}

impl Listing {
    fn new(head: Vec<u8>, items: Items, tail: Vec<u8>, form: Form) -> Self {
        let packer = || GzEncoder::new(Vec::with_capacity(2 * PACKED), Compression::fast());
        Self {
            head,
            items,
            tail,
            told: 0,
            ended: false,
            packer: form.gzip.then(packer),
        }
    }

    /// The next piece of the text; none after the end.
    fn text(&mut self) -> Option<Vec<u8>> {
        if self.ended {
            return None;
        }
        let mut out = Vec::with_capacity(PIECE + PIECE / 4);
        out.append(&mut self.head);
        while out.len() < PIECE && self.told < self.items.len() {
            self.items.write(self.told, &mut out);
            self.told += 1;
        }
        if self.told == self.items.len() {
            out.append(&mut self.tail);
            self.ended = true;
        }
        Some(out)
    }
}

impl Iterator for Listing {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        loop {
            let Some(text) = self.text() else {
                let rest = self.packer.take()?.finish().ok()?;
                return Some(rest.into());
            };
            let Some(packer) = &mut self.packer else {
                return Some(text.into());
            };
            // Writing to memory does not fail.
            let _ = packer.write_all(&text);
            let packed = packer.get_mut();
            if packed.len() >= PACKED {
                return Some(std::mem::replace(packed, Vec::with_capacity(2 * PACKED)).into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use api::Budget;
    use http_body_util::BodyExt;
    use jiff::Timestamp;
    use std::io::Read;

    fn page(objects: usize) -> Page {
        let object = |number: usize| {
            let text = format!(
                r#"{{"apiVersion":"test.io/v1","kind":"Widget","metadata":{{"name":"w-{number}"}},"spec":{{"size":"{}"}}}}"#,
                "x".repeat(900 + number % 7)
            );
            Held::parse(&fixture::WIDGETS, text.into(), 7 + number as u64).unwrap()
        };
        Page {
            items: (0..objects).map(object).collect(),
            revision: 5000,
            continue_token: "next".to_owned(),
            remaining: Some(3),
        }
    }

    fn shaper(shape: Shape) -> Shaper {
        Shaper {
            row: &fixture::WIDGETS,
            version: 0,
            now: Timestamp::UNIX_EPOCH,
            shape,
            text: Text::Json,
            custom: None,
            encodings: Budget::new(0),
        }
    }

    #[tokio::test]
    async fn a_list_in_pieces_is_the_list() {
        for shape in [Shape::Object, Shape::Partial] {
            for gzip in [false, true] {
                let form = Form {
                    shape,
                    gzip,
                    ..Form::default()
                };
                let (shaper, page) = (shaper(shape), page(1000));
                let whole = shaper.list(&page);
                let answer = json(shaper, page, form).ok().expect("it is large");
                assert_eq!(answer.headers().contains_key("content-encoding"), gzip);
                let mut body = answer.into_body().collect().await.unwrap().to_bytes().to_vec();
                if gzip {
                    assert!(body.len() < whole.len() / 10);
                    let packed = std::mem::take(&mut body);
                    flate2::read::GzDecoder::new(&packed[..])
                        .read_to_end(&mut body)
                        .unwrap();
                }
                assert!(body == whole, "{shape:?}, gzip {gzip}");
            }
        }
    }

    #[test]
    fn pieces_are_small_and_lists_that_are_small_go_whole() {
        let items = Items::Json(Box::new(shaper(Shape::Object)), page(1000).items);
        let listing = Listing::new(b"[".to_vec(), items, b"]".to_vec(), Form::default());
        let sizes: Vec<usize> = listing.map(|piece| piece.len()).collect();
        assert!(
            sizes.len() > 10 && sizes.iter().all(|size| *size < PIECE + 2000),
            "{sizes:?}"
        );
        let goes_whole = |shape, objects, form| json(shaper(shape), page(objects), form).is_err();
        let table = Shape::Table(crate::cache::Include::None);
        assert!(goes_whole(table, 1000, Form::default()));
        assert!(goes_whole(Shape::Object, 100, Form::default()));
        let pretty = Form {
            pretty: true,
            ..Form::default()
        };
        assert!(goes_whole(Shape::Object, 1000, pretty));
    }

    #[tokio::test]
    async fn a_kept_encoding_is_the_one_that_is_made() {
        for objects in [3, 1000] {
            for gzip in [false, true] {
                let form = Form {
                    text: Text::Cbor,
                    gzip,
                    ..Form::default()
                };
                let (mut shaper, page) = (shaper(Shape::Object), page(objects));
                let text = schema::cbor_to_json(&schema::json_to_cbor(&shaper.list(&page)).unwrap());
                for budget in [Budget::new(0), Budget::new(500_000), Budget::new(64 << 20)] {
                    shaper.encodings = budget.clone();
                    for _ in 0..2 {
                        let list = shaper.encoded_list(&page, Encoding::Cbor).unwrap();
                        let answer = encoded(list, Encoding::Cbor, None, form);
                        let packed = answer.headers().contains_key("content-encoding");
                        assert_eq!(packed, gzip && objects > 3);
                        let body = answer.into_body().collect().await.unwrap().to_bytes();
                        let mut plain = Vec::new();
                        if packed {
                            let mut reader = flate2::read::GzDecoder::new(&body[..]);
                            reader.read_to_end(&mut plain).unwrap();
                        } else {
                            plain = body.to_vec();
                        }
                        assert!(schema::cbor_to_json(&plain) == text);
                    }
                    assert!(budget.used() <= 500_000 || budget.used() > 900_000);
                }
            }
        }
    }
}
