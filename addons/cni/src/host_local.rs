//! host-local: addresses from ranges, kept on disk in upstream's layout: a file an address that holds the container's
//! id and interface, `last_reserved_ip.N` for each set of ranges, and a lock.

use crate::{
    cidr::{Cidr, number},
    spec::{Config, Dns, Failure, IpConfig, Ipam, Outcome, Range, ValidAttachment, code},
};
use nix::fcntl::{Flock, FlockArg};
use std::{
    fs,
    io::{ErrorKind, Write},
    net::IpAddr,
    path::{Path, PathBuf},
};

/// Where state is kept if nothing else is said.
pub(crate) const DATA_DIR: &str = "/var/lib/cni/networks";
const LINE_BREAK: &str = "\r\n";

/// The state of one network, locked for as long as this lives.
struct Store {
    folder: PathBuf,
    _lock: Flock<fs::File>,
}

impl Store {
    fn open(config: &Config) -> Result<Self, Failure> {
        let ipam = ipam(config)?;
        let data_dir = if ipam.data_dir.is_empty() {
            DATA_DIR
        } else {
            &ipam.data_dir
        };
        let folder = Path::new(data_dir).join(&config.name);
        fs::create_dir_all(&folder).map_err(|e| Failure::internal("making the state folder", e))?;
        let file =
            fs::File::create(folder.join("lock")).map_err(|e| Failure::internal("opening the lock", e))?;
        let lock =
            Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, e)| Failure::internal("locking", e))?;
        Ok(Self { folder, _lock: lock })
    }

    /// (file, its address, container id, interface) of all addresses given.
    fn given(&self) -> Result<Vec<(PathBuf, IpAddr, String, String)>, Failure> {
        let listed =
            fs::read_dir(&self.folder).map_err(|e| Failure::internal("reading the state folder", e))?;
        let mut given = Vec::new();
        for entry in listed.flatten() {
            let Ok(address) = entry.file_name().to_string_lossy().parse::<IpAddr>() else {
                continue;
            };
            let Ok(text) = fs::read_to_string(entry.path()) else {
                continue;
            };
            let (id, ifname) = text
                .trim_end()
                .split_once(LINE_BREAK)
                .unwrap_or((text.trim_end(), ""));
            given.push((entry.path(), address, id.to_owned(), ifname.to_owned()));
        }
        Ok(given)
    }

    /// Reserves an address; false when it is taken.
    fn reserve(&self, set: usize, address: IpAddr, owner: &ValidAttachment) -> Result<bool, Failure> {
        let path = self.folder.join(address.to_string());
        let mut file = match fs::File::create_new(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(false),
            Err(error) => return Err(Failure::internal("reserving an address", error)),
        };
        let text = format!("{}{LINE_BREAK}{}", owner.container_id, owner.ifname);
        let written = file
            .write_all(text.as_bytes())
            .and_then(|()| fs::write(self.last(set), address.to_string()));
        if let Err(error) = written {
            let _ = fs::remove_file(&path);
            return Err(Failure::internal("writing a reservation", error));
        }
        Ok(true)
    }

    fn last(&self, set: usize) -> PathBuf {
        self.folder.join(format!("last_reserved_ip.{set}"))
    }

    fn release(&self, gone: impl Fn(&ValidAttachment) -> bool) -> Result<(), Failure> {
        for (path, _, container_id, ifname) in self.given()? {
            if gone(&ValidAttachment { container_id, ifname }) {
                fs::remove_file(path).map_err(|e| Failure::internal("giving an address back", e))?;
            }
        }
        Ok(())
    }
}

fn ipam(config: &Config) -> Result<&Ipam, Failure> {
    config
        .ipam
        .as_ref()
        .ok_or_else(|| Failure::new(code::INVALID_CONFIG, "IPAM config missing 'ipam' key"))
}

/// Gives an address of each set of ranges. `requested` is an address that the caller wants.
pub(crate) fn add(
    config: &Config,
    owner: &ValidAttachment,
    requested: Option<IpAddr>,
) -> Result<Outcome, Failure> {
    let ipam = ipam(config)?;
    let sets = range_sets(ipam)?;
    let store = Store::open(config)?;
    if let Some((_, address, id, _)) = store
        .given()?
        .into_iter()
        .find(|(_, _, id, ifname)| *id == owner.container_id && *ifname == owner.ifname)
    {
        let text = format!("{address} has been allocated to {id}, duplicate allocation is not allowed");
        return Err(Failure::new(code::INTERNAL, text));
    }
    let mut outcome = Outcome {
        routes: ipam.routes.clone(),
        ..Outcome::default()
    };
    if !ipam.resolv_conf.is_empty() {
        let text =
            fs::read_to_string(&ipam.resolv_conf).map_err(|e| Failure::internal("reading resolvConf", e))?;
        outcome.dns = Some(Dns::parse(&text));
    }
    for (index, set) in sets.iter().enumerate() {
        match allocate(&store, index, set, owner, requested) {
            Ok(address) => outcome.ips.push(address),
            Err(failure) => {
                store.release(|given| given == owner)?;
                return Err(failure);
            }
        }
    }
    if let Some(address) = requested
        && !outcome
            .ips
            .iter()
            .any(|ip| ip.address.starts_with(&format!("{address}/")))
    {
        store.release(|given| given == owner)?;
        return Err(Failure::new(
            code::INTERNAL,
            format!("requested IP address {address} is not available"),
        ));
    }
    Ok(outcome)
}

/// Gives the owner's addresses back.
pub(crate) fn del(config: &Config, owner: &ValidAttachment) -> Result<(), Failure> {
    Store::open(config)?
        .release(|given| given.container_id == owner.container_id && given.ifname == owner.ifname)
}

/// Whether the owner has an address.
pub(crate) fn check(config: &Config, owner: &ValidAttachment) -> Result<(), Failure> {
    let given = Store::open(config)?.given()?;
    let has = given
        .iter()
        .any(|(_, _, id, ifname)| *id == owner.container_id && *ifname == owner.ifname);
    let text = || {
        format!(
            "host-local: Failed to find address added by container {}",
            owner.container_id
        )
    };
    if has {
        Ok(())
    } else {
        Err(Failure::new(code::UNKNOWN_CONTAINER, text()))
    }
}

/// Gives back what no attachment in `valid` holds.
pub(crate) fn collect_garbage(config: &Config, valid: &[ValidAttachment]) -> Result<(), Failure> {
    Store::open(config)?.release(|given| !valid.contains(given))
}

struct Span {
    subnet: Cidr,
    first: u128,
    last: u128,
    gateway: IpAddr,
}

impl Span {
    fn config(&self, address: IpAddr) -> IpConfig {
        let address = Cidr {
            address,
            prefix: self.subnet.prefix,
        }
        .to_string();
        IpConfig {
            address,
            gateway: self.gateway.to_string(),
            ..IpConfig::default()
        }
    }
}

fn range_sets(ipam: &Ipam) -> Result<Vec<Vec<Span>>, Failure> {
    let mut sets = Vec::new();
    if !ipam.range.subnet.is_empty() {
        sets.push(vec![span(&ipam.range)?]);
    }
    for set in &ipam.ranges {
        sets.push(set.iter().map(span).collect::<Result<_, _>>()?);
    }
    if sets.is_empty() {
        return Err(Failure::new(code::INVALID_CONFIG, "no IP ranges specified"));
    }
    Ok(sets)
}

fn span(range: &Range) -> Result<Span, Failure> {
    let invalid = |text: String| Failure::new(code::INVALID_CONFIG, text);
    let subnet: Cidr = range.subnet.parse().map_err(invalid)?;
    let subnet = subnet.network();
    if subnet.bits() - subnet.prefix < 2 {
        return Err(invalid(format!("Network {subnet} too small to allocate from")));
    }
    let address = |text: &str, default: u128| -> Result<u128, Failure> {
        if text.is_empty() {
            return Ok(default);
        }
        let address: IpAddr = text
            .parse()
            .map_err(|_| invalid(format!("invalid IP address {text}")))?;
        if subnet.contains(address) {
            Ok(number(address))
        } else {
            Err(invalid(format!("{address} not in network {subnet}")))
        }
    };
    let broadcast = if subnet.address.is_ipv4() { 1 } else { 0 };
    let first = address(&range.range_start, subnet.first() + 1)?;
    let last = address(&range.range_end, subnet.last() - broadcast)?;
    let gateway = subnet.at(address(&range.gateway, subnet.first() + 1)?);
    if first > last {
        return Err(invalid(format!(
            "range start {} is after its end {}",
            subnet.at(first),
            subnet.at(last)
        )));
    }
    Ok(Span {
        subnet,
        first,
        last,
        gateway,
    })
}

fn allocate(
    store: &Store,
    index: usize,
    set: &[Span],
    owner: &ValidAttachment,
    requested: Option<IpAddr>,
) -> Result<IpConfig, Failure> {
    if let Some(address) = requested
        && let Some(span) = set
            .iter()
            .find(|span| (span.first..=span.last).contains(&number(address)) && span.subnet.contains(address))
    {
        return if address != span.gateway && store.reserve(index, address, owner)? {
            Ok(span.config(address))
        } else {
            Err(Failure::new(
                code::INTERNAL,
                format!("requested IP address {address} is not available"),
            ))
        };
    }
    take_next(store, index, set, owner)
}

/// Round about, beginning after the last one given, so that an address is used again as late as can be.
fn take_next(
    store: &Store,
    index: usize,
    set: &[Span],
    owner: &ValidAttachment,
) -> Result<IpConfig, Failure> {
    let last = fs::read_to_string(store.last(index))
        .ok()
        .and_then(|text| text.trim().parse::<IpAddr>().ok());
    let start = last.and_then(|last| {
        let at = set.iter().position(|span| span.subnet.contains(last))?;
        Some((at, number(last).clamp(set[at].first, set[at].last)))
    });
    let (start_span, after) = start.unwrap_or((0, 0));
    for turn in 0..=set.len() {
        let span = &set[(start_span + turn) % set.len()];
        let from = if turn == 0 && start.is_some() {
            after + 1
        } else {
            span.first
        };
        let to = if turn == set.len() && start.is_some() {
            after
        } else {
            span.last
        };
        for candidate in from.max(span.first)..=to.min(span.last) {
            let address = span.subnet.at(candidate);
            if address != span.gateway && store.reserve(index, address, owner)? {
                return Ok(span.config(address));
            }
        }
    }
    let names: Vec<String> = set
        .iter()
        .map(|span| format!("{}-{}", span.subnet.at(span.first), span.subnet.at(span.last)))
        .collect();
    Err(Failure::new(
        code::INTERNAL,
        format!("no IP addresses available in range set: {}", names.join(",")),
    ))
}
