//! What is said about configurations that do not fit.

use zsseg::train::data::{ClassList, EmbeddingTable, Role};
use zsseg::train::run::{ClassesConfig, Config, Setting, class_embeddings, class_roles};

pub const TOML: &str = r#"
seed = 3

[data]
layout = "folder"
root = "pictures"
lists = ["train"]

[classes]
unseen = ["cow", "sheep"]
background = "ground"

[features]
stores = ["features.store"]
grid = [8, 10]

[embeddings]
tables = [{ format = "text", file = "words.txt" }]

[method]
rate = 0.05
"#;

fn error_of(text: &str, settings: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("toy.toml");
    std::fs::write(&path, text).unwrap();
    let settings: Vec<Setting> = settings.iter().map(|it| Setting::parse(it).unwrap()).collect();
    let error = Config::read(&path, &settings).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("toy.toml"), "{error}");
    error
}

#[test]
fn wrong_fields_are_named_with_their_file() {
    let wrong = |from: &str, to: &str, texts: &[&str]| {
        assert!(TOML.contains(from), "{from}");
        let error = error_of(&TOML.replace(from, to), &[]);
        texts.iter().for_each(|text| assert!(error.contains(text), "no \"{text}\" in {error}"));
    };
    wrong("seed = 3", "sed = 3", &["unknown field `sed`"]);
    wrong("lists =", "list =", &["unknown field `list`"]);
    wrong("grid = [8, 10]", "grid = 8", &["grid = 8", "line"]);
    wrong("grid = [8, 10]", "", &["missing field `grid`"]);
    wrong("seed = 3", "seed = \"a\"", &["seed", "string"]);
    wrong("\"folder\"", "\"floder\"", &["floder", "voc-aug"]);
    wrong("\"text\"", "\"txt\"", &["txt", "binary"]);
    wrong("unseen =", "seen =", &["unknown field `seen`"]);
    wrong("unseen = [\"cow\", \"sheep\"]", "", &["[classes]", "`unseen` or `split`"]);
    wrong("[method]", "[checkpoints]\nseconds = 0\n[method]", &["[checkpoints]", "seconds"]);
    wrong("[features]", "[features]\nvalidation_stores = [\"a\"]", &["[validation]"]);
    wrong("[data]", "[data", &["line"]);
    let error = error_of(TOML, &["features.gird=[1, 2]"]);
    assert!(error.contains("gird"), "{error}");
    let error = error_of(TOML, &["seed.more=1"]);
    assert!(error.contains("\"seed\" is no table"), "{error}");
    let missing = Config::read(std::path::Path::new("no/where.toml"), &[]).unwrap_err();
    assert!(missing.to_string().contains("where.toml"), "{missing}");
}

#[test]
fn values_are_set_and_paths_are_those_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("toy.toml");
    std::fs::write(&path, TOML).unwrap();
    let settings = ["method.rate=0.5", "seed=9", "method.mode=bag", "checkpoints.steps=4"];
    let settings = settings.map(|text| Setting::parse(text).unwrap());
    let config = Config::read(&path, &settings).unwrap();
    assert_eq!((config.seed, config.method["rate"].as_float()), (9, Some(0.5)));
    assert_eq!(config.method["mode"].as_str(), Some("bag"));
    assert_eq!(config.data.root, folder.path().join("pictures"));
    let again = Config::parse(&config.text().unwrap(), &[]).unwrap();
    assert_eq!(config.differences(&again).unwrap(), Vec::<String>::new());
    let plain = Config::read(&path, &[]).unwrap();
    assert_eq!(plain.differences(&config).unwrap(), ["method.mode", "method.rate", "seed"]);
    for text in ["rate", "=3", "a..b=3"] {
        assert!(Setting::parse(text).is_err(), "{text}");
    }
}

#[test]
fn classes_have_roles_and_embeddings() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.txt"), "cat 1 0\ndog 0 1\nseal 3 4\n").unwrap();
    std::fs::write(folder.path().join("b.txt"), "cat 2\ndog 3\nseal 12\n").unwrap();
    let table =
        |name: &str| format!("{{ format = \"text\", file = {:?} }}", folder.path().join(name));
    let both = format!("{}, {}", table("a.txt"), table("b.txt"));
    let text = TOML
        .replace("{ format = \"text\", file = \"words.txt\" }", &both)
        .replace("[method]", "normalize = true\naliases = { \"sea lion\" = \"seal\" }\n[method]");
    let config = Config::parse(&text, &[]).unwrap();
    let list = ClassList::new(&["ground", "cat", "dog", "sea lion"]).unwrap();
    let classes = ClassesConfig {
        unseen: Some(vec!["dog".into()]),
        ignored: vec!["ground".into()],
        ..ClassesConfig::default()
    };
    let roles = class_roles(&classes, &list).unwrap();
    assert_eq!(roles.as_slice(), [Role::Outside, Role::Seen, Role::Unseen, Role::Seen]);
    let table: EmbeddingTable = class_embeddings(&config.embeddings, &list, &roles).unwrap();
    assert_eq!(table.get("ground"), Some(&[0.0; 3][..]), "outside");
    assert_eq!(table.get("sea lion"), Some(&[3.0 / 13.0, 4.0 / 13.0, 12.0 / 13.0][..]));
    let none = ClassesConfig { ignored: vec![], ..classes };
    let roles = class_roles(&none, &list).unwrap();
    let error = class_embeddings(&config.embeddings, &list, &roles).unwrap_err().to_string();
    assert!(error.contains("a.txt") && error.contains("ground"), "{error}");
    let both = ClassesConfig { split: Some("zs3-voc-4".into()), ..none };
    assert!(class_roles(&both, &list).is_err());
}

#[test]
fn vocs_own_spellings_are_taken_where_a_table_has_them() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("classes.txt");
    let list = ClassList::new(&["tvmonitor", "pottedplant"]).unwrap();
    let roles = class_roles(&ClassesConfig { unseen: Some(vec![]), ..Default::default() }, &list);
    let roles = roles.unwrap();
    let found = |lines: &str| {
        std::fs::write(&file, lines).unwrap();
        let table = format!("{{ format = \"text\", file = {file:?} }}");
        let text = TOML
            .replace("{ format = \"text\", file = \"words.txt\" }", &table)
            .replace("[method]", "aliases = \"voc\"\n[method]");
        let config = Config::parse(&text, &[]).unwrap();
        class_embeddings(&config.embeddings, &list, &roles).unwrap().values().to_vec()
    };
    assert_eq!(found("tvmonitor 1\npotted 2\nplant 4\ntv 5\nmonitor 6\n"), [1.0, 3.0]);
    assert_eq!(found("pottedplant 1\ntv 5\nmonitor 6\n"), [5.5, 1.0]);
}
