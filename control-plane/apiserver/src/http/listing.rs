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
