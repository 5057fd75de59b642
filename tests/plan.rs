//! Plans: their format, what is refused, and that they compute what their steps say.

#[path = "plan/backbone.rs"]
mod backbone;
#[path = "plan/chains.rs"]
mod chains;
#[path = "plan/convolutions.rs"]
mod convolutions;
#[path = "plan/damage.rs"]
mod damage;
#[path = "plan/fields.rs"]
mod fields;
#[path = "plan/floats.rs"]
mod floats;
#[path = "plan/layers.rs"]
mod layers;
#[path = "plan/memory.rs"]
mod memory;
#[path = "plan/products.rs"]
mod products;
#[path = "plan/random.rs"]
mod random;
#[path = "plan/reference.rs"]
mod reference;
#[path = "plan/resizes.rs"]
mod resizes;
#[path = "plan/runs.rs"]
mod runs;
#[path = "plan/support.rs"]
mod support;
