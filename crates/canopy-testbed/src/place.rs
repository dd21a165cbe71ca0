//! Where a program runs: on this machine as it is, or at a site of a bed.

use std::io;
use std::net::SocketAddr;
use std::process::{Child, Command};

use crate::bed::Site;
use crate::nodes::free_address;

/// Where a program runs.
#[derive(Debug, Clone)]
pub enum Place {
    /// On this machine, reached on loopback.
    Loopback,
    /// At a site.
    Site(Site),
}

impl Place {
    /// Where a program can listen: at a site on its address and this port, on loopback on a free port.
    ///
    /// # Errors
    /// No port is free.
    pub fn address(&self, port: u16) -> io::Result<SocketAddr> {
        match self {
            Self::Loopback => free_address(),
            Self::Site(site) => Ok((site.address(), port).into()),
        }
    }

    /// Starts a program there.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        match self {
            Self::Loopback => command.spawn(),
            Self::Site(site) => site.within(|| command.spawn())?,
        }
    }
}
