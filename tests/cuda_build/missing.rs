//! Without a driver every entry gives its error, and nothing panics. On a machine that has a
//! driver there is nothing to see here.

use std::process::Command;
use zsseg::train::cuda::{DeviceError, Driver, count_devices};

#[test]
fn no_driver_is_an_error() {
    match count_devices() {
        Err(error) => {
            let of_this_kind = matches!(
                error,
                DeviceError::NoDriver | DeviceError::NoDevice | DeviceError::OldDriver { .. }
            );
            assert!(of_this_kind, "{error}");
            for index in [0, 7] {
                assert_eq!(Driver::new(index).unwrap_err(), error);
            }
        }
        Ok(count) => {
            let index = count;
            assert_eq!(Driver::new(index).unwrap_err(), DeviceError::NoSuchDevice { index, count });
        }
    }
}

#[test]
fn errors_say_what_to_do() {
    let texts = [
        (DeviceError::NoDriver, "libcuda.so.1"),
        (DeviceError::OldDriver { found: 11_040, wanted: 12_000 }, "knows CUDA 11.4, not 12.0"),
        (DeviceError::NoSuchDevice { index: 2, count: 1 }, "no GPU 2"),
        (DeviceError::NoCompiler, "pip install nvidia-cuda-nvrtc"),
        (DeviceError::NewCompiler { compiler: 13, driver: 12 }, "NVRTC 13"),
        (DeviceError::NoCollectives, "pip install nvidia-nccl"),
        (DeviceError::NoProducts, "pip install nvidia-cublas"),
    ];
    for (error, words) in texts {
        assert!(error.to_string().contains(words), "{error}");
    }
}

/// Asked for before it is called. Where it is installed, a group can be named without a GPU.
#[cfg(feature = "train-nccl")]
#[test]
fn no_collectives_is_an_error() {
    use zsseg::train::cuda::GroupId;
    match GroupId::new() {
        Err(error) => assert_eq!(error, DeviceError::NoCollectives),
        Ok(id) => assert_eq!(GroupId::of(id.bytes()).bytes(), id.bytes()),
    }
    assert_eq!(GroupId::of([200; 128]).bytes(), [200; 128]);
}

/// A driver in name only: a library without a function, or one that finds no GPU.
#[test]
fn a_driver_that_does_not_answer_is_an_error() {
    if count_devices() != Err(DeviceError::NoDriver) {
        println!("not tested: there is a driver");
        return;
    }
    let stubs = [
        ("int nothing(void) { return 0; }\n", "Broken"),
        ("int cuDriverGetVersion(int* v) { *v = 11040; return 0; }\n", "OldDriver"),
        (
            "int cuDriverGetVersion(int* v) { *v = 13000; return 0; }\n\
             int cuInit(unsigned f) { return 100; }\n\
             int cuDeviceGetCount(int* n) { return 100; }\n",
            "NoDevice",
        ),
    ];
    for (source, wanted) in stubs {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("stub.c"), source).unwrap();
        let library = folder.path().join("libcuda.so");
        let made = Command::new("cc")
            .args(["-shared", "-fPIC", "-o"])
            .arg(&library)
            .arg(folder.path().join("stub.c"))
            .status();
        assert!(made.unwrap().success());
        // In a process of its own: a library is looked for when a program starts.
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "missing::says_what_it_finds", "--nocapture"])
            .env("LD_LIBRARY_PATH", folder.path())
            .env("ZSSEG_TEST_SAYS", "1")
            .output()
            .unwrap();
        let words = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{words}");
        assert!(words.contains(&format!("found: {wanted}")), "{wanted}: {words}");
    }
}

/// For the test above.
#[test]
fn says_what_it_finds() {
    if std::env::var_os("ZSSEG_TEST_SAYS").is_some() {
        println!("found: {:?}", Driver::new(0).unwrap_err());
    }
}

/// The command tells what is missing; `auto` goes on with the processor.
#[test]
fn the_command_tells_what_is_missing() {
    if count_devices().is_ok() {
        println!("not tested: there is a GPU");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.toml");
    std::fs::write(&config, CONFIG).unwrap();
    let run = |method: &str, device: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_zsseg"))
            .args(["train", method, "--device", device, "--config"])
            .arg(&config)
            .arg("-o")
            .arg(folder.path().join("run"))
            .output()
            .unwrap();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let words = run("spnet", "cuda");
    assert!(words.contains("device \"cuda:0\": "), "{words}");
    assert!(words.contains("NVIDIA driver") && !words.contains("panicked"), "{words}");
    let words = run("ridge", "cuda:1");
    assert!(words.contains("device \"cuda:1\": ridge computes on the processor only"), "{words}");
    let words = run("spnet", "auto");
    assert!(words.contains("warning: training on the processor: "), "{words}");
    // There are no pictures, so it ends there.
    assert!(words.contains("nowhere"), "{words}");
    let words = run("spnet", "gpu");
    assert!(words.contains("is not auto, cpu, cuda or cuda:N"), "{words}");
}

const CONFIG: &str = "
[data]
layout = \"folder\"
root = \"nowhere\"
lists = [\"train\"]
[classes]
unseen = []
[features]
stores = [\"nowhere.store\"]
grid = [8, 8]
[embeddings]
[[embeddings.tables]]
format = \"text\"
file = \"nowhere.txt\"
";
