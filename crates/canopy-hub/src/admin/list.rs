//! Lists: a walk through the tree in the order of paths, page by page.
//!
//! A hub shows what it has itself and asks each hub below for the rest of the page. A token is the
//! position of the last item, not a cursor: it stays good while things come and go, and costs no
//! memory. A region that does not answer is named, and the walk goes on.

use std::time::{Duration, Instant};

use canopy_core::Hub;
use canopy_model::{Kind, Name, ObjectName, Path, Role, Selector};
use canopy_node::clock;
use canopy_proto::admin::v1::relay::Call;
use canopy_proto::admin::v1::relay_answer::Result as Answer;
use canopy_proto::admin::v1::{self, ListRequest, ListResponse};
use canopy_proto::convert::{inbound, one_line};
use canopy_proto::selector;

use super::api::{Api, Caller};
use super::error::Error;
use super::{read, show};

/// The most items of a page: with 700 bytes each they fit into a message several times.
const PAGE_ITEMS_MAX: usize = 1_000;
/// The most items of a page of whole objects, each of up to 32 KiB.
const FULL_PAGE_ITEMS_MAX: usize = 50;
/// How long one hub below may take for its part of a page.
const REGION_WAIT_MAX: Duration = Duration::from_secs(10);

/// What is listed.
#[derive(Clone)]
struct Wanted {
    kind: Kind,
    project: Option<Name>,
    selector: Selector,
    under: Path,
    full: bool,
    after: Option<Position>,
    limit: usize,
}

/// Where an item stands in the order of a list: a node at its path, an object at its home.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Position {
    path: Path,
    name: Option<ObjectName>,
}

/// What comes next on the walk.
enum Stop {
    Item(Box<v1::Object>),
    Hub(Name),
}

impl Api {
    pub(super) async fn list(&self, caller: &Caller, request: ListRequest) -> Result<ListResponse, Error> {
        let wanted = self.wanted(&request)?;
        let stops = {
            let wanted = wanted.clone();
            self.hub.read(move |hub| stops(hub, &wanted)).await?
        };
        let mut page = ListResponse::default();
        for stop in stops {
            if page.items.len() >= wanted.limit {
                page.next_page_token = page.items.last().map(token_of).unwrap_or_default();
                break;
            }
            match stop {
                Stop::Item(mut item) => {
                    if wanted.full {
                        self.fill(&mut item)?;
                    }
                    page.items.push(*item);
                }
                Stop::Hub(child) => {
                    let part = self.ask_region(caller, &child, &wanted, page.items.len(), &request).await;
                    page.unanswered.extend(part.unanswered);
                    page.items.extend(part.items);
                    if !part.next_page_token.is_empty() {
                        page.next_page_token = part.next_page_token;
                        break;
                    }
                }
            }
        }
        Ok(page)
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
            full: request.full,
            after: Position::parse(&request.page_token)?,
            limit: match request.page_size as usize {
                0 => most,
                asked => asked.min(most),
            },
        })
    }

    /// The part of a page that stands below one hub; if it does not answer, that.
    async fn ask_region(
        &self,
        caller: &Caller,
        child: &Name,
        wanted: &Wanted,
        have: usize,
        request: &ListRequest,
    ) -> ListResponse {
        let path = self.peer.path.child(child);
        let inside = wanted.after.as_ref().filter(|after| path.contains(&after.path));
        let call = ListRequest {
            page_size: u32::try_from(wanted.limit - have).unwrap_or(u32::MAX),
            page_token: inside.map(ToString::to_string).unwrap_or_default(),
            ..request.clone()
        };
        let until = caller.until.min(Instant::now() + REGION_WAIT_MAX);
        let caller = Caller { id: canopy_identity::key::random_uid(), until, ..caller.clone() };
        match self.relay(&caller, child, Call::List(call)).await {
            Ok(Answer::List(part)) => part,
            Ok(_) => unanswered(&path, &Error::Unreadable(path.clone())),
            Err(error) => unanswered(&path, &error),
        }
    }
}

fn unanswered(path: &Path, error: &Error) -> ListResponse {
    let missing = v1::Unanswered { path: path.to_string(), reason: one_line(error) };
    ListResponse { unanswered: vec![missing], ..ListResponse::default() }
}

/// What the walk meets at this hub after the position, in order: at most one item more than fits.
fn stops(hub: &Hub, wanted: &Wanted) -> Vec<Stop> {
    let nodes = matches!(wanted.kind, Kind::Hub | Kind::Cluster);
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
        let passed = wanted.after.as_ref().is_some_and(|after| path <= after.path);
        let fits = role == if wanted.kind == Kind::Hub { Role::Hub } else { Role::Agent };
        if nodes
            && fits
            && !passed
            && wanted.under.contains(&path)
            && let Some(item) = show::node(hub, now, name, wanted.full)
            && is_selected(&item, &wanted.selector)
        {
            stops.push(Stop::Item(Box::new(item)));
            items += 1;
        }
        let meets = path.contains(&wanted.under) || wanted.under.contains(&path);
        if role == Role::Hub && meets {
            stops.push(Stop::Hub(name.clone()));
        }
    }
    stops
}

fn own_objects(hub: &Hub, wanted: &Wanted) -> Vec<Stop> {
    let path = hub.path();
    let after = match &wanted.after {
        Some(after) if after.path == *path => after.name.as_ref(),
        Some(_) => return Vec::new(),
        None => None,
    };
    if !wanted.under.contains(path) {
        return Vec::new();
    }
    let objects = hub.homed(wanted.kind).into_iter().filter(|object| {
        let name = &object.metadata.name;
        wanted.project.as_ref().is_none_or(|project| name.project == *project)
            && after.is_none_or(|after| name > after)
            && wanted.selector.matches(&object.metadata.labels)
    });
    let shown = objects.take(wanted.limit + 1).map(|object| {
        let item = if wanted.full { read::full(hub, object) } else { show::object(hub, object) };
        Stop::Item(Box::new(item))
    });
    shown.collect()
}

/// The position of an item, as a page token.
fn token_of(item: &v1::Object) -> String {
    let metadata = item.metadata.clone().unwrap_or_default();
    match item.kind() {
        v1::Kind::Placement | v1::Kind::Workload => {
            format!("{} {}/{}", metadata.home, metadata.project, metadata.name)
        }
        v1::Kind::Hub | v1::Kind::Cluster | v1::Kind::Unspecified => metadata.name,
    }
}

fn is_selected(item: &v1::Object, selector: &Selector) -> bool {
    let labels = item.metadata.iter().flat_map(|metadata| metadata.labels.clone()).collect();
    selector.matches(&labels)
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.path)?;
        match &self.name {
            Some(name) => write!(f, " {}/{}", name.project, name.name),
            None => Ok(()),
        }
    }
}

impl Position {
    fn parse(token: &str) -> Result<Option<Self>, Error> {
        let refuse = || Error::Invalid(format!("page_token {token:?} was not given by a hub"));
        if token.is_empty() {
            return Ok(None);
        }
        let (path, name) = token.split_once(' ').map_or((token, None), |(path, name)| (path, Some(name)));
        let name = match name.map(|name| name.split_once('/').ok_or_else(refuse)).transpose()? {
            Some((project, name)) => Some(inbound::object_name(project, name).map_err(|_| refuse())?),
            None => None,
        };
        Ok(Some(Self { path: path.parse().map_err(|_| refuse())?, name }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_back() {
        for token in ["/", "eu/plant-7", "eu default/web", "/ default/web"] {
            assert_eq!(Position::parse(token).unwrap().unwrap().to_string(), token);
        }
        assert_eq!(Position::parse("").unwrap(), None);
        for bad in ["eu web", "EU", "eu default/WEB"] {
            assert!(Position::parse(bad).is_err(), "{bad}");
        }
    }
}
