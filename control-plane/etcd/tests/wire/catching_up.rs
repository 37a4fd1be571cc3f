//! Members that start together, that are behind, and that are looked for at another place.

use crate::{lab::*, members::*};
use component::Env;
use etcd::{Store, replica::peer::PeerListener};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// What a member answers that is asked who the members are.
async fn members_of(one: &One) -> String {
    let address = one.peer_url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = "POST /raft/members HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_that_start_together_do_not_wait_for_each_other() {
    // Two that come no further than to listen: whoever asks them is told so, and need not wait.
    let mut all: Vec<One> = ["m0", "m1", "m2"].map(|name| One::new(name, false)).into();
    let initial: Vec<_> = all
        .iter()
        .map(|one| (one.name.clone(), one.peer_url.clone()))
        .collect();
    let common = Common::default();
    let (env, mut openings) = (Env::system(), Vec::new());
    for one in &all[1..] {
        let address = one.peer_url.strip_prefix("http://").unwrap();
        let listener = TcpListener::bind(address).await.unwrap();
        let (serving, opening) = PeerListener::ahead(&one.settings(&common), false, &env);
        openings.push(opening);
        env.tasks.spawn("peers", serving.serve(listener));
        let told = members_of(one).await;
        assert!(
            told.contains("503") && told.contains("the member is starting"),
            "{told}"
        );
    }
    let mut settings = all[0].settings(&common);
    settings.initial_cluster = initial.clone();
    all[0].start(settings).await.unwrap();
    let told = members_of(&all[0]).await;
    assert!(told.starts_with("HTTP/1.1 200"), "{told}");
    drop(openings);
    assert!(env.tasks.drain(LIMIT).await);
    // When they are there, they are a cluster.
    for one in &mut all[1..] {
        let mut settings = one.settings(&common);
        settings.initial_cluster = initial.clone();
        one.start(settings).await.unwrap();
    }
    let mut cluster = Cluster { members: all, common };
    cluster.leader().await;
    put(cluster.members[0].replica(), "a", "1").await;
    cluster.members[0].stop().await;
}

/// Writes so much that the log of the others no longer has what a member misses.
async fn leave_behind(cluster: &Cluster, leader: usize, behind: usize) {
    let (from, other) = (
        cluster.members[leader].replica(),
        cluster.members[behind].replica(),
    );
    let large = "x".repeat(1 << 20);
    let written = tokio::time::timeout(LIMIT * 2, async {
        for n in 0.. {
            put(from, &format!("/large/{}", n % 4), &large).await;
            if from.status().await.unwrap().first_index > other.applied() + 1 {
                return;
            }
        }
    });
    written.await.expect("the log is dropped in the end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_gets_a_snapshot_while_revisions_are_compacted() {
    let cluster = Cluster::relayed().await;
    let (behind, leader) = (cluster.follower().await, cluster.leader().await);
    put(cluster.members[behind].replica(), "/a", "first").await;
    cluster.settled().await;
    let (from, other) = (
        cluster.members[leader].replica().clone(),
        cluster.members[behind].replica().clone(),
    );
    cluster.members[behind].cut(true);
    until("it is cut off", || (other.view().leader == 0).then_some(())).await;
    leave_behind(&cluster, leader, behind).await;
    let missed = from.applied();
    cluster.members[behind].cut(false);
    // As long as the snapshot is on its way, what is in it is written over and forgotten.
    let mut n = 0;
    while other.applied() < missed {
        n += 1;
        let revision = put(&from, &format!("/large/{}", n % 4), &format!("after {n}")).await;
        from.compact(revision - 1).await.unwrap();
    }
    assert!(n > 0);
    cluster.settled().await;
    let hashes = cluster.members.iter().map(|one| one.replica().hash(0));
    let hashes: Vec<_> = futures::future::join_all(hashes).await;
    let hashes: Vec<_> = hashes.into_iter().map(Result::unwrap).collect();
    assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
    assert_eq!(other.engine().compacted(), from.engine().compacted());
    assert_eq!(get(&other, "/a").await.unwrap().value, "first");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_learner_that_lags_is_not_promoted() {
    let mut cluster = Cluster::start(1).await;
    let first = cluster.members[0].replica().clone();
    let url = cluster.members[0].url.clone();
    let mut two = One::relayed("two").await;
    let added = ctl(
        &url,
        &[
            "member",
            "add",
            "two",
            "--learner",
            &format!("--peer-urls={}", two.peer_url),
        ],
    )
    .await;
    assert!(added.out.contains("added to cluster"), "{added:?}");
    let mut settings = two.settings(&cluster.common);
    settings.initial_cluster.extend(cluster.initial());
    settings.existing = true;
    two.start(settings).await.unwrap();
    let id = format!("{:x}", two.replica().identity().member);
    name_is_known(&first, two.replica().identity().member).await;
    two.cut(true);
    let seen = two.replica().applied();
    while first.applied() < seen * 2 + 100 {
        put(&first, "a", "1").await;
    }
    let early = ctl(&url, &["member", "promote", &id]).await;
    let why = "etcdserver: can only promote a learner member which is in sync with leader";
    assert!(early.err.contains(why), "{early:?}");
    two.cut(false);
    until("it has caught up", || {
        (two.replica().applied() >= first.applied()).then_some(())
    })
    .await;
    // The leader hears of it a moment later than it is so.
    let promoted = async {
        while first.promote(two.replica().identity().member).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, promoted)
        .await
        .expect("it is promoted once it is in sync");
    cluster.members.push(two);
    cluster.leader().await;
    put(&first, "a", "2").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_at_its_old_place_disturbs_nobody_until_it_is_looked_for_there() {
    let mut cluster = Cluster::start(3).await;
    let away = cluster.follower().await;
    let id = cluster.members[away].replica().identity().member;
    let (old, new) = (
        cluster.members[away].peer_url.clone(),
        format!("http://127.0.0.1:{}", free_port()),
    );
    cluster.members[away].stop().await;
    let leader = cluster.leader().await;
    let url = cluster.members[leader].url.clone();
    let update = async |to: &str| {
        let told = ctl(
            &url,
            &[
                "member",
                "update",
                &format!("{id:x}"),
                &format!("--peer-urls={to}"),
            ],
        )
        .await;
        assert!(told.out.contains("updated in cluster"), "{told:?}");
    };
    update(&new).await;
    let term = cluster.members[leader].replica().view().term;
    // With the flags of before, at the place of before.
    cluster.restart(away).await;
    for n in 0..100 {
        put(cluster.members[leader].replica(), "a", &n.to_string()).await;
    }
    let view = cluster.members[leader].replica().view();
    assert_eq!((view.leads, view.term), (true, term));
    update(&old).await;
    cluster.settled().await;
    assert_eq!(
        get(cluster.members[away].replica(), "a").await.unwrap().value,
        "99"
    );
    // What the members know counts, not what the flags say.
    let members = cluster.members[away].replica().members();
    assert_eq!(members.get(id).unwrap().peer_urls, [old]);
}
