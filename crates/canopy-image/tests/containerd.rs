//! A real container runtime takes an archive and runs what is in it.

#![allow(clippy::unwrap_used, reason = "a test says by failing what went wrong")]
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use canopy_image::{Entry, Image};

/// How long containerd may take to listen, beside a build.
const START_WAIT: Duration = Duration::from_secs(60);

/// A static program with a shell in it, as Debian's `busybox-static` installs it.
const BUSYBOX: &str = "/bin/busybox";

/// A containerd of its own, in a folder of its own.
struct Containerd {
    child: Child,
    folder: tempfile::TempDir,
}

impl Containerd {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let config = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\n[grpc]\naddress = {:?}\n\
             [plugins.\"io.containerd.internal.v1.opt\"]\npath = {:?}\n",
            at("root"),
            at("state"),
            at("socket"),
            at("opt")
        );
        fs::write(at("config.toml"), config).unwrap();
        let log = fs::File::create(at("log")).unwrap();
        let child = Command::new("containerd")
            .args(["--config", &at("config.toml")])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let log = at("log");
        let containerd = Self { child, folder };
        let deadline = Instant::now() + START_WAIT;
        while !containerd.ctr(&["version"]).status.success() {
            assert!(Instant::now() < deadline, "{}", fs::read_to_string(&log).unwrap());
        }
        containerd
    }

    fn ctr(&self, words: &[&str]) -> Output {
        let socket = self.folder.path().join("socket");
        Command::new("ctr").arg("--address").arg(socket).args(words).output().unwrap()
    }

    fn said(&self, words: &[&str]) -> String {
        let output = self.ctr(words);
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}

/// Whether containers can be run here; where that must be, a machine that cannot is a failure.
fn can_run() -> bool {
    let is_root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    let found = |name: &str| {
        ["/usr/bin", "/usr/sbin", "/usr/local/bin"].iter().any(|bin| Path::new(bin).join(name).exists())
    };
    let lacking = ["containerd", "ctr", "runc"].into_iter().find(|name| !found(name));
    let reason = match lacking {
        _ if !is_root => "only root runs containers".to_owned(),
        Some(name) => format!("{name} is not installed: see the packages containerd and runc"),
        None if !Path::new(BUSYBOX).exists() => {
            format!("{BUSYBOX} is missing: see the package busybox-static")
        }
        None => return true,
    };
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{reason}");
    eprintln!("skipped: {reason}");
    false
}

#[test]
fn a_runtime_imports_it_by_name_and_runs_it() {
    if !can_run() {
        return;
    }
    let image = Image {
        name: "localhost/shell:1".to_owned(),
        entries: vec![Entry::program("/bin/sh", fs::read(BUSYBOX).unwrap()), Entry::folder("/home", 65532)],
        entrypoint: ["/bin/sh", "-c", "touch /home/mine && stat -c '%u %a' /home/mine"]
            .map(str::to_owned)
            .into(),
        user: "65532:65532".to_owned(),
        labels: [("org.opencontainers.image.version".to_owned(), "1".to_owned())].into(),
    };
    let archive = image.archive().unwrap();
    let containerd = Containerd::start();
    let file = containerd.folder.path().join("image.tar");
    fs::write(&file, &archive.bytes).unwrap();
    containerd.said(&["images", "import", "--no-unpack", &file.display().to_string()]);
    let listed = containerd.said(&["images", "ls", &format!("name=={}", image.name)]);
    assert!(listed.contains(&archive.digest), "{listed}");

    let ran = containerd.ctr(&["run", "--rm", "--snapshotter", "native", &image.name, "shell"]);
    assert_eq!(
        String::from_utf8_lossy(&ran.stdout),
        "65532 644\n",
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );
}
