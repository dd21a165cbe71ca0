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

/// What was read: objects in the order of files and documents, and how many documents and files were
/// not.
pub(super) struct Documents {
    pub(super) objects: Vec<Object>,
    pub(super) refused: usize,
}

/// Reads all documents. A mistake in one is told, and so is a file that cannot be read, and the others
/// are read. No document at all is an error.
pub(super) fn read(
    names: &[PathBuf],
    recursive: bool,
    terminal: &mut Terminal<'_>,
) -> Result<Documents, Error> {
    let mut read = Documents { objects: Vec::new(), refused: 0 };
    for name in names {
        for text in texts(name, recursive, terminal.input) {
            let (file, text) = match text {
                Ok(text) => text,
                Err(error) => {
                    terminal.error(&error);
                    read.refused += 1;
                    continue;
                }
            };
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
    if read.objects.is_empty() && read.refused == 0 {
        return Err(Error::Usage("no documents in the given files".to_owned()));
    }
    Ok(read)
}

/// The names and texts of what one name on the command line stands for.
fn texts(name: &Path, recursive: bool, input: &mut dyn Read) -> Vec<Result<(String, String), Error>> {
    let refuse = |file: &Path| {
        let file = file.to_owned();
        |source: io::Error| Error::Read { file, source }
    };
    if name == Path::new("-") {
        let mut text = String::new();
        let read = input.read_to_string(&mut text).map_err(refuse(name));
        return vec![read.map(|_| ("standard input".to_owned(), text))];
    }
    let files = if name.is_dir() { folder(name, recursive) } else { Ok(vec![name.to_owned()]) };
    let text = |file: PathBuf| {
        let text = fs::read_to_string(&file).map_err(refuse(&file))?;
        Ok((file.display().to_string(), text))
    };
    match files {
        Ok(files) => files.into_iter().map(text).collect(),
        Err(error) => vec![Err(refuse(name)(error))],
    }
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
