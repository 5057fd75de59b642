//! The engine that runs a plan: no heap, no other library, memory from the caller's arena.

use super::Backbone;
use crate::arena::Arena;
use crate::image::Target;
use crate::map::{Layout, Map};
use crate::plan::{Element, Plan, Runner, Tensor, TensorIndex};
use crate::spec::{Input, InputType, Quantization};
use crate::status::{Result, Status};
use crate::threads::ThreadPool;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A plan whose input is a picture and whose outputs are maps of floats, ready to run.
///
/// The output shares memory with the input: writing the next input takes the output away.
pub struct PlanBackbone<'a> {
    runner: Runner<'a>,
    arena: &'a mut [u8],
    input: Tensor,
    output: Tensor,
    second: Option<Tensor>,
    threads: usize,
    /// Whether all steps have run since the input was asked for.
    is_done: bool,
}

/// Height, width and channels of an output, whose pixels have their channels side by side
/// ([`Layout::Hwc`]).
pub type OutputShape = [usize; 3];

impl<'a> PlanBackbone<'a> {
    /// Takes the plan's memory, and as much as `threads` threads need to work side by side. From a
    /// counting arena it takes none; such an engine can only be dropped.
    ///
    /// # Errors
    /// [`Status::ModelShape`] for a plan whose input has not three channels, or an output that is
    /// not in floats; those of [`Arena::take`].
    pub fn carve(
        arena: &mut Arena<'a>,
        plan: Plan<'a>,
        threads: usize,
    ) -> Result<PlanBackbone<'a>> {
        PlanBackbone::input_of(&plan)?;
        let mut outputs = plan.outputs();
        let output = outputs.next().ok_or(Status::ModelShape.about("output of the plan"))?;
        let second = outputs.next().map(|index| output_of(&plan, index)).transpose()?;
        Ok(PlanBackbone {
            input: plan.tensor(plan.input())?,
            output: output_of(&plan, output)?,
            second,
            arena: arena.take(plan.arena_bytes_for(threads))?,
            runner: Runner::new(plan),
            threads,
            is_done: false,
        })
    }

    /// What a plan takes as its input.
    ///
    /// # Errors
    /// [`Status::ModelShape`] if it has not three channels.
    pub fn input_of(plan: &Plan<'_>) -> Result<Input> {
        let tensor = plan.tensor(plan.input())?;
        if tensor.channels != 3 {
            let error = Status::ModelShape.about("channels of the plan's input");
            return Err(error.numbers(tensor.channels.into(), 3));
        }
        let quantization =
            Quantization { scale: tensor.scale, zero_point: tensor.zero_point.into() };
        let input = Input {
            width: tensor.width,
            height: tensor.height,
            layout: Layout::Hwc,
            element: match tensor.element {
                Element::F32 => InputType::F32,
                Element::U8 => InputType::U8(quantization),
            },
        };
        input.check()?;
        Ok(input)
    }

    /// Has layers worked on by `pool`, or with `None` by the caller's thread alone.
    pub fn set_thread_pool(&mut self, pool: Option<&'a dyn ThreadPool>) {
        self.runner.set_threads(pool, self.threads);
    }

    /// Shape of the output.
    pub fn output_shape(&self) -> OutputShape {
        self.output.shape().map(|side| side as usize)
    }

    /// Shape of the second output, if there is one.
    pub fn second_shape(&self) -> Option<OutputShape> {
        self.second.map(|second| second.shape().map(|side| side as usize))
    }

    /// The plan.
    pub fn plan(&self) -> &Plan<'a> {
        self.runner.plan()
    }

    /// Instruction set of the kernels.
    pub fn kernels(&self) -> &'static str {
        self.runner.kernels().name
    }

    /// Runs at most so many steps, layers as a rule; `true` when the output is there.
    ///
    /// # Errors
    /// As for [`Backbone::run`].
    pub fn run_steps(&mut self, steps: usize) -> Result<bool> {
        self.is_done = false;
        self.is_done = self.runner.run_steps(self.arena, steps)?;
        Ok(self.is_done)
    }

    /// Runs at most so many pieces of about equal work, rows of a layer as a rule; `true` when the
    /// output is there.
    ///
    /// # Errors
    /// As for [`Backbone::run`].
    pub fn run_pieces(&mut self, pieces: usize) -> Result<bool> {
        self.is_done = false;
        self.is_done = self.runner.run_pieces(self.arena, pieces)?;
        Ok(self.is_done)
    }

    fn map(&self, tensor: &Tensor) -> Result<Map<'_, f32>> {
        if !self.is_done {
            return Err(Status::InvalidState.about("the network has not run"));
        }
        let misplaced = Status::ModelRun.about("memory of the network's output");
        let data = usize::try_from(tensor.offset_bytes).ok().and_then(|start| {
            let bytes = self.arena.get(start..)?;
            let (data, _) =
                <[f32]>::ref_from_prefix_with_elems(bytes, tensor.values() as usize).ok()?;
            Some(data)
        });
        let [height, width, channels] = tensor.shape().map(|side| side as usize);
        Map::new(data.ok_or(misplaced)?, height, width, channels, Layout::Hwc)
    }
}

/// An output, which must be floats without gaps.
fn output_of(plan: &Plan<'_>, index: TensorIndex) -> Result<Tensor> {
    let tensor = plan.tensor(index)?;
    if tensor.element != Element::F32 || !tensor.is_dense() {
        return Err(Status::ModelShape.about("output of the plan").numbers(index.into(), 0));
    }
    Ok(tensor)
}

/// The values of a dense tensor.
fn values_mut<'m, T>(arena: &'m mut [u8], tensor: &Tensor) -> Result<&'m mut [T]>
where
    T: FromBytes + IntoBytes + KnownLayout + Immutable,
{
    let misplaced = Status::ModelRun.about("memory of the network's input");
    let Some(bytes) = arena.get_mut(tensor.offset_bytes as usize..) else { return Err(misplaced) };
    let (values, _) = <[T]>::mut_from_prefix_with_elems(bytes, tensor.values() as usize)
        .map_err(|_| misplaced)?;
    Ok(values)
}

impl Backbone for PlanBackbone<'_> {
    fn input(&mut self) -> Result<Target<'_>> {
        self.is_done = false;
        self.runner.restart();
        Ok(match self.input.element {
            Element::F32 => Target::F32(values_mut(self.arena, &self.input)?),
            Element::U8 => Target::U8(values_mut(self.arena, &self.input)?),
        })
    }

    fn run(&mut self) -> Result<()> {
        self.is_done = false;
        self.runner.run(self.arena)?;
        self.is_done = true;
        Ok(())
    }

    fn output(&self) -> Result<Map<'_, f32>> {
        self.map(&self.output)
    }

    fn second_output(&self) -> Result<Option<Map<'_, f32>>> {
        self.second.as_ref().map(|second| self.map(second)).transpose()
    }
}
