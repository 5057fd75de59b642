use crate::support::{Config, Memory, Scene};
use zsseg::arena::Arena;
use zsseg::classes::generator::{Fitter, Settings, Sources};
use zsseg::status::Status;

#[test]
fn embeddings_that_cannot_be_are_refused_and_the_fitter_lives_on() {
    let config = Config::named("toy");
    let scene = Scene::new(&config);
    let mut memory = Memory::new(scene.arena_bytes(&config.settings));
    let mut arena = Arena::over(memory.bytes()).unwrap();
    let mut fitter = Fitter::carve(&mut arena, scene.sources(), &config.settings).unwrap();
    let bad: [&[f32]; 8] = [
        &[],
        &[1.0, 2.0],
        &[1.0, 2.0, 3.0, 4.0],
        &[0.0, -0.0, 0.0],
        &[1.0, f32::NAN, 0.0],
        &[1.0, 0.0, f32::INFINITY],
        &[3e38, 3e38, -3e38],
        &[1e30, 1e30, 1e30],
    ];
    let mut row = vec![7.0; config.channels];
    for embedding in bad {
        let error = fitter.run(embedding, &scene.rows).unwrap_err();
        assert_eq!(error.status(), Status::InvalidArgument, "{embedding:?}");
        assert_eq!(fitter.write_row(&mut row).unwrap_err().status(), Status::InvalidState);
        assert_eq!(fitter.step(&scene.rows).unwrap_err().status(), Status::InvalidState);
    }
    assert!(row.iter().all(|&value| value == 7.0));
    fitter.run(&scene.embedding, &scene.rows).unwrap();
    let short = fitter.write_row(&mut row[1..]).unwrap_err();
    assert_eq!(short.status(), Status::InvalidArgument);
    assert!(row.iter().all(|&value| value == 7.0));
    fitter.write_row(&mut row).unwrap();
    // A row is gone once another is asked for.
    fitter.run(&[], &scene.rows).unwrap_err();
    assert_eq!(fitter.write_row(&mut row).unwrap_err().status(), Status::InvalidState);
}

#[test]
fn a_fit_begins_before_it_goes_on() {
    let config = Config::named("toy");
    let scene = Scene::new(&config);
    let mut memory = Memory::new(scene.arena_bytes(&config.settings));
    let mut arena = Arena::over(memory.bytes()).unwrap();
    let mut fitter = Fitter::carve(&mut arena, scene.sources(), &config.settings).unwrap();
    assert_eq!(fitter.step(&scene.rows).unwrap_err().status(), Status::InvalidState);
    let done = fitter.run(&scene.embedding, &scene.rows).unwrap();
    // A finished fit stays finished.
    assert_eq!(fitter.step(&scene.rows).unwrap(), Some(done));
}

#[test]
fn old_rows_that_cannot_be_are_refused() {
    let config = Config::named("toy");
    let broken: [fn(&mut Scene); 5] = [
        |scene| scene.rows.weights[3] = f32::NAN,
        |scene| scene.rows.weights[3] = f32::INFINITY,
        |scene| scene.rows.bias[1] = f32::NAN,
        |scene| scene.rows.bias.clear(),
        |scene| {
            scene.classes.pop();
            scene.mean.truncate(13);
            scene.deviation.truncate(13);
            scene.rows.removed = Some(0);
        },
    ];
    for (at, spoil) in broken.into_iter().enumerate() {
        let mut scene = Scene::new(&config);
        spoil(&mut scene);
        let mut memory = Memory::new(scene.arena_bytes(&config.settings));
        let mut arena = Arena::over(memory.bytes()).unwrap();
        let mut fitter = Fitter::carve(&mut arena, scene.sources(), &config.settings).unwrap();
        let error = fitter.run(&scene.embedding, &scene.rows).unwrap_err();
        assert_eq!(error.status(), Status::InvalidArgument, "{at}");
        assert!(fitter.write_row(&mut vec![0.0; config.channels]).is_err(), "{at}");
    }
}

fn refusal(sources: Sources<'_>, settings: &Settings) -> Option<Status> {
    let error = Fitter::carve(&mut Arena::counting(), sources, settings).err()?;
    let work = Fitter::most_work(&sources, settings, 2).unwrap_err();
    assert_eq!(work.status(), error.status());
    Some(error.status())
}

#[test]
fn sources_of_wrong_sizes_are_refused() {
    let scene = Scene::new(&Config::named("toy"));
    let settings = Settings::DEFAULT;
    assert_eq!(refusal(scene.sources(), &settings), None);
    type Break = fn(&mut Sources<'_>);
    let broken: [(Break, Status); 12] = [
        (|s| s.generator.dim = 0, Status::InvalidArgument),
        (|s| s.generator.noise_dim = 0, Status::InvalidArgument),
        (|s| s.generator.hidden = usize::MAX, Status::LimitExceeded),
        (|s| s.generator.channels = 12, Status::BundleContent),
        (|s| s.generator.dim = 4, Status::BundleContent),
        (|s| s.generator.hidden_bias = &s.generator.hidden_bias[1..], Status::BundleContent),
        (|s| s.generator.output_weights = &s.generator.output_weights[1..], Status::BundleContent),
        (|s| s.generator.output_bias = &s.generator.output_bias[1..], Status::BundleContent),
        (|s| s.statistics.channels = 12, Status::BundleContent),
        (|s| s.statistics.mean = &s.statistics.mean[1..], Status::BundleContent),
        (|s| s.statistics.deviation = &s.statistics.deviation[1..], Status::BundleContent),
        (|s| s.statistics.classes = &[], Status::InvalidArgument),
    ];
    for (at, (spoil, status)) in broken.into_iter().enumerate() {
        let mut sources = scene.sources();
        spoil(&mut sources);
        assert_eq!(refusal(sources, &settings), Some(status), "{at}");
    }
}

#[test]
fn settings_out_of_range_are_refused() {
    let scene = Scene::new(&Config::named("toy"));
    let fine = Settings::DEFAULT;
    let invalid = [
        Settings { positives: 0, ..fine },
        Settings { negatives: 0, ..fine },
        Settings { iterations: 0, ..fine },
        Settings { tolerance: -0.1, ..fine },
        Settings { tolerance: f32::NAN, ..fine },
        Settings { l2: 0.0, ..fine },
        Settings { l2: f32::NAN, ..fine },
        Settings { weight: 0.0, ..fine },
        Settings { weight: f32::INFINITY, ..fine },
    ];
    for settings in invalid {
        assert_eq!(refusal(scene.sources(), &settings), Some(Status::InvalidArgument));
    }
    let exceeding = [
        Settings { positives: 65_537, ..fine },
        Settings { negatives: usize::MAX, ..fine },
        Settings { iterations: 1_001, ..fine },
    ];
    for settings in exceeding {
        assert_eq!(refusal(scene.sources(), &settings), Some(Status::LimitExceeded));
    }
    let many = Fitter::most_work(&scene.sources(), &fine, 4_097).unwrap_err();
    assert_eq!(many.status(), Status::LimitExceeded);
}
