//! Large lists as JSON, which go out while they are written: one takes the memory of a piece, however long it is.

use super::{answer, answer::Body, negotiate::Form, shape::Shaper};
use crate::{
    cache::{Shape, Text},
    handler::Page,
};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use futures::stream;
use http::Response;
use std::io::Write;

/// Bytes of a piece, about.
const PIECE: usize = 64 << 10;
/// Lists of fewer bytes go out whole. Larger ones are compressed when the client can take it, as upstream.
const LARGE: usize = 128 << 10;

/// Whether a list is written in pieces.
pub fn is_large(shaper: &Shaper, page: &Page, form: Form) -> bool {
    let streams = form.text == Text::Json && !form.pretty && !matches!(shaper.shape, Shape::Table(_));
    let mut sizes = page
        .items
        .iter()
        .map(|held| held.version(shaper.version).body().len());
    streams
        && sizes
            .try_fold(0, |sum, size| (sum < LARGE).then_some(sum + size))
            .is_none()
}

/// The answer with a list that is large.
pub fn answer(shaper: Shaper, page: Page, form: Form) -> Response<Body> {
    let mut response = answer::packed(200, Vec::new(), "application/json", Form { gzip: false, ..form });
    if form.gzip {
        answer::mark_gzip(response.headers_mut());
    }
    let listing = Listing {
        shaper,
        page,
        told: 0,
        ended: false,
        packer: form
            .gzip
            .then(|| GzEncoder::new(Vec::with_capacity(PIECE), Compression::fast())),
    };
    *response.body_mut() = answer::streamed(stream::iter(listing.map(Ok)));
    response
}

struct Listing {
    shaper: Shaper,
    page: Page,
    /// How many objects were written.
    told: usize,
    ended: bool,
    packer: Option<GzEncoder<Vec<u8>>>,
}

impl Listing {
    /// The next piece of the text; none after the end.
    fn text(&mut self) -> Option<Vec<u8>> {
        if self.ended {
            return None;
        }
        let mut out = Vec::with_capacity(PIECE + PIECE / 4);
        if self.told == 0 {
            self.shaper.list_head(&self.page, &mut out);
        }
        while out.len() < PIECE
            && let Some(held) = self.page.items.get(self.told)
        {
            if self.told > 0 {
                out.push(b',');
            }
            self.shaper.object(held, &mut out);
            self.told += 1;
        }
        if self.told == self.page.items.len() {
            out.extend_from_slice(b"]}");
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
            if packed.len() >= PIECE / 2 {
                return Some(std::mem::replace(packed, Vec::with_capacity(PIECE)).into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cache::Held, fixture};
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
                assert!(is_large(&shaper, &page, form));
                let whole = shaper.list(&page);
                let answer = answer(shaper, page, form);
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
        let listing = Listing {
            shaper: shaper(Shape::Object),
            page: page(1000),
            told: 0,
            ended: false,
            packer: None,
        };
        let sizes: Vec<usize> = listing.map(|piece| piece.len()).collect();
        assert!(
            sizes.len() > 10 && sizes.iter().all(|size| *size < PIECE + 2000),
            "{sizes:?}"
        );
        let table = shaper(Shape::Table(crate::cache::Include::None));
        assert!(!is_large(&table, &page(1000), Form::default()));
        assert!(!is_large(&shaper(Shape::Object), &page(100), Form::default()));
        let pretty = Form {
            pretty: true,
            ..Form::default()
        };
        assert!(!is_large(&shaper(Shape::Object), &page(1000), pretty));
    }
}
