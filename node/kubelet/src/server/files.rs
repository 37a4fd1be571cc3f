//! `/logs/`: the files of the machine's `/var/log`, as upstream's file server shows them.

use super::{Answer, Body, full, text};
use api::Status;
use http_body_util::{BodyExt, StreamBody};
use hyper::{Response, StatusCode, body::Frame, header};
use std::{
    io,
    path::{Component, Path, PathBuf},
};
use tokio_util::io::ReaderStream;

const ROOT: &str = "/var/log";

/// Shows what is at `path` below the root.
pub(super) async fn show(path: &str) -> Answer {
    show_below(Path::new(ROOT), path).await
}

async fn show_below(root: &Path, path: &str) -> Answer {
    let Ok(found) = place(root, path) else {
        let mut answer = text("404 page not found\n");
        *answer.status_mut() = StatusCode::NOT_FOUND;
        return Ok(answer);
    };
    if found.is_dir() {
        if !path.is_empty() && !path.ends_with('/') {
            let name = path.rsplit('/').next().unwrap_or_default();
            return redirect(&format!("{name}/"));
        }
        return listing(&found).map_err(Status::internal);
    }
    let file = tokio::fs::File::open(&found).await.map_err(Status::internal)?;
    let chunks = ReaderStream::new(file);
    let body = StreamBody::new(futures::TryStreamExt::map_ok(chunks, Frame::data));
    let mut response: Response<Body> = Response::new(body.boxed_unsync());
    let kind = header::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

/// What a path leads to. Links may not lead out: containers write into this folder.
fn place(root: &Path, path: &str) -> io::Result<PathBuf> {
    let below = Path::new(path.trim_start_matches('/'));
    if !below
        .components()
        .all(|part| matches!(part, Component::Normal(_)))
    {
        return Err(io::ErrorKind::NotFound.into());
    }
    let root = root.canonicalize()?;
    let found = root.join(below).canonicalize()?;
    let kind = found.metadata()?.file_type();
    if found.starts_with(&root) && (kind.is_dir() || kind.is_file()) {
        Ok(found)
    } else {
        Err(io::ErrorKind::NotFound.into())
    }
}

fn redirect(to: &str) -> Answer {
    let mut answer = text("");
    *answer.status_mut() = StatusCode::MOVED_PERMANENTLY;
    let to = header::HeaderValue::from_str(to).map_err(Status::internal)?;
    answer.headers_mut().insert(header::LOCATION, to);
    Ok(answer)
}

fn listing(folder: &Path) -> io::Result<Response<Body>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let slash = if entry.path().is_dir() { "/" } else { "" };
        names.push(format!("{}{slash}", entry.file_name().to_string_lossy()));
    }
    names.sort();
    let mut page =
        String::from("<!doctype html>\n<meta name=\"viewport\" content=\"width=device-width\">\n<pre>\n");
    for name in names {
        let shown = name
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
            .replace('"', "&#34;");
        let link: String = name.bytes().map(escaped).collect();
        page.push_str(&format!("<a href=\"{link}\">{shown}</a>\n"));
    }
    page.push_str("</pre>\n");
    Ok(full(page, "text/html; charset=utf-8"))
}

fn escaped(byte: u8) -> String {
    if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
        char::from(byte).to_string()
    } else {
        format!("%{byte:02X}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn shown(root: &Path, path: &str) -> (u16, String) {
        let answer = show_below(root, path).await.unwrap();
        let code = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (code, String::from_utf8_lossy(&body).into_owned())
    }

    #[tokio::test]
    async fn log_files_are_shown_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("log");
        std::fs::create_dir_all(root.join("pods")).unwrap();
        std::fs::write(root.join("sys<log"), "a line\n").unwrap();
        std::fs::write(folder.path().join("secret"), "x").unwrap();
        std::os::unix::fs::symlink("../secret", root.join("out")).unwrap();
        std::os::unix::fs::symlink("sys<log", root.join("in")).unwrap();
        let (code, page) = shown(&root, "").await;
        assert_eq!(code, 200);
        assert!(
            page.contains("<a href=\"pods/\">pods/</a>\n<a href=\"sys%3Clog\">sys&lt;log</a>"),
            "{page}"
        );
        for path in ["sys<log", "in"] {
            assert_eq!(shown(&root, path).await, (200, "a line\n".to_owned()));
        }
        assert_eq!(shown(&root, "pods").await.0, 301);
        for path in ["out", "../secret", "none", "pods/../../secret"] {
            assert_eq!(shown(&root, path).await.0, 404, "{path}");
        }
    }
}
