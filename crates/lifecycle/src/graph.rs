use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap, HashMap},
    fmt,
    sync::Arc,
};

use crate::{BuildError, Service, ServiceSpec, restart::Restarts};

/// A validated set of services and how they depend on each other.
pub(crate) struct Graph {
    pub(crate) nodes: Vec<Node>,
    /// For each node those that depend on it, hard or soft, as indices.
    followers: Vec<Vec<usize>>,
}

pub(crate) struct Node {
    pub(crate) service: Arc<dyn Service>,
    pub(crate) spec: ServiceSpec,
    pub(crate) restarts: Option<Restarts>,
    /// Its place in the order of starting.
    pub(crate) rank: usize,
    /// Hard dependencies, as indices.
    pub(crate) requires: Vec<usize>,
    /// Hard dependencies and those soft ones that are there.
    follows: Vec<usize>,
}

impl Graph {
    /// Checks everything before anything starts.
    pub(crate) fn new(services: Vec<Arc<dyn Service>>) -> Result<Self, BuildError> {
        let specs: Vec<ServiceSpec> = services.iter().map(|service| service.spec()).collect();
        let index = index_by_name(&specs)?;
        let mut nodes = Vec::with_capacity(specs.len());
        for (service, spec) in services.into_iter().zip(&specs) {
            let requires = resolve_hard(spec, &specs, &index)?;
            let soft = spec.wants.iter().filter_map(|name| index.get(name));
            let mut follows: Vec<usize> = requires.iter().chain(soft).copied().collect();
            follows.sort_unstable();
            follows.dedup();
            nodes.push(Node {
                service,
                spec: spec.clone(),
                restarts: Restarts::new(spec)?,
                rank: 0,
                requires,
                follows,
            });
        }
        let mut followers = vec![Vec::new(); nodes.len()];
        for (index, node) in nodes.iter().enumerate() {
            for &dependency in &node.follows {
                followers[dependency].push(index);
            }
        }
        let mut graph = Self { nodes, followers };
        graph.rank()?;
        Ok(graph)
    }

    /// Whose turn it is to start, from the first to the last.
    pub(crate) fn turns(&self) -> Turns {
        let missing: Vec<usize> = self.nodes.iter().map(|node| node.follows.len()).collect();
        let free = (0..missing.len())
            .filter(|&index| missing[index] == 0)
            .map(Reverse)
            .collect();
        Turns { free, missing }
    }

    /// Those that depend on a node, hard or soft.
    pub(crate) fn followers(&self, index: usize) -> &[usize] {
        &self.followers[index]
    }

    /// All that cannot be without a node, directly or through others.
    pub(crate) fn dependants(&self, index: usize) -> Vec<usize> {
        let mut found = BTreeSet::new();
        let mut open = vec![index];
        while let Some(at) = open.pop() {
            let hard = self.followers[at].iter().copied();
            let hard = hard.filter(|&follower| self.nodes[follower].requires.contains(&at));
            open.extend(hard.filter(|&follower| found.insert(follower)));
        }
        found.into_iter().collect()
    }

    /// Everything has its turn unless there is a circle.
    fn rank(&mut self) -> Result<(), BuildError> {
        let mut turns = self.turns();
        let mut rank = 0;
        while let Some(index) = turns.next() {
            turns.settled(self, index);
            self.nodes[index].rank = rank;
            rank += 1;
        }
        match turns.missing.iter().position(|&count| count > 0) {
            None => Ok(()),
            Some(stuck) => Err(BuildError::Cycle {
                path: circle(&self.nodes, &turns.missing, stuck),
            }),
        }
    }
}

/// Kahn's algorithm (1962) with a heap: dependencies first, and among those that are free, the one
/// that was registered first.
pub(crate) struct Turns {
    free: BinaryHeap<Reverse<usize>>,
    /// For each node, how many of its dependencies are not settled.
    missing: Vec<usize>,
}

impl Turns {
    /// The next node all of whose dependencies are settled.
    pub(crate) fn next(&mut self) -> Option<usize> {
        self.free.pop().map(|Reverse(index)| index)
    }

    /// The node was tried, or will not be.
    pub(crate) fn settled(&mut self, graph: &Graph, index: usize) {
        for &follower in &graph.followers[index] {
            self.missing[follower] -= 1;
            if self.missing[follower] == 0 {
                self.free.push(Reverse(follower));
            }
        }
    }
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.nodes.iter().map(|node| &node.spec))
            .finish()
    }
}

fn index_by_name(specs: &[ServiceSpec]) -> Result<HashMap<Arc<str>, usize>, BuildError> {
    let mut index = HashMap::with_capacity(specs.len());
    for (place, spec) in specs.iter().enumerate() {
        if spec.name.is_empty() {
            return Err(BuildError::EmptyName { index: place });
        }
        for (field, timeout) in [
            ("start_timeout", spec.start_timeout),
            ("stop_timeout", spec.stop_timeout),
        ] {
            if timeout.is_zero() {
                let service = Arc::clone(&spec.name);
                return Err(BuildError::ZeroServiceTimeout { service, field });
            }
        }
        if index.insert(Arc::clone(&spec.name), place).is_some() {
            let name = Arc::clone(&spec.name);
            return Err(BuildError::Duplicate { name });
        }
    }
    Ok(index)
}

fn resolve_hard(
    spec: &ServiceSpec,
    specs: &[ServiceSpec],
    index: &HashMap<Arc<str>, usize>,
) -> Result<Vec<usize>, BuildError> {
    let resolve = |dependency: &Arc<str>| {
        let Some(&place) = index.get(dependency) else {
            return Err(BuildError::MissingDep {
                service: Arc::clone(&spec.name),
                dependency: Arc::clone(dependency),
            });
        };
        if spec.required && !specs[place].required {
            return Err(BuildError::RequiresOptional {
                service: Arc::clone(&spec.name),
                dependency: Arc::clone(dependency),
            });
        }
        Ok(place)
    };
    spec.requires.iter().map(resolve).collect()
}

/// Walks from a node that is stuck along dependencies that are stuck, until one comes again.
fn circle(nodes: &[Node], missing: &[usize], stuck: usize) -> Vec<Arc<str>> {
    let mut walk = vec![stuck];
    let mut at = stuck;
    loop {
        let next = nodes[at]
            .follows
            .iter()
            .copied()
            .find(|&dependency| missing[dependency] > 0);
        // A stuck node has a stuck dependency; the fallback only keeps the walk total.
        at = next.unwrap_or(stuck);
        let seen = walk.iter().position(|&index| index == at);
        walk.push(at);
        if let Some(first) = seen {
            return walk[first..]
                .iter()
                .map(|&index| Arc::clone(&nodes[index].spec.name))
                .collect();
        }
    }
}
