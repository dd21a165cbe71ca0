//! Taints keep work away from a cluster; tolerations of a placement let it come all the same. Fields
//! and meaning are Open Cluster Management's.

use std::fmt;

use crate::{Labels, Wall, labels};

/// The most taints of one cluster: a record with them and its labels fits into a row.
pub const TAINTS_MAX: usize = 32;
/// The most tolerations of one placement.
pub const TOLERATIONS_MAX: usize = 32;
/// Keeps new work away, and lets go on what runs.
pub const CORDONED: &str = "canopy.dev/cordoned";
/// Keeps all work away.
pub const DRAINED: &str = "canopy.dev/drained";

/// What becomes of work that does not tolerate a taint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// It does not run there: what runs is removed.
    NoSelect,
    /// It runs there only if there is no other place.
    PreferNoSelect,
    /// None comes; what runs there goes on.
    NoSelectIfNew,
}

impl Effect {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::NoSelect, Self::PreferNoSelect, Self::NoSelectIfNew];

    /// The effect as it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoSelect => "NoSelect",
            Self::PreferNoSelect => "PreferNoSelect",
            Self::NoSelectIfNew => "NoSelectIfNew",
        }
    }
}

/// Keeps work away from a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taint {
    /// Written as a label's key; unique with the effect.
    pub key: String,
    /// Written as a label's value.
    pub value: String,
    /// What it does.
    pub effect: Effect,
    /// When it was set, or its value changed.
    pub added: Wall,
}

impl fmt::Display for Taint {
    /// As kubectl writes taints: `key=value:Effect`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let equal = if self.value.is_empty() { "" } else { "=" };
        write!(f, "{}{equal}{}:{}", self.key, self.value, self.effect.name())
    }
}

/// What a placement tolerates.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Toleration {
    /// Of taints with this key; empty: with any.
    pub key: String,
    /// With this value; none: with any.
    pub value: Option<String>,
    /// With this effect; none: with any.
    pub effect: Option<Effect>,
}

impl Toleration {
    /// Whether it tolerates the taint.
    pub fn tolerates(&self, taint: &Taint) -> bool {
        (self.key.is_empty() || self.key == taint.key)
            && self.value.as_ref().is_none_or(|value| *value == taint.value)
            && self.effect.is_none_or(|effect| effect == taint.effect)
    }
}

/// Whether a cluster is a place for the work of a placement: the later, the better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fit {
    /// None.
    Never,
    /// Only for work that is there.
    IfThere,
    /// If there is no other.
    IfNeeded,
    /// It is.
    Good,
}

/// How far taints leave a cluster to work with these tolerations.
pub fn fit(taints: &[Taint], tolerations: &[Toleration]) -> Fit {
    let felt = taints.iter().filter(|taint| !tolerations.iter().any(|it| it.tolerates(taint)));
    let fits = felt.map(|taint| match taint.effect {
        Effect::NoSelect => Fit::Never,
        Effect::NoSelectIfNew => Fit::IfThere,
        Effect::PreferNoSelect => Fit::IfNeeded,
    });
    fits.min().unwrap_or(Fit::Good)
}

/// Why taints or tolerations are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Key and value are written as those of labels.
    #[error("a taint has the form of a label")]
    Form(#[source] labels::Error),
    /// There is another value already.
    #[error("taint {0} is there already")]
    Taken(String),
    /// More than [`TAINTS_MAX`].
    #[error("the cluster would have {0} taints, at most {TAINTS_MAX} are kept: remove some")]
    TooMany(usize),
}

/// A change of one taint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It is there, with this value.
    Set {
        /// Its key.
        key: String,
        /// Its value; may be empty.
        value: String,
        /// Its effect.
        effect: Effect,
    },
    /// It is not there.
    Remove {
        /// Its key.
        key: String,
        /// With this effect; none: with any.
        effect: Option<Effect>,
    },
}

/// The taints after some changes at `now`, in the order of keys and effects; removals come first, as
/// they can make room.
///
/// # Errors
/// One is not valid, or has another value already and `overwrite` is not set, or there are too many.
pub fn change(taints: &[Taint], changes: &[Change], overwrite: bool, now: Wall) -> Result<Vec<Taint>, Error> {
    let mut taints = taints.to_vec();
    for change in changes {
        if let Change::Remove { key, effect } = change {
            taints.retain(|it| it.key != *key || effect.is_some_and(|effect| effect != it.effect));
        }
    }
    for change in changes {
        let Change::Set { key, value, effect } = change else { continue };
        labels::check(key, value).map_err(Error::Form)?;
        let taint = Taint { key: key.clone(), value: value.clone(), effect: *effect, added: now };
        match taints.iter_mut().find(|it| it.key == *key && it.effect == *effect) {
            Some(same) if same.value == *value => {}
            Some(other) if overwrite => *other = taint,
            Some(other) => return Err(Error::Taken(other.to_string())),
            None => taints.push(taint),
        }
    }
    taints.sort_by(|a, b| (&a.key, a.effect).cmp(&(&b.key, b.effect)));
    check_all(&taints)?;
    Ok(taints)
}

/// Checks all taints of one cluster.
pub fn check_all(taints: &[Taint]) -> Result<(), Error> {
    taints.iter().try_for_each(|it| labels::check(&it.key, &it.value)).map_err(Error::Form)?;
    if taints.len() > TAINTS_MAX { Err(Error::TooMany(taints.len())) } else { Ok(()) }
}

/// Checks one toleration.
pub fn check(toleration: &Toleration) -> Result<(), labels::Error> {
    let Toleration { key, value, .. } = toleration;
    let value = value.as_deref().unwrap_or_default();
    if key.is_empty() && value.is_empty() {
        return Ok(());
    }
    labels::check_all(&Labels::from([(key.clone(), value.to_owned())]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taint(key: &str, value: &str, effect: Effect) -> Taint {
        Taint { key: key.to_owned(), value: value.to_owned(), effect, added: Wall(5) }
    }

    #[test]
    fn tolerations_mean_what_they_mean_in_kubernetes() {
        let gpu = taint("gpu", "a100", Effect::NoSelect);
        let tolerates = |key: &str, value: Option<&str>, effect| {
            let toleration = Toleration { key: key.to_owned(), value: value.map(str::to_owned), effect };
            fit(std::slice::from_ref(&gpu), &[toleration]) == Fit::Good
        };
        assert!(tolerates("", None, None));
        assert!(tolerates("gpu", None, None));
        assert!(tolerates("gpu", Some("a100"), Some(Effect::NoSelect)));
        assert!(!tolerates("gpu", Some("h100"), None));
        assert!(!tolerates("gpu", None, Some(Effect::NoSelectIfNew)));
        assert!(!tolerates("npu", None, None));
    }

    #[test]
    fn the_strictest_taint_that_is_felt_decides() {
        let prefer = taint("old", "", Effect::PreferNoSelect);
        let cordoned = taint(CORDONED, "", Effect::NoSelectIfNew);
        let drained = taint(DRAINED, "", Effect::NoSelect);
        assert_eq!(fit(&[], &[]), Fit::Good);
        assert_eq!(fit(std::slice::from_ref(&prefer), &[]), Fit::IfNeeded);
        assert_eq!(fit(&[prefer.clone(), cordoned.clone()], &[]), Fit::IfThere);
        let all = [prefer, cordoned, drained];
        assert_eq!(fit(&all, &[]), Fit::Never);
        let bold = Toleration { key: DRAINED.to_owned(), ..Toleration::default() };
        assert_eq!(fit(&all, &[bold]), Fit::IfThere);
    }

    #[test]
    fn taints_are_set_and_removed_as_kubectl_does() {
        let set = |key: &str, value: &str, effect| Change::Set {
            key: key.to_owned(),
            value: value.to_owned(),
            effect,
        };
        let old = [taint("a", "1", Effect::NoSelect), taint("a", "1", Effect::PreferNoSelect)];
        let shown = |changed: Result<Vec<Taint>, Error>| {
            changed.map(|it| it.iter().map(|it| format!("{it} {}", it.added.0)).collect::<Vec<_>>())
        };
        let changed = |changes: &[Change], overwrite| shown(change(&old, changes, overwrite, Wall(9)));
        let same = [set("a", "1", Effect::NoSelect)];
        assert_eq!(changed(&same, false).unwrap(), ["a=1:NoSelect 5", "a=1:PreferNoSelect 5"]);
        let other = [set("a", "2", Effect::NoSelect)];
        assert_eq!(changed(&other, false), Err(Error::Taken("a=1:NoSelect".to_owned())));
        assert_eq!(changed(&other, true).unwrap(), ["a=2:NoSelect 9", "a=1:PreferNoSelect 5"]);
        let remove = |effect| [Change::Remove { key: "a".to_owned(), effect }];
        assert_eq!(changed(&remove(Some(Effect::NoSelect)), false).unwrap(), ["a=1:PreferNoSelect 5"]);
        assert!(changed(&remove(None), false).unwrap().is_empty());
        assert!(matches!(changed(&[set("a b", "", Effect::NoSelect)], false), Err(Error::Form(_))));
        let many: Vec<_> = (0..=TAINTS_MAX).map(|at| set(&format!("k{at}"), "", Effect::NoSelect)).collect();
        assert_eq!(changed(&many, false), Err(Error::TooMany(TAINTS_MAX + 3)));
    }
}
