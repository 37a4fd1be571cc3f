//! LimitRange.

use crate::{
    Row,
    write::{Kind, write},
};
use k8s_openapi::api::core::v1::LimitRange;

pub(crate) static ROW: Row = Row {
    short_names: &["limits"],
    prefix: "/registry/limitranges",
    ..Row::usual("", "LimitRange", "limitranges", "limitrange", write::<LimitRange>)
};

impl Kind for LimitRange {
    const ROW: &'static Row = &ROW;

    fn defaults(&mut self) {
        for item in self
            .spec
            .get_or_insert_default()
            .limits
            .iter_mut()
            .filter(|item| item.type_ == "Container")
        {
            // A limit is the default limit, a default limit or a minimum the default request.
            let default = item.default.get_or_insert_default();
            for (name, max) in item.max.iter().flatten() {
                default.entry(name.clone()).or_insert_with(|| max.clone());
            }
            let request = item.default_request.get_or_insert_default();
            for (name, value) in default.iter().chain(item.min.iter().flatten()) {
                request.entry(name.clone()).or_insert_with(|| value.clone());
            }
        }
    }
}
