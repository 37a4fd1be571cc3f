//! Seccomp: profiles become filters in the daemon; the launch child only installs them. A filter that cannot be
//! made or installed keeps the container from starting.

mod default;
mod profile;
mod syscalls;

pub(crate) use profile::Profile;

/// One filter program: `(code, jt, jf, k)` for each instruction, as the kernel's `sock_filter`.
pub(crate) type Program = Vec<(u16, u8, u8, u32)>;

/// The default profile's filters for a process whose bounding set is `capabilities` (`CAP_...`).
pub(crate) fn default_programs(capabilities: &[&str]) -> Result<Vec<Program>, String> {
    default::profile(capabilities).compile()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_profile_compiles_into_two_filters() {
        // One refuses with EPERM, one answers clone3 with ENOSYS.
        assert_eq!(default_programs(&["CAP_CHOWN"]).map(|p| p.len()), Ok(2));
        assert_eq!(default_programs(&["CAP_SYS_ADMIN"]).map(|p| p.len()), Ok(1));
    }

    #[test]
    fn an_unknown_action_is_refused() {
        let text = r#"{"defaultAction":"SCMP_ACT_NOTIFY","syscalls":[]}"#;
        assert!(Profile::parse(text.as_bytes()).is_err());
    }

    #[test]
    fn a_file_profile_that_allows_by_default_makes_one_filter_an_action() {
        let text = r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86_64"],
            "syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_ERRNO","errnoRet":5},
                        {"name":"chmod","action":"SCMP_ACT_KILL"}]}"#;
        let programs = Profile::parse(text.as_bytes()).and_then(|p| p.compile());
        assert_eq!(programs.map(|p| p.len()), Ok(2));
    }
}
