//! Label-based contrastive learning (Zhao and others, ICCV 2021; methods.md 5): a decoder over
//! frozen taps is pre-trained so that pixels of one class are alike, then fine-tuned with a
//! classifier; optionally pictures without labels are labelled by the result, and all is trained
//! again.

mod finetune;
mod pairing;
mod pretrain;
mod projection;
mod sampler;
mod settings;
mod sum;
mod teacher;

pub use settings::{ContrastiveSettings, Form, Variant};

use crate::spec::Decision;
use crate::train::engine::{Draw, Engine, Matrix};
use crate::train::error::{Error, Result};
use crate::train::layers::decoder::DecoderTraining;
use crate::train::layers::{DecoderShape, Linear};
use crate::train::model::{Head, HeadForm, Model};
use crate::train::stage::{Method, Stage, State};
use crate::train::task::Task;
use finetune::FineTuning;
use pretrain::Pretraining;
use sampler::Sampler;
use std::borrow::ToOwned;
use std::boxed::Box;
use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;
use teacher::Teacher;

/// Random numbers of the decoder's first weights.
const DECODER_STREAM: u32 = 0x0c6_0000;
/// Pictures that the taps' means and deviations are taken of.
const SCALING_PICTURES: usize = 32;

/// Contrastive pre-training of a decoder, then fine-tuning (methods.md 5). The model has rows of
/// the seen classes only.
pub struct ContrastiveTraining<'a, E: Engine<f32>> {
    engine: &'a E,
    task: &'a Task<'a>,
    settings: ContrastiveSettings,
    shape: DecoderShape,
    /// Pictures whose labels are used, and the others.
    pictures: [Vec<usize>; 2],
    stages: Vec<Kind>,
}

/// What a stage does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kind {
    is_pretraining: bool,
    /// Whether pictures without labels take part.
    has_pseudo_labels: bool,
}

impl<'a, E: Engine<f32>> ContrastiveTraining<'a, E> {
    /// The training of a task. Of the task's features only the pictures are used.
    ///
    /// # Errors
    /// [`Error::Config`] for settings out of their range.
    pub fn new(
        engine: &'a E,
        task: &'a Task<'a>,
        settings: ContrastiveSettings,
    ) -> Result<ContrastiveTraining<'a, E>> {
        settings.check()?;
        let shape = settings.decoder.shape(task.features.pictures().taps())?;
        let (labelled, others) = sampler::split(task, settings.label_share);
        let mut stages = Vec::new();
        for has_pseudo_labels in [false, true] {
            if has_pseudo_labels && (!settings.pseudo_labels || others.is_empty()) {
                continue;
            }
            if settings.pretrain_steps > 0 {
                stages.push(Kind { is_pretraining: true, has_pseudo_labels });
            }
            stages.push(Kind { is_pretraining: false, has_pseudo_labels });
        }
        Ok(ContrastiveTraining {
            engine,
            task,
            settings,
            shape,
            pictures: [labelled, others],
            stages,
        })
    }

    /// The pictures whose labels are used, ascending.
    pub fn labelled(&self) -> &[usize] {
        &self.pictures[0]
    }

    /// A decoder with its first weights.
    fn decoder(&self) -> Result<DecoderTraining<E::Tensor>> {
        let draw = Draw { seed: self.task.seed, step: 0, stream: DECODER_STREAM };
        let pictures = self.task.features.pictures();
        let samples = self.labelled();
        let samples = samples.get(..SCALING_PICTURES).unwrap_or(samples);
        DecoderTraining::new(self.engine, self.shape.clone(), pictures, samples, draw)
    }

    fn load_decoder(&self, state: &State) -> Result<DecoderTraining<E::Tensor>> {
        DecoderTraining::load(self.engine, "decoder", self.shape.clone(), state)
    }

    fn load_classifier(&self, state: &State) -> Result<Linear<E::Tensor>> {
        let shape = [self.task.seen().len(), self.shape.channels()];
        Linear::load(self.engine, "classifier", shape, state)
    }

    /// What labels pictures in stage `stage`: the last fine-tuning without pseudo-labels.
    fn teacher(&'a self, stage: usize, done: &[State]) -> Result<Option<Teacher<'a, E>>> {
        if !self.kind(stage)?.has_pseudo_labels {
            return Ok(None);
        }
        let last = self.stages.iter().rposition(|kind| !kind.has_pseudo_labels);
        let state = state_of(done, last)?;
        Ok(Some(Teacher {
            engine: self.engine,
            task: self.task,
            settings: &self.settings,
            decoder: self.load_decoder(state)?,
            classifier: self.load_classifier(state)?,
        }))
    }

    fn kind(&self, stage: usize) -> Result<Kind> {
        let found = self.stages.get(stage).copied();
        found.ok_or_else(|| Error::config(format!("there is no stage {stage}")))
    }
}

fn state_of(done: &[State], stage: Option<usize>) -> Result<&State> {
    let found = stage.and_then(|stage| done.get(stage));
    found.ok_or_else(|| Error::config("the state of an earlier stage is missing"))
}

impl<E: Engine<f32>> Method for ContrastiveTraining<'_, E> {
    fn stages(&self) -> Vec<String> {
        let name = |kind: &Kind| match (kind.has_pseudo_labels, kind.is_pretraining) {
            (false, true) => "pretrain".to_owned(),
            (false, false) => "finetune".to_owned(),
            (true, true) => "pseudo-pretrain".to_owned(),
            (true, false) => "pseudo-finetune".to_owned(),
        };
        self.stages.iter().map(name).collect()
    }

    fn begin<'s>(&'s self, stage: usize, done: &[State]) -> Result<Box<dyn Stage + 's>> {
        let kind = self.kind(stage)?;
        let teacher = self.teacher(stage, done)?;
        let pictures = self.pictures.each_ref().map(Vec::as_slice);
        let sampler =
            Sampler::new(self.engine, self.task, &self.settings, pictures, teacher, stage);
        if kind.is_pretraining {
            return Ok(Box::new(Pretraining::new(sampler, self.decoder()?)?));
        }
        let decoder = match self.settings.pretrain_steps {
            0 => self.decoder()?,
            _ => self.load_decoder(state_of(done, stage.checked_sub(1))?)?.restarted(),
        };
        Ok(Box::new(FineTuning::new(sampler, decoder)?))
    }

    fn finish(&self, done: &[State]) -> Result<Model> {
        let state = state_of(done, self.stages.len().checked_sub(1))?;
        let classifier = self.load_classifier(state)?;
        let matrix = |tensor: &E::Tensor| -> Result<Matrix<f32>> {
            Ok(Matrix::new(self.engine.shape(tensor), self.engine.download(tensor)?)?)
        };
        let weights = matrix(classifier.weight.value())?;
        let bias = matrix(classifier.bias.value())?;
        let classes = self.task.seen();
        Ok(Model {
            seen: vec![true; classes.len()],
            classes,
            head: Head { form: HeadForm::Linear, weights, bias },
            decoder: Some(self.load_decoder(state)?.decoder(self.engine)?),
            alignment: None,
            decision: Decision::PLAIN,
            projection: None,
            generator: None,
            statistics: None,
        })
    }
}
