//! A socket at which a running cluster gives snapshots of its store, to its own user and root only.
//!
//! Who connects gets a number, 8 bytes with the lowest first, and so many bytes; if all bits of the number are set, what
//! follows is the reason why there are none.

use crate::{Error, Source, Taken};
use bytes::{Bytes, BytesMut};
use component::Env;
use futures::{StreamExt, stream};
use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
};

/// Its name, in a cluster's run directory.
pub const NAME: &str = "snapshot.sock";
const REFUSED: u64 = u64::MAX;
/// Bytes that are read at a time, at most.
const CHUNK: usize = 1 << 20;
/// After a failed accept.
const RETRY: Duration = Duration::from_millis(100);

/// A socket that is listened at.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Socket {
    /// Listens at `path`, whose folder is made if it is not there, in the place of a socket that nobody listens at any more.
    pub fn open(path: &Path) -> Result<Self, Error> {
        if let Some(folder) = path.parent() {
            // On a machine that starts its first cluster nothing has made it yet.
            fs::create_dir_all(folder).map_err(Error::io(folder))?;
        }
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Error::io(path)(error)),
            _ => {}
        }
        let listener = UnixListener::bind(path).map_err(Error::io(path))?;
        let private = fs::set_permissions(path, fs::Permissions::from_mode(0o600));
        private.map_err(Error::io(path))?;
        Ok(Self {
            listener,
            path: path.to_owned(),
        })
    }

    /// Gives snapshots of `source`.
    pub async fn serve(self, source: Source, env: Env) {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let source = source.clone();
                    env.tasks.spawn("snapshot", async move {
                        if let Err(error) = answer(stream, source).await {
                            tracing::debug!(%error, "who asked for a snapshot is gone");
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, socket = %self.path.display(), "cannot accept");
                    env.clock.sleep(RETRY).await;
                }
            }
        }
    }
}

async fn answer(mut stream: UnixStream, source: Source) -> io::Result<()> {
    let (who, me) = (stream.peer_cred()?.uid(), rustix::process::geteuid().as_raw());
    let taken = match who == me || who == 0 {
        true => source().await.map_err(|error| error.to_string()),
        false => Err(format!("user {who} may not read the store")),
    };
    let why = match taken {
        Ok(mut taken) => {
            stream.write_u64_le(taken.bytes).await?;
            while let Some(chunk) = taken.chunks.next().await {
                // Who asked sees that it is cut off.
                stream.write_all(&chunk.map_err(io::Error::other)?).await?;
            }
            return stream.shutdown().await;
        }
        Err(why) => why,
    };
    stream.write_u64_le(REFUSED).await?;
    stream.write_all(why.as_bytes()).await?;
    stream.shutdown().await
}

/// Asks at the socket of a running cluster.
pub async fn ask(path: &Path) -> Result<Taken, Error> {
    let place = path.display().to_string();
    let failed = {
        let place = place.clone();
        move |source| Error::Io {
            place: place.clone(),
            source,
        }
    };
    let mut socket = UnixStream::connect(path).await.map_err(&failed)?;
    let bytes = socket.read_u64_le().await.map_err(&failed)?;
    if bytes == REFUSED {
        let mut why = String::new();
        socket.read_to_string(&mut why).await.map_err(&failed)?;
        return Err(Error::Server(why));
    }
    let chunks = stream::try_unfold((socket, bytes), move |(mut socket, left)| {
        let failed = failed.clone();
        async move {
            let mut chunk = BytesMut::with_capacity(CHUNK.min(usize::try_from(left).unwrap_or(CHUNK)) + 1);
            let read = match socket.read_buf(&mut chunk).await.map_err(failed)? as u64 {
                0 if left == 0 => return Ok(None),
                0 => return Err(Error::Damaged("the cluster's answer is cut off".to_owned())),
                read => read,
            };
            let left = left.checked_sub(read);
            let left = left.ok_or_else(|| Error::Damaged("the cluster's answer is too long".to_owned()))?;
            Ok(Some((Bytes::from(chunk), (socket, left))))
        }
    });
    Ok(Taken {
        bytes,
        chunks: chunks.boxed(),
    })
}
