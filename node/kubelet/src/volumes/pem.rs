//! Blocks of PEM, written without what may stand around them.

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// The base64 of each certificate in `text`.
pub(super) fn certificates(text: &str) -> impl Iterator<Item = String> {
    let parts = text.split(BEGIN).skip(1);
    parts.filter_map(|part| {
        let (block, _) = part.split_once(END)?;
        // Headers stand before an empty line.
        let body = block.trim_start().replace("\r\n", "\n");
        let body = body.split_once("\n\n").map_or(body.as_str(), |(_, body)| body);
        Some(body.split_whitespace().collect())
    })
}

/// One block.
pub(super) fn block(label: &str, base64: &str) -> String {
    let mut out = format!("-----BEGIN {label}-----");
    for line in base64.as_bytes().chunks(64) {
        out.push('\n');
        out += &String::from_utf8_lossy(line);
    }
    out + &format!("\n-----END {label}-----\n")
}
