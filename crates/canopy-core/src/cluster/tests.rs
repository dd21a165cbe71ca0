use canopy_model::{Boot, Cursor, Home, Incarnation, ObjectName, Path, Revision, Wall};

use super::object::{Definition, Template};
use super::*;

fn at(ms: u64) -> Now {
    Now { uptime: Uptime(ms), wall: Wall(0) }
}

/// An order for the workload `line-<uid>`, at the revision of this number.
fn order(uid: u128, revision: u8) -> Apply {
    let born = Cursor { incarnation: Incarnation(1), boot: Boot(1), version: 1 };
    let name =
        ObjectName { project: "default".parse().unwrap(), name: format!("line-{uid}").parse().unwrap() };
    let home = Home { path: Path::default(), born };
    let revision = Revision { digest: Digest([revision; 32]), size: 1, inline: None };
    Apply { uid: Uid(uid), attempt: 1, name, home, placements: vec![], revision }
}

/// A valid object without pods; `words` as in `apps/v1 Deployment default/web`.
fn object(words: &str) -> Object {
    let (api_version, rest) = words.split_once(' ').unwrap();
    let (kind, name) = rest.split_once(' ').unwrap();
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let (namespace, name) = name.split_once('/').map_or((None, name), |(space, name)| (Some(space), name));
    let id = Id {
        group: group.to_owned(),
        kind: kind.to_owned(),
        namespace: namespace.map(str::to_owned),
        name: name.to_owned(),
    };
    Object {
        id,
        version: version.to_owned(),
        rejected: None,
        fails: false,
        pods: None,
        defines: None,
        create_only: false,
        stays: false,
    }
}

fn web(digest: u8, replicas: u32) -> Object {
    let pods = Some(Template { digest: Digest([digest; 32]), replicas });
    Object { pods, ..object("apps/v1 Deployment default/web") }
}

fn rules() -> Object {
    object("v1 ConfigMap default/rules")
}

fn apply(cluster: &mut Cluster, uid: u128, revision: u8, objects: Vec<Object>) -> Result<(), String> {
    cluster.apply(at(0), order(uid, revision), objects).map_err(|refused| refused.to_string())
}

/// The objects of a workload as texts.
fn holds(cluster: &Cluster, uid: u128) -> Vec<String> {
    let set = cluster.sets().find(|(held, _)| *held == Uid(uid));
    set.into_iter().flat_map(|(_, set)| set.objects.keys().map(Id::to_string)).collect()
}

/// What is told at a time: health and message by workload.
fn told(cluster: &mut Cluster, ms: u64) -> Vec<(Health, String)> {
    let events = cluster.wake(at(ms)).into_iter();
    let observed = events.map(|event| {
        let ClusterEvent::Observed { health, message, .. } = event else { panic!("{event:?}") };
        (health, message)
    });
    observed.collect()
}

#[test]
fn what_has_no_pods_is_healthy_at_once() {
    let mut cluster = Cluster::default();
    apply(&mut cluster, 1, 1, vec![rules()]).unwrap();
    assert_eq!(told(&mut cluster, 0), [(Health::Healthy, String::new())]);
    assert_eq!(cluster.wake_at(), None);
}

#[test]
fn pods_become_ready_in_time() {
    let mut cluster = Cluster::default();
    apply(&mut cluster, 1, 1, vec![rules(), web(1, 2)]).unwrap();
    let starting = |ready| {
        let message = format!("Deployment default/web: {ready} of 2 pods are ready");
        [(Health::Progressing, message)]
    };
    assert_eq!(told(&mut cluster, 0), starting(0));
    assert_eq!(cluster.wake_at(), Some(Uptime(1000)));
    assert_eq!(told(&mut cluster, 1000), starting(1));
    assert_eq!(told(&mut cluster, 2000), [(Health::Healthy, String::new())]);
    assert_eq!(cluster.wake_at(), None);
}

#[test]
fn failing_pods_are_told_as_degraded_and_others_are_not_concerned() {
    let mut cluster = Cluster::default();
    apply(&mut cluster, 1, 1, vec![Object { fails: true, ..web(1, 1) }]).unwrap();
    apply(&mut cluster, 2, 1, vec![Object { fails: true, ..rules() }]).unwrap();
    apply(&mut cluster, 3, 1, vec![object("v1 ConfigMap default/other")]).unwrap();
    let healths =
        |cluster: &Cluster, ms| cluster.sets().map(|(_, set)| set.health(at(ms)).0).collect::<Vec<_>>();
    assert_eq!(healths(&cluster, 0), [Health::Progressing, Health::Degraded, Health::Healthy]);
    assert_eq!(healths(&cluster, 2000), [Health::Degraded, Health::Degraded, Health::Healthy]);
    told(&mut cluster, 0);
    let (_, message) = told(&mut cluster, 2000).remove(0);
    assert!(message.starts_with("Deployment default/web: Progressing=False: ProgressDeadlineExceeded: "));
}

#[test]
fn an_object_is_one_workloads_until_that_is_deleted() {
    let mut cluster = Cluster::default();
    apply(&mut cluster, 1, 1, vec![rules()]).unwrap();
    assert_eq!(
        apply(&mut cluster, 2, 1, vec![web(1, 1), rules()]).unwrap_err(),
        "ConfigMap default/rules belongs to workload line-1: remove it from one of the two workloads"
    );
    assert_eq!(holds(&cluster, 2), Vec::<String>::new(), "nothing of it was applied");
    cluster.delete(Uid(1));
    apply(&mut cluster, 2, 1, vec![web(1, 1), rules()]).unwrap();
}

#[test]
fn what_is_refused_is_named_and_takes_nothing_away() {
    let mut cluster = Cluster::default();
    apply(&mut cluster, 1, 1, vec![rules()]).unwrap();
    let bad = Object { rejected: Some("Invalid: no selector".to_owned()), ..web(1, 1) };
    for (wrong, refusal) in [
        (bad, "Deployment default/web: Invalid: no selector"),
        (object("v1 ConfigMap web"), "ConfigMap web: names no namespace: set metadata.namespace"),
        (
            object("v1 ConfigMap line/web"),
            "ConfigMap line/web: namespace line does not exist: add it to the workload's manifests or create it",
        ),
        (
            object("shop.example/v1 Robot default/r2"),
            "Robot default/r2: the cluster serves no kind Robot in shop.example/v1: install its definition first",
        ),
    ] {
        let other = object("v1 Secret default/key");
        let refused = apply(&mut cluster, 1, 2, vec![wrong, other]).unwrap_err();
        assert_eq!(refused, format!("1 of 2 objects refused: {refusal}"));
        assert_eq!(holds(&cluster, 1), ["ConfigMap default/rules", "Secret default/key"]);
        assert_eq!(cluster.revision(Uid(1)), Some(Digest([1; 32])));
    }
    apply(&mut cluster, 1, 3, vec![object("v1 Secret default/key")]).unwrap();
    assert_eq!(holds(&cluster, 1), ["Secret default/key"]);
}

#[test]
fn namespaces_and_definitions_come_first_and_serve_every_workload() {
    let mut cluster = Cluster::default();
    let robots = Definition {
        group: "shop.example".to_owned(),
        kind: "Robot".to_owned(),
        versions: vec!["v1".to_owned()],
        namespaced: true,
    };
    let crd = object("apiextensions.k8s.io/v1 CustomResourceDefinition robots.shop.example");
    let crd = Object { defines: Some(robots), ..crd };
    let namespace = object("v1 Namespace line");
    apply(&mut cluster, 1, 1, vec![object("shop.example/v1 Robot line/r2"), crd, namespace.clone()]).unwrap();
    apply(&mut cluster, 2, 1, vec![object("shop.example/v1 Robot line/c3"), namespace]).unwrap();
    let newer = apply(&mut cluster, 3, 1, vec![object("shop.example/v2 Robot line/bb")]);
    assert!(newer.unwrap_err().contains("serves no kind Robot in shop.example/v2"));
}

#[test]
fn what_is_only_created_is_never_changed() {
    let mut cluster = Cluster::default();
    let once = |digest| Object { create_only: true, ..web(digest, 2) };
    apply(&mut cluster, 1, 1, vec![once(1)]).unwrap();
    apply(&mut cluster, 1, 2, vec![once(2)]).unwrap();
    let (_, set) = cluster.sets().next().unwrap();
    let pods = set.objects.values().next().unwrap().pods.as_ref().unwrap();
    assert_eq!(pods.template().digest, Digest([1; 32]));
}

#[test]
fn what_is_to_stay_is_nobodys_until_somebody_names_it() {
    let mut cluster = Cluster::default();
    let stays = |object| Object { stays: true, ..object };
    apply(&mut cluster, 1, 1, vec![stays(rules()), stays(web(1, 1)), object("v1 Secret default/key")])
        .unwrap();
    apply(&mut cluster, 1, 2, vec![stays(web(1, 1)), object("v1 Secret default/key")]).unwrap();
    cluster.delete(Uid(1));
    let left = |cluster: &Cluster| cluster.left().keys().map(Id::to_string).collect::<Vec<_>>();
    assert_eq!(left(&cluster), ["ConfigMap default/rules", "Deployment default/web"]);
    apply(&mut cluster, 2, 1, vec![web(1, 1)]).unwrap();
    assert_eq!((holds(&cluster, 2).len(), left(&cluster).len()), (1, 1));
    let (_, set) = cluster.sets().next().unwrap();
    assert_eq!(set.health(at(2000)).0, Health::Healthy, "its pods went on");
}
