//! The loader against maps: those of the four reference systems, sample configs, and any bytes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::Value as Json;

use super::super::model::{BoundaryMap, ExpectSubject, InvariantKind, ZoneId};
use super::*;
use crate::boundary::{map_to_json as to_json, show_map as show};

fn testdata(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(folder)
}

fn load(path: &Path) -> Result<BoundaryMap, MapProblems> {
    // Paths in reports are those of the repository, wherever it lies.
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let name = path.strip_prefix(root).unwrap().to_str().unwrap();
    load_map(name, &mut |path| std::fs::read_to_string(root.join(path)))
}

fn reference(name: &str) -> BoundaryMap {
    load(&testdata("vectors/maps").join(name)).unwrap_or_else(|problems| panic!("{}", problems.report(false)))
}

/// VPCs, zones, services, rules, invariants, expectations, NACL entries, interfaces.
fn counts(map: &BoundaryMap) -> [usize; 8] {
    [
        map.vpcs.len(),
        map.zones.len(),
        map.services.len(),
        map.rules.len(),
        map.invariants.len(),
        map.expects.len(),
        map.nacls.len(),
        map.enis.len(),
    ]
}

/// The counts that the reference documents give for their maps.
#[test]
fn reference_maps_are_whole() {
    assert_eq!(counts(&reference("ez-cdc.toml")), [1, 9, 3, 7, 5, 2, 1, 4]);
    assert_eq!(counts(&reference("atlas.toml")), [1, 12, 7, 10, 3, 0, 0, 0]);
    assert_eq!(counts(&reference("artos.toml")), [1, 11, 11, 26, 5, 2, 0, 6]);
    assert_eq!(counts(&reference("eks-rds.toml")), [3, 10, 2, 5, 2, 0, 0, 5]);
}

#[test]
fn names_become_ids() {
    let map = reference("ez-cdc.toml");
    let rule = map.rules.iter().find(|rule| rule.id == "nat-out").unwrap();
    assert_eq!(rule.from.iter().map(|&zone| map.zone_name(zone)).collect::<Vec<_>>(), ["nat"]);
    assert_eq!(rule.to.first(), Some(&ZoneId::INTERNET));
    assert_eq!(rule.when.mode.as_deref(), Some("standard"));
    let worker = map.zones.iter().find(|zone| zone.name == "worker").unwrap();
    assert_eq!(worker.parent.map(|zone| map.zone_name(zone)), Some("cdc"));
    let kind = &map.invariants.iter().find(|invariant| invariant.id == "row-data-stays").unwrap().kind;
    let InvariantKind::Confined { exits, .. } = kind else { panic!("{kind:?}") };
    assert_eq!(exits.first().unwrap().max_bytes_per_hour, Some(104_857_600));
    let expect = map.expects.first().unwrap();
    assert_eq!((&expect.subject, expect.every), (&ExpectSubject::Rule("worker-pg".to_owned()), Some(600)));
}

/// The files of a folder that are maps; no file at all would make every test of them pass.
fn samples(folder: &str) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(testdata(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "toml" || end == "json"));
    paths.sort();
    assert!(paths.len() > 2, "{folder} has lost its maps");
    paths
}

fn valid_maps() -> Vec<BoundaryMap> {
    let paths = [samples("config/valid"), samples("vectors/maps")].concat();
    paths.iter().map(|path| load(path).unwrap_or_else(|problems| panic!("{}", problems.report(false)))).collect()
}

/// The map without what depends on how its text is laid out.
fn bare(mut map: BoundaryMap) -> BoundaryMap {
    let places = std::iter::empty()
        .chain(map.flow_log.iter_mut().map(|it| &mut it.place))
        .chain(map.vpcs.iter_mut().map(|it| &mut it.place))
        .chain(map.zones.iter_mut().map(|it| &mut it.place))
        .chain(map.services.iter_mut().map(|it| &mut it.place))
        .chain(map.rules.iter_mut().map(|it| &mut it.place))
        .chain(map.nacls.iter_mut().map(|it| &mut it.place))
        .chain(map.invariants.iter_mut().map(|it| &mut it.place))
        .chain(map.expects.iter_mut().map(|it| &mut it.place))
        .chain(map.enis.iter_mut().map(|it| &mut it.place));
    places.for_each(|place| *place = Place::default());
    BoundaryMap { files: Vec::new(), sha256: String::new(), ..map }
}

/// Compares with a golden file; `UPDATE_GOLDEN=1` writes it.
fn golden(path: &Path, found: &str, update: &str) {
    if std::env::var_os(update).is_some() {
        std::fs::write(path, found).unwrap();
    }
    let expected = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(found, expected, "{} differs: look at it, then write it with {update}=1", path.display());
}

#[test]
fn every_invalid_map_says_why() {
    for path in samples("config/invalid") {
        let problems = load(&path).expect_err("an invalid map loads");
        assert!(!problems.problems.is_empty());
        golden(&path.with_added_extension("expected"), &problems.report(false), "UPDATE_GOLDEN");
    }
}

/// Every mistake is marked on its line, as in `# 7: unknown zone`: all are reported there, and nothing else is.
#[test]
fn twenty_mistakes_are_twenty_problems() {
    let path = testdata("config/invalid/twenty-mistakes.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let marks = |line: &str| line.split_once("# ").map_or(0, |(_, note)| note.matches(": ").count());
    let marked: Vec<usize> = text.lines().enumerate().flat_map(|(at, line)| vec![at; marks(line)]).collect();
    let line = |problem: &Problem| text.get(..problem.place.span.start).unwrap().matches('\n').count();
    let found: Vec<usize> = load(&path).unwrap_err().problems.iter().map(line).collect();
    assert_eq!(found.len(), 20);
    assert_eq!(found, marked);
}

#[test]
fn json_and_toml_are_one_map() {
    let toml = load(&testdata("config/valid/full.toml")).unwrap();
    let json = load(&testdata("config/valid/full.json")).unwrap();
    assert_ne!(toml.sha256, json.sha256);
    assert_eq!(bare(toml), bare(json));
}

#[test]
fn includes_are_merged_in_order() {
    let map = load(&testdata("config/valid/included.toml")).unwrap();
    assert_eq!(map.rules.iter().map(|rule| rule.id.as_str()).collect::<Vec<_>>(), ["first", "second"]);
    assert_eq!(map.env.as_deref(), Some("production"));
    assert_eq!(map.files.len(), 3);
    let second = map.rules.last().unwrap();
    assert_eq!(map.files[usize::from(second.place.file)].text.get(second.place.span.clone()), Some("\"second\""));
}

/// The digests are those of `sha256sum`: of the file, or of the digests (as bytes) of several files.
#[test]
fn identity_is_of_the_texts() {
    let text = "version = 1\nname = \"x\"\n";
    let digest = "ca99541180361e43eb98c995d8b9dcdaf914db3147ff3525b894a52d96653683";
    assert_eq!(parse_map("a.toml", text).unwrap().sha256, digest);
    assert_eq!(parse_map("b", text).unwrap().sha256, digest);
    let several = load(&testdata("config/valid/included.toml")).unwrap();
    assert_eq!(several.sha256, "1350538c418005cbc2a1f8decc07afc103fa109badeb569a2d3d6395d5ce9bd1");
}

/// As editors on Windows write them.
#[test]
fn byte_order_marks_and_carriage_returns_are_no_problem() {
    assert!(parse_map("a", "\u{feff}version = 1\r\nname = \"x\"\r\n").is_ok());
    assert!(parse_map("a", "\u{feff}{\"version\": 1,\r\n\"name\": \"x\"}\r\n").is_ok());
    let report = parse_map("a", "version = 2\r\nname = \"x\"\r\n").unwrap_err().report(false);
    assert!(report.contains("a:1:11") && !report.contains('\r'), "{report}");
}

#[test]
fn an_unreadable_map_is_one_problem() {
    let problems = load_map("nowhere.toml", &mut |_| Err(io::Error::other("no such file"))).unwrap_err();
    assert_eq!(problems.to_string(), "nowhere.toml:1:1: cannot read `nowhere.toml`: no such file (check the path)");
}

#[test]
fn a_single_text_includes_nothing() {
    let problems = parse_map("a.toml", "version = 1\nname = \"x\"\ninclude = [\"b.toml\"]").unwrap_err();
    assert!(problems.to_string().contains("a single text cannot include files"), "{problems}");
}

/// Files beyond all bounds: each is a problem, none is a panic or an endless run.
#[test]
fn bounds_hold() {
    let chain = |path: &str| Ok(format!("include = [\"{path}x\"]"));
    assert!(load_map("x", &mut |path| chain(path)).unwrap_err().to_string().contains("one include too many"));
    for deep in ["[".repeat(100_000), "{\"a\":".repeat(100_000), format!("a = {}", "[".repeat(100_000))] {
        assert!(parse_map("deep", &deep).is_err());
    }
    let dotted = format!("{}b = 1", "a.".repeat(100_000));
    assert!(parse_map("deep.toml", &dotted).is_err());
    let zones: String = (0..=MAX_ZONES).map(|number| format!("[zone.z{number}]\n")).collect();
    let problems = parse_map("many.toml", &format!("version = 1\nname = \"x\"\n{zones}")).unwrap_err();
    assert_eq!(problems.problems.len(), 1, "{problems}");
    let parents: String = (1..MAX_ZONES).map(|n| format!("[zone.z{n}]\nparent = \"z{}\"\n", n - 1)).collect();
    let map = parse_map("long.toml", &format!("version = 1\nname = \"x\"\n[zone.z0]\n{parents}")).unwrap();
    assert!(show(&map).contains("z64999"));
}

/// As many zones as the model has ids for.
const MAX_ZONES: usize = 65_000;

/// The map in its own JSON form loads to the same map, in the order of the names.
#[test]
fn a_map_survives_its_json() {
    for map in valid_maps() {
        let json = to_json(&map);
        let again = parse_map("again.json", &json.to_string()).unwrap();
        assert_eq!(to_json(&again), json);
        let ids = |map: &BoundaryMap| map.rules.iter().map(|rule| rule.id.clone()).collect::<Vec<_>>();
        assert_eq!(ids(&map), ids(&again));
        assert_eq!(counts(&map), counts(&again));
    }
}

/// Nothing of a map is lost on its way through the model: what comes out is what was written, defaults aside.
#[test]
fn nothing_is_lost() {
    let text = std::fs::read_to_string(testdata("config/valid/full.json")).unwrap();
    let mut written: Json = serde_json::from_str(&text).unwrap();
    // What is written though it is the default, and the two spellings of ports and protocols.
    let edits = [
        ("/default", None),
        ("/rule/0/side", None),
        ("/service/dns/tcp/0", Some("53")),
        ("/service/dns/udp/0", Some("53")),
        ("/nacl/2/protocol", Some("50")),
    ];
    for (pointer, value) in edits {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        match (value, written.pointer_mut(parent).unwrap()) {
            (Some(value), parent) if parent.is_array() => parent[key.parse::<usize>().unwrap()] = value.into(),
            (Some(value), parent) => parent[key] = value.into(),
            (None, parent) => assert!(parent.as_object_mut().unwrap().remove(key).is_some()),
        }
    }
    assert_eq!(to_json(&parse_map("full.json", &text).unwrap()), written);
}

/// Keys of every kind of table in a JSON schema: `table.key`, and `table/variant.key` for those of a variant.
fn schema_keys(schema: &Json) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    let mut add = |name: &str, object: &Json| {
        keys.extend(object["properties"].as_object().unwrap().keys().map(|key| format!("{name}.{key}")));
    };
    add("map", schema);
    for (name, table) in schema["$defs"].as_object().unwrap() {
        match table["oneOf"].as_array() {
            Some(cases) => cases.iter().for_each(|case| add(name, case)),
            None => add(name, table),
        }
    }
    keys
}

/// Keys of every kind of table in a map.
fn map_keys(map: &Json) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    let mut add = |name: &str, table: &Json| {
        keys.extend(table.as_object().unwrap().keys().map(|key| format!("{name}.{key}")));
    };
    add("map", map);
    add("flow_log", &map["flow_log"]);
    for name in ["vpc", "zone", "service", "eni"] {
        map[name].as_object().unwrap().values().for_each(|table| add(name, table));
    }
    for name in ["rule", "nacl", "invariant", "expect"] {
        map[name].as_array().unwrap().iter().for_each(|table| add(name, table));
    }
    for invariant in map["invariant"].as_array().unwrap() {
        invariant["exits"].as_array().into_iter().flatten().for_each(|exit| add("exit", exit));
    }
    keys
}

/// `full.toml` uses every key of the schema and no other, and [`nothing_is_lost`] shows that the decoder reads them
/// all: so schema and decoder know the same keys.
#[test]
fn the_schema_has_the_decoders_keys() {
    let full: Json =
        serde_json::from_str(&std::fs::read_to_string(testdata("config/valid/full.json")).unwrap()).unwrap();
    let mut used = map_keys(&full);
    used.insert("map.include".to_owned()); // shown by included.toml
    assert_eq!(used, schema_keys(&map_schema()));
}

/// What the schema says of the limits of an expectation is what the loader wants, in each combination.
#[test]
fn the_schema_takes_the_limits_of_an_expectation_that_the_loader_takes() {
    let schema = &map_schema()["$defs"]["expect"];
    let limits = [("min_flows", "1"), ("max_flows", "2"), ("every", "'1h'"), ("max_bytes_per_hour", "3")];
    let map = std::fs::read_to_string(testdata("config/valid/full.toml")).unwrap();
    let (mut taken, mut refused) = (0, 0);
    for chosen in 0..1 << limits.len() {
        let given: Vec<_> =
            limits.iter().enumerate().filter(|(n, _)| chosen >> n & 1 == 1).map(|(_, key)| key).collect();
        let lines: String = given.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
        let expect = format!("\n[[expect]]\nid = 'limits'\nrule = 'nodes-database'\n{lines}");
        let loads = parse_map("full.toml", &(map.clone() + &expect)).is_ok();
        let has: BTreeSet<&str> = given.iter().map(|(key, _)| *key).chain(["id", "rule"]).collect();
        assert_eq!(has_required(schema, &has), loads, "{lines}");
        *if loads { &mut taken } else { &mut refused } += 1;
    }
    assert_eq!((taken, refused), (7, 9));
}

/// Whether a schema wants no other keys than these: of its keywords those that say which keys there must be.
fn has_required(schema: &Json, has: &BTreeSet<&str>) -> bool {
    let all = |keys: &Json| keys.as_array().unwrap().iter().all(|key| has.contains(key.as_str().unwrap()));
    schema.as_object().unwrap().iter().all(|(keyword, value)| match keyword.as_str() {
        "required" => all(value),
        "anyOf" => value.as_array().unwrap().iter().any(|schema| has_required(schema, has)),
        "oneOf" => value.as_array().unwrap().iter().filter(|schema| has_required(schema, has)).count() == 1,
        "dependentRequired" => value.as_object().unwrap().iter().all(|(key, keys)| !has.contains(&**key) || all(keys)),
        "dependentSchemas" => {
            value.as_object().unwrap().iter().all(|(key, schema)| !has.contains(&**key) || has_required(schema, has))
        }
        "type" | "properties" | "additionalProperties" | "description" => true,
        other => panic!("a keyword that this test does not know: {other}"),
    })
}

#[test]
fn the_schema_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/map.schema.json");
    golden(&path, &format!("{:#}\n", map_schema()), "UPDATE_SCHEMAS");
}

#[test]
fn the_overview_of_a_map() {
    let map = load(&testdata("config/valid/full.toml")).unwrap();
    golden(&testdata("config/valid/full.show"), &show(&map), "UPDATE_GOLDEN");
}

/// A place lies in its file, on whole characters, so that a report can show it.
fn check_places(problems: &MapProblems) {
    for problem in &problems.problems {
        for place in std::iter::once(&problem.place).chain(problem.related.iter().map(|related| &related.place)) {
            let text = &problems.files[usize::from(place.file)].text;
            assert!(text.get(place.span.clone()).is_some(), "{place:?} of {problem:?}");
        }
    }
}

proptest! {
    #[test]
    fn any_text_is_a_map_or_problems(text in "\\PC{0,200}") {
        for name in ["a.toml", "a.json", "a"] {
            if let Err(problems) = parse_map(name, &text) {
                check_places(&problems);
                prop_assert!(!problems.report(false).is_empty());
            }
        }
    }

    /// A slip of the hand in a good map: bytes are lost, doubled or replaced.
    #[test]
    fn a_damaged_map_is_a_map_or_problems(
        json: bool,
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0usize..12, "[\\[\\]{}\"=,.#\\\\a-z0-9 \n\u{e9}]{0,3}"), 1..4),
    ) {
        let file = if json { "full.json" } else { "full.toml" };
        let mut text = std::fs::read_to_string(testdata("config/valid").join(file)).unwrap();
        for (at, length, patch) in cuts {
            let start = text.floor_char_boundary(at.index(text.len()));
            let end = text.floor_char_boundary((start + length).min(text.len()));
            text.replace_range(start..end.max(start), &patch);
        }
        match parse_map(file, &text) {
            Ok(map) => {
                show(&map);
                prop_assert!(parse_map("again.json", &to_json(&map).to_string()).is_ok());
            }
            Err(problems) => {
                check_places(&problems);
                problems.report(false);
            }
        }
    }
}
