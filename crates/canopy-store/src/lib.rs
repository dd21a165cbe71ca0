//! Durable state: load and commit.
