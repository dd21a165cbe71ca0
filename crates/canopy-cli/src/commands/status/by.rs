//! `canopy status --by KEY`: how clusters fare, by the values of one of their labels.

use std::collections::BTreeMap;

use canopy_proto::admin::v1::{ClusterStatus, Object, status::Detail};

use crate::age;
use crate::error::Error;
use crate::show::{ready, word};
use crate::table::Table;
use crate::terminal::Terminal;

/// The most values that have a line of their own: the first in the order of texts. A label that names
/// each cluster would fill the memory otherwise.
const VALUES_MAX: usize = 256;

/// Clusters without the label.
const NONE: &str = "<none>";
/// Clusters with values beyond [`VALUES_MAX`].
const OTHER: &str = "<other>";

/// The clusters read so far, by the values of one label.
pub(super) struct Groups {
    key: String,
    by_value: BTreeMap<String, Group>,
    other: Option<Group>,
    none: Option<Group>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Group {
    clusters: u64,
    connected: u64,
    /// Clusters that are not Ready.
    not_well: u64,
    machines: u64,
    ready: u64,
    /// How long ago the longest silent cluster was heard, in milliseconds; none when all are connected.
    silent_ms: Option<u64>,
}

impl Groups {
    pub(super) fn new(key: String) -> Self {
        Self { key, by_value: BTreeMap::new(), other: None, none: None }
    }

    pub(super) fn add(&mut self, cluster: &Object) {
        let seen = Group::of(cluster);
        match cluster.metadata.as_ref().and_then(|metadata| metadata.labels.get(&self.key)) {
            None => self.none.get_or_insert_default().add(seen),
            Some(value) => {
                self.by_value.entry(value.clone()).or_default().add(seen);
                if self.by_value.len() > VALUES_MAX
                    && let Some((_, last)) = self.by_value.pop_last()
                {
                    self.other.get_or_insert_default().add(last);
                }
            }
        }
    }

    pub(super) fn print(self, terminal: &mut Terminal<'_>) -> Result<(), Error> {
        let named = self.by_value.iter().map(|(value, group)| (value.as_str(), *group));
        let rest = [(OTHER, self.other), (NONE, self.none)];
        let rest = rest.into_iter().filter_map(|(name, group)| Some((name, group?)));
        let rows: Vec<_> = named.chain(rest).map(|(name, group)| group.row(name)).collect();
        if rows.is_empty() {
            terminal.beside("note", "no clusters found");
            return Ok(());
        }
        let headers = ["VALUE", "CLUSTERS", "CONNECTED", "NOT WELL", "MACHINES", "AS OF"];
        Table::new(headers).print(terminal.out, &rows).map_err(Error::Write)
    }
}

impl Group {
    fn of(cluster: &Object) -> Self {
        let status = cluster.status.as_ref();
        let unknown = ClusterStatus::default();
        let told = match status.and_then(|status| status.detail.as_ref()) {
            Some(Detail::Cluster(told)) => told,
            _ => &unknown,
        };
        let inventory = told.inventory.as_ref();
        Self {
            clusters: 1,
            connected: told.connected.into(),
            not_well: (word(status.and_then(ready)) != "Ready").into(),
            machines: inventory.map_or(0, |inventory| inventory.machines.into()),
            ready: inventory.map_or(0, |inventory| inventory.ready.into()),
            silent_ms: (!told.connected).then_some(told.age_ms),
        }
    }

    fn add(&mut self, other: Self) {
        self.clusters += other.clusters;
        self.connected += other.connected;
        self.not_well += other.not_well;
        self.machines += other.machines;
        self.ready += other.ready;
        self.silent_ms = self.silent_ms.max(other.silent_ms);
    }

    fn row(self, name: &str) -> Vec<String> {
        vec![
            name.to_owned(),
            self.clusters.to_string(),
            self.connected.to_string(),
            self.not_well.to_string(),
            format!("{}/{} ready", self.ready, self.machines),
            self.silent_ms.map_or_else(|| "now".to_owned(), |age| format!("{} ago", age::text(age))),
        ]
    }
}

#[cfg(test)]
mod tests {
    use canopy_proto::admin::v1::Metadata;

    use super::*;

    fn cluster(line: Option<usize>) -> Object {
        let labels = line.map(|line| ("line".to_owned(), format!("{line:03}")));
        let metadata = Metadata { labels: labels.into_iter().collect(), ..Metadata::default() };
        Object { metadata: Some(metadata), ..Object::default() }
    }

    #[test]
    fn no_cluster_is_lost_however_many_values_there_are_and_in_whichever_order() {
        let extra = 44;
        let lines: Vec<_> = (0..VALUES_MAX + extra).collect();
        let backwards = lines.iter().rev().copied().collect::<Vec<_>>();
        for order in [lines, backwards] {
            let mut groups = Groups::new("line".to_owned());
            order.into_iter().for_each(|line| groups.add(&cluster(Some(line))));
            groups.add(&cluster(None));
            assert_eq!(groups.by_value.len(), VALUES_MAX);
            assert!(groups.by_value.values().all(|group| group.clusters == 1));
            assert_eq!(groups.by_value.last_key_value().unwrap().0, "255");
            assert_eq!(groups.other.unwrap().clusters, extra as u64);
            assert_eq!(groups.none.unwrap().clusters, 1);
        }
    }
}
