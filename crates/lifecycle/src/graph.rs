use std::{cmp::Reverse, collections::BinaryHeap, collections::HashMap, fmt, sync::Arc};

use crate::{BuildError, Service, ServiceSpec};

/// A validated set of services and the order in which to start them.
pub(crate) struct Graph {
    pub(crate) nodes: Vec<Node>,
    /// Indices into `nodes`: dependencies first, and among those that are free, the one that was
    /// registered first.
    pub(crate) order: Vec<usize>,
}

pub(crate) struct Node {
    pub(crate) service: Arc<dyn Service>,
    pub(crate) spec: ServiceSpec,
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
                requires,
                follows,
            });
        }
        let order = sort(&nodes)?;
        Ok(Self { nodes, order })
    }
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.order.iter().map(|&index| &self.nodes[index].spec))
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

/// Kahn's algorithm (1962) with a heap, so that ties go by registration.
fn sort(nodes: &[Node]) -> Result<Vec<usize>, BuildError> {
    let mut missing: Vec<usize> = nodes.iter().map(|node| node.follows.len()).collect();
    let mut followers = vec![Vec::new(); nodes.len()];
    for (index, node) in nodes.iter().enumerate() {
        for &dependency in &node.follows {
            followers[dependency].push(index);
        }
    }
    let mut free: BinaryHeap<Reverse<usize>> = (0..nodes.len())
        .filter(|&index| missing[index] == 0)
        .map(Reverse)
        .collect();
    let mut order = Vec::with_capacity(nodes.len());
    while let Some(Reverse(index)) = free.pop() {
        order.push(index);
        for &follower in &followers[index] {
            missing[follower] -= 1;
            if missing[follower] == 0 {
                free.push(Reverse(follower));
            }
        }
    }
    match missing.iter().position(|&count| count > 0) {
        None => Ok(order),
        Some(stuck) => Err(BuildError::Cycle {
            path: circle(nodes, &missing, stuck),
        }),
    }
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
