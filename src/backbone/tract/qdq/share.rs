//! Which quantised tensors share a grid.
//!
//! What is moved keeps its numbers. What is put together with others and read nowhere else takes
//! the grid of the whole, so it is rounded once. What is resized stays between its neighbours.

use super::operators::Kind;
use super::scheme::Analysis;
use std::collections::HashMap;
use std::vec::Vec;

/// Sets of tensors that grow together.
struct Groups {
    parent: Vec<usize>,
}

impl Groups {
    fn of(&self, mut tensor: usize) -> usize {
        while self.parent[tensor] != tensor {
            tensor = self.parent[tensor];
        }
        tensor
    }

    fn join(&mut self, one: usize, other: usize) {
        let (one, other) = (self.of(one), self.of(other));
        self.parent[one.max(other)] = one.min(other);
    }

    fn members(&self, tensor: usize) -> Vec<usize> {
        let group = self.of(tensor);
        (0..self.parent.len()).filter(|&one| self.of(one) == group).collect()
    }
}

/// The number of each tensor's grid, in the order of first appearance.
pub(super) fn share_grids(analysis: &Analysis<'_>, tensors: &[&str]) -> Vec<usize> {
    let places: HashMap<&str, usize> =
        tensors.iter().enumerate().map(|(at, one)| (*one, at)).collect();
    let mut groups = Groups { parent: (0..tensors.len()).collect() };
    let of_kind =
        |kind: Kind| (0..analysis.kinds.len()).filter(move |&at| analysis.kinds[at] == kind);
    let mut moved_reads = std::vec![0; tensors.len()];
    for at in of_kind(Kind::Move) {
        let Some(&from) = input_place(analysis, &places, at) else { continue };
        let results = analysis.graph.node[at].output.iter();
        let results: Vec<usize> = results.filter_map(|name| places.get(&**name)).copied().collect();
        for &result in &results {
            groups.join(from, result);
        }
        moved_reads[from] += usize::from(!results.is_empty());
    }
    for at in of_kind(Kind::Concat) {
        join_parts(analysis, tensors, &places, &moved_reads, &mut groups, at);
    }
    for at in of_kind(Kind::Resize) {
        let result = analysis.graph.node[at].output.first().and_then(|name| places.get(&**name));
        let (Some(&from), Some(&to)) = (input_place(analysis, &places, at), result) else {
            continue;
        };
        let follows = |one: &usize| {
            let writer = analysis.writers.get(tensors[*one]);
            writer.is_some_and(|&at| matches!(analysis.kinds[at], Kind::Resize | Kind::Move))
        };
        if groups.members(to).iter().all(follows) {
            groups.join(from, to);
        }
    }
    number(&groups)
}

fn input_place<'p>(
    analysis: &Analysis<'_>,
    places: &'p HashMap<&str, usize>,
    at: usize,
) -> Option<&'p usize> {
    places.get(&**analysis.graph.node[at].input.first()?)
}

/// Gives the inputs of a concatenation that nothing else reads its result's grid.
fn join_parts(
    analysis: &Analysis<'_>,
    tensors: &[&str],
    places: &HashMap<&str, usize>,
    moved_reads: &[usize],
    groups: &mut Groups,
    at: usize,
) {
    let node = &analysis.graph.node[at];
    let Some(&whole) = node.output.first().and_then(|name| places.get(&**name)) else { return };
    for part in node.input.iter().filter_map(|name| places.get(&**name)) {
        let alone = groups.members(*part).into_iter().all(|one| {
            let here = node.input.iter().filter(|name| ***name == *tensors[one]).count();
            analysis.reads(tensors[one]) == moved_reads[one] + here
        });
        if alone {
            groups.join(whole, *part);
        }
    }
}

fn number(groups: &Groups) -> Vec<usize> {
    let mut numbers = HashMap::new();
    (0..groups.parent.len())
        .map(|tensor| {
            let next = numbers.len();
            *numbers.entry(groups.of(tensor)).or_insert(next)
        })
        .collect()
}
