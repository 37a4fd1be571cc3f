//! A socket at which a running cluster gives snapshots of its store, to its own user and root only.
//!
//! Who connects gets a number, 8 bytes with the lowest first, and so many bytes; if all bits of the number are set, what
//! follows is the reason why there are none.

use crate::{Error, Source};
use bytes::Bytes;
use component::Env;
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
            fs::create_dir_all(folder).map_err(Error::io(folder))?;
        }
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
    let (number, bytes) = match taken {
        Ok(file) => (file.len() as u64, file),
        Err(why) => (REFUSED, Bytes::from(why)),
    };
    stream.write_all(&number.to_le_bytes()).await?;
    stream.write_all(&bytes).await?;
    stream.shutdown().await
}

/// Asks at the socket of a running cluster.
pub async fn ask(path: &Path) -> Result<Bytes, Error> {
    let place = path.display().to_string();
    let failed = |source| Error::Io {
        place: place.clone(),
        source,
    };
    let mut stream = UnixStream::connect(path).await.map_err(failed)?;
    let number = stream.read_u64_le().await.map_err(failed)?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.map_err(failed)?;
    if number == REFUSED {
        return Err(Error::Server(String::from_utf8_lossy(&bytes).into_owned()));
    }
    if bytes.len() as u64 != number {
        return Err(Error::Damaged("the cluster's answer is cut off".to_owned()));
    }
    Ok(bytes.into())
}
