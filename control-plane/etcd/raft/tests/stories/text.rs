//! Raft's types in words.

use raft::{Body, Entry, Members, Message, Payload, Ready, Status};

pub fn message(message: &Message) -> String {
    let Message {
        from,
        to,
        term,
        body: said,
    } = message;
    format!("{from} -> {to}: {}, term {term}", body(said))
}

fn body(body: &Body) -> String {
    match body {
        Body::PreVote {
            last_index,
            last_term,
        } => format!("would you vote, log to {last_index}/{last_term}"),
        Body::PreVoteReply {
            granted,
            commit,
            commit_term,
        } => format!(
            "{} would, committed {commit}/{commit_term}",
            if *granted { "I" } else { "not I" }
        ),
        Body::Vote {
            last_index,
            last_term,
            transfer,
        } => format!(
            "vote{}, log to {last_index}/{last_term}",
            if *transfer { " since I am to lead" } else { "" }
        ),
        Body::VoteReply { granted } => if *granted { "voted" } else { "not voted" }.into(),
        Body::Append {
            prev_index,
            prev_term,
            entries: sent,
            commit,
        } => format!(
            "after {prev_index}/{prev_term}: {}; commit {commit}",
            entries(sent)
        ),
        Body::AppendReply { index, refused: None } => format!("same to {index}"),
        Body::AppendReply {
            index,
            refused: Some(hint),
        } => format!("not the same at {index}, perhaps at {}/{}", hint.index, hint.term),
        Body::Heartbeat { commit, read: 0 } => format!("heartbeat, commit {commit}"),
        Body::Heartbeat { commit, read } => format!("heartbeat, commit {commit}, read {read}"),
        Body::HeartbeatReply { read: 0 } => "heard".into(),
        Body::HeartbeatReply { read } => format!("heard, read {read}"),
        Body::InstallSnapshot(meta) => {
            format!(
                "snapshot {}/{} of {}",
                meta.index,
                meta.term,
                members(&meta.members)
            )
        }
        Body::TimeoutNow => "lead now".into(),
        Body::ReadIndex { context } => format!("where may I read, {context}"),
        Body::ReadIndexReply { context, index } => format!("read at {index}, {context}"),
        Body::Propose { payloads } => {
            let payloads: Vec<String> = payloads.iter().map(payload).collect();
            format!("please take {}", payloads.join(", "))
        }
    }
}

pub fn entries(entries: &[Entry]) -> String {
    let entry = |entry: &Entry| format!("{}/{} {}", entry.index, entry.term, payload(&entry.payload));
    match entries {
        [] => "nothing".into(),
        entries => entries.iter().map(entry).collect::<Vec<_>>().join(", "),
    }
}

fn payload(payload: &Payload) -> String {
    match payload {
        Payload::Empty => "empty".into(),
        Payload::Data(data) => format!("\"{}\"", String::from_utf8_lossy(data)),
        Payload::Change(change) => format!("{:?} {}", change.kind, change.id),
    }
}

pub fn members(members: &Members) -> String {
    let list = |ids: &std::collections::BTreeSet<u64>| {
        let ids: Vec<String> = ids.iter().map(u64::to_string).collect();
        ids.join(" ")
    };
    match members.learners.is_empty() {
        true => format!("[{}]", list(&members.voters)),
        false => format!(
            "[{}, learning {}]",
            list(&members.voters),
            list(&members.learners)
        ),
    }
}

/// What a Ready says, but for its messages.
pub fn ready(id: u64, ready: &Ready) -> String {
    let mut text = String::new();
    let mut line = |what: String| text += &format!("{id} {what}\n");
    if let Some(soft) = &ready.soft {
        line(format!("is {:?} of {}, term {}", soft.role, soft.leader, soft.term).to_lowercase());
    }
    if let Some(meta) = &ready.snapshot {
        line(format!("installs snapshot {}/{}", meta.index, meta.term));
    }
    if !ready.append.is_empty() {
        line(format!("appends {}", entries(&ready.append)));
    }
    if let Some(hard) = &ready.hard_state {
        line(format!(
            "writes term {}, vote {}, commit {}",
            hard.term, hard.vote, hard.commit
        ));
    }
    if !ready.committed.is_empty() {
        line(format!("applies {}", entries(&ready.committed)));
    }
    for (context, index) in &ready.reads {
        line(format!("may read at {index}, {context}"));
    }
    text
}

pub fn status(status: &Status) -> String {
    let role = format!("{:?}", status.role).to_lowercase();
    let mut text = format!(
        "{role} of {}, term {}, log {} to {}, commit {}, applied {}, members {}\n",
        status.leader,
        status.term,
        status.first_index,
        status.last_index,
        status.commit,
        status.applied,
        members(&status.members)
    );
    for (id, progress) in &status.progress {
        text += &format!(
            "  {id}: {:?} matched {} next {}{}\n",
            progress.state,
            progress.matched,
            progress.next,
            if progress.active { "" } else { ", not heard of" }
        );
    }
    text
}
