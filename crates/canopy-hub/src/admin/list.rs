//! Lists: a walk through the tree in the order of paths, page by page.
//!
//! A hub shows what it has itself and asks each hub below for the rest of the page. A token is the
//! position of the last item, not a cursor: it stays good while things come and go, and costs no
//! memory. A region that does not answer is named, and the walk goes on.

use canopy_core::Hub;
use canopy_model::{Kind, Name, Object, Path, Role, Selector};
use canopy_node::clock;
use canopy_proto::admin::v1::{self, ListRequest, ListResponse};
use canopy_proto::convert::inbound;
use canopy_proto::selector;
use futures::StreamExt;
use prost::Message;

use super::api::{Api, Caller};
use super::error::Error;
use super::region::REGIONS_AT_ONCE;
use super::{read, show};

/// The most items of a page.
const PAGE_ITEMS_MAX: usize = 1_000;
/// The most items of a page of whole objects, which are read from the disk one by one.
const FULL_PAGE_ITEMS_MAX: usize = 50;
/// The most bytes of a page, unless its only item is larger: far below what a message carries, so
/// that the pages of hubs below fit into those of hubs above.
const PAGE_BYTES_MAX: usize = 1024 * 1024;

/// What is listed.
#[derive(Clone)]
struct Wanted {
    kind: Kind,
    project: Option<Name>,
    selector: Selector,
    under: Path,
    inherited: bool,
    full: bool,
    after: Option<Position>,
    limit: usize,
}

/// Where an item stands in the order of a list: a node at its path, an object at its home, a machine
/// at its cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub(super) path: Path,
    name: Option<InPath>,
}

/// Project and name of what is one of several at a path; machines have no project.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct InPath {
    project: String,
    name: String,
}

/// What comes next on the walk.
enum Stop {
    Item(Box<v1::Object>),
    Hub(Name),
}

/// An answer that grows up to its bounds.
struct Page {
    limit: usize,
    bytes: usize,
    answer: ListResponse,
}

impl Api {
    pub(super) async fn list(&self, caller: &Caller, request: ListRequest) -> Result<ListResponse, Error> {
        let wanted = self.wanted(&request)?;
        let stops = {
            let wanted = wanted.clone();
            self.hub.read(move |hub| stops(hub, &wanted)).await?
        };
        let parts = futures::stream::iter(stops).map(|stop| self.part(caller, stop, &wanted, &request));
        let mut parts = std::pin::pin!(parts.buffered(REGIONS_AT_ONCE));
        let mut page = Page { limit: wanted.limit, bytes: 0, answer: ListResponse::default() };
        while let Some(part) = parts.next().await {
            page.answer.unanswered.extend(part.unanswered);
            if !part.items.into_iter().all(|item| page.add(item)) {
                break;
            }
            if !part.next_page_token.is_empty() {
                page.answer.next_page_token = part.next_page_token;
                break;
            }
        }
        Ok(page.answer)
    }

    async fn part(
        &self,
        caller: &Caller,
        stop: Stop,
        wanted: &Wanted,
        request: &ListRequest,
    ) -> ListResponse {
        match stop {
            Stop::Item(mut item) => {
                if wanted.full {
                    self.fill(&mut item);
                }
                ListResponse { items: vec![*item], ..ListResponse::default() }
            }
            Stop::Hub(child) => {
                let path = self.peer.path.child(&child);
                let inside = wanted.after.as_ref().filter(|after| path.contains(&after.path));
                let call = ListRequest {
                    // Named, so that what it inherits is not listed once more.
                    under: if wanted.under.contains(&path) {
                        path.to_string()
                    } else {
                        request.under.clone()
                    },
                    page_size: u32::try_from(wanted.limit).unwrap_or(u32::MAX),
                    page_token: inside.map(ToString::to_string).unwrap_or_default(),
                    ..request.clone()
                };
                self.list_region(caller, &child, call).await
            }
        }
    }

    fn wanted(&self, request: &ListRequest) -> Result<Wanted, Error> {
        let kind = inbound::kind(request.kind())?;
        let project = match request.project.as_str() {
            "" => None,
            project => Some(inbound::object_name(project, "x")?.project),
        };
        let under = self.place("under", &request.under)?;
        if !self.peer.path.contains(&under) && !under.contains(&self.peer.path) {
            return Err(Error::Above { home: under, here: self.peer.path.clone() });
        }
        let most = if request.full { FULL_PAGE_ITEMS_MAX } else { PAGE_ITEMS_MAX };
        Ok(Wanted {
            kind,
            project,
            selector: selector::parse(&request.label_selector).map_err(Error::Selector)?,
            under,
            inherited: request.under.is_empty(),
            full: request.full,
            after: Position::parse(&request.page_token)?,
            limit: match request.page_size as usize {
                0 => most,
                asked => asked.min(most),
            },
        })
    }
}

impl Page {
    /// Adds an item, or ends the page before it.
    fn add(&mut self, item: v1::Object) -> bool {
        let items = &mut self.answer.items;
        let bytes = item.encoded_len();
        if let Some(last) = items.last()
            && (items.len() >= self.limit || self.bytes + bytes > PAGE_BYTES_MAX)
        {
            self.answer.next_page_token = Position::token_of(last);
            return false;
        }
        self.bytes += bytes;
        items.push(item);
        true
    }
}

/// What the walk meets at this hub after the position, in order: at most one item more than fits.
fn stops(hub: &Hub, wanted: &Wanted) -> Vec<Stop> {
    let nodes = matches!(wanted.kind, Kind::Hub | Kind::Cluster | Kind::Machine);
    let mut stops = if nodes { Vec::new() } else { own_objects(hub, wanted) };
    let mut items = stops.len();
    let reached = wanted.after.as_ref().and_then(|after| hub.path().child_towards(&after.path));
    let now = clock::now();
    for (name, child) in hub.children() {
        let Some(role) = child.record.as_ref().map(|record| record.role) else { continue };
        if items > wanted.limit {
            break;
        }
        if reached.as_ref().is_some_and(|reached| name < reached) {
            continue;
        }
        let path = hub.path().child(name);
        let fits = role == if wanted.kind == Kind::Hub { Role::Hub } else { Role::Agent };
        let selected = child.record.as_ref().is_some_and(|record| wanted.selector.matches(&record.labels));
        if nodes && fits && selected && wanted.under.contains(&path) {
            let shown = match wanted.kind {
                Kind::Machine => show::machines(hub, now, name),
                _ => show::node(hub, now, name, wanted.full).into_iter().collect(),
            };
            let ahead = shown.into_iter().filter(|item| {
                wanted
                    .after
                    .as_ref()
                    .is_none_or(|after| Position::of_item(item).is_some_and(|at| at > *after))
            });
            let before = stops.len();
            stops.extend(ahead.take(wanted.limit + 1).map(|item| Stop::Item(Box::new(item))));
            items += stops.len() - before;
        }
        let meets = path.contains(&wanted.under) || wanted.under.contains(&path);
        if role == Role::Hub && meets {
            stops.push(Stop::Hub(name.clone()));
        }
    }
    stops
}

fn own_objects(hub: &Hub, wanted: &Wanted) -> Vec<Stop> {
    let after = |object: &Object| {
        let position = Position::of(object);
        wanted.after.as_ref().is_none_or(|after| position > *after)
    };
    if !wanted.under.contains(hub.path()) {
        return Vec::new();
    }
    let objects = match wanted.inherited {
        true => hub.applying(wanted.kind),
        false => hub.homed(wanted.kind),
    };
    let objects = objects.into_iter().filter(|object| {
        let name = &object.metadata.name;
        wanted.project.as_ref().is_none_or(|project| name.project == *project)
            && after(object)
            && wanted.selector.matches(&object.metadata.labels)
    });
    let shown = objects.take(wanted.limit + 1).map(|object| {
        let item = if wanted.full { read::full(hub, object) } else { show::object(hub, object) };
        Stop::Item(Box::new(item))
    });
    shown.collect()
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.path)?;
        match &self.name {
            Some(InPath { project, name }) => write!(f, " {project}/{name}"),
            None => Ok(()),
        }
    }
}

impl Position {
    fn of(object: &Object) -> Self {
        let metadata = &object.metadata;
        let name = &metadata.name;
        let name = InPath { project: name.project.to_string(), name: name.name.to_string() };
        Self { path: metadata.home.path.clone(), name: Some(name) }
    }

    fn of_item(item: &v1::Object) -> Option<Self> {
        Self::parse(&Self::token_of(item)).ok().flatten()
    }

    /// The position of an item that is shown, as a page token.
    pub(super) fn token_of(item: &v1::Object) -> String {
        let metadata = item.metadata.clone().unwrap_or_default();
        match item.kind() {
            v1::Kind::Placement | v1::Kind::Workload | v1::Kind::Machine => {
                format!("{} {}/{}", metadata.home, metadata.project, metadata.name)
            }
            v1::Kind::Hub | v1::Kind::Cluster | v1::Kind::Unspecified => metadata.name,
        }
    }

    pub(super) fn parse(token: &str) -> Result<Option<Self>, Error> {
        let refuse = || Error::Invalid(format!("page_token {token:?} was not given by a hub"));
        if token.is_empty() {
            return Ok(None);
        }
        let (path, name) = token.split_once(' ').map_or((token, None), |(path, name)| (path, Some(name)));
        let name = name.map(|name| name.split_once('/').ok_or_else(refuse)).transpose()?;
        let name = name.map(|(project, name)| InPath { project: project.to_owned(), name: name.to_owned() });
        Ok(Some(Self { path: path.parse().map_err(|_| refuse())?, name }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_back() {
        for token in ["/", "eu/plant-7", "eu default/web", "/ default/web", "eu/press-3 /node-1.local"] {
            assert_eq!(Position::parse(token).unwrap().unwrap().to_string(), token);
        }
        assert_eq!(Position::parse("").unwrap(), None);
        for bad in ["eu web", "EU"] {
            assert!(Position::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_page_ends_by_bytes_and_holds_at_least_one_item() {
        let item = |name: &str, bytes: usize| {
            let metadata = v1::Metadata { name: name.to_owned(), ..v1::Metadata::default() };
            let spec = v1::WorkloadSpec { manifests: vec!["x".repeat(bytes)], ..Default::default() };
            let spec = Some(v1::object::Spec::Workload(spec));
            v1::Object { metadata: Some(metadata), spec, status: None }
        };
        let mut page = Page { limit: 10, bytes: 0, answer: ListResponse::default() };
        assert!(page.add(item("a", 3 * PAGE_BYTES_MAX)));
        assert!(!page.add(item("b", 10)));
        assert_eq!(page.answer.next_page_token, Position::token_of(&item("a", 0)));
        let mut page = Page { limit: 2, bytes: 0, answer: ListResponse::default() };
        assert!(page.add(item("a", 10)) && page.add(item("b", 10)) && !page.add(item("c", 10)));
        assert_eq!(page.answer.items.len(), 2);
    }
}
