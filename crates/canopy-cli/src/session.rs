//! Whom a command asks, and what several commands ask for.

use std::pin::Pin;

use canopy_proto::admin::v1::{GetRequest, Kind, ListRequest, ListResponse, Object, ObjectRef};

use crate::args::word;
use crate::connect::Client;
use crate::error::{Asked, Error};
use crate::terminal::Terminal;

/// Items of one page: a table begins to appear at once, and a page of whole workloads stays far
/// below the largest answer.
const PAGE_ITEMS: u32 = 500;

/// One command's connection to a hub.
pub struct Session<'a, 'b> {
    pub(crate) client: Client,
    pub(crate) project: String,
    pub(crate) terminal: &'a mut Terminal<'b>,
    /// How to connect once more.
    pub(crate) dial: &'a dyn Dial,
}

/// Connects to the hub that is asked.
pub trait Dial {
    /// A new connection.
    fn dial(&self) -> Pin<Box<dyn Future<Output = Result<Client, Error>> + '_>>;
}

impl<F: AsyncFn() -> Result<Client, Error>> Dial for F {
    fn dial(&self) -> Pin<Box<dyn Future<Output = Result<Client, Error>> + '_>> {
        Box::pin(self())
    }
}

impl Session<'_, '_> {
    /// Connects once more: a connection that broke off does not come back.
    pub(crate) async fn reconnect(&mut self) -> Result<(), Error> {
        self.client = self.dial.dial().await?;
        Ok(())
    }

    /// Reads one object.
    pub(crate) async fn get(&mut self, object: ObjectRef) -> Result<Object, Error> {
        let asked = Asked::read(format!("get {}", named(&object)), object.kind());
        let answer = self.client.get(GetRequest { object: Some(object) }).await;
        Ok(answer.map_err(Error::refused(asked))?.into_inner())
    }

    /// Reads the page after `page_token`; regions that did not answer are told as a warning.
    pub(crate) async fn page(
        &mut self,
        request: &ListRequest,
        page_token: String,
    ) -> Result<ListResponse, Error> {
        let asked = Asked::read(format!("list {}s", word(request.kind())), Kind::Hub);
        let request = ListRequest { page_size: PAGE_ITEMS, page_token, ..request.clone() };
        let page = self.client.list(request).await.map_err(Error::refused(asked))?.into_inner();
        self.terminal.warn(&page.unanswered);
        Ok(page)
    }

    /// Reads all objects of one kind and hands them on page by page.
    pub(crate) async fn list(
        &mut self,
        request: &ListRequest,
        mut each: impl FnMut(&mut Terminal<'_>, Vec<Object>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut token = String::new();
        loop {
            let page = self.page(request, token).await?;
            each(self.terminal, page.items)?;
            token = page.next_page_token;
            if token.is_empty() {
                return Ok(());
            }
        }
    }
}

/// The object as commands print it: `workload/line`.
pub(crate) fn named(object: &ObjectRef) -> String {
    format!("{}/{}", word(object.kind()), object.name)
}

/// Names an object that was read; `project` is that of objects that name none.
pub(crate) fn reference(object: &Object, project: &str) -> ObjectRef {
    let metadata = object.metadata.clone().unwrap_or_default();
    let project = if metadata.project.is_empty() { project.to_owned() } else { metadata.project };
    ObjectRef { kind: object.kind().into(), project, name: metadata.name, home: metadata.home }
}

/// As [`named`], of an object that was read.
pub(crate) fn name_of(object: &Object) -> String {
    let name = object.metadata.as_ref().map_or("", |metadata| metadata.name.as_str());
    format!("{}/{name}", word(object.kind()))
}

/// What selects objects of a kind.
pub(crate) fn every(kind: Kind) -> ListRequest {
    ListRequest { kind: kind.into(), ..ListRequest::default() }
}
