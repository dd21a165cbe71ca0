//! How much of a hub one address may take.
//!
//! What is limited is limited for each address, so that one device that misbehaves costs others
//! nothing. An operator hears of it, now and then and not for every connection.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;
use tracing::warn;

use crate::limits::TOLD_EVERY;

/// What each address has a number of. Clones speak of the same.
#[derive(Debug, Clone)]
pub(crate) struct Shares(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    what: &'static str,
    limit: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    counts: HashMap<IpAddr, usize>,
    refused: u64,
    told: Option<Instant>,
}

/// One of those that an address has, until it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    shares: Shares,
    holder: IpAddr,
}

impl Shares {
    pub(crate) fn new(what: &'static str, limit: usize) -> Self {
        Self(Arc::new(Inner { what, limit, taken: Mutex::default() }))
    }

    /// One more for this address; none if it has all that it may have.
    pub(crate) fn take(&self, address: IpAddr) -> Option<Share> {
        let holder = holder(address);
        let mut taken = self.taken();
        let count = taken.counts.entry(holder).or_default();
        if *count < self.0.limit {
            *count += 1;
            return Some(Share { shares: self.clone(), holder });
        }
        taken.refused += 1;
        if taken.told.is_none_or(|told| told.elapsed() >= TOLD_EVERY) {
            taken.told = Some(Instant::now());
            let (what, limit, refused) = (self.0.what, self.0.limit, std::mem::take(&mut taken.refused));
            warn!(%address, what, limit, refused, "one address has too many connections: more are refused");
        }
        None
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.shares.taken();
        if let Some(count) = taken.counts.get_mut(&self.holder) {
            *count -= 1;
            if *count == 0 {
                taken.counts.remove(&self.holder);
            }
        }
    }
}

/// Who counts as one: a machine has all the addresses that it likes of its network of IPv6.
fn holder(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_own_share_and_gets_it_back() {
        let shares = Shares::new("connections", 1);
        let [one, other] = ["192.0.2.1", "192.0.2.2"].map(|address| address.parse().unwrap());
        let first = shares.take(one).unwrap();
        assert!(shares.take(one).is_none());
        assert!(shares.take("::ffff:192.0.2.1".parse().unwrap()).is_none(), "it is the same address");
        assert!(shares.take(other).is_some());
        drop(first);
        assert!(shares.take(one).is_some());
        assert!(shares.taken().counts.is_empty(), "nothing is kept of those who are gone");
    }

    #[test]
    fn a_network_of_ipv6_is_one() {
        let shares = Shares::new("connections", 1);
        let _first = shares.take("2001:db8::1".parse().unwrap()).unwrap();
        assert!(shares.take("2001:db8::2".parse().unwrap()).is_none());
        assert!(shares.take("2001:db8:0:1::1".parse().unwrap()).is_some());
    }
}
