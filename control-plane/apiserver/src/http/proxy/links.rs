//! Links in answers, made to lead through the proxy: absolute paths in `Location` and in HTML.
//! Upstream: `apimachinery/pkg/util/proxy/transport.go`.

use bytes::Bytes;
use flate2::read::{DeflateDecoder, GzDecoder};
use flate2::write::{DeflateEncoder, GzEncoder};
use std::io::{self, Read, Write};

/// Most bytes of a page whose links are rewritten, unpacked.
pub const PAGE: usize = 32 << 20;

/// Which attributes of which elements hold URLs.
const ATTRIBUTES: &[(&str, &[&str])] = &[
    ("a", &["href"]),
    ("applet", &["codebase"]),
    ("area", &["href"]),
    ("audio", &["src"]),
    ("base", &["href"]),
    ("blockquote", &["cite"]),
    ("body", &["background"]),
    ("button", &["formaction"]),
    ("command", &["icon"]),
    ("del", &["cite"]),
    ("embed", &["src"]),
    ("form", &["action"]),
    ("frame", &["longdesc", "src"]),
    ("head", &["profile"]),
    ("html", &["manifest"]),
    ("iframe", &["longdesc", "src"]),
    ("img", &["longdesc", "src", "usemap"]),
    ("input", &["src", "usemap", "formaction"]),
    ("ins", &["cite"]),
    ("link", &["href"]),
    ("object", &["classid", "codebase", "data", "usemap"]),
    ("q", &["cite"]),
    ("script", &["src"]),
    ("source", &["src"]),
    ("video", &["poster", "src"]),
];

/// How links are rewritten.
#[derive(Debug)]
pub struct Links {
    /// The path of the proxy, `/api/v1/…/proxy`.
    pub prefix: String,
    /// Host and port of who answered.
    pub target: String,
    /// The host that the client asked.
    pub asked: String,
}

impl Links {
    /// The path behind the prefix as clients see it.
    pub fn path(&self, path: &str) -> String {
        let mut segments: Vec<&str> = Vec::new();
        for segment in path.split('/') {
            match segment {
                "" | "." => {}
                ".." => drop(segments.pop()),
                other => segments.push(other),
            }
        }
        let slash = if path.ends_with('/') { "/" } else { "" };
        match segments.as_slice() {
            [] => format!("{}/", self.prefix),
            segments => format!("{}/{}{slash}", self.prefix, segments.join("/")),
        }
    }

    /// A URL that leads to the target, made to lead through the proxy; others as they are.
    pub fn url(&self, url: &str) -> String {
        let (scheme, rest) = match url.split_once("://") {
            Some((scheme, rest)) if scheme.chars().all(|c| c.is_ascii_alphanumeric()) => (scheme, Some(rest)),
            _ => ("", url.strip_prefix("//")),
        };
        let (host, tail) = match rest {
            Some(rest) => rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len())),
            None => ("", url),
        };
        let (path, tail) = tail.split_at(tail.find(['?', '#']).unwrap_or(tail.len()));
        let elsewhere = !host.is_empty() && host != self.target && host != self.asked;
        if elsewhere || !path.starts_with('/') {
            return url.to_owned();
        }
        let start = match (host == self.asked && !host.is_empty(), scheme) {
            (false, _) => String::new(),
            (true, "") => format!("//{host}"),
            (true, scheme) => format!("{scheme}://{host}"),
        };
        if path.starts_with(&self.prefix) {
            return format!("{start}{path}{tail}");
        }
        format!("{start}{}{tail}", self.path(path))
    }

    /// A page with its links rewritten, packed as it was; none when it is packed in a way that is not known.
    pub fn page(&self, page: &[u8], encoding: &str) -> io::Result<Option<Bytes>> {
        let unpack = |reader: &mut dyn Read| {
            let (mut text, limit) = (Vec::new(), u64::try_from(PAGE).unwrap_or(u64::MAX));
            reader.take(limit + 1).read_to_end(&mut text)?;
            if text.len() > PAGE {
                return Err(io::Error::other("the page is too long"));
            }
            Ok(self.html(&text))
        };
        let level = flate2::Compression::default();
        Ok(Some(match encoding {
            "" => self.html(page).into(),
            "gzip" => {
                let mut packer = GzEncoder::new(Vec::new(), level);
                packer.write_all(&unpack(&mut GzDecoder::new(page))?)?;
                packer.finish()?.into()
            }
            "deflate" => {
                let mut packer = DeflateEncoder::new(Vec::new(), level);
                packer.write_all(&unpack(&mut DeflateDecoder::new(page))?)?;
                packer.finish()?.into()
            }
            _ => return Ok(None),
        }))
    }

    fn html(&self, page: &[u8]) -> Vec<u8> {
        let (mut out, mut rest) = (Vec::with_capacity(page.len() + 256), page);
        while let Some(at) = rest.iter().position(|byte| *byte == b'<') {
            out.extend_from_slice(&rest[..at]);
            rest = &rest[at..];
            let end = match rest.get(1) {
                _ if rest.starts_with(b"<!--") => find(rest, b"-->").map(|at| at + 3),
                Some(letter) if letter.is_ascii_alphabetic() => {
                    let end = tag_end(rest);
                    if let Some(end) = end {
                        let name = self.tag(&rest[..end], &mut out);
                        rest = &rest[end..];
                        // What is in these is no HTML.
                        if matches!(name.as_str(), "script" | "style") {
                            let close = format!("</{name}");
                            let until = find_folded(rest, close.as_bytes()).unwrap_or(rest.len());
                            out.extend_from_slice(&rest[..until]);
                            rest = &rest[until..];
                        }
                        continue;
                    }
                    end
                }
                _ => Some(1),
            };
            let end = end.unwrap_or(rest.len());
            out.extend_from_slice(&rest[..end]);
            rest = &rest[end..];
        }
        out.extend_from_slice(rest);
        out
    }

    /// Writes a tag, with its URLs rewritten; its name.
    fn tag(&self, tag: &[u8], out: &mut Vec<u8>) -> String {
        let space = |byte: &u8| byte.is_ascii_whitespace() || *byte == b'/' || *byte == b'>';
        let end = tag.iter().position(space).unwrap_or(tag.len());
        let name = String::from_utf8_lossy(&tag[1..end]).to_ascii_lowercase();
        let found = ATTRIBUTES.iter().find(|(element, _)| *element == name);
        let wanted = found.map_or(&[][..], |(_, attributes)| attributes);
        let mut at = end;
        out.extend_from_slice(&tag[..at]);
        while at < tag.len() {
            let gap = tag[at..].iter().position(|b| !space(b)).unwrap_or(tag.len() - at);
            out.extend_from_slice(&tag[at..at + gap]);
            at += gap;
            let attribute = &tag[at..];
            let name_end = attribute
                .iter()
                .position(|b| *b == b'=' || space(b))
                .unwrap_or(attribute.len());
            out.extend_from_slice(&attribute[..name_end]);
            at += name_end;
            let name = String::from_utf8_lossy(&attribute[..name_end]).to_ascii_lowercase();
            if tag.get(at) != Some(&b'=') {
                // A lone "=" would never end.
                continue;
            }
            out.push(b'=');
            at += 1;
            let quote = tag.get(at).copied().filter(|b| matches!(b, b'"' | b'\''));
            let start = at + usize::from(quote.is_some());
            let length = tag[start..].iter().position(|b| match quote {
                Some(quote) => *b == quote,
                None => b.is_ascii_whitespace() || *b == b'>',
            });
            let stop = start + length.unwrap_or(tag.len() - start);
            let value = &tag[start..stop];
            out.extend(quote);
            match std::str::from_utf8(value) {
                Ok(text) if wanted.contains(&name.as_str()) => {
                    let url = self.url(&text.replace("&amp;", "&"));
                    out.extend_from_slice(url.replace('&', "&amp;").as_bytes());
                }
                _ => out.extend_from_slice(value),
            }
            at = stop;
            if quote.is_some() && at < tag.len() {
                out.extend(quote);
                at += 1;
            }
        }
        name
    }
}

/// The end of a tag, which may have ">" in its values.
fn tag_end(tag: &[u8]) -> Option<usize> {
    let mut quote = None;
    for (at, byte) in tag.iter().enumerate() {
        match (quote, *byte) {
            (None, b'>') => return Some(at + 1),
            (None, b'"' | b'\'') if tag[at - 1] == b'=' => quote = Some(*byte),
            (Some(open), byte) if open == byte => quote = None,
            _ => {}
        }
    }
    None
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

fn find_folded(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len())
        .position(|window| window.eq_ignore_ascii_case(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links() -> Links {
        Links {
            prefix: "/api/v1/proxy".to_owned(),
            target: "10.244.0.7:80".to_owned(),
            asked: "localhost:8001".to_owned(),
        }
    }

    #[test]
    fn urls_of_the_target_lead_through_the_proxy() {
        for (url, expected) in [
            ("/", "/api/v1/proxy/"),
            ("/a/b?x=/y#z", "/api/v1/proxy/a/b?x=/y#z"),
            ("/a//c/../d/", "/api/v1/proxy/a/d/"),
            ("/api/v1/proxy/a", "/api/v1/proxy/a"),
            ("http://10.244.0.7:80/a", "/api/v1/proxy/a"),
            ("http://localhost:8001/a", "http://localhost:8001/api/v1/proxy/a"),
            ("//10.244.0.7:80/a", "/api/v1/proxy/a"),
            ("https://example.com/a", "https://example.com/a"),
            ("a/b", "a/b"),
            ("#top", "#top"),
            ("mailto:a@b", "mailto:a@b"),
            ("", ""),
        ] {
            assert_eq!(links().url(url), expected, "{url}");
        }
    }

    #[test]
    fn pages_keep_all_but_their_links() {
        let page = concat!(
            r#"<!doctype html><!-- <a href="/no"> --><A class=x HREF="/yes?a=1&amp;b=2">"#,
            r#"<img alt='a > b' src=/i.png><script src='/s.js'>if (a<b) "<a href='/no'>"</script><p title="/no">1 < 2"#,
            "<a href",
        );
        let expected = concat!(
            r#"<!doctype html><!-- <a href="/no"> --><A class=x HREF="/api/v1/proxy/yes?a=1&amp;b=2">"#,
            r#"<img alt='a > b' src=/api/v1/proxy/i.png><script src='/api/v1/proxy/s.js'>if (a<b) "<a href='/no'>"</script><p title="/no">1 < 2"#,
            "<a href",
        );
        let said = links().page(page.as_bytes(), "").unwrap().unwrap();
        assert_eq!(String::from_utf8_lossy(&said), expected);
        let mut packer = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(page.as_bytes()).unwrap();
        let packed = links().page(&packer.finish().unwrap(), "gzip").unwrap().unwrap();
        let mut text = String::new();
        GzDecoder::new(&packed[..]).read_to_string(&mut text).unwrap();
        assert_eq!(text, expected);
        assert!(links().page(b"", "br").unwrap().is_none());
        for odd in [
            "<a =>",
            "<a = b=\"",
            "<",
            "<a",
            "<a href='",
            "<!--",
            "<script>",
            "<a / / =x>",
        ] {
            assert_eq!(links().html(odd.as_bytes()), odd.as_bytes());
        }
    }
}
