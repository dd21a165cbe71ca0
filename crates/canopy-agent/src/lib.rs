//! The agent program.
