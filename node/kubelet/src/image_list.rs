//! The images that the node's status tells of (upstream: `pkg/kubelet/nodestatus`); the scheduler prefers nodes by them.

use runtime::Image;
use serde::Serialize;
use std::cmp::Reverse;

/// Most images in a status.
const IMAGES: usize = 50;

/// Most names of an image in a status.
const NAMES: usize = 5;

/// An image of the node.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Listed {
    names: Vec<String>,
    size_bytes: u64,
}

/// The largest of `images` first.
pub(crate) fn list(mut images: Vec<Image>) -> Vec<Listed> {
    images.sort_by_cached_key(|image| (Reverse(image.size), image.id.clone()));
    images.truncate(IMAGES);
    let listed = images.into_iter().map(|image| Listed {
        names: image.digests.into_iter().chain(image.tags).take(NAMES).collect(),
        size_bytes: image.size,
    });
    listed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_images_are_listed() {
        let names = |kind: &str, count: usize| (0..count).map(|n| format!("{kind}{n}")).collect::<Vec<_>>();
        let image = |size: u64| Image {
            id: format!("id-{size}"),
            tags: names("tag", 2),
            digests: names("digest", usize::try_from(size).unwrap() % 7),
            size,
            ..Image::default()
        };
        let listed = list((1..=60).map(image).collect());
        assert_eq!(listed.len(), 50);
        assert_eq!((listed[0].size_bytes, listed[49].size_bytes), (60, 11));
        // 60 is 4 above a multiple of 7, and 11 too.
        assert_eq!(
            listed[0].names,
            ["digest0", "digest1", "digest2", "digest3", "tag0"]
        );
        let of_57 = &listed[3];
        assert_eq!((of_57.size_bytes, of_57.names.len()), (57, 3));
    }
}
