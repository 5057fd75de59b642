//! `zsseg train` and `zsseg sweep`.

use crate::command::Sandbox;

const CONFIG: &str = r#"
[data]
layout = "folder"
root = "pictures"
lists = ["train"]
[classes]
unseen = ["cow"]
[features]
stores = ["features.store"]
grid = [8, 8]
[embeddings]
tables = [{ format = "text", file = "words.txt" }]
"#;

#[test]
fn what_is_wrong_is_named() {
    let sandbox = Sandbox::new();
    sandbox.write("run.toml", CONFIG.as_bytes());
    let train = |arguments: &[&str]| {
        let start = ["train", "nonesuch", "--config", "run.toml", "-o", "run"];
        sandbox.run(&[&start, arguments].concat())
    };
    train(&[]).expect_error(1, &["no method \"nonesuch\""]);
    train(&["--set", "features.gird=1"]).expect_error(1, &["run.toml", "gird"]);
    train(&["--set", "features"]).expect_error(2, &["--set", "table.field=value"]);
    train(&["--preset", "best"]).expect_error(2, &["--preset", "paper"]);
    sandbox
        .run(&["train", "x", "--config", "none.toml", "-o", "run"])
        .expect_error(1, &["none.toml"]);
    let sweep = ["sweep", "nonesuch", "--config", "run.toml", "-o", "runs"];
    sandbox.run(&[&sweep[..], &["--vary", "seed="]].concat()).expect_error(2, &["--vary", "seed"]);
    sandbox.run(&[&sweep[..], &["--vary", "seed=1,2"]].concat()).expect_error(1, &["nonesuch"]);
    assert!(!sandbox.exists("run") && !sandbox.exists("runs"));
}
