//! Several members: what is acknowledged by one is there on all, whichever of them is lost.

use crate::{lab::*, members::*};
use bytes::Bytes;
use component::{Env, pki::Authority};
use etcd::{
    RangeRequest, Store, WatchItem, WatchRequest,
    replica::{Alarm, Failure, MemberError},
};
use std::{collections::BTreeMap, sync::atomic::Ordering::Relaxed, time::Duration};

async fn value(store: &dyn Store, key: &str) -> Option<Bytes> {
    get(store, key).await.map(|kv| kv.value)
}

/// What a member holds, without asking the others.
async fn local(one: &One, key: &str) -> Option<Bytes> {
    let read = RangeRequest {
        start: Bytes::copy_from_slice(key.as_bytes()),
        ..RangeRequest::default()
    };
    let found = one.replica().engine().range(read).await.unwrap();
    found.kvs.into_iter().next().map(|kv| kv.value)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_through_any_member_is_read_through_any_other() {
    let cluster = Cluster::start(3).await;
    for at in 0..3 {
        let key = format!("k{at}");
        put(cluster.members[at].replica(), &key, "1").await;
        for other in &cluster.members {
            assert_eq!(value(other.replica(), &key).await.unwrap(), "1");
        }
    }
    cluster.settled().await;
    let hashes = cluster.members.iter().map(|one| one.replica().hash(0));
    let hashes: Vec<_> = futures::future::join_all(hashes).await;
    assert!(
        hashes
            .iter()
            .all(|hash| hash.as_ref().unwrap() == hashes[0].as_ref().unwrap())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_loss_of_a_minority_costs_nothing_and_of_a_majority_only_time() {
    let mut cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    put(cluster.members[leader].replica(), "a", "1").await;
    cluster.members[leader].stop().await;
    let next = cluster.leader().await;
    assert_eq!(value(cluster.members[next].replica(), "a").await.unwrap(), "1");
    put(cluster.members[next].replica(), "b", "2").await;
    let last = cluster.follower().await;
    cluster.members[next].stop().await;
    // One of three: it reads what it has, and answers nothing that others may know better.
    let alone = cluster.members[last].replica();
    until("the last one has no leader", || {
        (alone.view().leader == 0).then_some(())
    })
    .await;
    assert_eq!(local(&cluster.members[last], "a").await.unwrap(), "1");
    let told = ctl(&cluster.members[last].url, &["--command-timeout=1s", "get", "a"]).await;
    assert_ne!(told.code, Some(0), "{told:?}");
    let told = ctl(&cluster.members[last].url, &["get", "--consistency=s", "a"]).await;
    assert_eq!(told.out, "a\n1\n", "{told:?}");
    cluster.restart(leader).await;
    let now = cluster.leader().await;
    for (key, text) in [("a", "1"), ("b", "2")] {
        assert_eq!(value(cluster.members[now].replica(), key).await.unwrap(), text);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_members_go_on_without_two() {
    let mut cluster = Cluster::start(5).await;
    put(cluster.members[3].replica(), "a", "1").await;
    let mut gone = Vec::new();
    for key in ["b", "c"] {
        let leader = cluster.leader().await;
        cluster.members[leader].stop().await;
        gone.push(leader);
        let next = cluster.leader().await;
        put(cluster.members[next].replica(), key, "1").await;
    }
    for at in cluster.running() {
        for key in ["a", "b", "c"] {
            assert_eq!(value(cluster.members[at].replica(), key).await.unwrap(), "1");
        }
    }
    for at in gone {
        cluster.restart(at).await;
    }
    cluster.settled().await;
    for one in &cluster.members {
        assert_eq!(local(one, "c").await.unwrap(), "1");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_members_start_again_with_what_was_acknowledged() {
    let mut cluster = Cluster::start(3).await;
    for n in 0..50 {
        put(cluster.members[n % 3].replica(), &format!("k{n}"), "x").await;
    }
    for member in &mut cluster.members {
        member.stop().await;
    }
    for at in 0..3 {
        cluster.restart(at).await;
    }
    cluster.leader().await;
    for n in 0..50 {
        let found = value(cluster.members[(n + 1) % 3].replica(), &format!("k{n}")).await;
        assert_eq!(found.unwrap(), "x");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_are_added_as_learners_promoted_and_removed() {
    let mut cluster = Cluster::start(1).await;
    for n in 0..20 {
        put(cluster.members[0].replica(), &format!("k{n}"), "x").await;
    }
    let first = cluster.members[0].replica().clone();
    let mut two = One::new("two", false);
    let added = first.add(vec![two.peer_url.clone()], true).await.unwrap();
    let early = first.promote(added.id).await;
    assert!(matches!(early, Err(Failure::LearnerNotReady)), "{early:?}");
    let more = first.add(vec!["http://127.0.0.1:1".to_owned()], true).await;
    assert!(
        matches!(more, Err(Failure::Member(MemberError::TooManyLearners))),
        "{more:?}"
    );
    let mut settings = two.settings(&cluster.common);
    settings.initial_cluster.extend(cluster.initial());
    settings.existing = true;
    two.start(settings).await.unwrap();
    assert_eq!(two.replica().identity().member, added.id);
    until("the learner has got everything", || {
        (two.replica().applied() >= first.applied() && two.replica().is_learner()).then_some(())
    })
    .await;
    assert_eq!(local(&two, "k7").await.unwrap(), "x");
    let told = ctl(&two.url, &["put", "a", "1"]).await;
    assert!(
        told.err.contains("etcdserver: rpc not supported for learner"),
        "{told:?}"
    );
    name_is_known(&first, added.id).await;
    first.promote(added.id).await.unwrap();
    let again = first.promote(added.id).await;
    assert!(
        matches!(again, Err(Failure::Member(MemberError::NotLearner))),
        "{again:?}"
    );
    cluster.members.push(two);
    cluster.leader().await;
    put(cluster.members[1].replica(), "both", "1").await;
    let twice = first.add(vec![cluster.members[1].peer_url.clone()], false).await;
    assert!(
        matches!(
            twice,
            Err(Failure::Member(MemberError::UrlExists | MemberError::Exists))
        ),
        "{twice:?}"
    );
    first.remove(added.id).await.unwrap();
    let why = tokio::time::timeout(LIMIT, cluster.members[1].replica().failed()).await;
    let why = why.expect("the removed member learns it");
    assert!(why.contains("permanently removed"), "{why}");
    put(&first, "alone", "1").await;
    cluster.members[1].stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_far_behind_gets_a_snapshot_and_its_watches_go_on() {
    let mut cluster = Cluster::relayed().await;
    let behind = cluster.follower().await;
    put(cluster.members[behind].replica(), "/a", "first").await;
    cluster.settled().await;
    let leader = cluster.leader().await;
    let mut watch = cluster.members[behind].replica().watch(WatchRequest {
        start: "/a".into(),
        after: 1,
        ..WatchRequest::default()
    });
    assert!(matches!(next(&mut watch).await, Ok(WatchItem::Events(events)) if events.len() == 1));
    // So much that the log of the others no longer has what it misses.
    let other = cluster.members[behind].replica().clone();
    cluster.members[behind].cut(true);
    until("it is cut off", || (other.view().leader == 0).then_some(())).await;
    let large = "x".repeat(1 << 20);
    let from = cluster.members[leader].replica().clone();
    let written = tokio::time::timeout(LIMIT * 2, async {
        for n in 0.. {
            put(&from, &format!("/large/{}", n % 4), &large).await;
            if from.status().await.unwrap().first_index > other.applied() + 1 {
                return;
            }
        }
    });
    written.await.expect("the log is dropped in the end");
    put(&from, "/a", "second").await;
    cluster.members[behind].cut(false);
    until("it has caught up", || {
        (other.applied() >= from.applied()).then_some(())
    })
    .await;
    let event = next(&mut watch).await;
    assert!(matches!(event, Ok(WatchItem::Events(events)) if events.len() == 1));
    put(&other, "/a", "third").await;
    let event = next(&mut watch).await;
    assert!(matches!(event, Ok(WatchItem::Events(events)) if events.len() == 1));
    cluster.members[behind].stop().await;
    cluster.restart(behind).await;
    cluster.leader().await;
    assert_eq!(
        value(cluster.members[behind].replica(), "/a").await.unwrap(),
        "third"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leadership_is_handed_over() {
    let mut cluster = Cluster::start(3).await;
    let (from, to) = (cluster.leader().await, cluster.follower().await);
    let id = cluster.members[to].replica().identity().member;
    let not = cluster.members[to].replica().transfer(id).await;
    assert!(matches!(not, Err(Failure::NotLeader)), "{not:?}");
    let unknown = cluster.members[from].replica().transfer(1).await;
    assert!(matches!(unknown, Err(Failure::BadTransferee)), "{unknown:?}");
    cluster.members[from].replica().transfer(id).await.unwrap();
    assert_eq!(cluster.leader().await, to);
    // A leader that is told to end hands over first.
    let (_, env) = cluster.members[to].running.take().unwrap();
    let others: Vec<usize> = cluster.running().collect();
    env.tasks.drain(LIMIT).await;
    until("another leads", || {
        others
            .iter()
            .find(|at| cluster.members[**at].replica().view().leads)
            .map(drop)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_disk_is_stuck_hands_over() {
    let cluster = Cluster::start(3).await;
    let (leader, follower) = (cluster.leader().await, cluster.follower().await);
    put(cluster.members[leader].replica(), "a", "1").await;
    let stuck = &cluster.members[leader].stuck;
    stuck.store(true, Relaxed);
    // It may be lost on the way from one leader to the next.
    let written = write(cluster.members[follower].replica(), "a", None, "2");
    let (_, next) = futures::join!(written, cluster.leader_of(leader));
    put(cluster.members[next].replica(), "a", "3").await;
    stuck.store(false, Relaxed);
    cluster.settled().await;
    assert_eq!(value(cluster.members[leader].replica(), "a").await.unwrap(), "3");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_end_by_the_leader_and_are_kept_through_any_member() {
    let mut cluster = Cluster::start(3).await;
    let (leader, follower) = (cluster.leader().await, cluster.follower().await);
    let through = cluster.members[follower].replica().clone();
    let kept = through.grant_as(0, Duration::from_secs(3600)).await.unwrap();
    let short = through.grant_as(0, Duration::from_secs(1)).await.unwrap();
    assert_eq!(
        through.keep_alive(kept).await.unwrap(),
        Some(Duration::from_secs(3600))
    );
    assert_eq!(through.keep_alive(12345).await.unwrap(), None);
    let told = through.lease(kept).await.unwrap().unwrap();
    assert!(told.left > Duration::from_secs(3500), "{told:?}");
    let gone = || (!through.engine().leases().contains(&short)).then_some(());
    until("a lease ends when its time is over", gone).await;
    cluster.members[leader].stop().await;
    cluster.leader().await;
    assert_eq!(
        through.keep_alive(kept).await.unwrap(),
        Some(Duration::from_secs(3600))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alarms_are_known_to_all_and_different_data_is_found() {
    let cluster = Cluster::start_with(
        3,
        Common {
            check_every: Duration::from_millis(100),
            ..Common::default()
        },
    )
    .await;
    let url = &cluster.members[0].url;
    put(cluster.members[0].replica(), "a", "1").await;
    let me = cluster.members[1].replica().identity().member;
    cluster.members[1]
        .replica()
        .set_alarm(me, Alarm::NoSpace, true)
        .await
        .unwrap();
    cluster.settled().await;
    let full = ctl(url, &["put", "a", "2"]).await;
    assert!(
        full.err.contains("etcdserver: mvcc: database space exceeded"),
        "{full:?}"
    );
    assert!(ctl(url, &["alarm", "disarm"]).await.out.contains("alarm:NOSPACE"));
    cluster.settled().await;
    put(cluster.members[2].replica(), "a", "2").await;
    assert!(!cluster.members[0].replica().is_raised(Alarm::Corrupt));
}

/// What a member answers to one of another cluster.
async fn ask_as(peer_url: &str, path: &str, cluster: u64) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let address = peer_url.strip_prefix("http://").unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nx-server-version: 3.4.0\r\nx-min-cluster-version: 3.0.0\r\nx-etcd-cluster-id: {cluster:x}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_of_another_cluster_is_refused() {
    let mut cluster = Cluster::start(3).await;
    let away = cluster.follower().await;
    let known = cluster.members[away].replica().identity();
    cluster.members[away].stop().await;
    // A cluster of its own, at the same place, whose token is another one.
    let stranger = std::mem::replace(&mut cluster.members[away].dir, tempfile::tempdir().unwrap());
    let mut settings = cluster.members[away].settings(&cluster.common);
    settings.token = "another".to_owned();
    settings.initial_cluster = cluster.initial();
    cluster.members[away].start(settings).await.unwrap();
    let other = cluster.members[away].replica().identity();
    assert_ne!((known.cluster, known.member), (other.cluster, other.member));
    let leader = cluster.leader_of(away).await;
    put(cluster.members[leader].replica(), "a", "1").await;
    assert_eq!(cluster.members[away].replica().view().leader, 0);
    let theirs = Theirs::start().await;
    let ours = cluster.members[leader].peer_url.as_str();
    for (peer_url, path) in [(ours, "/raft/call"), (theirs.peer_url.as_str(), "/raft")] {
        let asked = ask_as(peer_url, path, other.cluster).await;
        let (head, body) = asked.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 412 "), "{asked}");
        assert_eq!(body.trim_end(), "cluster ID mismatch", "{asked}");
    }
    // What it has stored says whose it is, not what it is told.
    cluster.members[away].stop().await;
    cluster.restart(away).await;
    assert_eq!(cluster.members[away].replica().identity(), other);
    put(cluster.members[leader].replica(), "a", "2").await;
    assert_eq!(cluster.members[away].replica().view().leader, 0);
    assert!(local(&cluster.members[away], "a").await.is_none());
    cluster.members[away].stop().await;
    cluster.members[away].dir = stranger;
    cluster.restart(away).await;
    assert_eq!(value(cluster.members[away].replica(), "a").await.unwrap(), "2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_speak_tls_and_take_only_those_of_their_authority() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let now = Env::system().clock.wall();
    let authority = Authority::open(dir.path(), now).unwrap();
    let stranger = Authority::open(other.path(), now).unwrap();
    let common = Common {
        tls: Some(peer_tls(&authority, "peer")),
        ..Common::default()
    };
    let mut cluster = Cluster::start_with(3, common).await;
    put(cluster.members[0].replica(), "a", "1").await;
    let away = cluster.follower().await;
    cluster.members[away].stop().await;
    cluster.common.tls = Some(peer_tls(&stranger, "peer"));
    cluster.restart(away).await;
    let leader = cluster.leader_of(away).await;
    put(cluster.members[leader].replica(), "b", "1").await;
    assert!(local(&cluster.members[away], "b").await.is_none());
    cluster.members[away].stop().await;
    cluster.common.tls = Some(peer_tls(&authority, "peer"));
    cluster.restart(away).await;
    assert_eq!(value(cluster.members[away].replica(), "b").await.unwrap(), "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_survivor_becomes_a_cluster_of_its_own() {
    let mut cluster = Cluster::start(3).await;
    put(cluster.members[0].replica(), "a", "1").await;
    cluster.settled().await;
    for member in &mut cluster.members {
        member.stop().await;
    }
    let mut last = cluster.members.remove(2);
    let mut settings = last.settings(&cluster.common);
    settings.force_new = true;
    last.start(settings).await.unwrap();
    assert_eq!(value(last.replica(), "a").await.unwrap(), "1");
    put(last.replica(), "b", "2").await;
    let names: BTreeMap<_, _> = last
        .replica()
        .members()
        .iter()
        .map(|one| (one.id, one.name.clone()))
        .collect();
    assert_eq!(names.into_values().collect::<Vec<_>>(), ["m2"]);
    last.stop().await;
    last.start(last.settings(&cluster.common)).await.unwrap();
    assert_eq!(value(last.replica(), "b").await.unwrap(), "2");
    last.stop().await;
}

/// The process is killed when its store says that it is alone, and its log does not yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_survivor_that_was_killed_while_it_became_alone_becomes_it_the_next_time() {
    let mut cluster = Cluster::start(3).await;
    put(cluster.members[0].replica(), "a", "1").await;
    cluster.settled().await;
    for member in &mut cluster.members {
        member.stop().await;
    }
    let mut last = cluster.members.remove(2);
    let (log, before) = (last.dir.path().join("raft"), last.dir.path().join("before"));
    std::fs::create_dir(&before).unwrap();
    for file in std::fs::read_dir(&log).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), before.join(file.file_name())).unwrap();
    }
    let mut settings = last.settings(&cluster.common);
    settings.force_new = true;
    last.start(settings.clone()).await.unwrap();
    last.stop().await;
    std::fs::remove_dir_all(&log).unwrap();
    std::fs::rename(&before, &log).unwrap();
    last.start(settings).await.unwrap();
    assert_eq!(value(last.replica(), "a").await.unwrap(), "1");
    last.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_of_one_server_alone_becomes_the_first_member() {
    let mut one = One::new("one", false);
    let dir = one.dir.path().join("store");
    let options = etcd::Options {
        first_revision: 1,
        ..etcd::Options::default()
    };
    let engine = etcd::Engine::open(dir, options, Env::system()).unwrap();
    put(&*engine, "a", "1").await;
    let revision = put(&*engine, "a", "2").await;
    engine.close().await;
    drop(engine);
    let settings = one.settings(&Common::default());
    one.start(settings).await.unwrap();
    assert_eq!(value(one.replica(), "a").await.unwrap(), "2");
    assert_eq!(put(one.replica(), "b", "1").await, revision + 1);
    one.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcds_own_command_shows_and_changes_the_members() {
    let mut cluster = Cluster::start(3).await;
    let (leader, follower) = (cluster.leader().await, cluster.follower().await);
    let all: Vec<String> = cluster.members.iter().map(|one| one.url.clone()).collect();
    let (all, at_leader) = (all.join(","), cluster.members[leader].url.clone());
    let named = || {
        let members = cluster.members[follower].replica().members();
        members.iter().all(|member| member.has_started()).then_some(())
    };
    until("all names are known", named).await;
    let list = ctl(&all, &["member", "list"]).await.out;
    assert_eq!(list.lines().count(), 3, "{list}");
    for one in &cluster.members {
        let line = format!(", started, {}, {}, {}, false", one.name, one.peer_url, one.url);
        assert!(list.contains(&line), "no {line} in {list}");
    }
    let status = ctl(&all, &["endpoint", "status", "--cluster", "-w", "json"])
        .await
        .out;
    let id = cluster.members[leader].replica().identity().member;
    assert_eq!(status.matches(&format!("\"leader\":{id}")).count(), 3, "{status}");
    let health = ctl(&all, &["endpoint", "health"]).await;
    let told = format!("{}{}", health.out, health.err);
    assert_eq!(told.matches("is healthy").count(), 3, "{told}");
    let hashes = ctl(&all, &["endpoint", "hashkv"]).await.out;
    let hashes: std::collections::BTreeSet<&str> = hashes
        .lines()
        .filter_map(|line| line.split(", ").nth(1))
        .collect();
    assert_eq!(hashes.len(), 1, "{hashes:?}");
    let to = cluster.members[follower].replica().identity().member;
    let moved = ctl(&all, &["move-leader", &format!("{to:x}")]).await;
    assert!(
        moved
            .out
            .contains(&format!("Leadership transferred from {id:x} to {to:x}")),
        "{moved:?}"
    );
    assert_eq!(cluster.leader().await, follower);
    let mut four = One::new("four", false);
    let add = [
        "member",
        "add",
        "four",
        "--learner",
        &format!("--peer-urls={}", four.peer_url),
    ];
    let added = ctl(&at_leader, &add).await;
    assert!(added.out.contains("added to cluster"), "{added:?}");
    let mut settings = four.settings(&cluster.common);
    settings.initial_cluster.extend(cluster.initial());
    settings.existing = true;
    four.start(settings).await.unwrap();
    let new = format!("{:x}", four.replica().identity().member);
    let first = cluster.members[follower].replica();
    until("the learner has caught up", || {
        (four.replica().applied() >= first.applied()).then_some(())
    })
    .await;
    name_is_known(first, four.replica().identity().member).await;
    // At a member that does not lead: it asks the leader.
    let promoted = ctl(&at_leader, &["member", "promote", &new]).await;
    assert!(promoted.out.contains("promoted in cluster"), "{promoted:?}");
    let removed = ctl(&at_leader, &["member", "remove", &new]).await;
    assert!(removed.out.contains("removed from cluster"), "{removed:?}");
    let gone = ctl(&at_leader, &["member", "remove", &new]).await;
    assert!(gone.err.contains("etcdserver: member not found"), "{gone:?}");
    four.stop().await;
    cluster.members[leader].stop().await;
    cluster.leader().await;
    // With one of three down, a second may not go.
    let last = format!("{:x}", cluster.members[follower].replica().identity().member);
    let down = ctl(&cluster.members[follower].url, &["member", "remove", &last]).await;
    assert!(down.err.contains("etcdserver: unhealthy cluster"), "{down:?}");
}
