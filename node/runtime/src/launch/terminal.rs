//! Pseudo terminals.

use nix::libc::{TIOCSCTTY, TIOCSWINSZ};
use std::{
    fs::{File, OpenOptions},
    io,
    os::{
        fd::{AsRawFd, BorrowedFd, OwnedFd},
        unix::fs::OpenOptionsExt,
    },
};

/// Opens a terminal of the current root's devpts: its two ends and the number of its device.
pub(super) fn open() -> io::Result<(OwnedFd, OwnedFd, u32)> {
    let master = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NOCTTY | libc::O_CLOEXEC)
        .open("/dev/pts/ptmx")?;
    let mut unlock: libc::c_int = 0;
    ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &raw mut unlock)?;
    let mut number: libc::c_uint = 0;
    ioctl(master.as_raw_fd(), libc::TIOCGPTN, &raw mut number)?;
    let slave = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NOCTTY | libc::O_CLOEXEC)
        .open(format!("/dev/pts/{number}"))?;
    Ok((master.into(), File::into(slave), number))
}

/// Makes the terminal the calling session's.
pub(super) fn control(slave: BorrowedFd<'_>) -> io::Result<()> {
    #[expect(unsafe_code, reason = "ioctl has no safe wrapper for this request")]
    // SAFETY: the request takes a number, not a pointer.
    let result = unsafe { libc::ioctl(slave.as_raw_fd(), TIOCSCTTY, 0) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Sets the size of a terminal.
pub(crate) fn resize(master: BorrowedFd<'_>, width: u16, height: u16) -> io::Result<()> {
    let mut size = libc::winsize {
        ws_row: height,
        ws_col: width,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    ioctl(master.as_raw_fd(), TIOCSWINSZ, &raw mut size)
}

fn ioctl<T>(fd: i32, request: libc::Ioctl, argument: *mut T) -> io::Result<()> {
    #[expect(unsafe_code, reason = "ioctl has no safe wrapper for these requests")]
    // SAFETY: each caller passes a pointer to a live value of the type that its request reads or fills.
    let result = unsafe { libc::ioctl(fd, request, argument) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
