//! Who a process runs as: the image's user by its `/etc/passwd` and `/etc/group`, and what overrides it.

use super::Process;
use std::fs;

/// A resolved user.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct User {
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
    pub home: String,
}

/// Resolves the process's user with the files of the current root.
pub(super) fn resolve(process: &Process) -> Result<User, String> {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let group = fs::read_to_string("/etc/group").unwrap_or_default();
    resolve_in(process, &passwd, &group)
}

fn resolve_in(process: &Process, passwd: &str, group: &str) -> Result<User, String> {
    let (image_user, image_group) = process
        .image_user
        .split_once(':')
        .unwrap_or((&process.image_user, ""));
    let wanted = process
        .run_as_user
        .map(|uid| uid.to_string())
        .unwrap_or_else(|| image_user.to_owned());
    // The image's group belongs to the image's user only.
    let image_group = if process.run_as_user.is_some() {
        ""
    } else {
        image_group
    };
    let wanted = if wanted.is_empty() { "0".to_owned() } else { wanted };
    let entry = passwd_entry(passwd, &wanted);
    let uid = match (&entry, wanted.parse::<u32>()) {
        (Some(entry), _) => entry.uid,
        (None, Ok(uid)) => uid,
        (None, Err(_)) => {
            return Err(format!(
                "unable to find user {wanted}: no matching entries in passwd file"
            ));
        }
    };
    let gid = match (process.run_as_group, image_group) {
        (Some(gid), _) => u32::try_from(gid).map_err(|_| format!("invalid group id {gid}"))?,
        (None, "") => entry.as_ref().map(|entry| entry.gid).unwrap_or_default(),
        (None, name) => group_id(group, name)
            .ok_or_else(|| format!("unable to find group {name}: no matching entries in group file"))?,
    };
    if process.run_as_non_root && uid == 0 {
        return Err("container has runAsNonRoot and image will run as root".to_owned());
    }
    let mut groups: Vec<u32> = entry
        .as_ref()
        .filter(|_| !process.strict_supplemental_groups)
        .map(|entry| member_of(group, entry.name))
        .unwrap_or_default();
    groups.extend(
        process
            .supplemental_groups
            .iter()
            .filter_map(|gid| u32::try_from(*gid).ok()),
    );
    groups.push(gid);
    groups.sort_unstable();
    groups.dedup();
    let home = entry
        .map(|entry| entry.home.to_owned())
        .filter(|home| !home.is_empty());
    Ok(User {
        uid,
        gid,
        groups,
        home: home.unwrap_or_else(|| "/".to_owned()),
    })
}

struct Entry<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

/// The line of `passwd` whose name, or else whose number, is `wanted`.
fn passwd_entry<'a>(passwd: &'a str, wanted: &str) -> Option<Entry<'a>> {
    let entries = || {
        passwd.lines().filter_map(|line| {
            let mut fields = line.split(':');
            let (name, uid, gid) = (
                fields.next()?,
                fields.nth(1)?.parse().ok()?,
                fields.next()?.parse().ok()?,
            );
            Some(Entry {
                name,
                uid,
                gid,
                home: fields.nth(1).unwrap_or_default(),
            })
        })
    };
    let number = wanted.parse::<u32>().ok();
    entries()
        .find(|e| e.name == wanted)
        .or_else(|| entries().find(|e| Some(e.uid) == number))
}

fn group_id(group: &str, wanted: &str) -> Option<u32> {
    let found = group.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == wanted).then(|| fields.nth(1)?.parse().ok())?
    });
    found.or_else(|| wanted.parse().ok())
}

fn member_of(group: &str, user: &str) -> Vec<u32> {
    let lines = group.lines().filter_map(|line| {
        let mut fields = line.split(':').skip(2);
        let gid = fields.next()?.parse().ok()?;
        fields
            .next()?
            .split(',')
            .any(|member| member == user)
            .then_some(gid)
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nweb:x:101:102:w:/var/www:/bin/false\n";
    const GROUP: &str = "root:x:0:\nweb:x:102:\nlogs:x:4:web,other\n";

    fn process(image_user: &str) -> Process {
        let text = format!(
            r#"{{"args":[],"env":[],"cwd":"","image_user":"{image_user}","run_as_user":null,"run_as_group":null,
            "run_as_non_root":false,"supplemental_groups":[],"capabilities":[],"no_new_privs":false,"seccomp":[],
            "oom_score_adj":0,"tty":false}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn names_and_numbers() {
        let web = resolve_in(&process("web"), PASSWD, GROUP).unwrap();
        assert_eq!(
            web,
            User {
                uid: 101,
                gid: 102,
                groups: vec![4, 102],
                home: "/var/www".to_owned()
            }
        );
        assert_eq!(resolve_in(&process("101:logs"), PASSWD, GROUP).unwrap().gid, 4);
        assert_eq!(resolve_in(&process("77"), PASSWD, GROUP).unwrap().uid, 77);
        assert_eq!(resolve_in(&process(""), PASSWD, GROUP).unwrap().home, "/root");
        assert!(
            resolve_in(&process("ghost"), PASSWD, GROUP)
                .unwrap_err()
                .contains("unable to find user ghost")
        );
    }

    #[test]
    fn overrides() {
        let mut of_pod = process("web:web");
        of_pod.run_as_user = Some(1000);
        of_pod.supplemental_groups = vec![2000];
        let user = resolve_in(&of_pod, PASSWD, GROUP).unwrap();
        assert_eq!((user.uid, user.gid, user.groups), (1000, 0, vec![0, 2000]));
        let mut strict = process("web");
        strict.strict_supplemental_groups = true;
        strict.supplemental_groups = vec![2000];
        assert_eq!(resolve_in(&strict, PASSWD, GROUP).unwrap().groups, [102, 2000]);
        let mut root = process("");
        root.run_as_non_root = true;
        assert!(resolve_in(&root, PASSWD, GROUP).is_err());
    }
}
