//! Authorities, join tokens, certificates, and who a peer is.
