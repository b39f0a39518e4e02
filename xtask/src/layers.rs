//! `layers`: the floors of the workspace, and that every edge between crates points down.

use std::{collections::BTreeMap, fmt};

use anyhow::Result;
use cargo_metadata::{DependencyKind, Package};

use crate::{
    process,
    workspace::{Problem, Workspace, folder_name, report},
};

/// External packages that no crate of floors 0 to 2 pulls in unless a feature asks for them.
const ONLY_BY_FEATURE: [&str; 6] = ["axum", "sqlx", "libsqlite3", "redis", "fred", "metrics"];

/// The test double generator: in no normal dependency graph.
const MOCKS: &str = "mockall";

/// The one dev crate that the tests of the others may use.
const TESTKIT: &str = "steadfast-testkit";

/// Check that every crate imports from lower floors only.
///
/// A crate states its floor in `[package.metadata.steadfast] layer`: a number, or "dev" for crates
/// that are never published. Normal and build dependencies point to a lower number; dev
/// dependencies do too, or to the crate itself or to testkit. Without features, no crate pulls in
/// mockall, and no crate of floors 0 to 2 pulls in axum, sqlx, redis or metrics.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(workspace: &Workspace, _: &Args) -> Result<()> {
    let (house, mut found) = House::read(workspace);
    found.extend(house.edge_problems());
    for (package, layer) in &house.layers {
        found.extend(graph_problems(
            package,
            *layer,
            &normal_graph(workspace, package)?,
        ));
    }
    report("layers", found)?;
    print!("{house}");
    Ok(())
}

/// Where a crate stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Layer {
    /// A floor of the house: 0 is the ground.
    Floor(u64),
    /// Never published: helps the work on the others.
    Dev,
}

/// The layer that a package states.
pub(crate) fn layer_of(package: &Package) -> Option<Layer> {
    let stated = package.metadata.get("steadfast")?.get("layer")?;
    match stated.as_str() {
        Some("dev") => Some(Layer::Dev),
        _ => stated.as_u64().map(Layer::Floor),
    }
}

/// The crates with their layers, and the edges between them.
#[derive(Debug)]
struct House {
    layers: BTreeMap<String, Layer>,
    folders: BTreeMap<String, String>,
    edges: Vec<Edge>,
}

#[derive(Debug)]
struct Edge {
    from: String,
    to: String,
    kind: DependencyKind,
}

impl House {
    fn read(workspace: &Workspace) -> (Self, Vec<Problem>) {
        let mut problems = Vec::new();
        let mut house = Self {
            layers: BTreeMap::new(),
            folders: BTreeMap::new(),
            edges: Vec::new(),
        };
        for package in workspace.members() {
            let name = package.name.to_string();
            house
                .folders
                .insert(name.clone(), folder_name(package).to_owned());
            match layer_of(package) {
                Some(layer) => _ = house.layers.insert(name, layer),
                None => problems.push(Problem::new(
                    workspace.relative_folder(package).join("Cargo.toml"),
                    "states no layer: add `[package.metadata.steadfast]` with `layer = 0` to `4`, \
                     or \"dev\" if it is never published",
                )),
            }
        }
        for package in workspace.members() {
            for dependency in &package.dependencies {
                if dependency.path.is_some() && house.layers.contains_key(&dependency.name) {
                    house.edges.push(Edge {
                        from: package.name.to_string(),
                        to: dependency.name.clone(),
                        kind: dependency.kind,
                    });
                }
            }
        }
        (house, problems)
    }

    fn edge_problems(&self) -> Vec<Problem> {
        let broken = self.edges.iter().filter_map(|edge| {
            let from = *self.layers.get(&edge.from)?;
            let to = *self.layers.get(&edge.to)?;
            let direction = edge.wrong_direction(from, to)?;
            let message = format!(
                "{} dependency on {} points {direction}: {from} to {to}",
                edge.kind_name(),
                edge.to,
            );
            Some(Problem::new(&edge.from, message))
        });
        broken.collect()
    }
}

impl Edge {
    /// `None` if the edge is allowed, otherwise which way it points.
    fn wrong_direction(&self, from: Layer, to: Layer) -> Option<&'static str> {
        let is_dev_edge = self.kind == DependencyKind::Development;
        if is_dev_edge && (self.to == self.from || self.to == TESTKIT) {
            return None;
        }
        match (from, to) {
            (Layer::Dev, _) => None,
            _ if to < from => None,
            _ if to == from => Some("sideways"),
            _ => Some("up"),
        }
    }

    fn kind_name(&self) -> &'static str {
        match self.kind {
            DependencyKind::Development => "dev",
            DependencyKind::Build => "build",
            _ => "normal",
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Floor(number) => write!(f, "floor {number}"),
            Self::Dev => write!(f, "dev"),
        }
    }
}

impl fmt::Display for House {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut floors: BTreeMap<Layer, Vec<&str>> = BTreeMap::new();
        for (package, layer) in &self.layers {
            floors
                .entry(*layer)
                .or_default()
                .push(&self.folders[package]);
        }
        for (layer, crates) in floors.iter().rev() {
            writeln!(f, "{:<8} {}", layer.to_string(), crates.join("  "))?;
        }
        let edges = self
            .edges
            .iter()
            .filter(|edge| edge.kind != DependencyKind::Development);
        writeln!(
            f,
            "{} packages, {} edges, all point down",
            self.layers.len(),
            edges.count()
        )
    }
}

/// The names of everything in a package's normal dependency graph, with its default features.
fn normal_graph(workspace: &Workspace, package: &str) -> Result<Vec<String>> {
    let tree = process::output(process::cargo(workspace, "tree").args([
        "--package",
        package,
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ]))?;
    let names = tree.lines().filter_map(|line| line.split(' ').next());
    let mut names: Vec<String> = names.map(str::to_owned).collect();
    names.sort();
    names.dedup();
    Ok(names)
}

/// What a crate on `layer` must not pull in without a feature.
fn graph_problems(package: &str, layer: Layer, graph: &[String]) -> Vec<Problem> {
    let Layer::Floor(floor) = layer else {
        return Vec::new();
    };
    let mut problems = Vec::new();
    for name in graph {
        let is_family = |family: &str| {
            name.strip_prefix(family)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        };
        if is_family(MOCKS) {
            let message = format!("pulls in {name} without a feature: mocks are for tests only");
            problems.push(Problem::new(package, message));
        } else if floor <= 2 && ONLY_BY_FEATURE.into_iter().any(is_family) {
            let message =
                format!("pulls in {name} without a feature, which no crate of floors 0 to 2 does");
            problems.push(Problem::new(package, message));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Fixture;

    const ON_B: &str = "steadfast-b = { path = \"../b\" }";

    fn problems(fixture: &Fixture) -> Vec<String> {
        let (house, mut problems) = House::read(&fixture.workspace());
        problems.extend(house.edge_problems());
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn edge_that_points_down_is_allowed() {
        let dependency = format!("[dependencies]\n{ON_B}");
        let fixture = Fixture::with_crates(&[("a", "2", &dependency), ("b", "1", "")]);
        assert!(problems(&fixture).is_empty());
    }

    #[test]
    fn edge_that_points_up_is_found() {
        let dependency = format!("[dependencies]\n{ON_B}");
        let fixture = Fixture::with_crates(&[("a", "1", &dependency), ("b", "2", "")]);
        assert_eq!(
            problems(&fixture),
            ["steadfast-a: normal dependency on steadfast-b points up: floor 1 to floor 2"]
        );
    }

    #[test]
    fn edge_to_a_sibling_is_found_even_if_optional_or_for_build() {
        let optional = "[dependencies]\nsteadfast-b = { path = \"../b\", optional = true }";
        let fixture = Fixture::with_crates(&[("a", "2", optional), ("b", "2", "")]);
        assert_eq!(
            problems(&fixture),
            ["steadfast-a: normal dependency on steadfast-b points sideways: floor 2 to floor 2"]
        );
        let build = format!("[build-dependencies]\n{ON_B}");
        let fixture = Fixture::with_crates(&[("a", "2", &build), ("b", "2", "")]);
        assert_eq!(
            problems(&fixture),
            ["steadfast-a: build dependency on steadfast-b points sideways: floor 2 to floor 2"]
        );
    }

    #[test]
    fn normal_edge_to_a_dev_crate_is_found() {
        let dependency = "[dependencies]\nsteadfast-testkit = { path = \"../testkit\" }";
        let fixture = Fixture::with_crates(&[("a", "4", dependency), ("testkit", "\"dev\"", "")]);
        assert_eq!(
            problems(&fixture),
            ["steadfast-a: normal dependency on steadfast-testkit points up: floor 4 to dev"]
        );
    }

    #[test]
    fn tests_may_use_lower_floors_testkit_and_the_crate_itself() {
        let dependencies = "[dev-dependencies]\nsteadfast-a = { path = \".\" }\n\
             steadfast-b = { path = \"../b\" }\nsteadfast-testkit = { path = \"../testkit\" }";
        let fixture = Fixture::with_crates(&[
            ("a", "1", dependencies),
            ("b", "0", ""),
            ("testkit", "\"dev\"", ""),
        ]);
        assert!(problems(&fixture).is_empty());
    }

    #[test]
    fn tests_that_use_a_higher_floor_are_found() {
        let dependency = format!("[dev-dependencies]\n{ON_B}");
        let fixture = Fixture::with_crates(&[("a", "1", &dependency), ("b", "2", "")]);
        assert_eq!(
            problems(&fixture),
            ["steadfast-a: dev dependency on steadfast-b points up: floor 1 to floor 2"]
        );
    }

    #[test]
    fn crate_without_a_layer_is_found() {
        let fixture = Fixture::new();
        fixture.add_crate("a", "", "");
        let found = problems(&fixture);
        assert_eq!(found.len(), 1);
        assert!(
            found[0].starts_with("crates/a/Cargo.toml: states no layer"),
            "{found:?}"
        );
    }

    #[test]
    fn mocks_and_drivers_without_a_feature_are_found() {
        let fixture = Fixture::with_crates(&[("b", "0", "")]);
        let mut dependencies = String::from("[dependencies]\n");
        for name in ["mockall", "sqlx-core", "metricsish"] {
            dependencies += &format!("{name} = {{ path = \"../../vendor/{name}\" }}\n");
            fixture.write(
                &format!("vendor/{name}/Cargo.toml"),
                &format!("[package]\nname = \"{name}\"\nversion = \"1.0.0\"\n"),
            );
            fixture.write(&format!("vendor/{name}/src/lib.rs"), "");
        }
        fixture.add_crate("a", "layer = 2", &dependencies);
        let graph = normal_graph(&fixture.workspace(), "steadfast-a").unwrap();
        let found = graph_problems("steadfast-a", Layer::Floor(2), &graph);
        let found: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "steadfast-a: pulls in mockall without a feature: mocks are for tests only",
                "steadfast-a: pulls in sqlx-core without a feature, which no crate of floors 0 to \
                 2 does",
            ]
        );
        assert_eq!(
            graph_problems("steadfast-a", Layer::Floor(3), &graph).len(),
            1
        );
        assert!(graph_problems("steadfast-a", Layer::Dev, &graph).is_empty());
    }

    #[test]
    fn house_is_printed_from_the_top_with_its_figures() {
        let dependency = format!("[dependencies]\n{ON_B}");
        let fixture = Fixture::with_crates(&[("a", "1", &dependency), ("b", "0", "")]);
        let (house, _) = House::read(&fixture.workspace());
        assert_eq!(
            house.to_string(),
            "floor 1  a\nfloor 0  b\n2 packages, 1 edges, all point down\n"
        );
    }
}
