//! Why a call of the admin API fails, and the one place where that becomes a status.

use canopy_content::blobs;
use canopy_core::command::Refusal;
use canopy_identity::{Peer, book, folder};
use canopy_link::AskError;
use canopy_model::{Kind, Name, Path, Uid};
use canopy_node::handle;
use canopy_proto::admin::v1::Refused;
use canopy_proto::convert::{self, one_line};
use canopy_proto::selector;
use tonic::{Code, Status};

/// Why a call fails.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A field is wrong.
    #[error(transparent)]
    Field(convert::Error),
    /// The label selector is wrong.
    #[error(transparent)]
    Selector(selector::Error),
    /// Something else about the request is wrong.
    #[error("{0}")]
    Invalid(String),
    /// The hub refuses the write.
    #[error(transparent)]
    Refused(Refusal),
    /// It is at home above this hub, or beside it.
    #[error("{home} does not stand below hub {here}: ask the hub at {home}")]
    Above {
        /// Where it is at home.
        home: Path,
        /// This hub.
        here: Path,
    },
    /// The name is that of an object which applies here and is at home above.
    #[error(
        "{} {name:?} is at home at {home}, above hub {here}: ask the hub at {home}; one of this hub's own names {here} as its home", .kind.name()
    )]
    Inherited {
        /// Its kind.
        kind: Kind,
        /// Its name.
        name: Name,
        /// Where it is at home.
        home: Path,
        /// This hub.
        here: Path,
    },
    /// The specification does not fit into a row.
    #[error("the object has {bytes} bytes without large content, at most {max} are kept: split it")]
    ObjectTooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The content would not fit into an answer.
    #[error("the manifests have {bytes} bytes, at most {max} are kept: split the workload")]
    ContentTooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The request does not fit into a message of the link.
    #[error("the request has {bytes} bytes, at most {max} are taken: split what it names")]
    RequestTooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// A token for longer than tokens live.
    #[error("ttl_seconds is {asked}, at most {max} are given: make another token when this one has expired")]
    TokenLife {
        /// What was asked for.
        asked: u64,
        /// The limit.
        max: u64,
    },
    /// The same id named another call before.
    #[error("the request id {0} was used for another call before: draw a new one for each call")]
    IdUsed(Uid),
    /// Whoever calls may not.
    #[error("{peer} is no administrator of hub {here}")]
    NoAdministrator {
        /// Who calls.
        peer: Box<Peer>,
        /// This hub.
        here: Path,
    },
    /// A hub below cannot be asked.
    #[error("hub {path} cannot be asked: nothing was changed")]
    NotAsked {
        /// The hub.
        path: Path,
        /// Why not.
        #[source]
        source: AskError,
    },
    /// A hub below was asked and gave no answer.
    #[error("hub {path} was asked, and what came of it is not known: a change may have been carried out")]
    Unanswered {
        /// The hub.
        path: Path,
        /// Why not.
        #[source]
        source: AskError,
    },
    /// A hub below has more to tell than fits.
    #[error("hub {0} has more to tell than one answer carries: ask for less, or for a part of its subtree")]
    TooMuch(Path),
    /// A hub below answered something that it may not, or another question.
    #[error("hub {path} answered {what}: nothing of its answer is shown")]
    Strange {
        /// The hub.
        path: Path,
        /// What is wrong with the answer.
        what: &'static str,
    },
    /// A hub below answered what cannot be read.
    #[error("hub {0} answered what this version cannot read: update the older one")]
    Unreadable(Path),
    /// A hub below refuses.
    #[error("{message}")]
    Relayed {
        /// The status code.
        code: Code,
        /// Its message.
        message: String,
    },
    /// The hub itself does not answer.
    #[error(transparent)]
    Node(handle::Error),
    /// The hub was given a write and did not say what came of it.
    #[error("what came of the change is not known: it may have been carried out")]
    Unsure(#[source] handle::Error),
    /// No token can be made.
    #[error(transparent)]
    Token(book::IssueError),
    /// Nobody could use the token.
    #[error(
        "this hub does not know the address under which children reach it: start it with --advertise HOST:PORT"
    )]
    NoAddress,
    /// The identity folder failed.
    #[error(transparent)]
    Folder(folder::Error),
    /// Large content could not be kept or read.
    #[error("the content cannot be kept or read here")]
    Content(#[source] blobs::Error),
    /// The caller has gone, or its time is over.
    #[error("the call took too long: a change may have been carried out")]
    Late,
}

impl From<convert::Error> for Error {
    fn from(error: convert::Error) -> Self {
        Self::Field(error)
    }
}

impl From<handle::Error> for Error {
    fn from(error: handle::Error) -> Self {
        Self::Node(error)
    }
}

impl Error {
    /// The code of the status that tells it.
    pub fn code(&self) -> Code {
        match self {
            Self::Field(_) | Self::Selector(_) | Self::Invalid(_) => Code::InvalidArgument,
            Self::TokenLife { .. } | Self::IdUsed(_) => Code::InvalidArgument,
            Self::Refused(refusal) => match refusal {
                Refusal::NotFound { .. } | Refusal::NotOrphaned { .. } => Code::NotFound,
                Refusal::Conflict { .. } => Code::Aborted,
                Refusal::LabelExists { .. } | Refusal::TaintExists(_) => Code::AlreadyExists,
                Refusal::Terminating(_) | Refusal::HasChildren { .. } | Refusal::ChildrenUnknown(_) => {
                    Code::FailedPrecondition
                }
                Refusal::OtherUid { .. } | Refusal::OtherName { .. } | Refusal::OtherHome { .. } => {
                    Code::FailedPrecondition
                }
                Refusal::OtherIdentity { .. } => Code::FailedPrecondition,
                Refusal::Invalid(_) => Code::InvalidArgument,
            },
            Self::Above { .. } | Self::Inherited { .. } | Self::NoAddress => Code::FailedPrecondition,
            Self::NoAdministrator { .. } => Code::PermissionDenied,
            Self::ObjectTooLarge { .. } | Self::ContentTooLarge { .. } | Self::RequestTooLarge { .. } => {
                Code::ResourceExhausted
            }
            Self::TooMuch(_) | Self::Token(_) => Code::ResourceExhausted,
            Self::NotAsked { .. } | Self::Node(handle::Error::Stopping) => Code::Unavailable,
            Self::Unanswered { .. } | Self::Unsure(_) | Self::Late => Code::DeadlineExceeded,
            Self::Node(handle::Error::Late) => Code::DeadlineExceeded,
            Self::Strange { .. } | Self::Unreadable(_) | Self::Folder(_) | Self::Content(_) => Code::Internal,
            Self::Relayed { code, .. } => *code,
        }
    }

    /// Why a hub below gave no answer.
    pub fn asked(path: Path, source: AskError) -> Self {
        match source {
            AskError::NotConnected(_) | AskError::Busy(_) => Self::NotAsked { path, source },
            AskError::Lost(_) | AskError::Deadline { .. } => Self::Unanswered { path, source },
        }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        Status::new(error.code(), one_line(&error))
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self { code: error.code() as i32, message: one_line(&error) }
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        let code = match Code::from(refused.code) {
            Code::Ok => Code::Unknown,
            code => code,
        };
        Self::Relayed { code, message: refused.message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unavailable_means_that_nothing_was_asked() {
        let name: Name = "eu".parse().unwrap();
        let path = || "eu".parse::<Path>().unwrap();
        for (source, code) in [
            (AskError::NotConnected(name.clone()), Code::Unavailable),
            (AskError::Busy(name.clone()), Code::Unavailable),
            (AskError::Lost(name.clone()), Code::DeadlineExceeded),
            (AskError::Deadline { child: name, deadline_ms: 5 }, Code::DeadlineExceeded),
        ] {
            let status = Status::from(Error::asked(path(), source));
            assert_eq!(status.code(), code, "{}", status.message());
            let unsure = status.message().contains("may have been carried out");
            assert_eq!(unsure, code == Code::DeadlineExceeded, "{}", status.message());
        }
    }
}
