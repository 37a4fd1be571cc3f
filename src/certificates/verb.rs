//! `ferrokube certificate`.

use super::list;
use crate::{
    cli::{CertificateArgs, CertificateVerb, RotateArgs},
    place::Place,
};
use anyhow::{Context, Result, bail};
use component::{
    Clock,
    pki::{Authority, Rotation},
};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::{fs, path::Path};

/// The CAs of a cluster: files and common names.
pub const AUTHORITIES: [(&str, &str); 2] = [("ca", "kubernetes"), ("front-proxy-ca", "front-proxy-ca")];

/// Does what `args` say.
pub fn run(args: &CertificateArgs) -> Result<()> {
    let dir = &args.place.data_dir;
    let pki = dir.join("pki");
    if !pki.join("ca.crt").exists() {
        bail!("no cluster was started on {}", dir.display());
    }
    match &args.verb {
        CertificateVerb::List => {
            print!("{}", list::table(&pki, Clock::system().wall())?);
            Ok(())
        }
        CertificateVerb::Renew => renew(dir, &pki),
        CertificateVerb::RotateCa(rotate) => rotate_ca(dir, &pki, rotate),
    }
}

/// Takes all leaves away and has them made anew.
fn renew(dir: &Path, pki: &Path) -> Result<()> {
    for entry in fs::read_dir(pki)? {
        let path = entry?.path();
        let stem = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let authority = AUTHORITIES.iter().any(|(name, _)| {
            stem == *name || stem.strip_prefix(name).is_some_and(|rest| rest.starts_with('-'))
        });
        if path.extension().is_some_and(|end| end == "crt") && !authority {
            fs::remove_file(&path).with_context(|| path.display().to_string())?;
        }
    }
    match tell(dir)? {
        true => println!("certificates are renewed"),
        false => println!("certificates will be renewed when the cluster starts"),
    }
    Ok(())
}

fn rotate_ca(dir: &Path, pki: &Path, args: &RotateArgs) -> Result<()> {
    let overlap = component::flags::parse_duration(&args.overlap)
        .and_then(|overlap| overlap.try_into().ok())
        .with_context(|| format!("--overlap: {:?} is no duration", args.overlap))?;
    let now = Clock::system().wall();
    for (name, common_name) in AUTHORITIES {
        let authority = Authority::named(pki, name, common_name, now)?;
        match (args.finish, authority.rotation()) {
            (true, Rotation::Announced(at)) => {
                bail!("the new CA does not sign before {at}; the old one is needed until then")
            }
            (true, _) => authority.finish_rotation()?,
            (false, Rotation::Retiring(until)) => {
                bail!("the CA before is still trusted, until {until}; forget it first: rotate-ca --finish")
            }
            (false, _) => authority.begin_rotation(now, overlap)?,
        }
    }
    let running = tell(dir)?;
    let when = if running { "now" } else { "when the cluster starts" };
    if args.finish {
        println!("the old CA is forgotten {when}");
    } else {
        println!(
            "a new CA is trusted {when} and signs after {}; then, when every client has the new certificates: \
             ferrokube certificate rotate-ca --finish --data-dir {}",
            args.overlap,
            dir.display()
        );
    }
    Ok(())
}

/// Tells the process that runs on `dir` to look at its certificates. False: there is none.
fn tell(dir: &Path) -> Result<bool> {
    if Place::lock(dir).is_ok() {
        return Ok(false);
    }
    let running = Place::running(dir).context("the process that runs here does not say its pid")?;
    let pid = Pid::from_raw(running.pid).context("the process that runs here does not say its pid")?;
    let process =
        pidfd_open(pid, PidfdFlags::empty()).with_context(|| format!("no process {}", running.pid))?;
    pidfd_send_signal(&process, Signal::USR1)
        .with_context(|| format!("cannot signal process {}", running.pid))?;
    Ok(true)
}
