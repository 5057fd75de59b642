//! The writer of plans.

use super::chain;
use super::layout::{
    CONSTANT_ALIGN_BYTES, ConstantRecord, HeaderRecord, MAGIC, NEVER, PLAN_VERSION, StepRecord,
    TensorRecord,
};
use super::operation;
use super::reader::Target;
use super::step::{Constant, Step};
use super::tensor::{Element, NO_TENSOR, Tensor, TensorIndex};
use crate::limits::{MAX_PLAN_STEPS, MAX_PLAN_TENSORS};
use crate::status::{Place, Result, Status};
use std::vec;
use std::vec::Vec;
use zerocopy::IntoBytes;

/// What a plan consists of.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'p> {
    /// Processors whose weight layouts are used.
    pub target: Target,
    /// Bytes of the arena.
    pub arena_bytes: u64,
    /// SHA-256 of the network that the plan is made from.
    pub source_sha256: [u8; 32],
    /// The tensors.
    pub tensors: &'p [Tensor],
    /// The steps in the order in which they run.
    pub steps: &'p [Step],
    /// Which tensor is written before the first step.
    pub input: TensorIndex,
    /// Which tensors are read after the last step; the second may be NO_TENSOR.
    pub outputs: [TensorIndex; 2],
    /// The constants, each at a multiple of 64 bytes.
    pub constants: &'p [u8],
}

/// The bytes of a plan. Adds when each tensor lives, and checks no more than that the numbers fit
/// their fields: a plan is good when [`super::Plan::new`] takes it.
pub fn encode(parts: &Parts<'_>) -> Result<Vec<u8>> {
    let tensor_count = counted("tensors of the plan", parts.tensors.len(), MAX_PLAN_TENSORS)?;
    let step_count = counted("steps of the plan", parts.steps.len(), MAX_PLAN_STEPS)?;
    let tables = size_of::<HeaderRecord>()
        + parts.tensors.len() * size_of::<TensorRecord>()
        + parts.steps.len() * size_of::<StepRecord>();
    let constants_offset = tables.next_multiple_of(CONSTANT_ALIGN_BYTES as usize);
    let header = HeaderRecord {
        magic: MAGIC,
        version: PLAN_VERSION.into(),
        target: parts.target.code().into(),
        arena_bytes: parts.arena_bytes.into(),
        tensor_count: tensor_count.into(),
        step_count: step_count.into(),
        constants_offset: (constants_offset as u64).into(),
        constants_bytes: (parts.constants.len() as u64).into(),
        input: parts.input.into(),
        outputs: parts.outputs.map(Into::into),
        reserved: [0; 10],
        source_sha256: parts.source_sha256,
        reserved_end: [0; 32],
    };
    let mut bytes = Vec::with_capacity(constants_offset + parts.constants.len());
    bytes.extend_from_slice(header.as_bytes());
    for (tensor, moments) in parts.tensors.iter().zip(moments(parts)) {
        bytes.extend_from_slice(tensor_record(tensor, moments)?.as_bytes());
    }
    for (index, step) in parts.steps.iter().enumerate() {
        let record = step_record(step).map_err(|error| error.at(Place::step(index)))?;
        bytes.extend_from_slice(record.as_bytes());
    }
    bytes.resize(constants_offset, 0);
    bytes.extend_from_slice(parts.constants);
    Ok(bytes)
}

fn counted(what: &'static str, count: usize, most: u32) -> Result<u32> {
    let found = u32::try_from(count).ok().filter(|&count| count <= most);
    found.ok_or(Status::LimitExceeded.about(what).numbers(count as u64, most.into()))
}

fn tensor_record(tensor: &Tensor, moments: Moments) -> Result<TensorRecord> {
    Ok(TensorRecord {
        offset_bytes: tensor.offset_bytes.into(),
        height: tensor.height.into(),
        width: tensor.width.into(),
        channels: tensor.channels.into(),
        pixel_stride: tensor.pixel_stride.into(),
        scale: tensor.scale.into(),
        element: match tensor.element {
            Element::U8 => 0,
            Element::F32 => 1,
        },
        zero_point: tensor.zero_point,
        parent: tensor.parent.into(),
        first: moments.first.into(),
        ready: moments.ready.into(),
        last: moments.last.into(),
        buffered_rows: rows(tensor.buffered_rows)?.into(),
    })
}

/// Rows of a chain.
fn rows(count: u32) -> Result<u16> {
    let too_many = Status::LimitExceeded.about("rows of a chain");
    u16::try_from(count).map_err(|_| too_many.numbers(count.into(), u16::MAX.into()))
}

fn step_record(step: &Step) -> Result<StepRecord> {
    let (kind, parameters) = operation::write(&step.operation);
    let mut constants =
        [ConstantRecord { offset_bytes: 0.into(), len_bytes: 0.into() }; super::MAX_CONSTANTS];
    for (record, constant) in constants.iter_mut().zip(&step.constants) {
        *record = constant_record(constant)?;
    }
    Ok(StepRecord {
        kind: kind.into(),
        inputs: step.inputs.map(Into::into),
        output: step.output.into(),
        scratch: step.scratch.into(),
        parameters,
        constants,
        macs: step.macs.into(),
        strip_rows: rows(step.strip_rows)?.into(),
        reserved: [0; 2],
    })
}

fn constant_record(constant: &Constant) -> Result<ConstantRecord> {
    let short = |number: u64| {
        let too_large = Status::LimitExceeded.about("place of a constant");
        u32::try_from(number).map_err(|_| too_large.numbers(number, u32::MAX.into()))
    };
    Ok(ConstantRecord {
        offset_bytes: short(constant.offset_bytes)?.into(),
        len_bytes: short(constant.len_bytes)?.into(),
    })
}

/// When a tensor's bytes are taken, its values complete, its bytes free.
#[derive(Clone, Copy, PartialEq)]
struct Moments {
    first: u16,
    ready: u16,
    last: u16,
}

impl Moments {
    const UNKNOWN: Moments = Moments { first: NEVER, ready: NEVER, last: 0 };

    fn written(&mut self, moment: u16) {
        self.first = self.first.min(moment);
        self.ready = moment;
        self.last = self.last.max(moment);
    }

    fn used(&mut self, moment: u16) {
        self.last = self.last.max(moment);
    }
}

/// The moments of all tensors.
fn moments(parts: &Parts<'_>) -> Vec<Moments> {
    let mut found = vec![Moments::UNKNOWN; parts.tensors.len()];
    let mut of = |index: TensorIndex, change: &dyn Fn(&mut Moments)| {
        if let Some(moments) = found.get_mut(usize::from(index)) {
            change(moments);
        }
    };
    of(parts.input, &|moments| moments.written(0));
    for (step, moment) in parts.steps.iter().zip(1u16..) {
        let chain = chain::around(parts.steps, parts.tensors, usize::from(moment) - 1);
        let (first, last) = (chain.start as u16 + 1, chain.end as u16);
        for input in step.inputs {
            of(input, &|moments| moments.used(last));
        }
        of(step.output, &|moments| {
            moments.written(moment);
            moments.first = moments.first.min(first);
            moments.used(last);
        });
        of(step.scratch, &|moments| {
            moments.first = moments.first.min(moment);
            moments.used(moment);
        });
    }
    for output in parts.outputs {
        of(output, &|moments| moments.used(parts.steps.len() as u16 + 1));
    }
    complete_wholes(parts.tensors, &mut found);
    complete_slices(parts.tensors, &mut found);
    found
}

/// A tensor that is written slice by slice is complete when the last slice is.
fn complete_wholes(tensors: &[Tensor], moments: &mut [Moments]) {
    for index in 0..tensors.len() {
        let slices = slices_of(tensors, index);
        let of_slices: Vec<Moments> = slices.filter_map(|i| moments.get(i).copied()).collect();
        let Some(whole) = moments.get_mut(index) else { continue };
        let written = of_slices.iter().filter(|slice| slice.ready != NEVER);
        if whole.ready == NEVER {
            whole.ready = written.clone().map(|slice| slice.ready).max().unwrap_or(NEVER);
        }
        let first = written.map(|slice| slice.first).min().unwrap_or(NEVER);
        whole.first = whole.first.min(first);
        let last = of_slices.iter().map(|slice| slice.last).max().unwrap_or(0);
        if whole.ready != NEVER {
            whole.last = whole.last.max(last).max(whole.ready);
        }
    }
}

/// A slice that nobody writes is complete with the slice around it, or with the whole.
fn complete_slices(tensors: &[Tensor], moments: &mut [Moments]) {
    for (index, tensor) in tensors.iter().enumerate() {
        let unknown = moments.get(index).is_some_and(|slice| slice.ready == NEVER);
        if tensor.parent == NO_TENSOR || !unknown {
            continue;
        }
        let whole = moments.get(usize::from(tensor.parent)).copied();
        let around = slices_of(tensors, usize::from(tensor.parent))
            .filter(|&i| i != index && tensors.get(i).is_some_and(|other| contains(other, tensor)))
            .filter_map(|i| moments.get(i).copied())
            .find(|other| other.ready != NEVER);
        let Some(ready) = around.or(whole).map(|found| found.ready) else { continue };
        if let Some(slice) = moments.get_mut(index) {
            slice.first = ready;
            slice.ready = ready;
            slice.last = slice.last.max(ready);
        }
    }
}

fn slices_of(tensors: &[Tensor], parent: usize) -> impl Iterator<Item = usize> {
    let slices = tensors.iter().enumerate();
    slices.filter(move |(_, slice)| usize::from(slice.parent) == parent).map(|(index, _)| index)
}

/// Whether all channels of `inner` belong to `outer`, both slices of one tensor.
fn contains(outer: &Tensor, inner: &Tensor) -> bool {
    let end = |slice: &Tensor| {
        let bytes = u64::from(slice.channels).saturating_mul(slice.element.bytes());
        slice.offset_bytes.saturating_add(bytes)
    };
    outer.offset_bytes <= inner.offset_bytes && end(inner) <= end(outer)
}
