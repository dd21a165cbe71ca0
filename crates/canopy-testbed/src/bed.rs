//! A wide-area network of our own, and sites on it that can be cut off.
//!
//! ```text
//!           the test itself: 10.80.0.1, and a route to every site's pods and services
//!   ════════╤══════════════════════╤═════════════════════╤═════════   bridge `wan`
//!       site-2                 site-3                site-4           a pair of virtual cards each
//!     10.80.0.2              10.80.0.3             10.80.0.4
//!     pods 10.81.2.0/24      services 10.82.3.0/24
//! ```
//!
//! Nothing is to be seen of it outside, and no packet leaves it. Two beds never meet.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::{env, fs};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use tokio::runtime::{Handle, RuntimeFlavor};

use crate::cgroups;
use crate::space::{Entered, Space, succeeded};
use crate::tools::skip;

/// How folders and control groups of beds are named; the process follows, so that those of one that
/// was killed can be told.
const PREFIX: &str = "canopy-bed-";

/// What real nodes take from the operating system.
const PROGRAMS: [&str; 6] = ["containerd", "ctr", "ip", "nft", "runc", "unshare"];
pub(crate) const CNI_PLUGINS: &str = "/usr/lib/cni";

const MAKE_WAN: &str = r#"
ip link add name wan type bridge
ip addr add 10.80.0.1/16 dev wan
ip link set wan up
nft add table netdev wan
"#;

/// Outside, where the process that holds the site can be named.
const LINK_SITE: &str = r#"
number=$1 holder=$2
ip link add name "site-$number" type veth peer name eth0 netns "$holder"
ip link set "site-$number" master wan up
nft "add chain netdev wan up-$number { type filter hook ingress device site-$number priority 0; policy accept; }"
nft "add chain netdev wan down-$number { type filter hook egress device site-$number priority 0; policy accept; }"
"#;

const SET_UP_SITE: &str = r#"
ip addr add "$1/16" dev eth0
ip link set eth0 up
ip route add default via 10.80.0.1
"#;

const ROUTE_SITE: &str = r#"
ip route add "$2" via "$1"
ip route add "$3" via "$1"
"#;

/// The network, as long as it is not dropped.
#[derive(Debug)]
pub struct Bed {
    /// The thread that made it is part of it.
    _entered: Entered,
    wan: Arc<Space>,
    sites: u8,
    folder: TempDir,
}

/// What is lost of what crosses a site's line. Nothing is closed, and nobody is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Everything.
    Both,
    /// What the site says.
    Up,
    /// What is said to the site.
    Down,
}

/// Where one party of a fleet lives: an address of its own, and programs that see nobody else's.
#[derive(Debug, Clone)]
pub struct Site(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
    number: u8,
    space: Space,
    wan: Arc<Space>,
    folder: PathBuf,
}

/// The folders of the beds of processes that run.
///
/// # Errors
/// The folder for temporary files cannot be read.
pub fn beds() -> Result<Vec<(u32, PathBuf)>> {
    Ok(remains()?
        .into_iter()
        .filter(|(process, _)| Path::new("/proc").join(process.to_string()).exists())
        .collect())
}

/// A bed. None, with a line on stderr, where a machine can have none; a test then has nothing to do.
/// Where `CI` is `true` that is a failure.
///
/// # Errors
/// See [`Bed::start`].
pub fn bed() -> Result<Option<Bed>> {
    if let Some(reason) = wanting() {
        skip(&reason);
        return Ok(None);
    }
    Bed::start().map(Some)
}

/// Why this machine can have no bed.
fn wanting() -> Option<String> {
    let path = env::var_os("PATH").unwrap_or_default();
    let has = |name: &&str| env::split_paths(&path).any(|folder| folder.join(name).is_file());
    let mut missing: Vec<_> = PROGRAMS.into_iter().filter(|name| !has(name)).collect();
    if !Path::new(CNI_PLUGINS).join("bridge").is_file() {
        missing.push("the CNI plugins");
    }
    if !missing.is_empty() {
        return Some(format!(
            "no test bed without {}: on Debian, apt-get install containerd containernetworking-plugins iproute2 \
             nftables runc",
            missing.join(", ")
        ));
    }
    Space::open().err().map(|error| format!("no test bed: {error:#}; it takes root"))
}

impl Bed {
    /// Makes the network, and takes this thread into it: its sockets, and the programs and threads that
    /// it starts from now on, are on the WAN. Dropping the bed takes the thread home.
    ///
    /// # Errors
    /// The machine refuses, or the runtime has other threads, which would stay outside.
    pub fn start() -> Result<Self> {
        if let Ok(runtime) = Handle::try_current() {
            let alone = runtime.runtime_flavor() == RuntimeFlavor::CurrentThread;
            ensure!(alone, "a test bed takes a runtime of one thread: the others would stay outside");
        }
        sweep()?;
        let folder =
            tempfile::Builder::new().prefix(&format!("{PREFIX}{}-", std::process::id())).tempdir()?;
        let wan = Space::open()?;
        wan.script(MAKE_WAN, &[]).context("making the WAN")?;
        let entered = wan.enter_network()?;
        Ok(Self { _entered: entered, wan: Arc::new(wan), sites: 0, folder })
    }

    /// Makes a site, joined to the WAN.
    ///
    /// # Errors
    /// The machine refuses, or there are more than 200 sites.
    pub fn site(&mut self, name: &str) -> Result<Site> {
        ensure!(self.sites < 200, "a test bed has at most 200 sites");
        self.sites += 1;
        // The first number is the test's own.
        let number = self.sites + 1;
        let folder = self.folder.path().join(name);
        fs::create_dir(&folder).with_context(|| format!("making the folder {}", folder.display()))?;
        let inner =
            Inner { name: name.to_owned(), number, space: Space::open()?, wan: self.wan.clone(), folder };
        let site = Site(Arc::new(inner));
        let (address, holder) = (site.address().to_string(), site.0.space.pid().to_string());
        let mut link = Command::new("sh");
        link.args(["-euc", LINK_SITE, "sh", &number.to_string(), &holder]).stdin(Stdio::null());
        succeeded(link.output()?).with_context(|| format!("linking the site {name}"))?;
        site.script(SET_UP_SITE, &[&address])?;
        self.wan.script(ROUTE_SITE, &[&address, &site.pods(), &site.services()])?;
        Ok(site)
    }

    /// Where files of the bed are kept; each site has a folder in it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A process whose network is the WAN, for `nsenter --net --target`.
    pub fn pid(&self) -> u32 {
        self.wan.pid()
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        if let Err(error) = cgroups::remove(&name_of(self.folder.path())) {
            eprintln!("control groups of the test bed are left behind: {error}");
        }
    }
}

impl Site {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Its address on the WAN.
    pub fn address(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 80, 0, self.0.number)
    }

    /// The WAN's end of its line, as `ip link` knows it.
    pub fn line(&self) -> String {
        format!("site-{}", self.0.number)
    }

    /// The addresses of its pods.
    pub(crate) fn pods(&self) -> String {
        format!("10.81.{}.0/24", self.0.number)
    }

    /// The addresses of its cluster's Services.
    pub(crate) fn services(&self) -> String {
        format!("10.82.{}.0/24", self.0.number)
    }

    /// Its files, seen alike inside and outside.
    pub fn folder(&self) -> &Path {
        &self.0.folder
    }

    /// Does something at the site, such as starting a program: `site.within(|| command.output())`.
    ///
    /// # Errors
    /// The namespaces cannot be entered.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> std::io::Result<T> {
        self.0.space.within(work)
    }

    /// How many bytes have crossed its line, both ways.
    ///
    /// # Errors
    /// The site is gone.
    pub fn carried(&self) -> Result<u64> {
        let counts = format!("/proc/{}/net/dev", self.0.space.pid());
        let counts = fs::read_to_string(&counts).with_context(|| format!("reading {counts}"))?;
        let line =
            counts.lines().find_map(|line| line.trim().strip_prefix("eth0:")).context("a site has a line")?;
        let numbers: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        // Received bytes come first, sent ones ninth.
        Ok(numbers.first().context("it is counted")? + numbers.get(8).context("it is counted")?)
    }

    /// Runs a script at the site; its words are `$1` and so on.
    pub(crate) fn script(&self, script: &str, words: &[&str]) -> Result<()> {
        self.0.space.script(script, words).with_context(|| format!("a script at the site {}", self.name()))
    }

    /// Cuts its line.
    ///
    /// # Errors
    /// The machine refuses.
    pub fn cut(&self, cut: Cut) -> Result<()> {
        self.carry(!matches!(cut, Cut::Both | Cut::Up), !matches!(cut, Cut::Both | Cut::Down))
    }

    /// Mends its line.
    ///
    /// # Errors
    /// The machine refuses.
    pub fn mend(&self) -> Result<()> {
        self.carry(true, true)
    }

    fn carry(&self, up: bool, down: bool) -> Result<()> {
        let policy = |carries| if carries { "accept" } else { "drop" };
        let number = self.0.number;
        let rules = format!(
            "chain netdev wan up-{number} {{ policy {}; }}; chain netdev wan down-{number} {{ policy {}; }}",
            policy(up),
            policy(down)
        );
        self.0
            .wan
            .script("nft \"$1\"", &[&rules])
            .with_context(|| format!("the line of the site {}", self.name()))
    }

    /// The control group that its containers are in.
    pub(crate) fn control_group(&self) -> Result<String> {
        let bed = self.0.folder.parent().context("a site's folder is in the bed's")?;
        let group = format!("{}/{}", name_of(bed), self.name());
        cgroups::make(&group).with_context(|| format!("making the control group {group}"))?;
        Ok(format!("/{group}"))
    }
}

fn name_of(folder: &Path) -> String {
    folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Removes what beds of killed processes left behind; their namespaces went with them.
fn sweep() -> Result<()> {
    let live = beds()?;
    for remains in remains()?.into_iter().filter(|remains| !live.contains(remains)) {
        // Another bed may sweep as well.
        let _ = fs::remove_dir_all(&remains.1);
        let _ = cgroups::remove(&name_of(&remains.1));
    }
    Ok(())
}

/// The folders of all beds, each with the process that made it.
fn remains() -> Result<Vec<(u32, PathBuf)>> {
    let mut remains = Vec::new();
    for entry in fs::read_dir(env::temp_dir()).context("reading the folder for temporary files")? {
        let folder = entry?.path();
        let name = name_of(&folder);
        let process = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-')?.0.parse().ok());
        remains.extend(process.map(|process| (process, folder)));
    }
    Ok(remains)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test says by failing what went wrong")]
mod tests {
    use std::io::{ErrorKind, Read as _, Write as _};
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_line_is_cut_one_way_or_both_and_mended() {
        let Some(mut bed) = bed().unwrap() else { return };
        let [left, right] = ["left", "right"].map(|name| bed.site(name).unwrap());
        let socket = |site: &Site| {
            let socket = site.within(|| UdpSocket::bind((site.address(), 9))).unwrap().unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
            socket
        };
        let (a, b) = (socket(&left), socket(&right));
        let crosses = |from: &UdpSocket, to: &UdpSocket| {
            from.send_to(b"x", to.local_addr().unwrap()).unwrap();
            match to.recv(&mut [0]) {
                Ok(_) => true,
                Err(error) if error.kind() == ErrorKind::WouldBlock => false,
                Err(error) => panic!("{error}"),
            }
        };
        let state = || (crosses(&a, &b), crosses(&b, &a));
        assert_eq!(state(), (true, true));
        for (cut, carried) in
            [(Cut::Up, (false, true)), (Cut::Down, (true, false)), (Cut::Both, (false, false))]
        {
            left.cut(cut).unwrap();
            assert_eq!(state(), carried, "{cut:?}");
            left.mend().unwrap();
            assert_eq!(state(), (true, true), "mended after {cut:?}");
        }
    }

    #[test]
    fn programs_at_a_site_are_reached_by_the_test_and_end_with_it() {
        let Some(mut bed) = bed().unwrap() else { return };
        let site = bed.site("only").unwrap();
        let mut nobody = Command::new("sleep");
        let mut sleeper = site.within(|| nobody.arg("1000").spawn()).unwrap().unwrap();
        let listener = site.within(|| TcpListener::bind((site.address(), 80))).unwrap().unwrap();
        let mut stream = TcpStream::connect((site.address(), 80)).unwrap();
        let (mut accepted, peer) = listener.accept().unwrap();
        assert_eq!(peer.ip(), Ipv4Addr::new(10, 80, 0, 1));
        let before = site.carried().unwrap();
        stream.write_all(b"x").unwrap();
        accepted.read_exact(&mut [0]).unwrap();
        assert!(site.carried().unwrap() > before);
        assert!(sleeper.try_wait().unwrap().is_none());
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
    }
}
