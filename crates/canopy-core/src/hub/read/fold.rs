//! What the counts of a workload mean, as conditions.

use canopy_model::{Condition, Object, Summary};

use super::condition;

/// Applied, Available, Progressing and Degraded, in OCM's and kstatus' sense.
pub(super) fn conditions(summary: &Summary) -> [Condition; 4] {
    let counts = &summary.counts;
    let of = |part: u32| format!("{part} of {} clusters", counts.selected);
    let failed = counts.degraded.saturating_add(counts.refused);
    let all = |part: u32| counts.selected > 0 && part >= counts.selected;
    let applied = match all(counts.updated) {
        true => condition("Applied", Some(true), "AppliedEverywhere", &of(counts.updated)),
        false if counts.refused > 0 => {
            condition("Applied", Some(false), "Refused", &format!("refused by {}", of(counts.refused)))
        }
        false => condition("Applied", Some(false), "Applying", &of(counts.updated)),
    };
    let available = match all(counts.healthy) {
        true => condition("Available", Some(true), "AvailableEverywhere", &of(counts.healthy)),
        false => condition("Available", Some(false), "NotAvailableEverywhere", &of(counts.healthy)),
    };
    let waiting = counts.selected.saturating_sub(counts.healthy);
    let moving = waiting > failed || counts.removing > 0;
    let progressing = match moving {
        true if counts.removing > 0 => {
            let message = format!("{} being removed", counts.removing);
            condition("Progressing", Some(true), "Removing", &message)
        }
        true => condition("Progressing", Some(true), "RollingOut", &of(counts.healthy)),
        false => condition("Progressing", Some(false), "Settled", ""),
    };
    let degraded = match failed > 0 {
        true => {
            let message = [of(failed), summary.example.clone()];
            let message: Vec<_> = message.into_iter().filter(|part| !part.is_empty()).collect();
            condition("Degraded", Some(true), "Failing", &message.join("; "))
        }
        false => condition("Degraded", Some(false), "NoneFailing", ""),
    };
    [applied, available, progressing, degraded]
}

/// The condition Ready of a workload: what hinders it most.
pub(super) fn sum_up(object: &Object, summary: &Summary, conditions: &[Condition]) -> Condition {
    let counts = &summary.counts;
    if object.metadata.deleted.is_some() {
        let left = counts.selected.saturating_add(counts.removing);
        return condition("Ready", Some(false), "Terminating", &format!("still on {left} clusters"));
    }
    let is = |kind, status| {
        conditions.iter().find(|condition| condition.kind == kind && condition.status == Some(status))
    };
    if let Some(absent) = is("PlacementFound", false) {
        return Condition { kind: "Ready", ..absent.clone() };
    }
    if counts.selected == 0 {
        return condition("Ready", Some(false), "NoClusterSelected", "no cluster is selected");
    }
    if let Some(degraded) = is("Degraded", true) {
        return Condition { kind: "Ready", status: Some(false), ..degraded.clone() };
    }
    match is("Available", true) {
        Some(available) => match is("Current", false) {
            Some(stale) => Condition { kind: "Ready", status: None, ..stale.clone() },
            None => condition("Ready", Some(true), "Ready", &available.message),
        },
        None => {
            let message = format!("{} of {} clusters", counts.healthy, counts.selected);
            condition("Ready", Some(false), "Progressing", &message)
        }
    }
}
