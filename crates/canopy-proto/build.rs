//! Generates Rust from every `proto/canopy/<package>/v1/*.proto`, without protoc.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use protox::prost::Message;

fn main() -> Result<(), Box<dyn Error>> {
    // Build scripts run in their package's folder. A path that is compiled in would be another
    // checkout's where several share one target folder.
    let root = Path::new("../../proto");
    println!("cargo::rerun-if-changed={}", root.display());

    let descriptors = protox::compile(files(&root.join("canopy"))?, [root])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .include_file("packages.rs")
        // One value has one encoding: peers compare rows by their bytes.
        .btree_map(".canopy.link")
        .compile_fds(descriptors)?;
    Ok(())
}

/// All `.proto` files below a folder, sorted so that the output does not depend on the disk.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
