//! The connection between a child and its parent: TLS, HTTP/2 and tonic.
//!
//! Children dial, parents listen; one outbound port serves everything. Who the other side is, is
//! decided by `canopy-identity` during the handshake, before a byte of HTTP is read. In reading
//! order:
//!
//! - [`limits`]: every bound of a connection, and why;
//! - [`listen`]: accepting connections, and who is at the other end of a request; `shares`: how many
//!   one address may have;
//! - [`dial`]: reaching the parent at one of its addresses; [`proxy`]: through what stands between;
//!   `hearing`: whether the parent wants us;
//! - [`membership`]: whether a hub still wants a child that it certified;
//! - [`enroll`]: a node's first certificate, and its next ones;
//! - [`session`], [`terms`]: frames between a driver and a peer, on either side;
//! - [`mod@downlink`], [`mod@uplink`]: the parent's side and the child's;
//! - [`converse`]: questions and commands from a parent to a child.

pub mod converse;
pub mod dial;
pub mod downlink;
pub mod enroll;
#[cfg(test)]
mod fixture;
mod hearing;
pub mod limits;
pub mod listen;
pub mod membership;
pub mod proxy;
pub mod session;
mod shares;
pub mod terms;
pub mod uplink;

#[cfg(test)]
mod tests;

pub use converse::{Answer, AskError, Children, Query, Responder};
pub use dial::{Dialer, Way};
pub use downlink::downlink;
pub use membership::{Members, Membership, Memberships};
pub use proxy::Proxy;
pub use session::{Events, LinkEvent};
pub use uplink::{Contact, uplink};
