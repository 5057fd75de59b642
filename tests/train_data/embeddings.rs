//! Tables of embeddings in all their formats.

use super::support::Folder;
use zsseg::train::data::{ClassList, DataError, EmbeddingTable, wanted_words};

fn npy(rows: usize, values: &[f32]) -> Vec<u8> {
    let columns = values.len() / rows;
    let header =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {columns}), }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    bytes
}

fn table(rows: &[(&str, [f32; 2])]) -> EmbeddingTable {
    let names = rows.iter().map(|row| row.0.to_string()).collect();
    let values = rows.iter().flat_map(|row| row.1).collect();
    EmbeddingTable::new(names, 2, values).unwrap()
}

fn classes(names: &[&str]) -> ClassList {
    ClassList::new(names).unwrap()
}

#[test]
fn npy_tables_have_a_name_for_each_row() {
    let files = Folder::new();
    let matrix = files.write("t.npy", npy(2, &[3.0, 4.0, 0.0, 1.0]));
    let read = |text: &str| EmbeddingTable::read_npy(&matrix, &files.write("t.txt", text));
    let found = read("traffic light\r\ncow\r\n").unwrap();
    assert_eq!(found.get("traffic light"), Some([3.0, 4.0].as_slice()));
    assert_eq!((found.len(), found.dim(), found.get("traffic")), (2, 2, None));
    for (text, said) in [("cow\n", "1 names"), ("cow\ncow\n", "both \"cow\""), ("\na\n", "no name")]
    {
        let error = read(text).unwrap_err().to_string();
        assert!(error.contains(said) && error.contains("t.npy"), "{error}");
    }
    let matrix = files.write("nan.npy", npy(1, &[f32::NAN, 1.0]));
    assert!(EmbeddingTable::read_npy(&matrix, &files.write("n.txt", "cow")).is_err());
    let matrix = files.write("no.npy", "text");
    let error = EmbeddingTable::read_npy(&matrix, &files.write("n.txt", "cow")).unwrap_err();
    assert!(error.to_string().contains("not an .npy"), "{error}");
}

#[test]
fn text_is_read_with_and_without_a_first_line() {
    let files = Folder::new();
    let read = |bytes: &[u8]| EmbeddingTable::read_text(&files.write("v.txt", bytes), |_| true);
    let glove = read(b"the 0.5 -1e-1\n. . . 1 2\r\ncow 3 4\n").unwrap();
    assert_eq!(glove.names(), ["the", ". . .", "cow"]);
    assert_eq!(glove.values(), [0.5, -0.1, 1.0, 2.0, 3.0, 4.0]);
    let fasttext = read(b"2 3\ncow 1 2 3 \n\xFF\xFE 4 5 6\n").unwrap();
    assert_eq!((fasttext.names(), fasttext.dim()), (["cow".to_string()].as_slice(), 3));
    let cases: [(&[u8], &str); 8] = [
        (b"", "none of the words"),
        (b"3 2\na 1 2\nb 3 4\n", "3 words, but there are 2"),
        (b"1 2\na 1 2\nb 3 4\n", "1 words, but there are 2"),
        (b"a 1 2\nb 3\n", "line 2: 1 numbers, wanted are 2"),
        (b"a 1 x\n", "line 1: \"x\" of \"a\""),
        (b"a 1 inf\n", "\"inf\" of \"a\""),
        (b"a 1 2\na 3 4\n", "both \"a\""),
        (b"cow\n", "line 1: 0 numbers"),
    ];
    for (bytes, said) in cases {
        let error = read(bytes).unwrap_err().to_string();
        assert!(error.contains(said) && error.contains("v.txt"), "{error}");
    }
}

fn binary(words: &[(&[u8], [f32; 2])], ends: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{} 2\n", words.len()).into_bytes();
    for (word, vector) in words {
        bytes.extend_from_slice(word);
        bytes.push(b' ');
        bytes.extend(vector.iter().flat_map(|value| value.to_le_bytes()));
        bytes.extend_from_slice(ends);
    }
    bytes
}

#[test]
fn binary_files_are_read_with_and_without_line_ends() {
    let files = Folder::new();
    let read = |bytes: &[u8]| EmbeddingTable::read_binary(&files.write("v.bin", bytes), |_| true);
    // The numbers' bytes hold line ends and blanks too.
    let odd = f32::from_le_bytes(*b"\n \n ");
    let words: [(&[u8], [f32; 2]); 3] =
        [(b"</s>", [1.0, odd]), (b"\xFF", [9.0, 9.0]), (b"traffic_light", [odd, -2.0])];
    for ends in [b"".as_slice(), b"\n"] {
        let bytes = binary(&words, ends);
        let found = read(&bytes).unwrap();
        assert_eq!(found.names(), ["</s>", "traffic_light"]);
        assert_eq!(found.values(), [1.0, odd, odd, -2.0]);
        for len in [0, 3, 6, 10, bytes.len() / 2, bytes.len() - ends.len() - 1] {
            let error = read(&bytes[..len]).unwrap_err().to_string();
            assert!(error.contains("v.bin"), "{len}: {error}");
        }
        let error = read(&[&bytes, b"more".as_slice()].concat()).unwrap_err().to_string();
        assert!(error.contains("goes on"), "{error}");
    }
    assert!(read(b"1 99999999\n").is_err() && read(b"1 0\n").is_err());
    assert!(read(&binary(&[(b"a", [f32::NAN, 0.0])], b"")).is_err());
}

#[test]
fn only_wanted_words_are_kept() {
    let files = Folder::new();
    let wanted = wanted_words(&classes(&["Traffic light", "diningtable"]), &ALIASES);
    let text = "traffic 1 0\nlight 0 1\ncow 5 5\ntable 3 1\ndining 1 1\ndiningtable 7 7\n";
    let path = files.write("v.txt", text);
    let found = EmbeddingTable::read_text(&path, |word| wanted.contains(word)).unwrap();
    assert_eq!(found.names(), ["traffic", "light", "table", "dining"]);
    let path = files.write("v.bin", binary(&[(b"cow", [1.0, 2.0]), (b"light", [3.0, 4.0])], b""));
    let found = EmbeddingTable::read_binary(&path, |word| wanted.contains(word)).unwrap();
    assert_eq!(found.names(), ["light"]);
}

const ALIASES: [(&str, &str); 1] = [("diningtable", "dining table")];

#[test]
fn classes_take_their_name_or_the_mean_of_its_words() {
    let words = table(&[
        ("traffic", [1.0, 0.0]),
        ("light", [0.0, 3.0]),
        ("street_sign", [8.0, 9.0]),
        ("street", [1.0, 1.0]),
        ("sign", [1.0, 1.0]),
        ("dining", [2.0, 2.0]),
        ("table", [4.0, 0.0]),
    ]);
    let list = classes(&["Traffic light", "street sign", "wall-table", "diningtable", "sign"]);
    match words.of_classes(&list, &[]).unwrap_err() {
        DataError::NoEmbedding { names } => assert_eq!(names, ["wall-table", "diningtable"]),
        other => panic!("{other}"),
    }
    let list = classes(&["Traffic light", "street sign", "diningtable", "sign-table"]);
    let found = words.of_classes(&list, &ALIASES).unwrap();
    assert_eq!(found.names(), list.names());
    assert_eq!(found.values(), [0.5, 1.5, 8.0, 9.0, 3.0, 1.0, 2.5, 0.5]);
}

#[test]
fn length_is_measured_and_changed_on_demand_only() {
    let units = table(&[("a", [1.0, 0.0]), ("b", [0.6, 0.8])]);
    assert!(units.is_normalized());
    let means = units.of_classes(&classes(&["a b"]), &[]).unwrap();
    assert!(!means.is_normalized(), "a mean of unit vectors is shorter");
    assert_eq!(means.values(), [0.8, 0.4]);
    assert!(means.normalized().unwrap().is_normalized());
    assert!(table(&[("a", [0.0, 0.0])]).normalized().is_err());
    let both = units.beside(&table(&[("b", [3.0, 4.0]), ("a", [5.0, 6.0])])).unwrap();
    assert_eq!(both.values(), [1.0, 0.0, 5.0, 6.0, 0.6, 0.8, 3.0, 4.0]);
    assert!(units.beside(&means).is_err());
}
