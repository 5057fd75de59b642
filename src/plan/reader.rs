//! Checked, zero-copy view of a plan.

use super::chain;
use super::check;
use super::layout::{
    CONSTANT_ALIGN_BYTES, HeaderRecord, MAGIC, PLAN_VERSION, StepRecord, TensorRecord,
};
use super::operation;
use super::step::{Constant, Step};
use super::tensor::{Element, NO_TENSOR, Tensor, TensorIndex};
use crate::arena::ALIGN_BYTES;
use crate::limits::{MAX_PLAN_STEPS, MAX_PLAN_TENSORS};
use crate::status::{Error, Result, Status};
use core::fmt;
use core::ops::Range;
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// Processors whose weight layouts a plan may use. Portable kernels read all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// AVX2, AVX-512, VNNI, AMX: chosen at run time.
    X86_64,
    /// NEON and its dot products.
    Aarch64,
    /// 32-bit ARM with NEON.
    Armv7,
    /// ARM microcontrollers.
    CortexM,
}

impl Target {
    /// Every target; the position is the code in the header.
    pub const ALL: [Target; 4] = [Target::X86_64, Target::Aarch64, Target::Armv7, Target::CortexM];

    /// The target that this library was built for.
    pub const fn host() -> Target {
        match () {
            () if cfg!(target_arch = "aarch64") => Target::Aarch64,
            () if cfg!(all(target_arch = "arm", target_os = "none")) => Target::CortexM,
            () if cfg!(target_arch = "arm") => Target::Armv7,
            () => Target::X86_64,
        }
    }

    /// As the command writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Target::X86_64 => "x86-64",
            Target::Aarch64 => "aarch64",
            Target::Armv7 => "armv7",
            Target::CortexM => "cortex-m",
        }
    }

    /// The code in the header.
    pub fn code(self) -> u32 {
        Target::ALL.iter().position(|target| *target == self).unwrap_or_default() as u32
    }

    /// The target with this code.
    pub fn from_code(code: u32) -> Option<Target> {
        Target::ALL.get(usize::try_from(code).ok()?).copied()
    }
}

/// When a tensor's bytes are taken. The input is written at 0, step `i` works at `i + 1`, the
/// outputs are read at `steps + 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// First moment.
    pub first: u16,
    /// Last moment.
    pub last: u16,
}

/// A plan in the caller's bytes, checked. Copying it copies references only.
#[derive(Clone, Copy)]
pub struct Plan<'a> {
    pub(super) header: &'a HeaderRecord,
    pub(super) tensors: &'a [TensorRecord],
    pub(super) steps: &'a [StepRecord],
    constants: &'a [u8],
    target: Target,
}

impl<'a> Plan<'a> {
    /// Opens a plan and checks everything in it: `bytes` is the whole section and nothing more,
    /// and its address a multiple of 4. After this, steps can be run without looking.
    ///
    /// Time is linear in the steps and quadratic in the tensors; of weights not a byte is read.
    ///
    /// # Errors
    /// [`Status::BundleFormat`] for other bytes, [`Status::BundleVersion`] for another version,
    /// [`Status::LimitExceeded`] for counts beyond [`crate::limits`], [`Status::Unsupported`] for
    /// an operation on types that no kernel has, else [`Status::BundleContent`]. The error's place
    /// is the step that could not be run, if there is one.
    pub fn new(bytes: &'a [u8]) -> Result<Plan<'a>> {
        let plan = Plan::parse(bytes)?;
        check::check(&plan)?;
        Ok(plan)
    }

    /// The tables and the constants, at their places.
    fn parse(bytes: &'a [u8]) -> Result<Plan<'a>> {
        let cut_off = || {
            let error = Status::BundleFormat.about("length of the plan");
            error.numbers(bytes.len() as u64, size_of::<HeaderRecord>() as u64)
        };
        let (header, rest) = HeaderRecord::ref_from_prefix(bytes).map_err(|_| cut_off())?;
        let target = check_header(header)?;
        let tensors = header.tensor_count.get();
        let steps = header.step_count.get();
        in_table("tensors of the plan", tensors, MAX_PLAN_TENSORS)?;
        in_table("steps of the plan", steps, MAX_PLAN_STEPS)?;
        let (tensors, rest) = table::<TensorRecord>("tensors of the plan", rest, tensors)?;
        let (steps, rest) = table::<StepRecord>("steps of the plan", rest, steps)?;
        let constants = constants_of(header, bytes.len(), rest)?;
        Ok(Plan { header, tensors, steps, constants, target })
    }

    /// Processors whose weight layouts are used.
    pub fn target(&self) -> Target {
        self.target
    }

    /// Bytes of the arena that the steps work in.
    pub fn arena_bytes(&self) -> usize {
        self.header.arena_bytes.get() as usize
    }

    /// SHA-256 of the network that the plan was made from.
    pub fn source_sha256(&self) -> [u8; 32] {
        self.header.source_sha256
    }

    /// Number of tensors.
    pub fn tensor_count(&self) -> usize {
        self.tensors.len()
    }

    /// Number of steps.
    pub fn step_count(&self) -> usize {
        self.steps.len()
    }

    /// Index of the input.
    pub fn input(&self) -> TensorIndex {
        self.header.input.get()
    }

    /// Indices of the outputs: one or two.
    pub fn outputs(&self) -> impl Iterator<Item = TensorIndex> + use<> {
        let outputs = self.header.outputs.map(|output| output.get());
        outputs.into_iter().filter(|&output| output != NO_TENSOR)
    }

    /// Tensor `index`; [`Status::InvalidArgument`] when there are not that many.
    pub fn tensor(&self, index: TensorIndex) -> Result<Tensor> {
        let Some(record) = self.tensors.get(usize::from(index)) else {
            let error = Status::InvalidArgument.about("index of a tensor");
            return Err(error.numbers(index.into(), self.tensors.len() as u64));
        };
        record.decode()
    }

    /// When the bytes of tensor `index` are taken.
    pub fn lifetime(&self, index: TensorIndex) -> Option<Lifetime> {
        let record = self.tensors.get(usize::from(index))?;
        Some(Lifetime { first: record.first.get(), last: record.last.get() })
    }

    /// Step `index`; [`Status::InvalidArgument`] when there are not that many.
    pub fn step(&self, index: usize) -> Result<Step> {
        let Some(record) = self.steps.get(index) else {
            let error = Status::InvalidArgument.about("index of a step");
            return Err(error.numbers(index as u64, self.steps.len() as u64));
        };
        record.decode()
    }

    /// The steps of the chain that step `index` belongs to, or that step alone
    /// ([`Step::strip_rows`]).
    pub fn chain(&self, index: usize) -> Range<usize> {
        chain::range(index, self.steps.len(), |step| self.is_inner(step))
    }

    /// Whether the next step belongs to the chain of a step.
    fn is_inner(&self, step: usize) -> bool {
        let output = self.steps.get(step).map(|step| usize::from(step.output.get()));
        let output = output.and_then(|output| self.tensors.get(output));
        output.is_some_and(|output| output.buffered_rows.get() != 0)
    }

    /// The steps in order.
    pub fn steps(&self) -> impl Iterator<Item = Step> + Clone + use<'a> {
        self.steps.iter().filter_map(|record| record.decode().ok())
    }

    /// The bytes of a constant; `None` where it reaches beyond the constants.
    pub fn constant(&self, constant: &Constant) -> Option<&'a [u8]> {
        let start = usize::try_from(constant.offset_bytes).ok()?;
        let len = usize::try_from(constant.len_bytes).ok()?;
        self.constants.get(start..)?.get(..len)
    }

    /// All constants.
    pub fn constants(&self) -> &'a [u8] {
        self.constants
    }
}

impl fmt::Debug for Plan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Plan");
        debug.field("target", &self.target).field("tensors", &self.tensors.len());
        debug.field("steps", &self.steps.len()).field("arena_bytes", &self.arena_bytes());
        debug.finish_non_exhaustive()
    }
}

fn invalid(what: &'static str) -> Error {
    Status::BundleContent.about(what)
}

fn check_header(header: &HeaderRecord) -> Result<Target> {
    if header.magic != MAGIC {
        return Err(Status::BundleFormat.about("first bytes of the plan"));
    }
    let version = header.version.get();
    if version != PLAN_VERSION {
        let error = Status::BundleVersion.about("version of the plan");
        return Err(error.numbers(version.into(), PLAN_VERSION.into()));
    }
    if header.reserved.iter().chain(&header.reserved_end).any(|&byte| byte != 0) {
        return Err(invalid("reserved bytes of the plan"));
    }
    let arena_bytes = header.arena_bytes.get();
    if arena_bytes > isize::MAX as u64 {
        let error = Status::LimitExceeded.about("arena of the plan");
        return Err(error.numbers(arena_bytes, isize::MAX as u64));
    }
    if !arena_bytes.is_multiple_of(ALIGN_BYTES as u64) {
        return Err(invalid("arena of the plan").numbers(arena_bytes, ALIGN_BYTES as u64));
    }
    let code = header.target.get();
    let known = Target::ALL.len() as u64;
    Target::from_code(code)
        .ok_or(Status::Unsupported.about("target of the plan").numbers(code.into(), known))
}

fn in_table(what: &'static str, count: u32, most: u32) -> Result<()> {
    if count == 0 {
        return Err(invalid(what).numbers(0, 1));
    }
    if count > most {
        return Err(Status::LimitExceeded.about(what).numbers(count.into(), most.into()));
    }
    Ok(())
}

fn table<'a, T>(what: &'static str, bytes: &'a [u8], count: u32) -> Result<(&'a [T], &'a [u8])>
where
    T: FromBytes + KnownLayout + Immutable + Unaligned,
{
    <[T]>::ref_from_prefix_with_elems(bytes, count as usize).map_err(|_| {
        let want = u64::from(count).saturating_mul(size_of::<T>() as u64);
        Status::BundleFormat.about(what).numbers(bytes.len() as u64, want)
    })
}

/// The constants, which begin at the first multiple of 64 in `rest` and end the section.
fn constants_of<'a>(header: &HeaderRecord, total: usize, rest: &'a [u8]) -> Result<&'a [u8]> {
    let tables = total.saturating_sub(rest.len());
    let start = tables.next_multiple_of(CONSTANT_ALIGN_BYTES as usize);
    let offset = header.constants_offset.get();
    if offset != start as u64 {
        return Err(invalid("start of the constants").numbers(offset, start as u64));
    }
    let Some((padding, constants)) = rest.split_at_checked(start.saturating_sub(tables)) else {
        return Err(Status::BundleFormat.about("length of the plan"));
    };
    if padding.iter().any(|&byte| byte != 0) {
        return Err(invalid("padding before the constants"));
    }
    let len = header.constants_bytes.get();
    if len != constants.len() as u64 {
        let error = Status::BundleFormat.about("length of the constants");
        return Err(error.numbers(constants.len() as u64, len));
    }
    let misalignment = constants.as_ptr().addr() % align_of::<f32>();
    if !constants.is_empty() && misalignment != 0 {
        let error = Status::InvalidArgument.about("address of the plan, a multiple of 4");
        return Err(error.numbers(misalignment as u64, 0));
    }
    Ok(constants)
}

impl TensorRecord {
    /// The tensor, with a known element type; nothing else is checked.
    pub fn decode(&self) -> Result<Tensor> {
        let element = match self.element {
            0 => Element::U8,
            1 => Element::F32,
            code => return Err(invalid("element type of a tensor").numbers(code.into(), 1)),
        };
        Ok(Tensor {
            offset_bytes: self.offset_bytes.get(),
            height: self.height.get(),
            width: self.width.get(),
            channels: self.channels.get(),
            pixel_stride: self.pixel_stride.get(),
            element,
            scale: self.scale.get(),
            zero_point: self.zero_point,
            parent: self.parent.get(),
            buffered_rows: self.buffered_rows.get().into(),
        })
    }
}

impl StepRecord {
    /// The step: its kind known, its flags and codes in range, its numbers finite where they must
    /// be, nothing in its reserved bytes.
    pub fn decode(&self) -> Result<Step> {
        if self.reserved != [0; 2] {
            return Err(invalid("reserved bytes of a step"));
        }
        Ok(Step {
            operation: operation::read(self.kind.get(), &self.parameters)?,
            inputs: self.inputs.map(|input| input.get()),
            output: self.output.get(),
            scratch: self.scratch.get(),
            constants: self.constants.map(|constant| Constant {
                offset_bytes: constant.offset_bytes.get().into(),
                len_bytes: constant.len_bytes.get().into(),
            }),
            macs: self.macs.get(),
            strip_rows: self.strip_rows.get().into(),
        })
    }
}
