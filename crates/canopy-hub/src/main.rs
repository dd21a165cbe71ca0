//! The program `canopy-hub`; see the library `canopy_hub`.

fn main() {}
