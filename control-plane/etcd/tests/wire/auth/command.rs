//! A session with etcd's own command, at ours and at Debian's server.

use super::*;

/// Commands of a session with etcd's own command, one a line; what follows `<` is typed.
const SESSION: &str = "\
user list
auth enable
user add root:toor
user add root:again
auth enable
user grant-role root root
user grant-role root nothing
user get root
user add ann:secret
user add eve --interactive=false < pass
user add name --no-password
user get nobody
role add reader
role add reader
role add writer
role grant-permission reader read a c
role grant-permission reader read m
role grant-permission writer readwrite --prefix /w/
role grant-permission writer write --from-key x
role grant-permission nothing read a
role get reader
role get writer
role get nothing
role list
user grant-role ann reader
user grant-role ann writer
user get ann --detail
user list
put a 1
put m 1
auth enable
put a 2
get a
--user root:wrong get a
--user root:toor put a 2
--user ann:secret get a
--user ann:secret get a b
--user ann:secret get a z
--user ann:secret get --prefix /w/
--user ann:secret put a 3
--user ann:secret put /w/1 3
--user ann:secret put y 4
--user ann:secret get y
--user ann:secret del --prefix /w/
--user ann:secret del m
--user ann:secret user list
--user ann:secret user get ann
--user ann:secret user get root
--user ann:secret role get reader
--user ann:secret role add more
--user ann:secret member remove 1
--user root:toor role revoke-permission reader m
--user root:toor role revoke-permission reader m
--user ann:secret get m
--user root:toor user revoke-role ann writer
--user root:toor user revoke-role ann writer
--user ann:secret put y 5
--user root:toor user passwd ann --interactive=false < other
--user ann:secret get a
--user ann:other get a
--user root:toor user delete root
--user root:toor user revoke-role root root
--user root:toor role delete reader
--user ann:other get a
--user root:toor user delete ann
--user ann:other get a
--user root:toor user delete ann
--user root:toor auth disable
get a
user list
role list";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcds_own_command_keeps_users_and_roles_and_shows_what_debians_server_does() {
    let (ours, theirs) = (Ours::start(cheap).await, Theirs::start().await);
    let mut differences = Vec::new();
    for line in SESSION.lines() {
        let (line, typed) = line.split_once(" < ").unwrap_or((line, ""));
        let args: Vec<&str> = line.split(' ').collect();
        let typed = format!("{typed}\n");
        let said = async |url: &str| {
            let said = ctl_with(url, &args, &typed).await;
            let last = said.err.lines().last().unwrap_or_default();
            // What the client logs begins with a time and shows the address.
            let after = |mark: &str| {
                last.split_once(mark)
                    .map(|(_, error)| error.trim_end_matches("\"}"))
            };
            let error = after("Error: ").or_else(|| after("\"error\":\""));
            (said.code, said.out, error.unwrap_or_default().to_owned())
        };
        let (ours, theirs) = (said(&ours.url).await, said(&theirs.url).await);
        if ours != theirs {
            differences.push(format!("etcdctl {line}\n ours   {ours:?}\n theirs {theirs:?}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
