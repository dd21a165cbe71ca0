//! The layout of an image in one file: `oci-layout`, `index.json`, and blobs by their digests.

use std::collections::HashMap;

use oci_spec::image::{
    Arch, ConfigBuilder, Descriptor, DescriptorBuilder, Digest, ImageConfigurationBuilder, ImageIndexBuilder,
    ImageManifestBuilder, MediaType, OciLayoutBuilder, Os, PlatformBuilder, RootFsBuilder, SCHEMA_VERSION,
};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::Image;
use crate::layer::{self, Entry, Error, gzip};

/// Where `ctr images import` and the CRI look for the image's full reference.
const FULL_NAME: &str = "io.containerd.image.name";
/// Where `podman load` and `skopeo` look for it.
const REFERENCE: &str = "org.opencontainers.image.ref.name";

/// An image in one file.
#[derive(Debug, Clone)]
pub struct Archive {
    /// The file: a tar of an OCI image layout.
    pub bytes: Vec<u8>,
    /// The digest of the manifest, `sha256:…`: what a registry would call the image.
    pub digest: String,
}

impl Image {
    /// Makes the file, for the kind of machine that this program was built for.
    ///
    /// # Errors
    /// The entries don't make a file system.
    pub fn archive(&self) -> Result<Archive, Error> {
        let tar = layer::tar(&self.entries)?;
        let unpacked = digest(&tar);
        let layer = Blob::new(MediaType::ImageLayerGzip, gzip(&tar));
        let config = Blob::json(MediaType::ImageConfig, &self.config(&unpacked));
        let manifest = ImageManifestBuilder::default()
            .schema_version(SCHEMA_VERSION)
            .media_type(MediaType::ImageManifest)
            .config(config.descriptor())
            .layers([layer.descriptor()])
            .build()
            .expect("every field is set");
        let manifest = Blob::json(MediaType::ImageManifest, &manifest);
        let entries = [Entry::file("/index.json", json(&self.index(&manifest))), layout()];
        let blobs = [&layer, &config, &manifest].map(Blob::entry);
        let bytes = layer::tar(&[entries.as_slice(), &blobs].concat())?;
        Ok(Archive { bytes, digest: manifest.digest })
    }

    fn config(&self, layer: &str) -> impl Serialize {
        let labels: HashMap<_, _> = self.labels.clone().into_iter().collect();
        let start = ConfigBuilder::default()
            .user(&self.user)
            .entrypoint(self.entrypoint.clone())
            .env(["PATH=/bin".to_owned()])
            .labels(labels)
            .build()
            .expect("every field has a default");
        let files = RootFsBuilder::default().typ("layers").diff_ids([layer.to_owned()]).build();
        let built = ImageConfigurationBuilder::default()
            .architecture(Arch::default())
            .os(Os::Linux)
            .config(start)
            .rootfs(files.expect("every field is set"))
            .build();
        // By way of a value, whose keys are sorted: labels come in a map of random order.
        serde_json::to_value(built.expect("every field is set")).expect("it has string keys only")
    }

    fn index(&self, manifest: &Blob) -> impl Serialize {
        let platform = PlatformBuilder::default().architecture(Arch::default()).os(Os::Linux).build();
        let mut descriptor = manifest.descriptor();
        descriptor.set_platform(Some(platform.expect("every field is set")));
        let names = [FULL_NAME, REFERENCE].map(|key| (key.to_owned(), self.name.clone()));
        descriptor.set_annotations(Some(names.into()));
        let built = ImageIndexBuilder::default()
            .schema_version(SCHEMA_VERSION)
            .media_type(MediaType::ImageIndex)
            .manifests([descriptor])
            .build();
        serde_json::to_value(built.expect("every field is set")).expect("it has string keys only")
    }
}

/// Something that is found by its digest.
struct Blob {
    kind: MediaType,
    digest: String,
    content: Vec<u8>,
}

impl Blob {
    fn new(kind: MediaType, content: Vec<u8>) -> Self {
        Self { kind, digest: digest(&content), content }
    }

    fn json(kind: MediaType, value: &impl Serialize) -> Self {
        Self::new(kind, json(value))
    }

    fn descriptor(&self) -> Descriptor {
        let digest: Digest = self.digest.parse().expect("it is a digest");
        DescriptorBuilder::default()
            .media_type(self.kind.clone())
            .digest(digest)
            .size(self.content.len() as u64)
            .build()
            .expect("every field is set")
    }

    fn entry(&self) -> Entry {
        Entry::file(format!("/blobs/{}", self.digest.replace(':', "/")), self.content.clone())
    }
}

fn layout() -> Entry {
    let layout = OciLayoutBuilder::default().image_layout_version("1.0.0").build();
    Entry::file("/oci-layout", json(&layout.expect("every field is set")))
}

fn digest(content: &[u8]) -> String {
    format!("sha256:{:x}", Sha256::digest(content))
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("it has string keys only")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read as _;

    use flate2::read::GzDecoder;
    use oci_spec::image::{ImageConfiguration, ImageIndex, ImageManifest};

    use super::*;

    fn image() -> Image {
        let labels = (0..20).map(|n| (format!("example.com/{n}"), n.to_string())).collect();
        Image {
            name: "localhost/hub:1".to_owned(),
            entries: vec![Entry::program("/bin/hub", b"program".to_vec()), Entry::file("/about", "text")],
            entrypoint: vec!["/bin/hub".to_owned()],
            user: "65532:65532".to_owned(),
            labels,
        }
    }

    /// The files of an archive, each blob checked against its name.
    fn files(archive: &Archive) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        for entry in tar::Archive::new(archive.bytes.as_slice()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            if let Some(name) = path.strip_prefix("blobs/sha256/").filter(|name| !name.is_empty()) {
                assert_eq!(digest(&content), format!("sha256:{name}"));
            }
            files.insert(path, content);
        }
        files
    }

    #[test]
    fn everything_is_found_from_the_index_by_its_digest() {
        let archive = image().archive().unwrap();
        let files = files(&archive);
        let blob = |descriptor: &Descriptor| {
            let content = &files[&format!("blobs/sha256/{}", descriptor.digest().digest())];
            assert_eq!(content.len() as u64, descriptor.size());
            content.as_slice()
        };
        let index = ImageIndex::from_reader(files["index.json"].as_slice()).unwrap();
        let [found] = index.manifests().as_slice() else { panic!("not one manifest") };
        assert_eq!(found.digest().to_string(), archive.digest);
        assert_eq!(found.annotations().as_ref().unwrap()[FULL_NAME], "localhost/hub:1");
        let manifest = ImageManifest::from_reader(blob(found)).unwrap();
        let config = ImageConfiguration::from_reader(blob(manifest.config())).unwrap();
        let start = config.config().as_ref().unwrap();
        assert_eq!(start.user().as_deref(), Some("65532:65532"));
        assert_eq!(start.entrypoint().as_deref(), Some(["/bin/hub".to_owned()].as_slice()));
        let [packed] = manifest.layers().as_slice() else { panic!("not one layer") };
        let mut layer = Vec::new();
        GzDecoder::new(blob(packed)).read_to_end(&mut layer).unwrap();
        assert_eq!(config.rootfs().diff_ids(), &[digest(&layer)]);
    }

    #[test]
    fn equal_images_are_equal_bytes() {
        let (mut turned, archive) = (image(), image().archive().unwrap());
        turned.entries.reverse();
        assert!(turned.archive().unwrap().bytes == archive.bytes);
        turned.entries[0].content = Some(b"other".to_vec());
        assert_ne!(turned.archive().unwrap().digest, archive.digest);
    }
}
