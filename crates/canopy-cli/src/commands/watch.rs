//! Following what changes at a hub, also over a connection that breaks off.

use std::collections::BTreeMap;
use std::time::Duration;

use canopy_model::Selector;
use canopy_proto::admin::v1::{Kind, Object, WatchRequest, status::Detail, watch_event::Type};
use canopy_proto::convert::one_line;
use tokio::time::{Instant, sleep};

use crate::age;
use crate::args::word;
use crate::error::{Asked, Error};
use crate::session::Session;
use crate::terminal::Terminal;

/// The first wait before a broken connection is made anew, and the longest: a hub that restarts is
/// found soon, and one that stays away is not pressed.
pub(super) const AGAIN_FIRST: Duration = Duration::from_secs(1);
pub(super) const AGAIN_MAX: Duration = Duration::from_secs(30);

/// What is followed.
pub(super) struct Watch {
    pub(super) kind: Kind,
    /// Empty: of all projects.
    pub(super) project: String,
    /// Only this one.
    pub(super) name: Option<String>,
    pub(super) selector: Selector,
    /// Tell first what is there.
    pub(super) present: bool,
}

type Known = BTreeMap<(String, String), Object>;

impl Watch {
    /// Tells each change until it fails for good. What changed while the connection was broken is told
    /// as it is once there is another; that states in between were missed is told beside it.
    pub(super) async fn run(
        &self,
        session: &mut Session<'_, '_>,
        mut tell: impl FnMut(&mut Terminal<'_>, Vec<(Type, Object)>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut known: Option<Known> = None;
        loop {
            let broken = self.stream(session, &mut known, &mut tell).await?;
            let since = Instant::now();
            let why = one_line(&broken);
            session.terminal.beside("warning", &format!("the watch broke off, connecting again: {why}"));
            let mut wait = AGAIN_FIRST;
            loop {
                sleep(wait).await;
                match session.reconnect().await {
                    Ok(()) => break,
                    Err(error) if error.may_pass() => wait = (wait * 2).min(AGAIN_MAX),
                    Err(error) => return Err(error),
                }
            }
            let away = age::text(u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX));
            let text = format!("connected again after {away}: what changed meanwhile is shown as it is now");
            session.terminal.beside("note", &text);
        }
    }

    /// Tells what one stream brings; how it broke off.
    async fn stream(
        &self,
        session: &mut Session<'_, '_>,
        known: &mut Option<Known>,
        tell: &mut impl FnMut(&mut Terminal<'_>, Vec<(Type, Object)>) -> Result<(), Error>,
    ) -> Result<Error, Error> {
        let asked = || Asked::read(format!("watch {}s", word(self.kind)), self.kind);
        let passing = |error: Error| if error.may_pass() { Ok(error) } else { Err(error) };
        let request = WatchRequest { kind: self.kind.into(), project: self.project.clone() };
        let mut stream = match session.client.watch(request).await {
            Ok(answer) => answer.into_inner(),
            Err(status) => return passing(Error::refused(asked())(status)),
        };
        // Until all that is there was told, it is not known what is gone.
        let mut arriving = Some(Known::new());
        loop {
            let event = match stream.message().await {
                Ok(Some(event)) => event,
                Ok(None) => {
                    return Ok(Error::Broken { asked: asked(), why: "it ended the answer".to_owned() });
                }
                Err(status) => return passing(Error::refused(asked())(status)),
            };
            let kind = event.r#type();
            if kind == Type::Synced
                && let Some(present) = arriving.take()
            {
                let changes = self.differences(known.as_ref(), &present);
                tell(session.terminal, changes)?;
                *known = Some(present);
            }
            let Some(object) = event.object.filter(|object| self.means(object)) else { continue };
            match (&mut arriving, &mut *known) {
                (Some(present), _) => drop(present.insert(key(&object), object)),
                (None, Some(known)) => {
                    match kind {
                        Type::Deleted => known.remove(&key(&object)),
                        _ => known.insert(key(&object), object.clone()),
                    };
                    tell(session.terminal, vec![(kind, object)])?;
                }
                (None, None) => {}
            }
        }
    }

    fn means(&self, object: &Object) -> bool {
        let Some(metadata) = &object.metadata else { return false };
        let labels = metadata.labels.clone().into_iter().collect();
        self.name.as_ref().is_none_or(|name| *name == metadata.name) && self.selector.matches(&labels)
    }

    /// What differs from what is known; everything, if nothing is known yet and it is asked for.
    fn differences(&self, known: Option<&Known>, present: &Known) -> Vec<(Type, Object)> {
        let Some(known) = known else {
            let all = present.values().filter(|_| self.present);
            return all.map(|object| (Type::Added, object.clone())).collect();
        };
        let changed = present.iter().filter_map(|(key, object)| match known.get(key) {
            None => Some((Type::Added, object.clone())),
            Some(old) if facts(old) != facts(object) => Some((Type::Modified, object.clone())),
            Some(_) => None,
        });
        let gone = known.iter().filter(|(key, _)| !present.contains_key(*key));
        changed.chain(gone.map(|(_, object)| (Type::Deleted, object.clone()))).collect()
    }
}

fn key(object: &Object) -> (String, String) {
    let metadata = object.metadata.clone().unwrap_or_default();
    match object.kind() {
        // Each cluster has its own names.
        Kind::Machine => (metadata.home, metadata.name),
        _ => (metadata.project, metadata.name),
    }
}

/// The object without what only grows older: ages, and the messages that may tell one.
fn facts(object: &Object) -> Object {
    let mut object = object.clone();
    let Some(status) = &mut object.status else { return object };
    match &mut status.detail {
        Some(Detail::Cluster(cluster)) => cluster.age_ms = 0,
        Some(Detail::Hub(hub)) => hub.age_ms = 0,
        Some(Detail::Machine(machine)) => machine.age_ms = 0,
        Some(Detail::Placement(_) | Detail::Workload(_)) | None => {}
    }
    for condition in &mut status.conditions {
        condition.last_transition_ms = 0;
        condition.message.clear();
    }
    object
}
