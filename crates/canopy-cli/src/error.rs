//! Why a command fails, in words that say what to do next.

use std::error::Error as _;
use std::io;
use std::path::PathBuf;

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
    #[error("{doing}: {}{}", status.message(), advice(status))]
    Refused {
        /// What was tried, such as `get workload/line`.
        doing: String,
        status: Box<Status>,
    },
    /// The connection ended. With TLS 1.3 a hub can refuse a certificate only after the handshake.
    #[error(
        "{doing}: the connection broke off: {why}; at once, it means that the hub does not accept this certificate (--context)"
    )]
    Broken { doing: String, why: String },
    #[error("the demonstration could not {doing}")]
    Demo {
        /// What it was about to do.
        doing: &'static str,
        #[source]
        source: io::Error,
    },
    /// Each failure was told when it happened.
    #[error("{0} of {1} failed")]
    Some(usize, usize),
}

impl Error {
    /// The hub's answer to what was tried.
    pub(crate) fn refused(doing: impl Into<String>) -> impl FnOnce(Status) -> Self {
        let doing = doing.into();
        move |status| match status.source() {
            Some(why) if why.is::<tonic::transport::Error>() => Self::Broken { doing, why: one_line(why) },
            _ => Self::Refused { doing, status: Box::new(status) },
        }
    }
}

/// What to do next.
fn advice(status: &Status) -> &'static str {
    match status.code() {
        Code::NotFound => "; `canopy get KIND` lists what there is, `-p` and `--home` say where to look",
        Code::Aborted => "; somebody else changed it: get it again, then repeat your change",
        Code::AlreadyExists => "; --overwrite replaces it",
        Code::PermissionDenied | Code::Unauthenticated => "; use a context whose certificate may do this",
        Code::Unavailable => "; try again when it is connected",
        Code::DeadlineExceeded => "; a change may still happen: look with `canopy get`, then try again",
        Code::Unimplemented => "; this hub is of another version: see `canopy version`",
        _ => "",
    }
}
