//! The store on a real disk.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use canopy_store::{
    Batch, CommitError, CreateError, KEY_BYTES_MAX, LoadError, OpenError, Store, VALUE_BYTES_MAX,
};

type State = BTreeMap<Vec<u8>, Vec<u8>>;

#[test]
fn what_was_committed_is_there_in_key_order_after_reopening() {
    let folder = folder();
    let store = Store::open(folder.path()).unwrap();
    store.commit(&puts(&[("b", "1"), ("a", "1"), ("c", "1")])).unwrap();
    let mut batch = puts(&[("b", "2")]);
    batch.delete("c");
    batch.delete("never there");
    store.commit(&batch).unwrap();
    let expected = [("a", "1"), ("b", "2")].map(|(k, v)| (k.as_bytes().to_vec(), v.as_bytes().to_vec()));
    assert!(store.load().map(Result::unwrap).eq(expected.clone()));
    drop(store);
    assert!(Store::open(folder.path()).unwrap().load().map(Result::unwrap).eq(expected));
}

#[test]
fn a_store_is_made_once_and_only_for_its_owner() {
    let folder = folder();
    assert!(matches!(Store::create(folder.path()), Err(CreateError::Exists(_))));
    assert_eq!(fs::metadata(folder.path()).unwrap().permissions().mode() & 0o777, 0o700);

    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(Store::open(empty.path()), Err(OpenError::Missing(_))));
    fs::create_dir_all(empty.path().join("engine.unfinished/blobs/left over")).unwrap();
    Store::create(empty.path()).unwrap();
    assert_eq!(state(&Store::open(empty.path()).unwrap()), State::new());
}

#[test]
fn two_users_of_one_folder_are_told() {
    let folder = folder();
    let first = Store::open(folder.path()).unwrap();
    let error = Store::open(folder.path()).err().unwrap();
    assert!(matches!(error, OpenError::Locked(_)));
    assert!(error.to_string().contains(folder.path().to_str().unwrap()), "{error}");
    drop(first);
    Store::open(folder.path()).unwrap();
}

#[test]
fn another_format_is_refused_and_left_alone() {
    let folder = folder();
    fs::write(folder.path().join("engine/format"), "canopy store 2\n").unwrap();
    let error = Store::open(folder.path()).err().unwrap();
    assert!(matches!(&error, OpenError::Format { found, .. } if found == "canopy store 2\n"), "{error}");
    fs::write(folder.path().join("engine/format"), "canopy store 1\n").unwrap();
    Store::open(folder.path()).unwrap();
}

#[test]
fn what_exceeds_a_limit_is_refused_and_nothing_of_its_batch_is_written() {
    let folder = folder();
    let store = Store::open(folder.path()).unwrap();
    for (key, value) in [(1, VALUE_BYTES_MAX + 1), (KEY_BYTES_MAX + 1, 1)] {
        let mut batch = puts(&[("first", "1")]);
        batch.put(vec![b'k'; key], vec![0; value]);
        assert!(matches!(store.commit(&batch), Err(CommitError::TooLarge { .. })));
    }
    assert_eq!(state(&store), State::new());
    store.commit(&puts(&[("goes", "on")])).unwrap();
}

/// The engine writes whole leaves, and whatever is too large for its log is not synced: the commit
/// asserts that there is no such file.
#[test]
fn neighbours_of_the_largest_size_stay_in_the_log() {
    let folder = folder();
    let store = Store::open(folder.path()).unwrap();
    let mut expected = State::new();
    for round in 0..150_u32 {
        let mut batch = Batch::default();
        for change in 0..8 {
            let number = (round * 7919 + change * 31) % 200;
            let mut key = vec![b'k'; KEY_BYTES_MAX - 4];
            key.extend(number.to_be_bytes());
            if number % 5 == 0 && round % 3 == 0 {
                expected.remove(&key);
                batch.delete(key);
            } else {
                let value = vec![round as u8; VALUE_BYTES_MAX];
                expected.insert(key.clone(), value.clone());
                batch.put(key, value);
            }
        }
        store.commit(&batch).unwrap();
    }
    drop(store);
    assert!(state(&Store::open(folder.path()).unwrap()) == expected, "the store differs from the model");
}

/// Cuts and flips at many places. The store may still hold everything (the place was free), or say that it is
/// damaged, or miss its newest batches (a cut looks like the end of the log); it never panics
/// and never hands out what was not committed.
#[test]
fn a_damaged_store_says_so() {
    let folder = folder();
    let store = Store::open(folder.path()).unwrap();
    for number in 0..400_u32 {
        store
            .commit(&puts(&[(&format!("key {}", number % 90), &format!("value {number} {:1000}", ""))]))
            .unwrap();
    }
    drop(store);
    let mut damaged = 0;
    for (name, hurt) in hurts(&folder.path().join("engine")) {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(folder.path(), copy.path());
        hurt(&copy.path().join("engine").join(&name));
        match read(copy.path()) {
            Ok(state) => assert!(state.values().all(|value| value.starts_with(b"value "))),
            Err(error) => {
                assert!(
                    error.contains("damaged") && error.contains(copy.path().to_str().unwrap()),
                    "{name}: {error}"
                );
                damaged += 1;
            }
        }
    }
    assert!(damaged >= 10, "only {damaged} damages were noticed");
}

/// The log or its parameters are gone: the engine by itself would start from nothing.
#[test]
fn a_store_without_its_log_is_damaged_not_empty() {
    for name in ["db", "conf", "format"] {
        for empty in [true, false] {
            let folder = folder();
            let path = folder.path().join("engine").join(name);
            if empty { fs::write(&path, "") } else { fs::remove_file(&path) }.unwrap();
            let error = Store::open(folder.path()).err().unwrap();
            assert!(matches!(error, OpenError::Damaged(_)), "{name}: {error}");
        }
    }
}

const CHILD: &str = "CANOPY_STORE_TEST_FOLDER";
const SLOTS: u64 = 7;
const KEYS: u64 = 20;

/// Not a test of its own: the process that the next test kills.
#[test]
fn child_that_commits_until_it_is_killed() {
    let Some(folder) = env::var_os(CHILD) else { return };
    let store = Store::open(folder).unwrap();
    let first = state(&store).get(&b"last"[..]).map_or(0, |last| number(last) + 1);
    let mut out = std::io::stdout();
    for turn in first.. {
        store.commit(&turn_batch(turn)).unwrap();
        writeln!(out, "committed {turn}").unwrap();
        out.flush().unwrap();
    }
}

#[test]
fn kill_9_loses_no_acknowledged_batch_and_tears_none() {
    let folder = folder();
    let mut acknowledged = 0;
    for round in 0..12 {
        let mut child = start_child(folder.path());
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut turns = lines.filter_map(|line| line.split_once("committed ")?.1.parse().ok());
        for _ in 0..=round * 17 % 60 {
            acknowledged = turns.next().expect("the child commits for ever");
        }
        child.kill().unwrap();
        child.wait().unwrap();
        acknowledged = turns.last().unwrap_or(acknowledged);

        let state = state(&Store::open(folder.path()).unwrap());
        let last = number(&state[&b"last"[..]]);
        assert!(last >= acknowledged, "batch {acknowledged} was acknowledged, the store ends with {last}");
        let mut expected = State::new();
        for turn in 0..=last {
            expected.extend(turn_batch_content(turn));
        }
        assert!(state == expected, "the store is not what batches 0 to {last} make");
    }
}

fn start_child(folder: &Path) -> Child {
    let mut child = Command::new(env::current_exe().unwrap());
    child.args(["--exact", "child_that_commits_until_it_is_killed", "--nocapture"]);
    child.env(CHILD, folder).stdout(Stdio::piped()).spawn().unwrap()
}

fn turn_batch(turn: u64) -> Batch {
    let mut batch = Batch::default();
    turn_batch_content(turn).for_each(|(key, value)| batch.put(key, value));
    batch
}

fn turn_batch_content(turn: u64) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    let keys = (0..KEYS).map(move |key| format!("{}/{key}", turn % SLOTS).into_bytes());
    keys.chain([b"last".to_vec()]).map(move |key| (key, turn.to_be_bytes().to_vec()))
}

fn number(value: &[u8]) -> u64 {
    u64::from_be_bytes(value.try_into().unwrap())
}

type Hurt = Box<dyn Fn(&Path)>;

/// For every file of the engine: cuts, and a flipped bit, at places all over it.
fn hurts(engine: &Path) -> Vec<(String, Hurt)> {
    let mut hurts: Vec<(String, Hurt)> = Vec::new();
    for entry in fs::read_dir(engine).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file()) {
        let name = entry.file_name().into_string().unwrap();
        if name == "format" {
            continue;
        }
        let length = entry.metadata().unwrap().len();
        for part in 0..12 {
            let place = length * part / 12;
            hurts.push((
                name.clone(),
                Box::new(move |path| {
                    File::options().write(true).open(path).unwrap().set_len(place).unwrap();
                }),
            ));
            hurts.push((
                name.clone(),
                Box::new(move |path| {
                    let mut bytes = fs::read(path).unwrap();
                    bytes[place as usize] ^= 0x10;
                    fs::write(path, bytes).unwrap();
                }),
            ));
        }
    }
    hurts
}

fn read(folder: &Path) -> Result<State, String> {
    let store = Store::open(folder).map_err(|error| error.to_string())?;
    store.load().collect::<Result<_, LoadError>>().map_err(|error| error.to_string())
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    Store::create(folder.path()).unwrap();
    folder
}

fn puts(pairs: &[(&str, &str)]) -> Batch {
    let mut batch = Batch::default();
    pairs.iter().for_each(|(key, value)| batch.put(*key, *value));
    batch
}

fn state(store: &Store) -> State {
    store.load().map(Result::unwrap).collect()
}
