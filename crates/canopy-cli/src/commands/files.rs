//! Documents from files, folders and the standard input.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use canopy_proto::admin::v1::Object;
use canopy_proto::convert::one_line;
use canopy_proto::document;

use crate::error::Error;
use crate::terminal::Terminal;

/// The files of a folder that are read.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// What was read: objects in the order of files and documents, and how many documents were not.
pub(super) struct Documents {
    pub(super) objects: Vec<Object>,
    pub(super) refused: usize,
}

/// Reads all documents. A mistake in one is told, and the others are read.
pub(super) fn read(
    names: &[PathBuf],
    recursive: bool,
    terminal: &mut Terminal<'_>,
) -> Result<Documents, Error> {
    let mut read = Documents { objects: Vec::new(), refused: 0 };
    for name in names {
        for (file, text) in texts(name, recursive, terminal.input)? {
            for document in document::read(&text) {
                match document {
                    Ok(object) => read.objects.push(object),
                    Err(error) => {
                        terminal.beside("error", &format!("{file}: {}", one_line(&error)));
                        read.refused += 1;
                    }
                }
            }
        }
    }
    Ok(read)
}

/// The names and texts of what one name on the command line stands for.
fn texts(name: &Path, recursive: bool, input: &mut dyn Read) -> Result<Vec<(String, String)>, Error> {
    let refuse = |file: &Path| {
        let file = file.to_owned();
        |source: io::Error| Error::Read { file, source }
    };
    if name == Path::new("-") {
        let mut text = String::new();
        input.read_to_string(&mut text).map_err(refuse(name))?;
        return Ok(vec![("standard input".to_owned(), text)]);
    }
    let files =
        if name.is_dir() { folder(name, recursive).map_err(refuse(name))? } else { vec![name.to_owned()] };
    let text = |file: PathBuf| {
        let text = fs::read_to_string(&file).map_err(refuse(&file))?;
        Ok((file.display().to_string(), text))
    };
    files.into_iter().map(text).collect()
}

fn folder(name: &Path, recursive: bool) -> io::Result<Vec<PathBuf>> {
    let mut entries = fs::read_dir(name)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    entries.sort();
    let mut files = Vec::new();
    for entry in entries {
        let extension = entry.extension().and_then(|extension| extension.to_str());
        if entry.is_dir() {
            if recursive {
                files.extend(folder(&entry, recursive)?);
            }
        } else if extension.is_some_and(|extension| EXTENSIONS.contains(&extension)) {
            files.push(entry);
        }
    }
    Ok(files)
}
