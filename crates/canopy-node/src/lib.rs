//! The driver that hub and agent share.
