//! What may be waited for, and waiting for it.
//!
//! An object may live anywhere in the tree, and only the hub that is asked is spoken to; it relays each
//! look to the object's home. So the object is looked at again and again, more rarely the longer it
//! takes: the wait is told at most a tenth too late.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use canopy_proto::admin::v1::{Object, ObjectRef};
use canopy_proto::convert::one_line;
use canopy_proto::document;
use jiff::SignedDuration;
use jsonpath_rust::JsonPath;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::Code;

use crate::age;
use crate::error::Error;
use crate::session::{Session, named};

/// Between two looks: a part of the time that was waited already.
const LOOK_PART: u32 = 10;
/// The shortest pause: a hub is not pressed.
const LOOK_MIN: Duration = Duration::from_millis(200);
/// The longest pause: nobody is kept waiting for what is so.
const LOOK_MAX: Duration = Duration::from_secs(5);

/// What is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Until {
    /// A condition has this status.
    Condition {
        /// Such as Ready; compared without regard to case, as kubectl does.
        kind: String,
        /// True, False or Unknown.
        status: String,
    },
    /// The object is gone.
    Delete,
    /// The object is there.
    Create,
    /// A field has a value, or is there at all.
    Field {
        /// As kubectl writes it, `.status.selected`.
        path: String,
        /// Its value as text.
        value: Option<String>,
    },
}

/// When waiting ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    at: Instant,
    patience: Duration,
}

impl Deadline {
    /// So long from now; a negative time is none.
    pub(crate) fn after(patience: SignedDuration) -> Self {
        let patience = Duration::try_from(patience).unwrap_or_default();
        let now = Instant::now();
        // Beyond what the clock can tell is as good as a year.
        let at = now.checked_add(patience).unwrap_or(now + Duration::from_secs(365 * 24 * 3600));
        Self { at, patience }
    }

    /// Whether there is no time left.
    pub(crate) fn is_over(&self) -> bool {
        Instant::now() >= self.at
    }
}

/// What one look showed.
enum Look {
    Met,
    /// Not yet, and how it is.
    Not(String),
}

impl Until {
    /// What came true, beside the object's name.
    pub(crate) fn done(&self) -> &'static str {
        match self {
            Self::Delete => "deleted",
            Self::Create => "created",
            Self::Condition { .. } | Self::Field { .. } => "condition met",
        }
    }

    /// Looks until it is so.
    pub(crate) async fn wait(
        &self,
        session: &mut Session<'_, '_>,
        object: &ObjectRef,
        deadline: Deadline,
    ) -> Result<(), Error> {
        let began = Instant::now();
        let mut last = "no answer came".to_owned();
        let mut first = None;
        loop {
            // Even without time to wait, there is time for one look.
            let until = deadline.at.max(began + LOOK_MAX);
            if let Ok(found) = timeout_at(until, session.get(object.clone())).await {
                let broken = matches!(found, Err(Error::Broken { .. }));
                match self.look(found, &mut first)? {
                    Look::Met => return Ok(()),
                    Look::Not(how) => last = how,
                }
                if broken {
                    // What does not pass is told when the time is over.
                    let _ = timeout_at(until, session.reconnect()).await;
                }
            }
            let pause = (began.elapsed() / LOOK_PART).clamp(LOOK_MIN, LOOK_MAX);
            let left = deadline.at.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let (name, patience) = (named(object), deadline.patience);
                let patience = age::text(u64::try_from(patience.as_millis()).unwrap_or(u64::MAX));
                return Err(Error::TimedOut(format!("{patience} for {self} of {name}: {last}")));
            }
            sleep(pause.min(left)).await;
        }
    }

    /// `first` is the uid that the name had at the first look: another one's is another object.
    fn look(&self, found: Result<Object, Error>, first: &mut Option<String>) -> Result<Look, Error> {
        let object = match found {
            Ok(object) => object,
            Err(error) if error.code() == Some(Code::NotFound) => {
                return match self {
                    Self::Delete => Ok(Look::Met),
                    Self::Create => Ok(Look::Not("there is none".to_owned())),
                    Self::Condition { .. } | Self::Field { .. } => Err(error),
                };
            }
            Err(error) if error.may_pass() => return Ok(Look::Not(one_line(&error))),
            Err(error) => return Err(error),
        };
        let uid = object.metadata.as_ref().map(|metadata| metadata.uid.clone()).unwrap_or_default();
        let same = *first.get_or_insert_with(|| uid.clone()) == uid;
        Ok(match self {
            Self::Create => Look::Met,
            Self::Delete if !same => Look::Met,
            Self::Delete => Look::Not(format!("it is still there{}", ready(&object))),
            Self::Condition { kind, status } => {
                let conditions = object.status.iter().flat_map(|status| &status.conditions);
                match conditions.into_iter().find(|condition| condition.r#type.eq_ignore_ascii_case(kind)) {
                    Some(condition) if condition.status.eq_ignore_ascii_case(status) => Look::Met,
                    Some(condition) => {
                        let message = if condition.message.is_empty() { "" } else { ": " };
                        let (status, reason) = (&condition.status, &condition.reason);
                        Look::Not(format!("it is {status} ({reason}){message}{}", condition.message))
                    }
                    None => Look::Not("it has no such condition".to_owned()),
                }
            }
            Self::Field { path, value } => {
                let document = serde_json::to_value(document::document(object)).unwrap_or_default();
                let found = document.query(&format!("${path}")).unwrap_or_default();
                let texts: Vec<String> = found.into_iter().map(text).collect();
                let met = match value {
                    Some(value) => texts.len() == 1 && texts[0] == *value,
                    None => !texts.is_empty(),
                };
                match texts.as_slice() {
                    _ if met => Look::Met,
                    [] => Look::Not("it has no such field".to_owned()),
                    texts => Look::Not(format!("it is {}", texts.join(" "))),
                }
            }
        })
    }
}

/// A text as it is, anything else as JSON.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// How an object that should be gone is.
fn ready(object: &Object) -> String {
    let ready = object.status.as_ref().and_then(crate::show::ready);
    let message = ready.map(|ready| ready.message.as_str()).filter(|message| !message.is_empty());
    let message = message.map_or_else(String::new, |message| format!(": {message}"));
    format!(" ({}){message}", crate::show::summary(object))
}

impl FromStr for Until {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (what, rest) = text.split_once('=').unwrap_or((text, ""));
        match (what, rest) {
            ("delete", "") => Ok(Self::Delete),
            ("create", "") => Ok(Self::Create),
            ("condition", condition) if !condition.is_empty() => {
                let (kind, status) = condition.split_once('=').unwrap_or((condition, "True"));
                let known =
                    ["True", "False", "Unknown"].iter().find(|word| word.eq_ignore_ascii_case(status));
                let status = known.ok_or("a condition is True, False or Unknown")?;
                Ok(Self::Condition { kind: kind.to_owned(), status: (*status).to_owned() })
            }
            ("jsonpath", field) if !field.is_empty() => {
                let (path, value) = match field.strip_prefix('{').and_then(|field| field.split_once('}')) {
                    Some((path, "")) => (path, None),
                    Some((path, value)) => {
                        (path, Some(value.strip_prefix('=').ok_or("write jsonpath={.field}=VALUE")?))
                    }
                    None => field.split_once('=').map_or((field, None), |(path, value)| (path, Some(value))),
                };
                let path = if path.starts_with(['.', '[']) { path.to_owned() } else { format!(".{path}") };
                let whole = format!("${path}");
                Value::Null.query(&whole).map_err(|error| format!("{path} is no path of fields: {error}"))?;
                Ok(Self::Field { path, value: value.map(str::to_owned) })
            }
            _ => {
                Err("write condition=TYPE[=STATUS], delete, create, or jsonpath='{.field}'[=VALUE]"
                    .to_owned())
            }
        }
    }
}

impl fmt::Display for Until {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Condition { kind, status } => write!(f, "condition {kind}={status}"),
            Self::Delete => f.write_str("the deletion"),
            Self::Create => f.write_str("the creation"),
            Self::Field { path, value: Some(value) } => write!(f, "{path}={value}"),
            Self::Field { path, value: None } => write!(f, "a value at {path}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_waited_for_is_written_as_in_kubectl() {
        let read = |text: &str| text.parse::<Until>();
        let condition = |kind: &str, status: &str| {
            Ok(Until::Condition { kind: kind.to_owned(), status: status.to_owned() })
        };
        let field = |path: &str, value: Option<&str>| {
            Ok(Until::Field { path: path.to_owned(), value: value.map(str::to_owned) })
        };
        assert_eq!(read("condition=Ready"), condition("Ready", "True"));
        assert_eq!(read("condition=Available=unknown"), condition("Available", "Unknown"));
        assert_eq!(read("delete"), Ok(Until::Delete));
        assert_eq!(read("jsonpath={.status.selected}=3"), field(".status.selected", Some("3")));
        assert_eq!(read("jsonpath={.status.example}"), field(".status.example", None));
        assert_eq!(read("jsonpath=.status.selected=3"), field(".status.selected", Some("3")));
        for bad in ["", "ready", "condition=", "condition=Ready=Yes", "delete=x", "jsonpath={.a[}"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
