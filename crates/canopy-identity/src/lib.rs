//! Who a node is, who may say so, and how it comes to be known.
//!
//! Every node has a path, a uid and a key, bound together by a certificate. Every hub holds a
//! certificate authority for its own subtree, issued by its parent, so a plant enrols its clusters
//! while the world is away; and because every authority is held to its own subtree, a stolen plant
//! hub speaks for its plant and for nobody else. Nothing here waits or opens a connection. In
//! reading order:
//!
//! - [`peer`]: a node's identity and its form as a SPIFFE id;
//! - [`certificate`]: the identity that a certificate states;
//! - [`key`]: keys, and requests that prove the possession of one;
//! - [`authority`]: issuing, where the issuer decides every field;
//! - [`revocation`]: uids that are refused for ever; [`children`]: those that are accepted;
//! - [`verify`]: whether a certificate speaks for whom it names, on the chain that was really built;
//! - [`tls`]: those rules as rustls configurations;
//! - [`token`], [`book`]: join tokens, as their holder and as their issuer sees them;
//! - [`identity`], [`folder`]: what a node holds of all this, and how it lies on disk.

pub mod authority;
pub mod book;
pub mod certificate;
pub mod children;
mod file;
pub mod folder;
pub mod identity;
pub mod key;
pub mod peer;
pub mod revocation;
mod text;
pub mod tls;
pub mod token;
pub mod verify;

pub use authority::Authority;
pub use book::TokenBook;
pub use certificate::{Certified, Fingerprint, peer_of};
pub use children::Accepted;
pub use folder::Folder;
pub use identity::Identity;
pub use key::{Key, ProvenKey};
pub use peer::{Peer, Role, TrustDomain};
pub use revocation::Revocations;
pub use token::JoinToken;
pub use verify::{Accept, Anchor, Trust};
