//! The program `canopy`; see the library `canopy_cli`.

fn main() {}
