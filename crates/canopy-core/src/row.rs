//! The rows of the tables between a parent and a child.
//!
//! A row's value travels as its author's bytes. A hub decodes a copy to decide and forwards the
//! original, so that a field it does not know is not lost on the way; a kind it does not know is
//! stored and forwarded as it is.

use std::collections::BTreeMap;
use std::sync::Arc;

use canopy_model::{
    Claims, Fleet, Home, Inventory, Kind, Machine, Object, ObjectName, Record, Report, Resources, Revision,
    Spec, Stamp, Summary, Uid, Work,
};

/// What a row is about. The numbers are part of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RowKind {
    /// Down, to hubs: an object with a home above.
    Object,
    /// Down, to hubs: how many clusters of a placement may be selected below.
    Grant,
    /// Down: what the parent records about this child.
    Record,
    /// Down: the home says that this object was deleted.
    Verdict,
    /// Down: a hub above kept this object although its own parent no longer knows it.
    Doubt,
    /// Down, to agents: run or remove a workload.
    Assignment,
    /// Up, from agents: how a workload is doing.
    Report,
    /// Up, from agents: what the cluster says about itself.
    Claims,
    /// Up, from agents: a machine of the cluster.
    Machine,
    /// Up, from agents: what the cluster has in all.
    Inventory,
    /// Up, from hubs: how a workload is doing below, in counts.
    Summary,
    /// Up, from hubs: what a placement holds below, and what more could be selected.
    Offer,
    /// Up, from hubs: how many clusters a placement without a number selects below.
    Selected,
    /// Up, from hubs: work or an object below whose wish nobody here knows.
    Orphan,
    /// Up, from hubs: how many clusters stand below.
    Fleet,
    /// A kind of a newer version.
    Other(u32),
}

/// Names a row of a table: its kind and the uid of what it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// What the row is about.
    pub kind: RowKind,
    /// Of the object, the workload, the machine or the child; zero for the only row of its kind.
    pub uid: Uid,
}

impl Key {
    /// What an agent says about its cluster.
    pub const CLAIMS: Self = Self { kind: RowKind::Claims, uid: Uid(0) };
    /// What a cluster has in all.
    pub const INVENTORY: Self = Self { kind: RowKind::Inventory, uid: Uid(0) };
    /// What stands below a hub.
    pub const FLEET: Self = Self { kind: RowKind::Fleet, uid: Uid(0) };

    pub(crate) fn new(kind: RowKind, uid: Uid) -> Self {
        Self { kind, uid }
    }
}

/// The value of a row.
#[derive(Debug, Clone, PartialEq)]
pub struct Payload {
    /// What this node understands of it.
    pub body: Body,
    /// The author's bytes; none when this node is the author.
    pub original: Option<Arc<[u8]>>,
}

impl From<Body> for Payload {
    fn from(body: Body) -> Self {
        Self { body, original: None }
    }
}

/// The value of a row, decoded.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "each variant is the value of the row kind of the same name")]
pub enum Body {
    Object(Arc<Object>),
    Grant(u32),
    Record(Record),
    Verdict,
    Doubt,
    Assignment(Assignment),
    Report(Report),
    Claims(Claims),
    Machine(Machine),
    Inventory(Inventory),
    Summary(Summary),
    Offer(Offer),
    Selected(u32),
    Orphan(Orphan),
    Fleet(Fleet),
    /// Of an unknown kind, or of a known kind in a form that this version cannot read.
    Opaque,
}

impl Body {
    /// The object, if it is one.
    pub fn object(&self) -> Option<&Arc<Object>> {
        if let Self::Object(object) = self { Some(object) } else { None }
    }

    /// The record, if it is one.
    pub fn record(&self) -> Option<&Record> {
        if let Self::Record(record) = self { Some(record) } else { None }
    }

    /// The assignment, if it is one.
    pub fn assignment(&self) -> Option<&Assignment> {
        if let Self::Assignment(assignment) = self { Some(assignment) } else { None }
    }

    /// The report, if it is one.
    pub fn report(&self) -> Option<&Report> {
        if let Self::Report(report) = self { Some(report) } else { None }
    }

    /// The machine, if it is one.
    pub fn machine(&self) -> Option<&Machine> {
        if let Self::Machine(machine) = self { Some(machine) } else { None }
    }

    /// What a cluster has in all, if it is that.
    pub fn inventory(&self) -> Option<&Inventory> {
        if let Self::Inventory(inventory) = self { Some(inventory) } else { None }
    }

    /// The offer, if it is one.
    pub fn offer(&self) -> Option<&Offer> {
        if let Self::Offer(offer) = self { Some(offer) } else { None }
    }

    /// The count of selected clusters, if it is one.
    pub fn selected(&self) -> Option<u32> {
        if let Self::Selected(count) = self { Some(*count) } else { None }
    }

    /// The orphan, if it is one.
    pub fn orphan(&self) -> Option<&Orphan> {
        if let Self::Orphan(orphan) = self { Some(orphan) } else { None }
    }

    /// The count of a grant, if it is one.
    pub fn grant(&self) -> Option<u32> {
        if let Self::Grant(count) = self { Some(*count) } else { None }
    }

    /// What a report says that the cluster holds, if it is a report and says so.
    pub fn work(&self) -> Option<&Work> {
        self.report()?.work.as_ref()
    }
}

/// What a parent wants of one agent for one workload.
#[derive(Debug, Clone, PartialEq)]
pub enum Assignment {
    /// Run this.
    Run(Run),
    /// Remove it, and report it gone.
    Remove,
    /// Leave it as it is: the parent cannot read the workload's present form.
    Keep,
}

/// What to run.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// The workload's name.
    pub name: ObjectName,
    /// The workload's home.
    pub home: Home,
    /// The placements that selected this cluster.
    pub placements: Vec<Uid>,
    /// The content.
    pub revision: Revision,
}

/// What a hub tells its parent about one placement with a number.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Offer {
    /// The grant that it has seen; none before the first.
    pub stamp: Option<Stamp>,
    /// The generation of the placement that it has seen.
    pub generation: u64,
    /// The count of that grant.
    pub grant: u32,
    /// How many clusters below may run it: selected, or not yet reported gone.
    pub held: u32,
    /// How many more could be selected, at most the placement's number.
    pub spare: u32,
    /// There may be clusters below of which this hub does not know: it lost its memory, or the hubs
    /// below it have not told yet what runs there since before the placement had a number.
    pub unsure: bool,
}

/// Something below whose wish nobody on the way up knows; its home decides.
#[derive(Debug, Clone, PartialEq)]
pub struct Orphan {
    /// Workload or placement.
    pub kind: Kind,
    /// Its name.
    pub name: ObjectName,
    /// Its home, and since when it was at home there.
    pub home: Home,
    /// How many clusters below hold it.
    pub clusters: u32,
}

impl Payload {
    /// About how many bytes the row takes on the wire; rather more than fewer, for frames have a limit.
    pub(crate) fn size_hint(&self) -> usize {
        /// What every row has: uids, a home, counts.
        const PLAIN_ROW_BYTES: usize = 512;
        PLAIN_ROW_BYTES + self.original.as_ref().map_or_else(|| self.body.content_bytes(), |it| it.len())
    }
}

impl Body {
    /// About how many bytes that part takes of which there can be much.
    fn content_bytes(&self) -> usize {
        match self {
            Self::Object(object) => texts(&object.metadata.labels) + spec_bytes(&object.spec),
            Self::Assignment(Assignment::Run(run)) => uids(&run.placements) + inline_bytes(&run.revision),
            Self::Report(report) => {
                report.work.as_ref().map_or(0, |work| work.message.len() + uids(&work.placements))
            }
            Self::Record(record) => {
                let taints = record.taints.iter().map(|it| it.key.len() + it.value.len() + 4 * ITEM_BYTES);
                texts(&record.labels) + taints.sum::<usize>()
            }
            Self::Claims(claims) => texts(claims),
            Self::Machine(machine) => {
                let words = [&machine.name, &machine.kubelet, &machine.architecture, &machine.os_image];
                let words = words.into_iter().map(String::len).sum::<usize>();
                words + amounts(&machine.capacity) + amounts(&machine.allocatable)
            }
            Self::Inventory(inventory) => {
                inventory.problem.len() + amounts(&inventory.capacity) + amounts(&inventory.allocatable)
            }
            Self::Summary(summary) => summary.example.len(),
            Self::Grant(_) | Self::Verdict | Self::Doubt | Self::Assignment(_) | Self::Offer(_) => 0,
            Self::Selected(_) | Self::Orphan(_) | Self::Fleet(_) | Self::Opaque => 0,
        }
    }
}

fn spec_bytes(spec: &Spec) -> usize {
    match spec {
        // Written out, a selector has a character or two around each value; encoded, a few bytes.
        Spec::Placement(placement) => {
            let selectors = placement.predicates.iter().map(|it| 2 * it.to_string().len());
            let tolerations = placement.tolerations.iter();
            let tolerations = tolerations.map(|it| it.key.len() + 63 + 3 * ITEM_BYTES);
            selectors.chain(tolerations).sum()
        }
        Spec::Workload(workload) => {
            let names = workload.placements.iter().map(|name| name.as_str().len() + ITEM_BYTES);
            names.sum::<usize>() + inline_bytes(&workload.revision)
        }
    }
}

/// What one item of a list takes beside its text.
const ITEM_BYTES: usize = 8;

fn texts(pairs: &BTreeMap<String, String>) -> usize {
    pairs.iter().map(|(key, value)| key.len() + value.len() + 2 * ITEM_BYTES).sum()
}

fn amounts(resources: &Resources) -> usize {
    resources.keys().map(|name| name.len() + 3 * ITEM_BYTES).sum()
}

fn uids(uids: &[Uid]) -> usize {
    uids.len() * (size_of::<Uid>() + ITEM_BYTES)
}

fn inline_bytes(revision: &Revision) -> usize {
    revision.inline.as_ref().map_or(0, |content| content.len())
}
