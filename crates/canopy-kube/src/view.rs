//! Concludes what became of the applied sets: from what was applied and what the watches told.
//!
//! States of one object are ordered by resource version, wherever they came from, so a watch that
//! lags behind an apply shows no drift. Nothing here waits or asks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use canopy_model::{FeedbackValue, Health, Uid};
use canopy_upkeep::StrategyType;
use kube::api::DynamicObject;
use kube::runtime::watcher::Event;

use crate::applied::{Member, Set, Sets};
use crate::health::severity;
use crate::kinds::Kind;
use crate::object::{GroupKind, ObjectName};
use crate::ownership::Seen;
use crate::watch::{Observed, Scope};

/// The newest state of one object, as far as the watch told.
#[derive(Debug, Clone, PartialEq)]
enum Live {
    There(Seen),
    /// Gone, in or after this resource version.
    Gone(u64),
}

impl Live {
    fn version(&self) -> u64 {
        match self {
            Self::There(seen) => seen.version,
            Self::Gone(version) => *version,
        }
    }
}

/// What the watches told, beside what was applied.
#[derive(Default)]
pub(crate) struct View {
    applied: Sets,
    live: BTreeMap<ObjectName, Live>,
    /// The objects named so far by a list that is under way.
    listing: BTreeMap<Scope, BTreeSet<ObjectName>>,
    /// The kinds that may be watched in some namespaces only.
    narrow: BTreeSet<GroupKind>,
    /// The watches that the server forbids, and why.
    forbidden: BTreeMap<Scope, String>,
}

impl View {
    /// Takes over the newest sets; returns the workloads that changed.
    pub(crate) fn adopt(&mut self, sets: Sets, watched: &BTreeSet<Scope>) -> Vec<Uid> {
        let same = |uid: &Uid, set: &Arc<Set>| self.applied.get(uid).is_some_and(|old| Arc::ptr_eq(old, set));
        let changed = sets.iter().filter(|(uid, set)| !same(uid, set)).map(|(uid, _)| *uid).collect();
        self.applied = sets;
        let wanted: BTreeSet<_> = self.applied.values().flat_map(|set| set.members.keys()).collect();
        self.live.retain(|name, live| {
            let mut scopes = vec![Scope::Ours(name.kind.clone()), Scope::One(name.clone())];
            scopes
                .extend(name.namespace.clone().map(|namespace| Scope::OursIn(name.kind.clone(), namespace)));
            let told = scopes.iter().any(|scope| watched.contains(scope));
            told && (matches!(live, Live::There(_)) || wanted.contains(name))
        });
        self.listing.retain(|scope, _| watched.contains(scope));
        self.forbidden.retain(|scope, _| watched.contains(scope));
        changed
    }

    /// What to watch for an object of a set.
    pub(crate) fn scope(&self, name: &ObjectName, member: &Member) -> Scope {
        match &name.namespace {
            _ if member.strategy == StrategyType::ReadOnly => Scope::One(name.clone()),
            Some(namespace) if self.narrow.contains(&name.kind) => {
                Scope::OursIn(name.kind.clone(), namespace.clone())
            }
            _ => Scope::Ours(name.kind.clone()),
        }
    }

    /// Notes that a kind may not be watched in all namespaces at once; says whether watching each by
    /// itself is another way.
    pub(crate) fn narrow(&mut self, scope: &Scope) -> bool {
        let Scope::Ours(kind) = scope else { return false };
        let mut members = self.applied.values().flat_map(|set| set.members.keys());
        let namespaced = members.any(|name| name.kind == *kind && name.namespace.is_some());
        namespaced && self.narrow.insert(kind.clone())
    }

    /// Notes that the server forbids a watch; returns the workloads to look at again, none when it is
    /// no news.
    pub(crate) fn forbid(&mut self, scope: &Scope, message: &str) -> BTreeSet<Uid> {
        match self.forbidden.insert(scope.clone(), message.to_owned()) {
            Some(old) if old == message => BTreeSet::new(),
            _ => self.concerned_by(scope),
        }
    }

    /// Takes one event; returns the workloads to look at again.
    pub(crate) fn take(&mut self, scope: &Scope, event: Event<DynamicObject>) -> BTreeSet<Uid> {
        // A list begins before the server has said whether it may.
        let allowed = !matches!(event, Event::Init) && self.forbidden.remove(scope).is_some();
        let mut concerned = if allowed { self.concerned_by(scope) } else { BTreeSet::new() };
        concerned.extend(self.note(scope, event));
        concerned
    }

    fn note(&mut self, scope: &Scope, event: Event<DynamicObject>) -> BTreeSet<Uid> {
        let kind = scope.kind();
        match event {
            Event::Init => {
                self.listing.insert(scope.clone(), BTreeSet::new());
                BTreeSet::new()
            }
            Event::InitApply(object) => {
                let name = ObjectName::of(kind, &object);
                self.listing.entry(scope.clone()).or_default().insert(name.clone());
                self.put_object(name, &object)
            }
            Event::InitDone => self.end_listing(scope),
            Event::Apply(object) => self.put_object(ObjectName::of(kind, &object), &object),
            Event::Delete(object) => {
                let name = ObjectName::of(kind, &object);
                let version = self.version(&name).max(Seen::of(&object).version);
                self.put(name, Live::Gone(version))
            }
        }
    }

    fn put_object(&mut self, name: ObjectName, object: &DynamicObject) -> BTreeSet<Uid> {
        let mut seen = Seen::of(object);
        for (uid, set) in &self.applied {
            if let Some(member) = set.members.get(&name) {
                seen.tell(*uid, object, &name, &member.feedback);
            }
        }
        self.put(name, Live::There(seen))
    }

    fn put(&mut self, name: ObjectName, live: Live) -> BTreeSet<Uid> {
        let concerned = self.concerned(&name);
        self.live.insert(name, live);
        concerned
    }

    /// What a complete list did not name is gone.
    fn end_listing(&mut self, scope: &Scope) -> BTreeSet<Uid> {
        let listed = self.listing.remove(scope).unwrap_or_default();
        let known = self.live.keys().chain(self.applied.values().flat_map(|set| set.members.keys()));
        let told = |name: &ObjectName| match scope {
            Scope::Ours(kind) => name.kind == *kind && !self.is_only_watched(name),
            Scope::OursIn(kind, namespace) => {
                name.kind == *kind
                    && name.namespace.as_ref() == Some(namespace)
                    && !self.is_only_watched(name)
            }
            Scope::One(one) => name == one,
        };
        let gone: Vec<_> = known.filter(|name| told(name) && !listed.contains(name)).cloned().collect();
        let put = |name: ObjectName| {
            let version = self.version(&name);
            self.put(name, Live::Gone(version))
        };
        gone.into_iter().flat_map(put).collect()
    }

    /// Whether no set keeps an object, and at least one only watches it.
    fn is_only_watched(&self, name: &ObjectName) -> bool {
        let mut members = self.applied.values().filter_map(|set| set.members.get(name)).peekable();
        members.peek().is_some() && members.all(|member| member.strategy == StrategyType::ReadOnly)
    }

    /// The newest version known of an object; 0 for none.
    fn version(&self, name: &ObjectName) -> u64 {
        let accepted = self.applied.values().filter_map(|set| set.members.get(name)?.accepted.as_ref());
        let live = self.live.get(name).map(Live::version);
        accepted.map(|seen| seen.version).chain(live).max().unwrap_or(0)
    }

    /// The workloads that name an object.
    fn concerned(&self, name: &ObjectName) -> BTreeSet<Uid> {
        self.applied.iter().filter(|(_, set)| set.members.contains_key(name)).map(|(uid, _)| *uid).collect()
    }

    /// The workloads that a watch is about.
    fn concerned_by(&self, scope: &Scope) -> BTreeSet<Uid> {
        let about = |set: &Set| set.members.iter().any(|(name, member)| self.scope(name, member) == *scope);
        self.applied.iter().filter(|(_, set)| about(set)).map(|(uid, _)| *uid).collect()
    }

    /// What became of a workload; none while it is being changed.
    pub(crate) fn conclude(&self, uid: Uid) -> Option<Conclusion> {
        let set = self.applied.get(&uid).filter(|set| set.settled)?;
        let mut drifted = None;
        let mut worst = (Health::Healthy, String::new());
        let mut unwell = None;
        let mut feedback = Vec::new();
        for (name, member) in &set.members {
            let verdict = match self.forbidden.get(&self.scope(name, member)) {
                Some(message) => unseen(message),
                None => judge(uid, member, self.live.get(name)),
            };
            feedback.extend(verdict.feedback);
            if verdict.drifted {
                drifted.get_or_insert_with(|| format!("{name} was changed by somebody else"));
            }
            if severity(verdict.health) > severity(worst.0) {
                worst = (verdict.health, format!("{name}: {}", verdict.message));
                let kept = matches!(verdict.health, Health::Progressing | Health::Degraded);
                unwell = member.kind.clone().filter(|_| kept).map(|kind| (kind, name.clone()));
            }
        }
        let (health, message) = worst;
        let message = if message.is_empty() { drifted.clone().unwrap_or_default() } else { message };
        let observed = Observed { uid, drifted: drifted.is_some(), health, message, feedback };
        Some(Conclusion { observed, unwell })
    }
}

/// What became of a workload.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Conclusion {
    pub(crate) observed: Observed,
    /// The object that speaks for it, if something below that may tell why it is not well.
    pub(crate) unwell: Option<(Kind, ObjectName)>,
}

struct Verdict {
    drifted: bool,
    health: Health,
    message: String,
    feedback: Vec<FeedbackValue>,
}

/// Of an object that may not be watched nobody knows how it is.
fn unseen(message: &str) -> Verdict {
    let message = format!("what becomes of it is not seen: {message}");
    Verdict { drifted: false, health: Health::Unknown, message, feedback: Vec::new() }
}

/// Compares an object as it was applied with its newest state.
fn judge(uid: Uid, member: &Member, live: Option<&Live>) -> Verdict {
    let missing = |message: &str| Verdict {
        drifted: member.accepted.is_some() && member.strategy != StrategyType::ReadOnly,
        health: Health::Missing,
        message: message.to_owned(),
        feedback: Vec::new(),
    };
    let accepted = member.accepted.as_ref();
    // The answer to an apply, and what a watch told of the same version, are the same state; but what is
    // to be told of it may have changed since the watch told it.
    let live = live.filter(|live| {
        accepted.is_none_or(|accepted| match live {
            Live::There(seen) => seen.version > accepted.version,
            Live::Gone(version) => *version >= accepted.version,
        })
    });
    let seen = match (live, accepted) {
        (Some(Live::There(seen)), _) | (None, Some(seen)) => seen,
        (Some(Live::Gone(_)), Some(_)) => return missing("was deleted by somebody else"),
        (_, None) if member.strategy == StrategyType::ReadOnly => return missing("is not there"),
        (_, None) => return missing("was not accepted by the cluster"),
    };
    let owner = accepted.map_or(Some(uid.to_string()), |accepted| accepted.owner.clone());
    if member.strategy != StrategyType::ReadOnly && seen.owner != owner {
        return missing("belongs to another workload");
    }
    let corrected = matches!(member.strategy, StrategyType::ServerSideApply | StrategyType::Update);
    Verdict {
        drifted: corrected && accepted.is_some_and(|accepted| accepted.owned != seen.owned),
        health: seen.health,
        message: seen.message.clone(),
        feedback: seen.feedback.get(&uid).cloned().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const UID: Uid = Uid(7);

    fn kind() -> GroupKind {
        GroupKind::read("ConfigMap")
    }

    fn object(version: u64, owner: Uid, fields: &str) -> DynamicObject {
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
            "name": "rules", "namespace": "line", "resourceVersion": version.to_string(),
            "labels": {"canopy.dev/workload-uid": owner.to_string()},
            "managedFields": [{"manager": "canopy", "operation": "Apply", "fieldsV1": {fields: {}}}],
        }});
        serde_json::from_value(object).unwrap()
    }

    /// A view in which one object was accepted at version 5.
    fn view(settled: bool) -> View {
        let applied = object(5, UID, "f:data");
        let member = Member { accepted: Some(Seen::of(&applied)), ..Member::default() };
        let members = BTreeMap::from([(ObjectName::of(&kind(), &applied), member)]);
        let mut view = View::default();
        view.adopt(
            BTreeMap::from([(UID, Arc::new(Set { settled, members }))]),
            &BTreeSet::from([Scope::Ours(kind())]),
        );
        view
    }

    fn check(events: Vec<Event<DynamicObject>>, drifted: bool, health: Health, message: &str) {
        let mut view = view(true);
        let shown = format!("{events:?}");
        for event in events {
            view.take(&Scope::Ours(kind()), event);
        }
        let message = message.to_owned();
        let observed = Observed { uid: UID, drifted, health, message, feedback: Vec::new() };
        assert_eq!(view.conclude(UID).map(|it| it.observed), Some(observed), "{shown}");
    }

    #[test]
    fn the_newest_state_decides() {
        use Event::{Apply, Delete, Init, InitApply, InitDone};
        use Health::{Healthy, Missing};
        let same = |version| object(version, UID, "f:data");
        let taken = |version| object(version, UID, "f:metadata");
        let deleted = "ConfigMap line/rules: was deleted by somebody else";
        let changed = "ConfigMap line/rules was changed by somebody else";
        check(vec![], false, Healthy, "");
        check(vec![Apply(taken(4))], false, Healthy, "");
        check(vec![Apply(same(6))], false, Healthy, "");
        check(vec![Apply(taken(6))], true, Healthy, changed);
        check(vec![Apply(taken(6)), Apply(same(7))], false, Healthy, "");
        check(vec![Delete(same(6))], true, Missing, deleted);
        check(vec![Delete(same(6)), Apply(same(7))], false, Healthy, "");
        check(vec![Init, InitApply(same(5)), InitDone], false, Healthy, "");
        check(vec![Init], false, Healthy, "");
        check(vec![Init, InitDone], true, Missing, deleted);
        let foreign = object(6, Uid(8), "f:data");
        check(vec![Apply(foreign)], true, Missing, "ConfigMap line/rules: belongs to another workload");
    }

    #[test]
    fn what_may_not_be_watched_is_unknown_until_it_may() {
        let mut view = view(true);
        let scope = Scope::Ours(kind());
        assert_eq!(view.forbid(&scope, "configmaps is forbidden"), BTreeSet::from([UID]));
        assert_eq!(view.forbid(&scope, "configmaps is forbidden"), BTreeSet::new(), "no news");
        let told = view.conclude(UID).unwrap().observed;
        assert_eq!(told.health, Health::Unknown);
        assert!(told.message.ends_with("is not seen: configmaps is forbidden"), "{told:?}");
        assert_eq!(view.take(&scope, Event::Init), BTreeSet::new());
        assert_eq!(view.conclude(UID).unwrap().observed, told);
        let listed = Event::InitApply(object(5, UID, "f:data"));
        assert_eq!(view.take(&scope, listed), BTreeSet::from([UID]));
        assert_eq!(view.conclude(UID).unwrap().observed.health, Health::Healthy);
    }

    #[test]
    fn nothing_is_concluded_while_a_set_is_being_changed() {
        let mut view = view(false);
        view.take(&Scope::Ours(kind()), Event::Delete(object(6, UID, "f:data")));
        assert_eq!(view.conclude(UID), None);
    }

    #[test]
    fn what_nobody_waits_for_is_forgotten() {
        let mut view = view(true);
        view.take(&Scope::Ours(kind()), Event::Delete(object(6, UID, "f:data")));
        assert_eq!(view.live.len(), 1);
        view.adopt(Sets::new(), &BTreeSet::from([Scope::Ours(kind())]));
        assert!(view.live.is_empty());
    }
}
