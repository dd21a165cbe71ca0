//! `canopy describe`: all about one object, for people.

use canopy_model::Toleration;
use canopy_proto::admin::v1::{
    ClusterWorkload, Condition, FeedbackValue, Inventory, Metadata, Object, feedback_value::Value,
    object::Spec, status::Detail,
};
use canopy_proto::convert::inbound;
use clap::Args;

use super::events;
use crate::args::Target;
use crate::error::Error;
use crate::session::Session;
use crate::show::{self, Columns, connection, resources, summary};
use crate::table::{Table, printable};
use crate::terminal::Terminal;

/// The newest events that are shown; `canopy events --for` shows all.
const EVENTS: u32 = 20;

/// Show all about one object
#[derive(Debug, Args)]
pub struct Describe {
    #[command(flatten)]
    target: Target,
}

impl Describe {
    pub(crate) async fn run(self, session: &mut Session<'_, '_>) -> Result<(), Error> {
        let target = self.target.object(&session.project)?;
        let object = session.get(target.clone()).await?;
        let mut page = Page { terminal: session.terminal };
        page.head(&object)?;
        page.spec(object.spec.as_ref())?;
        let status = object.status.unwrap_or_default();
        page.detail(status.detail)?;
        page.conditions(&status.conditions)?;
        events::describe(session, target, EVENTS).await
    }
}

struct Page<'a, 'b> {
    terminal: &'a mut Terminal<'b>,
}

impl Page<'_, '_> {
    fn field(&mut self, name: &str, value: impl AsRef<str>) -> Result<(), Error> {
        let value = value.as_ref();
        if value.is_empty() {
            return Ok(());
        }
        self.terminal.line(format_args!("{:<13}{}", format!("{name}:"), printable(value)))
    }

    /// Several values, one below the other.
    fn fields(&mut self, name: &str, values: impl IntoIterator<Item = String>) -> Result<(), Error> {
        values.into_iter().enumerate().try_for_each(|(at, value)| match at {
            0 => self.field(name, value),
            _ => self.terminal.line(format_args!("{:13}{}", "", printable(&value))),
        })
    }

    fn head(&mut self, object: &Object) -> Result<(), Error> {
        let metadata = object.metadata.clone().unwrap_or_default();
        let created = self.moment(metadata.created_ms, &metadata.created_by);
        let deletion = metadata.deletion_timestamp_ms.map(|at| self.moment(at, ""));
        let Metadata { name, project, home, uid, generation, labels, changed_by, .. } = metadata;
        self.field("Name", name)?;
        self.field("Kind", object.kind().name())?;
        self.field("Project", project)?;
        self.field("Home", home)?;
        self.field("Uid", uid)?;
        let mut labels: Vec<_> = labels.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
        labels.sort();
        self.fields("Labels", labels)?;
        self.field("Created", created)?;
        self.field("Deletion", deletion.unwrap_or_default())?;
        self.field("Changed by", changed_by)?;
        self.field("Generation", if generation == 0 { String::new() } else { generation.to_string() })?;
        self.field("Status", summary(object))
    }

    fn moment(&self, at_ms: u64, by: &str) -> String {
        let at = i64::try_from(at_ms).ok().and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
        match at {
            Some(at) if at_ms > 0 => {
                let by = if by.is_empty() { String::new() } else { format!(" by {by}") };
                format!("{at:.0} ({} ago){by}", self.terminal.since(at_ms))
            }
            _ => String::new(),
        }
    }

    fn spec(&mut self, spec: Option<&Spec>) -> Result<(), Error> {
        match spec {
            Some(Spec::Placement(spec)) => {
                let number = spec.number_of_clusters.map_or("all".to_owned(), |number| number.to_string());
                self.field("Clusters", number)?;
                // A hub sends only placements that it accepted; of another version's, nothing is shown.
                let placement = inbound::placement(spec).unwrap_or_default();
                self.fields("Selects", placement.predicates.iter().map(ToString::to_string))?;
                self.fields("Tolerates", placement.tolerations.iter().map(toleration))
            }
            Some(Spec::Workload(spec)) => {
                self.fields("Placements", spec.placements.iter().cloned())?;
                self.fields("Manifests", spec.manifests.iter().map(|text| manifest(text)))
            }
            Some(Spec::Cluster(spec)) => self.fields("Taints", show::taints(spec)),
            Some(Spec::Hub(_) | Spec::Machine(_)) | None => Ok(()),
        }
    }

    fn detail(&mut self, detail: Option<Detail>) -> Result<(), Error> {
        match detail {
            Some(Detail::Placement(placement)) => self.field("Selected", placement.selected.to_string()),
            Some(Detail::Workload(workload)) => {
                let counts = workload.counts.unwrap_or_default();
                self.field("Revision", workload.revision)?;
                self.field(
                    "Clusters",
                    format!(
                        "{} selected, {} updated, {} healthy, {} degraded, {} refused, {} removing",
                        counts.selected,
                        counts.updated,
                        counts.healthy,
                        counts.degraded,
                        counts.refused,
                        counts.removing
                    ),
                )?;
                self.field("Example", workload.example)
            }
            Some(Detail::Cluster(cluster)) => {
                let [connected, seen] = connection(cluster.connected, cluster.age_ms);
                self.field("Connection", format!("{connected}, seen {seen} ago"))?;
                let mut claims: Vec<_> =
                    cluster.claims.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
                claims.sort();
                self.fields("Claims", claims)?;
                if let Some(inventory) = cluster.inventory {
                    self.inventory(&inventory)?;
                }
                let values: Vec<_> = cluster.workloads.iter().flat_map(feedback).collect();
                let rows = cluster.workloads.into_iter().map(|row| {
                    vec![format!("{}/{}", row.project, row.name), row.home, row.sync, row.health, row.message]
                });
                self.table(&["WORKLOAD", "HOME", "SYNC", "HEALTH", "MESSAGE"], rows.collect())?;
                self.table(&["WORKLOAD", "OBJECT", "VALUE", "IS"], values)?;
                self.machines(&cluster.machines)
            }
            // No hub tells of a machine alone.
            Some(Detail::Machine(_)) => Ok(()),
            Some(Detail::Hub(hub)) => {
                let [connected, seen] = connection(hub.connected, hub.age_ms);
                self.field("Connection", format!("{connected}, seen {seen} ago"))?;
                let fleet = hub.fleet.unwrap_or_default();
                self.field("Hubs", fleet.hubs.to_string())?;
                self.field("Clusters", format!("{} ({} connected)", fleet.clusters, fleet.connected))
            }
            None => Ok(()),
        }
    }

    fn inventory(&mut self, inventory: &Inventory) -> Result<(), Error> {
        let left_out = match inventory.left_out {
            0 => String::new(),
            left_out => format!(", {left_out} of them not shown one by one"),
        };
        self.field("Machines", format!("{}, {} ready{left_out}", inventory.machines, inventory.ready))?;
        self.field("Capacity", resources(&inventory.capacity))?;
        self.field("Allocatable", resources(&inventory.allocatable))
    }

    /// As they are listed, but for the cluster, which is the same.
    fn machines(&mut self, machines: &[Object]) -> Result<(), Error> {
        let Some(first) = machines.first() else { return Ok(()) };
        let cells = |machine| {
            let cells = show::cells(machine, Columns::default(), self.terminal).into_iter();
            cells.filter(|(header, _)| *header != "CLUSTER")
        };
        let named = |header| if header == "NAME" { "MACHINE" } else { header };
        let headers: Vec<_> = cells(first).map(|(header, _)| named(header)).collect();
        let rows = machines.iter().map(|machine| cells(machine).map(|(_, cell)| cell).collect()).collect();
        self.table(&headers, rows)
    }

    fn conditions(&mut self, conditions: &[Condition]) -> Result<(), Error> {
        let rows = conditions.iter().map(|condition| {
            vec![
                condition.r#type.clone(),
                condition.status.clone(),
                self.terminal.since(condition.last_transition_ms),
                condition.reason.clone(),
                condition.message.clone(),
            ]
        });
        let rows = rows.collect();
        self.table(&["CONDITION", "STATUS", "SINCE", "REASON", "MESSAGE"], rows)
    }

    fn table(&mut self, headers: &[&'static str], rows: Vec<Vec<String>>) -> Result<(), Error> {
        if rows.is_empty() {
            return Ok(());
        }
        self.terminal.line("")?;
        Table::new(headers).print(self.terminal.out, &rows).map_err(Error::Write)
    }
}

/// The values that a workload asks to be told of its objects, each a row.
fn feedback(workload: &ClusterWorkload) -> Vec<Vec<String>> {
    let row = |object: &str, name: &str, value: String| {
        vec![format!("{}/{}", workload.project, workload.name), object.to_owned(), name.to_owned(), value]
    };
    let shown = |value: &FeedbackValue| match &value.value {
        Some(Value::Integer(integer)) => integer.to_string(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Boolean(boolean)) => boolean.to_string(),
        None => String::new(),
    };
    let values = workload.feedback.iter().map(|value| row(&value.object, &value.name, shown(value)));
    let left_out = Some(workload.feedback_left_out).filter(|left_out| *left_out > 0);
    values.chain(left_out.map(|left_out| row("", "", format!("and {left_out} more")))).collect()
}

/// As kubectl describes tolerations of pods: `key=value:Effect`, `key:Effect op=Exists`.
fn toleration(toleration: &Toleration) -> String {
    let Toleration { key, value, effect } = toleration;
    let value = value.as_ref().map(|value| format!("={value}")).unwrap_or_default();
    let effect = effect.map(|effect| format!(":{}", effect.name())).unwrap_or_default();
    match key.is_empty() && effect.is_empty() {
        true => "all taints".to_owned(),
        false => format!("{key}{value}{effect}"),
    }
}

/// Kind and name of a manifest, never what it holds.
fn manifest(text: &str) -> String {
    let manifest: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    let part = |pointer| manifest.pointer(pointer).and_then(serde_json::Value::as_str).unwrap_or("?");
    let name = match manifest.pointer("/metadata/namespace").and_then(serde_json::Value::as_str) {
        Some(namespace) => format!("{namespace}/{}", part("/metadata/name")),
        None => part("/metadata/name").to_owned(),
    };
    format!("{} {name} ({})", part("/kind"), part("/apiVersion"))
}
