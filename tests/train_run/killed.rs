//! Runs that are killed.

use crate::support::normal;
use crate::toy::ToySettings;
use crate::trainee::{Heard, child, results, run};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Kills a run at random moments until it is done, five times; every round must come to what an
/// uninterrupted run comes to.
#[test]
fn killed_runs_end_with_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    run(&whole, &ToySettings::default(), &mut Heard::default()).unwrap();
    let wanted = results(&whole);
    let waits = normal([5, 4], std::process::id().into(), 0);
    for (round, waits) in waits.rows().enumerate() {
        let killed = folder.path().join(format!("killed{round}"));
        let mut kills = 0;
        for wait in waits {
            let mut trainee = child(&killed, 4).spawn().unwrap();
            // A run is 68 steps of 4 ms and more.
            std::thread::sleep(Duration::from_millis(30 + (wait.abs() * 100.0) as u64));
            kills += usize::from(trainee.try_wait().unwrap().is_none());
            trainee.kill().unwrap();
            trainee.wait().unwrap();
        }
        assert!(kills > 0, "round {round}: every run was done before it could be killed");
        let ended = child(&killed, 0).stderr(Stdio::inherit()).status().unwrap();
        assert!(ended.success(), "round {round}");
        assert!(results(&killed) == wanted, "round {round} after {kills} kills, waits {waits:?}");
    }
}

/// A folder is free again when the process in it was killed, and not before.
#[test]
fn a_folder_is_for_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let mut trainee = child(&path, 200).spawn().unwrap();
    let settings = ToySettings::default();
    while !path.join("losses.csv").exists() {
        std::thread::sleep(Duration::from_millis(5));
        assert!(trainee.try_wait().unwrap().is_none(), "the trainee ended");
    }
    let error = run(&path, &settings, &mut Heard::default()).unwrap_err().to_string();
    assert!(error.contains("another process") && error.contains("run"), "{error}");
    trainee.kill().unwrap();
    trainee.wait().unwrap();
    run(&path, &settings, &mut Heard::default()).unwrap();
}

/// No file of the child may be larger than so many bytes: writing stops as on a full disk.
#[cfg(unix)]
#[test]
fn a_full_disk_stops_the_run_and_keeps_its_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let (path, whole) = (folder.path().join("run"), folder.path().join("whole"));
    let trainee = child(&path, 0);
    let program = trainee.get_program().to_string_lossy().into_owned();
    let mut shell = Command::new("sh");
    // 4 blocks of 512 bytes, more than a checkpoint here, and less than the losses. Without the
    // trap the system would kill the process instead.
    shell.args(["-c", "trap '' XFSZ; ulimit -f 4; exec \"$@\"", "sh", &program]);
    shell.args(trainee.get_args());
    trainee.get_envs().for_each(|(name, value)| {
        shell.env(name, value.unwrap_or_default());
    });
    let ended = shell.stdin(Stdio::null()).stdout(Stdio::null()).output().unwrap();
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(3), "{told}");
    for text in ["stage \"classifier\" stopped at step", "File too large", "the last checkpoint is"]
    {
        assert!(told.contains(text), "no \"{text}\" in {told}");
    }
    let mut heard = Heard::default();
    run(&path, &ToySettings::default(), &mut heard).unwrap();
    assert_eq!(heard.warnings, Vec::<String>::new());
    let (stage, first) = heard.stages.first().unwrap();
    assert!(stage == "classifier" && *first >= 7, "went on at step {first} of {stage}");
    run(&whole, &ToySettings::default(), &mut Heard::default()).unwrap();
    assert!(results(&path) == results(&whole));
}
