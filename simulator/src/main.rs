//! The program `canopy-sim`; see the library `canopy_sim`.

fn main() {}
