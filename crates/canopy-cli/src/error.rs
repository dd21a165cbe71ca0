//! Why a command fails, in words that say what to do next.

use std::error::Error as _;
use std::io;
use std::path::PathBuf;

use canopy_proto::admin::v1::Kind;
use canopy_proto::convert::one_line;
use canopy_proto::selector;
use tonic::{Code, Status};

use crate::{args, connect, context};

/// Why a command fails.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the messages tell
pub enum Error {
    #[error(transparent)]
    Context(#[from] context::Error),
    #[error(transparent)]
    Connect(#[from] connect::Error),
    #[error(transparent)]
    Args(#[from] args::Error),
    #[error(transparent)]
    Selector(#[from] selector::Error),
    /// Something on the command line that clap cannot judge.
    #[error("{0}")]
    Usage(String),
    #[error("cannot read {}", file.display())]
    Read {
        file: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot write the answer")]
    Write(#[source] io::Error),
    /// The hub refuses, or cannot be asked.
    #[error("{}: {}{}", asked.what, message(asked, status), advice(asked, status))]
    Refused { asked: Asked, status: Box<Status> },
    /// The connection ended before the answer.
    #[error("{}: the hub hung up before it answered: {why}; see that it runs{}", asked.what, unsure(asked))]
    Broken {
        /// What it was about.
        asked: Asked,
        why: String,
    },
    #[error("the demonstration could not {doing}")]
    Demo {
        /// What it was about to do.
        doing: &'static str,
        #[source]
        source: io::Error,
    },
    /// Something differs, and was shown.
    #[error("something differs")]
    Differs,
    /// A command whose failure would be an answer could not find out.
    #[error(transparent)]
    Undecided(Box<Self>),
    /// What was waited for did not come.
    #[error("timed out: waited {0}")]
    TimedOut(String),
    /// Each failure was told when it happened.
    #[error("{0} of {1} failed")]
    Some(usize, usize),
}

/// What was asked of a hub.
#[derive(Debug)]
pub struct Asked {
    /// Such as `get workload/line`.
    what: String,
    /// What it is about; unspecified if about nothing that has a kind.
    kind: Kind,
    /// Whether it may have happened although no answer came.
    changes: bool,
}

impl Asked {
    /// A question, which can be asked again.
    pub(crate) fn read(what: impl Into<String>, kind: Kind) -> Self {
        Self { what: what.into(), kind, changes: false }
    }

    /// A change.
    pub(crate) fn change(what: impl Into<String>, kind: Kind) -> Self {
        Self { what: what.into(), kind, changes: true }
    }
}

impl Error {
    /// The hub's answer to what was asked.
    pub(crate) fn refused(asked: Asked) -> impl FnOnce(Status) -> Self {
        move |status| match status.source() {
            Some(why) if why.is::<tonic::transport::Error>() => Self::Broken { asked, why: one_line(why) },
            _ => Self::Refused { asked, status: Box::new(status) },
        }
    }

    /// The hub's answer, if it is that.
    pub(crate) fn code(&self) -> Option<Code> {
        match self {
            Self::Refused { status, .. } => Some(status.code()),
            _ => None,
        }
    }

    /// Whether the same may succeed later, with nobody doing anything about it here.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Broken { .. } | Self::Connect(connect::Error::Dial { .. }) => true,
            Self::Refused { status, .. } => matches!(
                status.code(),
                Code::Unavailable
                    | Code::DeadlineExceeded
                    | Code::ResourceExhausted
                    | Code::Aborted
                    | Code::Cancelled
                    | Code::Internal
                    | Code::Unknown
            ),
            _ => false,
        }
    }
}

/// The hub's own words, but for what its library says of a message that it did not take.
fn message<'a>(asked: &Asked, status: &'a Status) -> &'a str {
    match status.code() {
        Code::OutOfRange if asked.changes => "it is larger than a hub takes in one message (8 MiB): split it",
        _ => status.message(),
    }
}

/// What to do next.
fn advice(asked: &Asked, status: &Status) -> &'static str {
    match (status.code(), asked.kind) {
        (Code::NotFound, Kind::Placement | Kind::Workload) => {
            "; `canopy get KIND -A` lists what there is, `-p` and `--home` say where to look"
        }
        (Code::NotFound, Kind::Cluster | Kind::Hub) => "; `canopy tree` shows what there is",
        (Code::AlreadyExists, _) => "; --overwrite replaces it",
        (Code::PermissionDenied | Code::Unauthenticated, _) => {
            "; use a context whose certificate may do this"
        }
        (Code::Unavailable, _) => "; try again when it is connected",
        (Code::DeadlineExceeded, _) => again(asked),
        (Code::Unimplemented, _) => "; this hub is of another version: see `canopy version`",
        _ => "",
    }
}

/// The hub itself says that a change may have been carried out.
fn again(asked: &Asked) -> &'static str {
    if asked.changes { "; look with `canopy get`, then try again" } else { "; try again" }
}

fn unsure(asked: &Asked) -> &'static str {
    match asked.changes {
        true => "; the change may have been carried out: look with `canopy get`, then try again",
        false => "; try again",
    }
}
