//! Why a call of the admin API fails, and the one place where that becomes a status.

use canopy_content::blobs;
use canopy_core::command::Refusal;
use canopy_identity::{book, folder};
use canopy_link::AskError;
use canopy_model::Path;
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
    /// There is no such thing.
    #[error("{kind} {name:?} not found at hub {home}")]
    NotFound {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: String,
        /// The hub that was asked.
        home: Path,
    },
    /// It is at home above this hub, or beside it.
    #[error("{home} does not stand below hub {here}: ask the hub at {home}")]
    Above {
        /// Where it is at home.
        home: Path,
        /// This hub.
        here: Path,
    },
    /// The specification does not fit into a row.
    #[error("the object has {bytes} bytes without large content, at most {max} are kept: split it")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// A hub below cannot be asked.
    #[error("hub {path} cannot be asked; nothing is known to have been changed")]
    Ask {
        /// The hub.
        path: Path,
        /// Why not.
        #[source]
        source: AskError,
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
    /// No token can be made.
    #[error(transparent)]
    Token(book::IssueError),
    /// Nobody could use the token.
    #[error("this hub does not know its own address: start it with --advertise HOST:PORT")]
    NoAddress,
    /// The identity folder failed.
    #[error(transparent)]
    Folder(folder::Error),
    /// Large content could not be kept or read.
    #[error("the content cannot be kept or read here")]
    Content(#[source] blobs::Error),
    /// The caller has gone, or its time is over.
    #[error("the call took too long")]
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
    fn code(&self) -> Code {
        match self {
            Self::Field(_) | Self::Selector(_) | Self::Invalid(_) => Code::InvalidArgument,
            Self::Refused(refusal) => match refusal {
                Refusal::NotFound { .. } => Code::NotFound,
                Refusal::Conflict { .. } => Code::Aborted,
                Refusal::Terminating(_) | Refusal::HasChildren { .. } => Code::FailedPrecondition,
                Refusal::OtherIdentity { .. } | Refusal::LabelExists { .. } => Code::AlreadyExists,
                Refusal::Invalid(_) => Code::InvalidArgument,
            },
            Self::NotFound { .. } => Code::NotFound,
            Self::Above { .. } | Self::NoAddress => Code::FailedPrecondition,
            Self::TooLarge { .. } | Self::Token(_) => Code::ResourceExhausted,
            Self::Ask { .. } | Self::Node(_) => Code::Unavailable,
            Self::Unreadable(_) | Self::Folder(_) | Self::Content(_) => Code::Internal,
            Self::Relayed { code, .. } => *code,
            Self::Late => Code::DeadlineExceeded,
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
        Self::Relayed { code: Code::from(refused.code), message: refused.message }
    }
}
