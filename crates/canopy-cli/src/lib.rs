//! The command line of Canopy.
