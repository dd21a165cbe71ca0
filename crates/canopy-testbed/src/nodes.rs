//! The processes of a fleet on this machine: killed as by `kill -9`, and started again on the
//! folders that they left behind.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, ExitStatus};

use crate::place::Place;

/// Processes by name. Dropping them kills all.
#[derive(Debug, Default)]
pub struct Nodes(BTreeMap<String, Node>);

#[derive(Debug)]
struct Node {
    place: Place,
    command: Command,
    child: Option<Child>,
}

impl Nodes {
    /// Starts a process at a place, again and again as this command says.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn add(&mut self, name: &str, place: Place, command: Command) -> io::Result<()> {
        self.0.insert(name.to_owned(), Node { place, command, child: None });
        self.restart(name)
    }

    /// Kills a process, if it still runs.
    ///
    /// # Errors
    /// The system refuses.
    pub fn kill(&mut self, name: &str) -> io::Result<()> {
        match self.node(name)?.child.take() {
            Some(mut child) => child.kill().and_then(|()| child.wait()).map(drop),
            None => Ok(()),
        }
    }

    /// Starts a process again that was killed.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn restart(&mut self, name: &str) -> io::Result<()> {
        let node = self.node(name)?;
        node.child = Some(node.place.spawn(&mut node.command)?);
        Ok(())
    }

    /// The number of a process, as it is seen from outside its site; none while it is killed.
    pub fn pid(&self, name: &str) -> Option<u32> {
        self.0.get(name)?.child.as_ref().map(Child::id)
    }

    /// How a process ended by itself; none while it runs.
    ///
    /// # Errors
    /// It was killed, or the system refuses.
    pub fn ended(&mut self, name: &str) -> io::Result<Option<ExitStatus>> {
        self.node(name)?.child.as_mut().ok_or(io::ErrorKind::NotFound)?.try_wait()
    }

    fn node(&mut self, name: &str) -> io::Result<&mut Node> {
        let unknown = || io::Error::new(io::ErrorKind::NotFound, format!("there is no node {name}"));
        self.0.get_mut(name).ok_or_else(unknown)
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for child in self.0.values_mut().filter_map(|node| node.child.as_mut()) {
            // Those that have ended by themselves cannot be killed.
            let _ = child.kill().and_then(|()| child.wait());
        }
    }
}

/// An address on which nothing listens yet.
///
/// # Errors
/// No port is free.
pub fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test says by failing what went wrong")]
mod tests {
    use std::process::Stdio;

    use super::*;

    #[test]
    fn a_killed_process_is_started_again_as_before() {
        let mut nodes = Nodes::default();
        let mut command = Command::new("cat");
        command.stdin(Stdio::piped());
        nodes.add("a", Place::Loopback, command).unwrap();
        assert!(nodes.ended("a").unwrap().is_none());
        nodes.kill("a").unwrap();
        assert!(nodes.ended("a").is_err());
        nodes.restart("a").unwrap();
        assert!(nodes.ended("a").unwrap().is_none());
        assert!(nodes.restart("b").is_err());
    }
}
