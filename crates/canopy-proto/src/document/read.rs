//! Text into admin objects, document by document, so that a mistake in one leaves the others alone.

use std::fmt;

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use serde_saphyr::{DefaultMessageFormatter, MessageFormatter, Options};

use super::spec::{Cluster, Empty, Placement, Workload};
use super::{API_VERSION, Document};
use crate::admin::v1::{self, object::Spec};
use crate::convert::{self, inbound};

/// A document that is refused, and where it stands in its text.
#[derive(Debug, thiserror::Error)]
#[error("document {document}, {place}")]
pub struct Error {
    /// Which document, from 1.
    pub document: usize,
    /// Where in it.
    pub place: Place,
    /// What is wrong with it.
    #[source]
    pub problem: Problem,
}

/// Where a mistake is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The line of the mistake, or where the document begins; from 1.
    Line(usize),
    /// The item of a List, from 0.
    Item(usize),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Item(at) => write!(f, "items[{at}]"),
        }
    }
}

/// What is wrong with a document.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// It is no YAML, or a field is misspelt, missing or of another type.
    #[error("{0}")]
    Yaml(String),
    /// A text, a list or a number.
    #[error("expected a mapping with apiVersion, kind, metadata and spec")]
    NoMapping,
    /// Written for something else.
    #[error("apiVersion is {0:?}, expected {API_VERSION:?}")]
    ApiVersion(String),
    /// A kind that Canopy does not have.
    #[error(
        "kind is {0:?}, expected Placement, Workload, Cluster or Hub; Kubernetes objects belong into spec.manifests of a Workload"
    )]
    Kind(String),
    /// The form is right and a value is not.
    #[error(transparent)]
    Value(#[from] convert::Error),
}

/// Reads all documents of a YAML or JSON text, in their order, and what Lists hold; empty ones are
/// left out.
pub fn read(text: &str) -> Vec<Result<v1::Object, Error>> {
    let documents = split(text).into_iter().enumerate();
    documents
        .flat_map(|(at, (first, text))| {
            objects(text).into_iter().map(move |object| {
                object.map_err(|(place, problem)| {
                    let place = match place {
                        Place::Line(line) => Place::Line(first + line.saturating_sub(1)),
                        Place::Item(_) => place,
                    };
                    Error { document: at + 1, place, problem }
                })
            })
        })
        .collect()
}

/// Cuts at the lines that begin a document; each part comes with the number of its first line.
fn split(text: &str) -> Vec<(usize, &str)> {
    let mut parts = Vec::new();
    let (mut begin, mut begin_line, mut at) = (0, 1, 0);
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        if line
            .strip_prefix("---")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
        {
            parts.push((begin_line, &text[begin..at]));
            (begin, begin_line) = (at, number);
        }
        at += line.len();
    }
    parts.push((begin_line, &text[begin..]));
    parts.retain(|(_, part)| !is_empty(part));
    parts
}

fn is_empty(part: &str) -> bool {
    part.lines().all(|line| {
        let line = line.strip_prefix("---").unwrap_or(line).trim_start();
        line.is_empty() || line.starts_with('#') || line.starts_with("...")
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header {
    api_version: String,
    kind: String,
}

#[derive(Deserialize)]
struct List {
    items: Vec<Value>,
}

/// What one document holds. Lines are those of its text, from 1; an item of a List has none, since
/// lists are read as values.
fn objects(text: &str) -> Vec<Result<v1::Object, (Place, Problem)>> {
    let in_line = |(line, problem)| (Place::Line(line), problem);
    let is_list = yaml(text).is_ok_and(|header: Header| header.kind == "List");
    if !is_list {
        return vec![object(text).map_err(in_line)];
    }
    match yaml::<List>(text) {
        Ok(list) => {
            let items = list.items.iter().map(|item| object(&item.to_string())).enumerate();
            items.map(|(at, item)| item.map_err(|(_, problem)| (Place::Item(at), problem))).collect()
        }
        Err(problem) => vec![Err(in_line(problem))],
    }
}

/// One object; a problem comes with its line inside the text, from 1.
fn object(text: &str) -> Result<v1::Object, (usize, Problem)> {
    let Header { api_version, kind } = yaml(text).map_err(|unread| {
        let is_other = yaml(text).is_ok_and(|value: Value| !value.is_object());
        if is_other { (1, Problem::NoMapping) } else { unread }
    })?;
    if api_version != API_VERSION {
        return Err((1, Problem::ApiVersion(api_version)));
    }
    let object = match kind.as_str() {
        "Placement" => assemble(yaml(text)?, |spec: Placement| Spec::Placement(spec.into())),
        "Workload" => assemble(yaml(text)?, |spec: Workload| Spec::Workload(spec.into())),
        "Cluster" => {
            assemble(yaml(text)?, |spec: Option<Cluster>| Spec::Cluster(spec.unwrap_or_default().into()))
        }
        "Hub" => assemble(yaml(text)?, |_: Option<Empty>| Spec::Hub(v1::HubSpec {})),
        _ => return Err((1, Problem::Kind(kind))),
    };
    inbound::check(&object).map_err(|error| (1, error.into()))?;
    Ok(object)
}

fn assemble<S>(document: Document<S>, spec: impl FnOnce(S) -> Spec) -> v1::Object {
    v1::Object { metadata: Some(document.metadata.into()), spec: Some(spec(document.spec)), status: None }
}

/// As kubectl reads: `0644` is octal, and only `true` and `false` are booleans. Errors quote no
/// lines, since these may hold secrets.
fn options() -> Options {
    serde_saphyr::options! { legacy_octal_numbers: true, strict_booleans: true, with_snippet: false }
}

fn yaml<T: DeserializeOwned>(text: &str) -> Result<T, (usize, Problem)> {
    let mut field = String::new();
    let read = serde_saphyr::with_deserializer_from_str_with_options(text, options(), |yaml| {
        serde_path_to_error::deserialize(yaml).map_err(|error| {
            field = error.path().to_string();
            error.into_inner()
        })
    });
    read.map_err(|error| {
        let line = error.location().map_or(1, |location| location.line() as usize);
        let message = DefaultMessageFormatter.format_message(error.without_snippet());
        // A mistake outside any field is said to be at `.`.
        let field = if field.len() > 1 { format!("{field}: ") } else { String::new() };
        (line, Problem::Yaml(format!("{field}{message}")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::one_line;
    use crate::document::document;

    const PLACEMENT: &str = "apiVersion: canopy.dev/v1alpha1\nkind: Placement\nmetadata: {name: lines}\n";
    const WORKLOAD: &str = "apiVersion: canopy.dev/v1alpha1\nkind: Workload\nmetadata: {name: app}\n";

    fn problem(text: &str) -> String {
        let error = read(text).remove(0).unwrap_err();
        one_line(&error)
    }

    #[test]
    fn one_bad_document_leaves_the_others_alone() {
        let text = format!(
            "# fleet\n---\n{PLACEMENT}spec: {{}}\n---\n\n---\n{PLACEMENT}\nspecc: {{}}\n---\n{PLACEMENT}spec: {{}}"
        );
        let read = read(&text);
        assert_eq!(read.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
        let error = read[1].as_ref().unwrap_err();
        assert_eq!((error.document, error.place), (2, Place::Line(14)), "{}", one_line(error));
    }

    #[test]
    fn a_list_is_what_it_holds() {
        let text = format!(
            "apiVersion: {API_VERSION}\nkind: List\nitems:\n- {{apiVersion: {API_VERSION}, kind: Placement, \
             metadata: {{name: a}}, spec: {{}}}}\n- {{apiVersion: v1, kind: Pod, metadata: {{name: b}}}}"
        );
        let read_back = read(&text);
        assert!(read_back[0].is_ok());
        let error = one_line(read_back[1].as_ref().unwrap_err());
        assert!(error.starts_with("document 1, items[1]: apiVersion is \"v1\""), "{error}");
        assert!(read(&format!("apiVersion: {API_VERSION}\nkind: List\nitems: 3"))[0].is_err());
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        let cases = [
            format!("{PLACEMENT}spec: {{numberOfCluster: 3}}"),
            format!("{PLACEMENT}spec: {{numberOfClusters: -1}}"),
            PLACEMENT.to_owned(),
            format!("{PLACEMENT}spec: [}}"),
            PLACEMENT.replace("canopy.dev/v1alpha1", "apps/v1"),
            PLACEMENT.replace("Placement", "ConfigMap"),
            "just a text".to_owned(),
            PLACEMENT.replace("lines", "Lines") + "spec: {}",
            PLACEMENT.replace("name: lines", "name: lines, labels: {a: b c}") + "spec: {}",
            format!(
                "{PLACEMENT}spec: {{predicates: [{{requiredClusterSelector: {{labelSelector: {{matchExpressions: [{{key: line, operator: Is}}]}}}}}}]}}"
            ),
            format!(
                "{PLACEMENT}spec: {{predicates: [{{requiredClusterSelector: {{labelSelector: {{matchExpressions: [{{key: line, operator: In}}]}}}}}}]}}"
            ),
            format!(
                "{PLACEMENT}spec: {{predicates: [{{requiredClusterSelector: {{labelSelector: {{matchExpressions: [{{key: line, operator: Exists, values: [a]}}]}}}}}}]}}"
            ),
            format!(
                "{PLACEMENT}spec: {{tolerations: [{{key: k, operator: Exists, tolerationSeconds: 60}}]}}"
            ),
            format!("{PLACEMENT}spec: {{tolerations: [{{operator: Equal}}]}}"),
            format!("{PLACEMENT}spec: {{tolerations: [{{key: k, effect: NoSchedule}}]}}"),
            format!("{WORKLOAD}spec: {{manifests: []}}"),
            format!(
                "{WORKLOAD}spec: {{manifests: [{{apiVersion: v1, kind: ConfigMap, metadata: {{name: a}}}}, text]}}"
            ),
            format!("{WORKLOAD}spec: {{manifests: [{{apiVersion: v1, kind: ConfigMap, metadata: {{}}}}]}}"),
            format!(
                "{WORKLOAD}spec: {{placements: [{{name: a}}, {{name: a}}], manifests: [{{apiVersion: v1, kind: ConfigMap, metadata: {{name: a}}}}]}}"
            ),
        ];
        let told: Vec<String> = cases.iter().map(|case| problem(case)).collect();
        insta::assert_snapshot!(told.join("\n"));
    }

    #[test]
    fn manifests_are_read_as_kubectl_reads_them() {
        let text = format!(
            "{WORKLOAD}spec:\n  manifests:\n  - {{apiVersion: v1, kind: X, metadata: {{name: a}}, mode: 0644, on: yes, n: null, s: '1'}}"
        );
        let object = read(&text).remove(0).unwrap();
        let Some(Spec::Workload(spec)) = object.spec else { panic!("no workload") };
        assert_eq!(
            spec.manifests,
            [
                r#"{"apiVersion":"v1","kind":"X","metadata":{"name":"a"},"mode":420,"n":null,"on":"yes","s":"1"}"#
            ]
        );
    }

    #[test]
    fn json_and_written_documents_read_back() {
        let text = format!("{PLACEMENT}spec: {{numberOfClusters: 3}}");
        let object = read(&text).remove(0).unwrap();
        let shown = document(v1::Object { status: Some(v1::Status::default()), ..object.clone() });
        let json = serde_json::to_string(&shown).unwrap();
        let yaml = serde_saphyr::to_string(&shown).unwrap();
        assert!(yaml.contains("status:"));
        assert_eq!(read(&json).remove(0).unwrap(), object);
        assert_eq!(read(&yaml).remove(0).unwrap(), object);
    }
}
