//! Base64.

use super::Row;
use crate::{stop::Stop, value::Value};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD},
};

pub(super) const ROWS: &[Row] = &[
    Row(
        "base64.decode",
        "base64_decode_string",
        "string->bytes",
        |args, _| match args {
            [Value::String(text)] => {
                let decoded = STANDARD
                    .decode(text.as_bytes())
                    .or_else(|_| STANDARD_NO_PAD.decode(text.as_bytes()));
                let bytes = decoded.map_err(|error| format!("illegal base64 data: {error}"))?;
                Ok(Value::Bytes(bytes.into()))
            }
            _ => Err(Stop::OVERLOAD),
        },
    ),
    Row(
        "base64.encode",
        "base64_encode_bytes",
        "bytes->string",
        |args, _| match args {
            [Value::Bytes(bytes)] => Ok(Value::text(STANDARD.encode(bytes))),
            _ => Err(Stop::OVERLOAD),
        },
    ),
];
