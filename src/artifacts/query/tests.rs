use proptest::prelude::*;
use serde_json::json;

use super::*;

struct Record {
    id: String,
    kind: &'static str,
    manifest: Map<String, Json>,
    config: Map<String, Json>,
    parent: Option<&'static str>,
    downloads: f64,
    committed: bool,
    staged: bool,
}

impl Record {
    fn new(id: &str, manifest: Json) -> Record {
        Record {
            id: id.to_owned(),
            kind: "generic",
            manifest: fields(manifest),
            config: Map::new(),
            parent: None,
            downloads: 0.0,
            committed: true,
            staged: false,
        }
    }

    fn row(&self) -> Row<'_> {
        Row {
            id: &self.id,
            alias: &self.id,
            workspace: "lab",
            kind: self.kind,
            created_by: "ann",
            parent_id: self.parent,
            manifest: Some(&self.manifest),
            config: &self.config,
            created_at: 10.0,
            last_modified: 20.0,
            download_count: self.downloads,
            view_count: 0.0,
            staged: self.staged,
            committed: self.committed,
        }
    }
}

fn fields(json: Json) -> Map<String, Json> {
    json.as_object().unwrap().clone()
}

fn request(filters: Json) -> Request {
    Request {
        filters: fields(filters),
        limit: 100,
        ..Request::default()
    }
}

fn query(request: Request) -> Result<Query, QueryError> {
    Query::new(request, |name| Ok(format!("id of {name}")))
}

fn ids(request: Request, records: &[Record]) -> Vec<&str> {
    let found = query(request).unwrap().run(records, Record::row);
    found
        .items
        .iter()
        .map(|record| record.id.as_str())
        .collect()
}

fn shelf() -> Vec<Record> {
    let mut records = vec![
        Record::new(
            "a",
            json!({"name": "Alpha Cells", "tags": ["x", "y"], "n": 2}),
        ),
        Record::new(
            "b",
            json!({"name": "beta", "tags": ["y"], "n": 10, "deep": {"k": "v"}}),
        ),
        Record::new("c", json!({"name": "Gamma", "n": "ten", "ok": true})),
        Record::new("d", json!({"name": "Draft"})),
    ];
    records[0].downloads = 5.0;
    records[0].config = fields(json!({"permissions": {"*": "r"}}));
    records[1].kind = "dataset";
    records[1].parent = Some("id of shelf");
    records[3].committed = false;
    records[3].staged = true;
    records
}

#[test]
fn filters_choose() {
    let records = shelf();
    for (filters, expected) in [
        (json!({}), "abc"),
        (json!({"type": "dataset"}), "b"),
        (json!({"type": null}), ""),
        (
            json!({"created_by": "ann", "workspace": "lab", "alias": "c"}),
            "c",
        ),
        (json!({"download_count": 1}), "a"),
        (json!({"download_count": [null, 1]}), "bc"),
        (json!({"created_at": [10, 10]}), "abc"),
        (json!({"created_at": 11}), ""),
        (json!({"parent_id": null}), "ac"),
        (json!({"parent_id": "shelf"}), "b"),
        (json!({"version": "stage"}), "d"),
        (json!({"version": "latest"}), "abc"),
        (json!({"manifest": {"name": "beta"}}), "b"),
        (json!({"manifest": {"name": "Beta"}}), ""),
        (json!({"manifest": {"name": "B*"}}), "b"),
        (json!({"manifest": {"name": {"$like": "*A*"}}}), "abc"),
        (json!({"manifest": {"tags": ["y", "x"]}}), "a"),
        (json!({"manifest": {"tags": {"$in": ["x", "z"]}}}), "a"),
        (json!({"manifest": {"tags": {"$all": ["y"]}}}), "ab"),
        (
            json!({"manifest": {"name": {"$in": ["beta", "Gamma"]}}}),
            "bc",
        ),
        (json!({"manifest": {"n": 2.0}}), "a"),
        (json!({"manifest": {"n": "2"}}), ""),
        (json!({"manifest": {"ok": true}}), "c"),
        (json!({"manifest": {"missing": null}}), ""),
        (json!({"manifest": {"deep.k": "v"}}), "b"),
        (
            json!({"manifest": {"$or": [{"n": 2}, {"name": "Gamma"}]}}),
            "ac",
        ),
        (
            json!({"manifest": {"$and": [{"tags": ["y"]}, {"n": 10}]}}),
            "b",
        ),
        (json!({"manifest": {"$or": []}}), "abc"),
        (json!({"config": {"permissions": {"*": "r"}}}), "a"),
        (json!({"manifest": {"x' OR '1'='1": "1"}}), ""),
    ] {
        assert_eq!(
            ids(request(filters.clone()), &records).concat(),
            expected,
            "{filters}"
        );
    }
}

#[test]
fn nonsense_is_refused() {
    for filters in [
        json!({"color": "red"}),
        json!({"secrets": {"a": 1}}),
        json!({"download_count": [1]}),
        json!({"download_count": "many"}),
        json!({"manifest": {"n": {"$gt": 1}}}),
        json!({"manifest": {"n": {"$like": 1}}}),
        json!({"manifest": {"$or": "x"}}),
        json!({"parent_id": 7}),
    ] {
        let refused = query(request(filters.clone()));
        assert!(matches!(refused, Err(QueryError::Invalid(_))), "{filters}");
    }
    for (version, stage) in [
        ("stage", Stage::Both),
        ("latest", Stage::Staged),
        ("v1", Stage::Committed),
    ] {
        let mut request = request(json!({"version": version}));
        request.stage = stage;
        assert!(
            matches!(query(request), Err(QueryError::Assertion(_))),
            "{version}"
        );
    }
    let mut deep = json!({"a": 1});
    for _ in 0..40 {
        deep = json!({"$or": [deep]});
    }
    assert!(query(request(json!({"manifest": deep}))).is_err());
}

#[test]
fn mode_joins_keywords_and_filters_but_not_stage_or_parent() {
    let records = shelf();
    let wanted = |mode, stage| {
        let mut request = request(json!({"type": "dataset", "parent_id": null}));
        request.keywords = vec!["GAMMA".into(), "draft".into()];
        (request.mode, request.stage) = (mode, stage);
        ids(request, &records).concat()
    };
    assert_eq!(wanted(Mode::All, Stage::Both), "");
    assert_eq!(wanted(Mode::Any, Stage::Both), "cd");
    assert_eq!(wanted(Mode::Any, Stage::Committed), "c");
    assert_eq!(wanted(Mode::Any, Stage::Staged), "d");
}

#[test]
fn order_puts_numbers_first_and_missing_last_both_ways() {
    let records = shelf();
    for (order, expected) in [
        ("", "abcd"),
        ("id>", "dcba"),
        ("-id", "dcba"),
        ("nonsense", "abcd"),
        ("download_count>", "abcd"),
        ("download_count<", "bcda"),
        ("manifest.n", "abcd"),
        ("manifest.n>", "bacd"),
        ("manifest.deep.k", "bacd"),
        ("-manifest.name", "bcda"),
    ] {
        let mut request = request(json!({}));
        request.stage = Stage::Both;
        request.order_by = Some(order.into());
        assert_eq!(ids(request, &records).concat(), expected, "{order}");
    }
    for bad in ["manifest.a'b", "config.", "manifest.x y"] {
        assert!(Order::parse(Some(bad)).is_err(), "{bad}");
    }
}

#[test]
fn recipients_see_what_is_theirs_alone() {
    let records = [
        Record::new("a", json!({"to": "ann@x"})),
        Record::new("b", json!({"to": "bob@x"})),
        Record::new("c", json!({})),
    ];
    for (email, expected) in [
        (Some("ann@x"), "a"),
        (Some("*"), ""),
        (Some(""), ""),
        (None, ""),
    ] {
        let mut request = request(json!({"type": "generic", "manifest": {"to": "bob@x"}}));
        request.mode = Mode::Any;
        request.recipient = Some(Recipient {
            field: "to".into(),
            email: email.map(str::to_owned),
        });
        assert_eq!(ids(request, &records).concat(), expected, "{email:?}");
    }
}

#[test]
fn projections_never_show_secrets() {
    let shown = fields(json!({"id": 1, "alias": 2, "secrets": 3}));
    let listed = ["id".to_owned(), "secrets".to_owned()];
    assert_eq!(
        project(shown.clone(), Some(&listed)),
        fields(json!({"id": 1}))
    );
    assert_eq!(project(shown.clone(), None), shown);
}

/// Patterns, slowly but plainly.
fn fits(pattern: &[char], text: &[char]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some(('*', rest)) => (0..=text.len()).any(|at| fits(rest, &text[at..])),
        Some((first, rest)) => text.first() == Some(first) && fits(rest, &text[1..]),
    }
}

proptest! {
    #[test]
    fn patterns_agree_with_the_plain_way(pattern in "[ab*]{0,8}", text in "[ab]{0,10}") {
        let chars = |text: &str| text.chars().collect::<Vec<_>>();
        let expected = fits(&chars(&pattern), &chars(&text));
        prop_assert_eq!(text::Pattern::new(&pattern).fits(&text), expected);
    }

    #[test]
    fn pages_are_cut_from_the_whole(
        counts in prop::collection::vec(0u8..5, 0..40), offset in 0usize..50, limit in 0usize..50,
    ) {
        let records: Vec<Record> = counts.iter().enumerate().map(|(at, count)| {
            let mut record = Record::new(&format!("{at:02}"), json!({}));
            record.downloads = f64::from(*count);
            record
        }).collect();
        let page = |offset, limit| {
            let mut request = request(json!({}));
            request.order_by = Some("download_count>".into());
            (request.offset, request.limit) = (offset, limit);
            let found = query(request).unwrap().run(&records, Record::row);
            (found.items.iter().map(|r| r.id.clone()).collect::<Vec<_>>(), found.total)
        };
        let (all, total) = page(0, usize::MAX);
        prop_assert_eq!(total, counts.len());
        let expected: Vec<_> = all.into_iter().skip(offset).take(limit).collect();
        prop_assert_eq!(page(offset, limit), (expected, total));
    }
}

#[test]
fn many_records_are_searched_without_copies() {
    let records: Vec<Record> = (0..100_000)
        .map(|n| {
            Record::new(
                &format!("{n:06}"),
                json!({"name": format!("Set {n}"), "n": n % 7}),
            )
        })
        .collect();
    let mut request = request(json!({"manifest": {"n": 3}}));
    request.keywords = vec!["set 99".into()];
    request.order_by = Some("manifest.name>".into());
    request.limit = 2;
    let started = std::time::Instant::now();
    let found = query(request).unwrap().run(&records, Record::row);
    // Shown with `--nocapture`; a bound would fail on a busy machine.
    println!("{} ms", started.elapsed().as_millis());
    let expected = (0..100_000).filter(|n| n % 7 == 3 && n.to_string().starts_with("99"));
    assert_eq!(found.total, expected.count());
    let names: Vec<_> = found
        .items
        .iter()
        .map(|r| r.manifest["name"].as_str())
        .collect();
    assert!(names.is_sorted_by(|a, b| a > b) && names.len() == 2);
}
