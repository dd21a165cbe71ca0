//! The program `canopy-agent`; see the library `canopy_agent`.

fn main() {}
