//! The list of classes, from whichever place it is given in.

use super::config::{ClassTable, ClassesTable, PaletteName};
use crate::spec::Class;
use crate::viz::Palette;
use anyhow::{Context, Result, bail};
use std::format;
use std::string::ToString;
use std::vec::Vec;

/// Classes in the order of their indices. `file` is the text of a file with one name per line.
///
/// # Errors
/// If the names are given nowhere or twice, or if `unseen` or `background` name no class.
pub(super) fn list(table: &ClassesTable, file: Option<&str>) -> Result<Vec<ClassTable>> {
    let mut classes = match (&table.list, &table.names, file) {
        (Some(list), None, None) => list.clone(),
        (None, Some(names), None) => names.iter().map(|name| plain(name)).collect(),
        (None, None, Some(text)) => from_lines(text)?,
        (None, None, None) => {
            bail!("[classes] has neither `list` nor `names`, and --classes is not given")
        }
        _ => bail!("give the classes once: as `list`, as `names` or with --classes"),
    };
    for name in &table.unseen {
        find(&mut classes, "unseen", name)?.seen = false;
    }
    if let Some(name) = &table.background {
        find(&mut classes, "background", name)?.background = true;
    }
    Ok(classes)
}

/// The classes as the bundle stores them; colours that are not given come from the palette.
pub(super) fn with_colors(classes: &[ClassTable], palette: PaletteName) -> Vec<Class<'_>> {
    let palette = match palette {
        PaletteName::Voc => Palette::voc(classes.len()),
        PaletteName::Cityscapes => Palette::cityscapes(classes.len()),
    };
    let mut found = Vec::new();
    for (index, class) in classes.iter().enumerate() {
        let &ClassTable { ref name, color, seen, background, bias } = class;
        let color = color.unwrap_or(palette.color(index));
        found.push(Class { name, color, seen, background, bias });
    }
    found
}

fn plain(name: &str) -> ClassTable {
    ClassTable { name: name.to_string(), color: None, seen: true, background: false, bias: 0.0 }
}

fn from_lines(text: &str) -> Result<Vec<ClassTable>> {
    let lines: Vec<&str> = text.trim_end().lines().map(str::trim).collect();
    let blank = lines.iter().position(|line| line.is_empty());
    if let Some(index) = blank {
        bail!("line {} of the class list is empty", index + 1);
    }
    Ok(lines.into_iter().map(plain).collect())
}

fn find<'a>(classes: &'a mut [ClassTable], field: &str, name: &str) -> Result<&'a mut ClassTable> {
    let class = classes.iter_mut().find(|class| class.name == name);
    class.with_context(|| format!("[classes] `{field}` names \"{name}\", which is not a class"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> ClassesTable {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn names_come_from_a_file_with_flags_beside_them() {
        let table = table("unseen = [\"cat\"]\nbackground = \"sky\"\npalette = \"cityscapes\"");
        let classes = list(&table, Some("sky\r\n cat \n\n")).unwrap();
        let found = with_colors(&classes, table.palette);
        assert_eq!((found[0].name, found[0].background, found[0].seen), ("sky", true, true));
        assert_eq!((found[1].name, found[1].background, found[1].seen), ("cat", false, false));
        assert_eq!(found[1].color, [244, 35, 232]);
    }

    #[test]
    fn lists_that_do_not_fit_are_refused() {
        let error = |text: &str, file| format!("{:#}", list(&table(text), file).unwrap_err());
        assert!(error("", None).contains("neither"));
        assert!(error("names = [\"a\"]", Some("a")).contains("once"));
        assert!(error("names = [\"a\"]\nunseen = [\"b\"]", None).contains("\"b\""));
        assert!(error("", Some("a\n\nb")).contains("line 2"));
    }
}
