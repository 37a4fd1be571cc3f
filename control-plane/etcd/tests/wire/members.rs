//! Several of our members on loopback, each with a place of its own.

use crate::{lab::*, stuck};
use component::Env;
use etcd::{
    replica::{self, PeerTls, Replica, View, peer::PeerListener},
    server::{Listener, Member, Settings},
};
use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};
use tokio::net::TcpListener;

/// A member, running or not.
pub struct One {
    pub name: String,
    pub url: String,
    pub peer_url: String,
    pub dir: tempfile::TempDir,
    pub running: Option<(Replica, Env)>,
    ports: (u16, u16),
    relay: Option<Relay>,
    /// Nothing becomes durable on its disk.
    pub stuck: Arc<AtomicBool>,
}

/// What stands between a member and those who send to it, and can be cut.
pub struct Relay {
    open: tokio::sync::watch::Sender<bool>,
    task: tokio::task::AbortHandle,
    env: Env,
}

impl Relay {
    async fn start(to: u16) -> (Self, u16) {
        let (env, open) = (Env::system(), tokio::sync::watch::Sender::new(true));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (tasks, watched) = (env.tasks.clone(), open.clone());
        let task = env.tasks.spawn("relay", async move {
            while let Ok((mut from, _)) = listener.accept().await {
                let mut open = watched.subscribe();
                tasks.spawn("relayed", async move {
                    let _ = open.wait_for(|open| *open).await;
                    let Ok(mut there) = tokio::net::TcpStream::connect(("127.0.0.1", to)).await else {
                        return;
                    };
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut from, &mut there) => {}
                        _ = open.wait_for(|open| !open) => {}
                    }
                });
            }
        });
        (Self { open, task, env }, port)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
        self.env.tasks.stop();
    }
}

/// What a lab's members have in common.
#[derive(Clone, Default)]
pub struct Common {
    pub token: String,
    pub tls: Option<PeerTls>,
    pub check_every: Duration,
}

impl One {
    pub fn new(name: &str, secure: bool) -> Self {
        let ports = (free_port(), free_port());
        let scheme = if secure { "https" } else { "http" };
        Self {
            name: name.to_owned(),
            url: format!("http://127.0.0.1:{}", ports.0),
            peer_url: format!("{scheme}://127.0.0.1:{}", ports.1),
            dir: tempfile::tempdir().unwrap(),
            running: None,
            ports,
            relay: None,
            stuck: Arc::default(),
        }
    }

    /// One whose incoming connections can be cut.
    pub async fn relayed(name: &str) -> Self {
        let mut this = Self::new(name, false);
        let (relay, port) = Relay::start(this.ports.1).await;
        this.peer_url = format!("http://127.0.0.1:{port}");
        this.relay = Some(relay);
        this
    }

    /// Cuts it off from those who send to it, or mends that.
    pub fn cut(&self, cut: bool) {
        self.relay
            .as_ref()
            .expect("it is relayed")
            .open
            .send_replace(!cut);
    }

    pub fn settings(&self, common: &Common) -> replica::Settings {
        replica::Settings {
            name: self.name.clone(),
            client_urls: vec![self.url.clone()],
            peer_urls: vec![self.peer_url.clone()],
            initial_cluster: vec![(self.name.clone(), self.peer_url.clone())],
            token: common.token.clone(),
            tls: common.tls.clone(),
            check_every: common.check_every,
            heartbeat: Duration::from_millis(50),
            election: Duration::from_millis(500),
            health: Duration::ZERO,
            folders: stuck::folders(self.stuck.clone()),
            ..replica::Settings::new(self.dir.path())
        }
    }

    /// Starts it, for the first time or again.
    pub async fn start(&mut self, settings: replica::Settings) -> Result<(), replica::StartError> {
        let env = Env::system();
        let secure = settings.tls.is_some();
        let peers = TcpListener::bind(("127.0.0.1", self.ports.1)).await.unwrap();
        let clients = TcpListener::bind(("127.0.0.1", self.ports.0)).await.unwrap();
        let (serving, opening) = PeerListener::ahead(&settings, secure, &env);
        env.tasks.spawn("peers", serving.serve(peers));
        let replica = match Replica::open(settings, env.clone()).await {
            Ok(replica) => replica,
            Err(error) => {
                env.tasks.drain(LIMIT).await;
                return Err(error);
            }
        };
        opening.done(replica.clone());
        let member = Member::new(replica.clone(), Settings::default(), env.clone());
        let serving = Listener::new(member, None, env.clone()).unwrap();
        env.tasks.spawn("etcd", serving.serve(clients));
        self.running = Some((replica, env));
        Ok(())
    }

    pub fn replica(&self) -> &Replica {
        &self.running.as_ref().expect("it runs").0
    }

    /// Ends it at once, without a word to the others.
    pub async fn stop(&mut self) {
        if let Some((replica, env)) = self.running.take() {
            let ended = tokio::time::timeout(LIMIT, replica.close()).await;
            ended.expect("a member ends");
            env.tasks.drain(LIMIT).await;
        }
    }
}

impl Drop for One {
    fn drop(&mut self) {
        if let Some((_, env)) = &self.running {
            env.tasks.stop();
        }
    }
}

/// A cluster.
pub struct Cluster {
    pub members: Vec<One>,
    pub common: Common,
}

impl Cluster {
    /// Starts `count` members.
    pub async fn start(count: usize) -> Self {
        Self::start_with(count, Common::default()).await
    }

    pub async fn start_with(count: usize, common: Common) -> Self {
        let secure = common.tls.is_some();
        let members = (0..count).map(|n| One::new(&format!("m{n}"), secure)).collect();
        Self::start_all(members, common).await
    }

    /// Starts three members that can be cut off.
    pub async fn relayed() -> Self {
        let members = [
            One::relayed("m0").await,
            One::relayed("m1").await,
            One::relayed("m2").await,
        ];
        Self::start_all(members.into(), Common::default()).await
    }

    async fn start_all(members: Vec<One>, common: Common) -> Self {
        let mut this = Self { members, common };
        let initial = this.initial();
        let starting = this.members.iter_mut().map(|member| {
            let mut settings = member.settings(&this.common);
            settings.initial_cluster = initial.clone();
            member.start(settings)
        });
        for started in futures::future::join_all(starting).await {
            started.unwrap();
        }
        this.leader().await;
        this
    }

    pub fn initial(&self) -> Vec<(String, String)> {
        let pairs = self.members.iter();
        pairs
            .map(|member| (member.name.clone(), member.peer_url.clone()))
            .collect()
    }

    /// Starts a member again over what it has.
    pub async fn restart(&mut self, at: usize) {
        let mut settings = self.members[at].settings(&self.common);
        settings.initial_cluster = self.initial();
        self.members[at].start(settings).await.unwrap();
    }

    pub fn running(&self) -> impl Iterator<Item = usize> {
        (0..self.members.len()).filter(|at| self.members[*at].running.is_some())
    }

    /// Who leads, once all that run agree.
    pub async fn leader(&self) -> usize {
        let look = || {
            let views: Vec<(usize, View)> = self
                .running()
                .map(|at| (at, self.members[at].replica().view()))
                .collect();
            let leader = views.iter().find(|(_, view)| view.leads)?;
            let agree = views
                .iter()
                .all(|(_, view)| view.leader == leader.1.leader && view.term == leader.1.term);
            agree.then_some(leader.0)
        };
        until("the members agree on a leader", look).await
    }

    /// Who leads those other than `but`, once they agree.
    pub async fn leader_of(&self, but: usize) -> usize {
        let look = || {
            let mut others = self.running().filter(|at| *at != but);
            others.find(|at| self.members[*at].replica().view().leads)
        };
        until("the others have a leader", look).await
    }

    /// A member that does not lead.
    pub async fn follower(&self) -> usize {
        let leader = self.leader().await;
        self.running().find(|at| *at != leader).expect("there is another")
    }

    /// Waits until all that run have applied the same.
    pub async fn settled(&self) {
        let look = || {
            let mut all = self.running().map(|at| self.members[at].replica());
            let first = all.next()?;
            let (applied, revision) = (first.applied(), first.engine().visible());
            all.all(|other| other.applied() == applied && other.engine().visible() == revision)
                .then_some(())
        };
        until("all members have applied the same", look).await;
    }
}

/// What `look` finds.
pub async fn until<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let waiting = async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    match tokio::time::timeout(LIMIT, waiting).await {
        Ok(found) => found,
        Err(_) => panic!("waited until {what}"),
    }
}

/// Waits until a member was told the name of one that was added.
pub async fn name_is_known(at: &Replica, id: u64) {
    until("its name is known", || {
        let members = at.members();
        members.get(id).filter(|one| one.has_started()).map(drop)
    })
    .await;
}

/// TLS between members by certificates of `authority`.
pub fn peer_tls(authority: &component::pki::Authority, name: &str) -> PeerTls {
    use component::pki::{Purpose, client_config};
    let now = Env::system().clock.wall();
    let purpose = Purpose::server(name, vec!["127.0.0.1".to_owned()]);
    let leaf = authority.leaf(name, &purpose, now).unwrap();
    let client = authority
        .leaf(&format!("{name}-client"), &Purpose::client(name, &[]), now)
        .unwrap();
    PeerTls {
        client: Arc::new(client_config(authority.certificate(), Some(&client)).unwrap()),
        server: crate::secure::server(&leaf, authority.certificate()),
    }
}
