//! A name server of the lab's network. It knows one name; any other is no name of the world.

use std::fs::File;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// The name that it knows.
pub const NAME: &str = "elsewhere.example";
/// The address of that name.
pub const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);

/// A running name server; it ends when this is dropped.
#[derive(Debug)]
pub struct Resolver {
    over: Arc<AtomicBool>,
    server: Option<JoinHandle<()>>,
}

impl Resolver {
    /// Starts it in the network of a process.
    pub fn start(address: &str, member: u32) -> Result<Resolver> {
        let network = File::open(format!("/proc/{member}/ns/net"))?;
        let address = format!("{address}:53");
        // A socket stays in the network that it was made in; the thread that entered it ends.
        let socket = thread::spawn(move || -> Result<UdpSocket> {
            use std::os::fd::AsFd as _;
            move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))?;
            UdpSocket::bind(&address).with_context(|| format!("listen at {address}"))
        });
        let socket = socket.join().map_err(|_| anyhow!("no name server"))??;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        let over = Arc::new(AtomicBool::new(false));
        let told = over.clone();
        let server = thread::spawn(move || serve(&socket, &told));
        Ok(Resolver {
            over,
            server: Some(server),
        })
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(server) = self.server.take() {
            let _ = server.join();
        }
    }
}

fn serve(socket: &UdpSocket, over: &AtomicBool) {
    let mut query = [0; 1500];
    while !over.load(Ordering::Relaxed) {
        if let Ok((length, asker)) = socket.recv_from(&mut query)
            && let Some(answer) = answer(&query[..length])
        {
            let _ = socket.send_to(&answer, asker);
        }
    }
}

/// The answer to a query: the address, nothing of another type, or that there is no such name.
fn answer(query: &[u8]) -> Option<Vec<u8>> {
    const ADDRESS: [u8; 4] = [0, 1, 0, 1];
    let name = query.get(12..)?.iter().position(|byte| *byte == 0)? + 13;
    let question = query.get(12..name + 4)?;
    let labels = NAME.split('.').flat_map(|label| {
        let length = u8::try_from(label.len()).unwrap_or(0);
        std::iter::once(length).chain(label.bytes())
    });
    let known = labels.eq(query[12..name - 1].iter().copied());
    let found = known && query.get(name..name + 4)? == ADDRESS;
    let code = if known { 0 } else { 3 };
    let mut answer = query[..2].to_vec();
    answer.extend([0x81, 0x80 | code, 0, 1, 0, u8::from(found), 0, 0, 0, 0]);
    answer.extend(question);
    if found {
        // The name of the question again, for a minute.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        answer.extend(ELSEWHERE.octets());
    }
    Some(answer)
}
