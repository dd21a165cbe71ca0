//! Namespaces of their own: a network, mounts and processes that nobody outside sees.
//!
//! They live as long as their holder, the first process inside, which waits at a pipe of ours. When
//! this process ends, however it ends, the pipe closes, the holder ends, and the kernel kills whatever
//! still runs inside: no shim of a container outlives a test.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::thread;

use anyhow::{Context as _, Result, bail};
use nix::sched::{CloneFlags, setns, unshare};

/// What the holder does first. Programs find the usual folders empty, in memory; of /var/lib only
/// theirs, because others may have a checkout or a cache there.
const HOLD: &str = r#"
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/log
mkdir -p /run/over/upper /run/over/work
mount -t overlay overlay -o lowerdir=/var/lib,upperdir=/run/over/upper,workdir=/run/over/work /var/lib
for program in canopy-agent canopy-hub cni containerd kubelet; do
    mkdir -p "/var/lib/$program"
    mount -t tmpfs tmpfs "/var/lib/$program"
done
mount --make-rshared /
ip link set lo up
echo 1 > /proc/sys/net/ipv4/ip_forward
echo held
exec cat > /dev/null
"#;

/// Open namespaces. Dropping them kills what runs inside.
#[derive(Debug)]
pub(crate) struct Space {
    holder: Child,
}

impl Space {
    /// Opens them.
    ///
    /// # Errors
    /// This machine does not let us, which the error says in its own words.
    pub(crate) fn open() -> Result<Self> {
        let holder = Command::new("unshare")
            .args(["--net", "--mount", "--pid", "--fork", "--mount-proc", "sh", "-euc", HOLD])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("starting unshare")?;
        let mut space = Self { holder };
        let mut said = String::new();
        let output = space.holder.stdout.take().context("it is piped")?;
        BufReader::new(output).read_line(&mut said).context("listening to the holder of namespaces")?;
        if said.trim() != "held" {
            let mut why = String::new();
            space.holder.stderr.take().context("it is piped")?.read_to_string(&mut why)?;
            bail!("no namespaces of our own: {}", why.trim());
        }
        Ok(space)
    }

    /// The process that holds them, as it is seen from outside.
    pub(crate) fn pid(&self) -> u32 {
        self.holder.id()
    }

    /// Does something inside, on a thread that is there only for this: what it starts stays inside.
    pub(crate) fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        let inside = || {
            self.enter()?;
            Ok(work())
        };
        thread::scope(|scope| scope.spawn(inside).join())
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Runs a script inside; its words are `$1` and so on.
    pub(crate) fn script(&self, script: &str, words: &[&str]) -> Result<()> {
        let mut shell = Command::new("sh");
        shell.args(["-euc", script, "sh"]).args(words).stdin(Stdio::null());
        succeeded(self.within(|| shell.output())??)
    }

    fn enter(&self) -> io::Result<()> {
        let open = |name: &str| File::open(format!("/proc/{}/ns/{name}", self.pid()));
        // All are opened before the first is entered: inside, /proc knows other numbers.
        let entrances = [
            (open("mnt")?, CloneFlags::CLONE_NEWNS),
            (open("net")?, CloneFlags::CLONE_NEWNET),
            (open("pid_for_children")?, CloneFlags::CLONE_NEWPID),
        ];
        // Mounts are entered only by who shares its working folder with nobody.
        unshare(CloneFlags::CLONE_FS)?;
        for (entrance, kind) in entrances {
            setns(entrance, kind)?;
        }
        Ok(())
    }

    /// Takes this thread, and those that it will start, into the network.
    pub(crate) fn enter_network(&self) -> io::Result<Entered> {
        let home = File::open("/proc/thread-self/ns/net")?;
        setns(File::open(format!("/proc/{}/ns/net", self.pid()))?, CloneFlags::CLONE_NEWNET)?;
        Ok(Entered { home, _thread: std::marker::PhantomData })
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        if let Err(error) = self.holder.wait() {
            eprintln!("the namespaces of process {} may be left behind: {error}", self.pid());
        }
    }
}

/// A thread in a network that is not its own; it is back home when this is dropped.
#[derive(Debug)]
pub(crate) struct Entered {
    home: File,
    /// Another thread has another home.
    _thread: std::marker::PhantomData<*const ()>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        if let Err(error) = setns(&self.home, CloneFlags::CLONE_NEWNET) {
            eprintln!("this thread stays in the network of the test bed: {error}");
        }
    }
}

/// An error with what the program said, unless it succeeded.
pub(crate) fn succeeded(output: std::process::Output) -> Result<()> {
    if !output.status.success() {
        bail!("ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test says by failing what went wrong")]
mod tests {
    use std::time::{Duration, Instant};
    use std::{env, fs};

    use super::*;
    use crate::bed::bed;

    /// Set in the process that is to be killed.
    const HOLDS: &str = "CANOPY_TEST_HOLDS";

    /// Not a test but what [`nothing_inside_survives_a_killed_process`] kills.
    #[test]
    fn holds_until_it_is_killed() {
        if env::var_os(HOLDS).is_none() {
            return;
        }
        let space = Space::open().unwrap();
        let mut sleep = Command::new("sleep");
        let mut inside = space.within(|| sleep.arg("1000").spawn()).unwrap().unwrap();
        eprintln!("\n{HOLDS} {}", inside.id());
        inside.wait().unwrap();
    }

    #[test]
    fn nothing_inside_survives_a_killed_process() {
        let Some(_bed) = bed().unwrap() else { return };
        let mut holds = Command::new(env::current_exe().unwrap())
            .args(["--exact", "space::tests::holds_until_it_is_killed", "--nocapture"])
            .env(HOLDS, "yes")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(holds.stderr.take().unwrap()).lines().map_while(Result::ok);
        let inside = lines.find_map(|line| Some(line.strip_prefix(HOLDS)?.trim().to_owned())).unwrap();
        // Who has ended and was not asked for yet is a zombie.
        let runs = || {
            let stat = fs::read_to_string(format!("/proc/{inside}/stat"));
            stat.is_ok_and(|stat| !stat.contains(") Z "))
        };
        assert!(runs());
        holds.kill().unwrap();
        holds.wait().unwrap();
        let killed = Instant::now();
        while runs() {
            assert!(killed.elapsed() < Duration::from_secs(10), "{inside} survives");
            thread::yield_now();
        }
    }
}
