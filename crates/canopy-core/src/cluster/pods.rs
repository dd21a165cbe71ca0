//! The pods of one object: they take time, may fail, and old ones stay until new ones are ready.

use std::time::Duration;

use canopy_model::{Digest, Now, Uptime};

use super::object::Template;

/// How long a rollout takes; each quarter of its pods needs a quarter of that.
pub const ROLL: Duration = Duration::from_secs(2);

/// The steps of a rollout: Kubernetes replaces a quarter of the pods at once unless told otherwise.
const STEPS: u32 = 4;

/// The pods of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pods {
    template: Digest,
    wanted: u32,
    fails: bool,
    /// Pods of this template that were ready when the rollout began.
    kept: u32,
    /// Pods of earlier templates that were ready then.
    old: u32,
    began: Uptime,
}

impl Pods {
    /// Pods that were not there before.
    pub fn start(now: Now, template: Template, fails: bool) -> Self {
        Self::with(now, template, fails, 0, 0)
    }

    /// Pods of which so many are ready, and so many of earlier templates.
    pub fn with(now: Now, template: Template, fails: bool, ready: u32, old: u32) -> Self {
        let Template { digest, replicas } = template;
        Self { template: digest, wanted: replicas, fails, kept: ready.min(replicas), old, began: now.uptime }
    }

    /// The pods after a change of what is wanted; without one, they go on.
    pub(super) fn changed(&self, now: Now, template: Template, fails: bool) -> Self {
        let (ready, old) = (self.ready(now), self.old_ready(now));
        if template.digest != self.template {
            Self::with(now, template, fails, 0, ready + old)
        } else if (template.replicas, fails) != (self.wanted, self.fails) {
            Self::with(now, template, fails, ready, old)
        } else {
            self.clone()
        }
    }

    /// What they are made from, and how many are wanted.
    pub fn template(&self) -> Template {
        Template { digest: self.template, replicas: self.wanted }
    }

    /// How many of the newest template are ready.
    pub fn ready(&self, now: Now) -> u32 {
        let steps = (0..=STEPS).rev().find(|step| self.at(*step) <= now.uptime).unwrap_or(0);
        self.ready_after(steps)
    }

    /// How many of earlier templates are ready: each stays until a new one takes its place.
    pub fn old_ready(&self, now: Now) -> u32 {
        self.old.min(self.wanted - self.ready(now))
    }

    /// Whether the rollout ended and they are not all ready.
    pub fn have_failed(&self, now: Now) -> bool {
        self.ready(now) < self.wanted && self.at(STEPS) <= now.uptime
    }

    /// When there is something new to tell.
    pub(super) fn next_change(&self, now: Now) -> Option<Uptime> {
        let differs = |step: &u32| *step == STEPS || self.ready_after(*step) != self.ready(now);
        (1..=STEPS).filter(|step| self.at(*step) > now.uptime).find(differs).map(|step| self.at(step))
    }

    fn at(&self, step: u32) -> Uptime {
        self.began + ROLL * step / STEPS
    }

    fn ready_after(&self, steps: u32) -> u32 {
        let missing = self.wanted - self.kept;
        let started = u64::from(missing) * u64::from(steps) / u64::from(STEPS);
        self.kept + if self.fails { 0 } else { u32::try_from(started).unwrap_or(missing) }
    }
}

#[cfg(test)]
mod tests {
    use canopy_model::Wall;

    use super::*;

    fn at(ms: u64) -> Now {
        Now { uptime: Uptime(ms), wall: Wall(0) }
    }

    fn template(digest: u8, replicas: u32) -> Template {
        Template { digest: Digest([digest; 32]), replicas }
    }

    /// New and old pods that are ready.
    fn ready(pods: &Pods, ms: u64) -> (u32, u32) {
        (pods.ready(at(ms)), pods.old_ready(at(ms)))
    }

    #[test]
    fn a_rolling_update_keeps_old_pods_until_new_ones_are_ready() {
        let first = Pods::start(at(0), template(1, 3), false);
        assert_eq!([0, 499, 1000, 1500, 2000].map(|ms| ready(&first, ms).0), [0, 0, 1, 2, 3]);
        let second = first.changed(at(5000), template(2, 3), false);
        assert_eq!([5000, 6000, 6500, 7000].map(|ms| ready(&second, ms)), [(0, 3), (1, 2), (2, 1), (3, 0)]);
        assert_eq!(second.changed(at(6100), template(2, 3), false), second, "the same again changes nothing");
    }

    #[test]
    fn failing_pods_never_take_the_place_of_old_ones() {
        let good = Pods::start(at(0), template(1, 2), false);
        let bad = good.changed(at(9000), template(2, 2), true);
        assert!(!bad.have_failed(at(10_999)));
        assert!(bad.have_failed(at(11_000)));
        assert_eq!(ready(&bad, 60_000), (0, 2));
        let back = bad.changed(at(60_000), template(1, 2), false);
        assert_eq!((ready(&back, 60_000), ready(&back, 62_000)), ((0, 2), (2, 0)));
    }

    #[test]
    fn another_number_starts_or_stops_only_the_difference() {
        let three = Pods::start(at(0), template(1, 3), false);
        let five = three.changed(at(4000), template(1, 5), false);
        assert_eq!([4000, 6000].map(|ms| ready(&five, ms)), [(3, 0), (5, 0)]);
        let one = five.changed(at(7000), template(1, 1), false);
        assert_eq!((ready(&one, 7000), one.next_change(at(9000))), ((1, 0), None));
    }

    #[test]
    fn each_change_is_told_at_its_time() {
        let pods = Pods::start(at(0), template(1, 2), false);
        let mut told = vec![];
        let mut now = at(0);
        while let Some(next) = pods.next_change(now) {
            now = at(next.0);
            told.push((next.0, pods.ready(now)));
        }
        assert_eq!(told, [(1000, 1), (2000, 2)]);
    }
}
