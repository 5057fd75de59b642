//! Plans made by hand, each with what its steps should compute.

use crate::reference::Values;
use sha2::{Digest, Sha256};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};
use zsseg::arena::ALIGN_BYTES;
use zsseg::math::network::kernels::NetworkKernels;
use zsseg::plan::{
    Constant, Element, NO_TENSOR, Operation, Parts, Plan, Runner, Step, Target, Tensor,
    TensorIndex, encode, scratch_bytes,
};
use zsseg::status::Result;
use zsseg::threads::{Part, ThreadPool};

/// Largest plan that fuzzing starts from.
const MAX_SEED_BYTES: usize = 16 << 10;

/// What a step should compute from the values of its inputs.
pub type Expected = Box<dyn Fn(&[Values]) -> Values>;

/// A plan in the making.
pub struct Builder {
    pub tensors: Vec<Tensor>,
    pub steps: Vec<Step>,
    pub constants: Vec<u8>,
    pub input: TensorIndex,
    pub outputs: [TensorIndex; 2],
    pub arena_bytes: u64,
    pub expected: Vec<Expected>,
}

impl Builder {
    /// A plan whose input has this shape.
    pub fn new(input: Tensor) -> Builder {
        let mut builder = Builder {
            tensors: Vec::new(),
            steps: Vec::new(),
            constants: Vec::new(),
            input: 0,
            outputs: [NO_TENSOR; 2],
            arena_bytes: 0,
            expected: Vec::new(),
        };
        builder.tensor(input);
        builder
    }

    /// Places a tensor behind all others.
    pub fn tensor(&mut self, tensor: Tensor) -> TensorIndex {
        let tensor = Tensor { offset_bytes: self.arena_bytes, ..tensor };
        self.arena_bytes += tensor.footprint_bytes();
        self.tensors.push(tensor);
        self.tensors.len() as TensorIndex - 1
    }

    /// Channels of another tensor.
    pub fn slice(&mut self, parent: TensorIndex, first: u32, channels: u32) -> TensorIndex {
        let whole = self.tensors[usize::from(parent)];
        let offset_bytes = whole.offset_bytes + u64::from(first) * whole.element.bytes();
        self.tensors.push(Tensor { offset_bytes, channels, parent, ..whole });
        self.tensors.len() as TensorIndex - 1
    }

    pub fn constant(&mut self, bytes: &[u8]) -> Constant {
        let offset_bytes = self.constants.len() as u64;
        self.constants.extend_from_slice(bytes);
        self.constants.resize(self.constants.len().next_multiple_of(64), 0);
        Constant { offset_bytes, len_bytes: bytes.len() as u64 }
    }

    /// Adds a step; working memory is placed as it wants it.
    pub fn step(
        &mut self,
        operation: Operation,
        inputs: &[TensorIndex],
        output: TensorIndex,
        constants: &[Constant],
        expected: Expected,
    ) -> TensorIndex {
        let mut step = Step {
            operation,
            inputs: [NO_TENSOR; 3],
            output,
            scratch: NO_TENSOR,
            constants: [Constant::default(); 5],
            macs: 0,
            strip_rows: 0,
        };
        step.inputs[..inputs.len()].copy_from_slice(inputs);
        step.constants[..constants.len()].copy_from_slice(constants);
        let of = |index: TensorIndex| self.tensors[usize::from(index)];
        let tensors: Vec<Tensor> = inputs.iter().map(|index| of(*index)).collect();
        let tensors = [tensors.first(), tensors.get(1), tensors.get(2)];
        let bytes = scratch_bytes(Target::X86_64, &operation, tensors, &of(output));
        if bytes > 0 {
            step.scratch = self.tensor(u8_tensor([1, 1, bytes as u32], 1.0, 0));
        }
        self.steps.push(step);
        self.expected.push(expected);
        output
    }

    /// Lets steps take turns on strips of so many rows, with buffers that are just large enough.
    pub fn chain(&mut self, steps: Range<usize>, strip_rows: u32) {
        self.steps[steps.end - 1].strip_rows = strip_rows;
        let mut rows = strip_rows;
        for step in steps.clone().skip(1).rev() {
            let input = usize::from(self.steps[step].inputs[0]);
            rows = rows_read(&self.steps[step].operation, rows).min(self.tensors[input].height);
            self.tensors[input].buffered_rows = rows;
        }
        self.place_anew();
    }

    /// Gives every tensor its place again, one behind the other.
    fn place_anew(&mut self) {
        let before = self.tensors.clone();
        self.arena_bytes = 0;
        for tensor in self.tensors.iter_mut().filter(|tensor| tensor.parent == NO_TENSOR) {
            tensor.offset_bytes = self.arena_bytes;
            self.arena_bytes += tensor.footprint_bytes();
        }
        for at in 0..before.len() {
            let Some(old) = before.get(usize::from(before[at].parent)) else { continue };
            let parent = self.tensors[usize::from(before[at].parent)].offset_bytes;
            self.tensors[at].offset_bytes = parent + before[at].offset_bytes - old.offset_bytes;
        }
    }

    /// Names the output.
    pub fn finish(mut self, output: TensorIndex) -> Builder {
        self.outputs = [output, NO_TENSOR];
        self
    }

    pub fn parts(&self) -> Parts<'_> {
        Parts {
            target: Target::X86_64,
            arena_bytes: self.arena_bytes,
            source_sha256: [7; 32],
            tensors: &self.tensors,
            steps: &self.steps,
            input: self.input,
            outputs: self.outputs,
            constants: &self.constants,
        }
    }

    pub fn encode(&self) -> Bytes {
        Bytes::of(&encode(&self.parts()).unwrap())
    }

    /// Values of a tensor, given those that steps have written.
    pub fn values(&self, known: &[Option<Values>], index: TensorIndex) -> Values {
        if let Some(values) = &known[usize::from(index)] {
            return values.clone();
        }
        let tensor = self.tensors[usize::from(index)];
        let channel = |slice: &Tensor, whole: &Tensor| {
            ((slice.offset_bytes - whole.offset_bytes) / slice.element.bytes()) as usize
        };
        let mut values = Values::zeros(&tensor);
        if tensor.parent != NO_TENSOR {
            let whole = &self.tensors[usize::from(tensor.parent)];
            let all = self.values(known, tensor.parent);
            values.fill(|y, x, c| all.at(y, x, c + channel(&tensor, whole)));
            return values;
        }
        for (slice, known) in self.tensors.iter().zip(known) {
            let Some(part) = known.as_ref().filter(|_| slice.parent == index) else { continue };
            let first = channel(slice, &tensor);
            let before = values.clone();
            values.fill(|y, x, c| {
                let inside = first..first + slice.channels as usize;
                if inside.contains(&c) { part.at(y, x, c - first) } else { before.at(y, x, c) }
            });
        }
        values
    }

    /// What the first output should be.
    pub fn reference(&self, input: &Values) -> Values {
        let mut known: Vec<Option<Values>> = vec![None; self.tensors.len()];
        known[usize::from(self.input)] = Some(input.clone());
        for (step, expected) in self.steps.iter().zip(&self.expected) {
            let inputs = step.inputs.iter().filter(|index| **index != NO_TENSOR);
            let inputs: Vec<Values> = inputs.map(|index| self.values(&known, *index)).collect();
            known[usize::from(step.output)] = Some(expected(&inputs));
        }
        self.values(&known, self.outputs[0])
    }
}

/// Rows of its first input that so many neighbouring rows of a step's output depend on.
fn rows_read(operation: &Operation, rows: u32) -> u32 {
    match operation {
        Operation::Convolution { window, .. }
        | Operation::Depthwise { window, .. }
        | Operation::MaxPool { window }
        | Operation::AveragePool { window, .. } => {
            let reach = u32::from(window.kernel_height - 1) * u32::from(window.dilation_y) + 1;
            (rows - 1) * u32::from(window.stride_y) + reach
        }
        _ => rows,
    }
}

/// A dense U8 tensor.
pub fn u8_tensor([height, width, channels]: [u32; 3], scale: f32, zero_point: u8) -> Tensor {
    Tensor {
        offset_bytes: 0,
        height,
        width,
        channels,
        pixel_stride: channels,
        element: Element::U8,
        scale,
        zero_point,
        parent: NO_TENSOR,
        buffered_rows: 0,
    }
}

/// A dense F32 tensor.
pub fn f32_tensor(shape: [u32; 3]) -> Tensor {
    Tensor { element: Element::F32, ..u8_tensor(shape, 1.0, 0) }
}

/// Bytes at an address that is a multiple of 64.
#[derive(Clone)]
pub struct Bytes {
    blocks: Vec<Block>,
    len: usize,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C, align(64))]
struct Block([u8; 64]);

impl Bytes {
    pub fn zeros(len: usize) -> Bytes {
        assert_eq!(align_of::<Block>(), ALIGN_BYTES);
        Bytes { blocks: vec![Block([0; 64]); len.div_ceil(64)], len }
    }

    pub fn of(bytes: &[u8]) -> Bytes {
        let mut copy = Bytes::zeros(bytes.len());
        copy.as_mut().copy_from_slice(bytes);
        copy
    }

    pub fn as_mut(&mut self) -> &mut [u8] {
        &mut self.blocks.as_mut_bytes()[..self.len]
    }
}

impl std::ops::Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.blocks.as_bytes()[..self.len]
    }
}

/// An arena for a plan, with the input in it.
pub fn arena(plan: &Plan<'_>, input: &Values) -> Bytes {
    arena_for(plan, input, 1)
}

/// As [`arena`], for several threads.
pub fn arena_for(plan: &Plan<'_>, input: &Values, threads: usize) -> Bytes {
    let mut arena = Bytes::zeros(plan.arena_bytes_for(threads));
    // Not a number where floats are, the largest integer elsewhere.
    arena.as_mut().fill(0xff);
    let tensor = plan.tensor(plan.input()).unwrap();
    input.write(&tensor, arena.as_mut());
    arena
}

/// The first output after a whole run.
pub fn run(runner: &mut Runner<'_>, input: &Values) -> Result<Values> {
    let mut arena = arena(runner.plan(), input);
    runner.run(arena.as_mut())?;
    Ok(output(runner.plan(), &arena))
}

/// A thread for each part.
#[derive(Default)]
pub struct Threads {
    /// Parts that were run.
    pub parts: AtomicUsize,
}

impl ThreadPool for Threads {
    fn run(&self, parts: &mut [&mut dyn Part]) {
        self.parts.fetch_add(parts.len(), Ordering::Relaxed);
        std::thread::scope(|scope| {
            for part in parts {
                scope.spawn(|| part.run());
            }
        });
    }
}

/// The first output in an arena.
pub fn output(plan: &Plan<'_>, arena: &[u8]) -> Values {
    let tensor = plan.tensor(plan.outputs().next().unwrap()).unwrap();
    Values::read(&tensor, arena)
}

/// Numbers that look random.
pub struct Noise(pub u64);

impl Noise {
    pub fn next(&mut self) -> u32 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as u32
    }

    pub fn below(&mut self, end: u32) -> u32 {
        self.next() % end
    }

    /// From -1 to 1.
    pub fn unit(&mut self) -> f32 {
        self.next() as f32 / (1u32 << 30) as f32 - 1.0
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }

    /// Values for a tensor.
    pub fn values(&mut self, tensor: &Tensor) -> Values {
        let mut values = Values::zeros(tensor);
        match tensor.element {
            Element::U8 => values.fill(|_, _, _| f64::from(self.next() as u8)),
            Element::F32 => values.fill(|_, _, _| f64::from(self.unit())),
        }
        values
    }
}

/// What the steps say, and what each set of kernels finds: in one go, and row by row with the same
/// bits.
fn compared(builder: &Builder) -> Vec<(Values, Values)> {
    let mut steps = builder.steps.clone();
    steps.iter_mut().for_each(|step| step.macs = u64::MAX);
    let bytes = Bytes::of(&encode(&Parts { steps: &steps, ..builder.parts() }).unwrap());
    keep_as_seed(&bytes);
    let plan = Plan::new(&bytes).unwrap();
    let input = Noise(99).values(&builder.tensors[0]);
    let want = builder.reference(&input);
    let pool = Threads::default();
    let compare = |kernels: NetworkKernels| {
        let mut runner = Runner::with_kernels(plan, kernels);
        let found = run(&mut runner, &input).unwrap();
        let mut sliced = arena(&plan, &input);
        while !runner.run_pieces(sliced.as_mut(), 1).unwrap() {}
        assert_eq!(found, output(&plan, &sliced), "{} in pieces", kernels.name);
        for threads in [2, 3, 40] {
            runner.set_threads(Some(&pool), threads);
            let mut cut = arena_for(&plan, &input, threads);
            runner.run(cut.as_mut()).unwrap();
            assert_eq!(found, output(&plan, &cut), "{} on {threads} threads", kernels.name);
        }
        (want.clone(), found)
    };
    NetworkKernels::all().map(compare).collect()
}

/// Writes a small plan into the folder that `ZSSEG_PLAN_SEEDS` names, if it names one: what
/// `scripts/fuzz_plan.sh` starts from.
fn keep_as_seed(bytes: &[u8]) {
    let Some(folder) = std::env::var_os("ZSSEG_PLAN_SEEDS") else { return };
    if bytes.len() > MAX_SEED_BYTES {
        return;
    }
    let name: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    std::fs::write(std::path::Path::new(&folder).join(name), bytes).unwrap();
}

/// All kernels compute exactly what the steps say.
pub fn check_exactly(builder: &Builder) {
    for (want, found) in compared(builder) {
        assert_eq!(want, found);
    }
}

/// All kernels compute what the steps say, but for rounding in f32.
pub fn check_nearly(builder: &Builder) {
    for (want, found) in compared(builder) {
        assert_eq!(want.shape, found.shape);
        let largest = want.data.iter().fold(0.0f64, |most, value| most.max(value.abs()));
        assert!(largest > 1e-3, "nothing but {largest}");
        for (want, found) in want.data.iter().zip(&found.data) {
            assert!((want - found).abs() <= 1e-5 * largest, "{found} is not {want}");
        }
    }
}
