//! Tensors that are sent ahead of the work on them.

use crate::made_up::Synthetic;
use crate::support::{cpu, normal, same_bits, tested, values};
use std::sync::Mutex;
use zsseg::train::data::LabelMap;
use zsseg::train::engine::{Draw, Engine, Matrix};
use zsseg::train::layers::decoder::{DecoderSettings, DecoderTraining};
use zsseg::train::{Error, Pictures, Tap, View};

/// As uploaded, whatever is done in between, and in whatever order they are wanted: more are on
/// their way than there are places to send from.
#[test]
fn sent_tensors_are_the_uploaded_ones() {
    let engine = tested();
    let shapes = [[3, 5], [0, 4], [70, 64], [1, 1], [2, 5], [300, 64]];
    let numbers = |index: usize| normal(shapes[index], index as u64);
    let mut sum = engine.upload([70, 64], &numbers(2)).unwrap();
    let mut sent = Vec::new();
    for (index, shape) in shapes.into_iter().enumerate() {
        sent.push((index, engine.send(shape, &numbers(index)).unwrap()));
        let x = sum.clone();
        engine.add_scaled(&mut sum, 0.5, &x).unwrap();
    }
    // One is never wanted.
    drop(sent.remove(3));
    sent.reverse();
    for (index, sent) in sent {
        let found = engine.receive(sent).unwrap();
        let wanted = Matrix::new(shapes[index], numbers(index)).unwrap();
        same_bits(&engine, &found, &wanted);
    }
    let mut wanted = Matrix::new([70, 64], numbers(2)).unwrap();
    for _ in shapes {
        let x = wanted.clone();
        cpu().add_scaled(&mut wanted, 0.5, &x).unwrap();
    }
    same_bits(&engine, &sum, &wanted);
    let found = engine.send([2, 2], &[1.0]).unwrap_err();
    assert_eq!(found, Engine::<f32>::send(&cpu(), [2, 2], &[1.0]).unwrap_err());
}

/// Pictures that tell which taps were read.
struct Watched {
    inner: Synthetic,
    read: Mutex<Vec<[usize; 2]>>,
}

impl Pictures for Watched {
    fn len(&self) -> usize {
        self.inner.len()
    }

    fn name(&self, picture: usize) -> &str {
        self.inner.name(picture)
    }

    fn frame(&self) -> [usize; 2] {
        self.inner.frame()
    }

    fn taps(&self) -> &[Tap] {
        self.inner.taps()
    }

    fn views(&self) -> &[View] {
        self.inner.views()
    }

    fn tap(&self, picture: usize, view: usize, tap: usize) -> Result<Matrix<f32>, Error> {
        self.read.lock().unwrap().push([picture, view]);
        self.inner.tap(picture, view, tap)
    }

    fn labels(&self, picture: usize) -> Result<LabelMap, Error> {
        self.inner.labels(picture)
    }
}

/// Those of the next picture are read before there is work on those of the last one, and not those
/// of the one after it; the work sees what it sees without.
#[test]
fn the_next_taps_are_on_their_way() {
    let engine = tested();
    let inner = Synthetic::new(4, 0.3, &[View::PLAIN], 1);
    let pictures = Watched { inner, read: Mutex::new(Vec::new()) };
    let settings = DecoderSettings { tap_channels: 6, channels: 7, ..DecoderSettings::default() };
    let shape = settings.shape(pictures.taps()).unwrap();
    let draw = Draw { seed: 3, step: 0, stream: 50 };
    let decoder = DecoderTraining::new(&engine, shape, &pictures, &[0, 1], draw).unwrap();
    let places = [[2, 0], [0, 0], [3, 0], [0, 0]];
    let features = |taps: &_| values(&engine, decoder.forward(&engine, taps).unwrap().features());
    let alone = |[picture, view]: [usize; 2]| {
        features(&decoder.read(&engine, &pictures, picture, view).unwrap())
    };
    let wanted = places.map(alone);

    pictures.read.lock().unwrap().clear();
    let mut found = Vec::new();
    let streamed = decoder.stream(&engine, &pictures, &places, |taps| {
        let read = pictures.read.lock().unwrap().clone();
        let before = places.len().min(found.len() + 2);
        assert_eq!(read, places[..before]);
        found.push(features(&taps));
        Ok(())
    });
    streamed.unwrap();
    assert_eq!(found, wanted);
    assert_ne!(found[0], found[1]);

    decoder.stream(&engine, &pictures, &[], |_| Err(Error::config("no work"))).unwrap();
    let stopped = decoder.stream(&engine, &pictures, &places, |_| Err(Error::config("stop")));
    assert!(stopped.is_err());
}
