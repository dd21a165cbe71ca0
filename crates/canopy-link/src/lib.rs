//! The connection between a child and its parent over tonic.
