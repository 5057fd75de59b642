//! Readers of the folder layouts in which data sets are published.

use super::classes::ClassList;
use super::error::{DataError, Result};
use super::label::Label;
use super::lists::{Naming, first_folder, names_in, read_list};
use super::mask::MaskCoding;
use super::names::{CAMVID_11, CITYSCAPES_19, COCO_STUFF_182, VOC_21};
use super::set::{FileSet, with_ending};
use std::format;
use std::path::Path;
use std::string::{String, ToString};
use std::vec::Vec;

/// Number of void pixels on disk, everywhere but in CamVid.
const VOID: u16 = 255;
/// Number of CamVid's pixels that have none of its eleven classes.
const CAMVID_UNLABELLED: u16 = 11;

/// Which masks of a VOC folder are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VocMasks {
    /// `SegmentationClass`: those of VOC itself.
    Plain,
    /// `SegmentationClassAug`: with those of SBD.
    Augmented,
}

/// Reads a VOC folder: `JPEGImages`, `SegmentationClass` or `SegmentationClassAug`, and
/// `ImageSets/Segmentation/{list}.txt`. Masks have 0 background, 1 to 20, and 255 void.
///
/// # Errors
/// About the list only; files are looked at when samples are read.
pub fn voc(root: &Path, list: &str, masks: VocMasks) -> Result<FileSet> {
    let folder = match masks {
        VocMasks::Plain => "SegmentationClass",
        VocMasks::Augmented => "SegmentationClassAug",
    };
    let list = root.join("ImageSets/Segmentation").join(format!("{list}.txt"));
    let names = read_list(&list, Naming::Stem)?;
    let coding = MaskCoding::direct(VOC_21.len(), &[], &[VOID])?;
    let set = FileSet::new(ClassList::new(&VOC_21)?, coding);
    Ok(beside(set, names, &root.join("JPEGImages"), &root.join(folder)))
}

/// Reads CamVid in the layout of SegNet: the list `{part}.txt`, `{part}` and `{part}annot`, where
/// `part` is `train`, `val` or `test`. Masks have 0 to 10, and 11 for pixels without a label.
///
/// # Errors
/// As [`voc`].
pub fn camvid(root: &Path, part: &str) -> Result<FileSet> {
    let names = read_list(&root.join(format!("{part}.txt")), Naming::Stem)?;
    let coding = MaskCoding::direct(CAMVID_11.len(), &[CAMVID_UNLABELLED], &[])?;
    let set = FileSet::new(ClassList::new(&CAMVID_11)?, coding);
    Ok(beside(set, names, &root.join(part), &root.join(format!("{part}annot"))))
}

/// Reads pixel maps of COCO-Stuff: pictures in `images/{part}` or `{part}`, maps in
/// `annotations/{part}` or `stuffthingmaps/{part}`, where `part` is for instance `train2017`.
/// Maps have the ids 0 to 181, and 255 void. Without a list, all maps of the folder are taken, in
/// the order of their names.
///
/// # Errors
/// About the list or the folders only; files are looked at when samples are read.
pub fn coco_stuff(root: &Path, part: &str, list: Option<&Path>) -> Result<FileSet> {
    let pictures = first_folder(root, &[format!("images/{part}"), part.to_string()])?;
    let maps = [format!("annotations/{part}"), format!("stuffthingmaps/{part}")];
    let masks = first_folder(root, &maps)?;
    let names = match list {
        Some(list) => read_list(list, Naming::Stem)?,
        None => names_in(&masks, ".png")?,
    };
    let coding = MaskCoding::direct(COCO_STUFF_182.len(), &[], &[VOID])?;
    let set = FileSet::new(ClassList::new(&COCO_STUFF_182)?, coding);
    Ok(beside(set, names, &pictures, &masks))
}

/// Which numbers the masks of Cityscapes have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CityscapesMasks {
    /// `_labelIds`: 34 ids, of which 19 are classes and the others void.
    LabelIds,
    /// `_labelTrainIds`: 0 to 18, and 255 void.
    LabelTrainIds,
}

/// The label ids 0 to 33 as numbers of [`CITYSCAPES_19`]; 255 is none of them.
const CITYSCAPES_TRAIN_IDS: [u8; 34] = [
    255, 255, 255, 255, 255, 255, 255, 0, 1, 255, 255, 2, 3, 4, 255, 255, 255, 5, 255, 6, 7, 8, 9,
    10, 11, 12, 13, 14, 15, 255, 255, 16, 17, 18,
];

/// Reads Cityscapes: `leftImg8bit/{part}/{city}/*_leftImg8bit.png` and the masks beside them in
/// `gtFine`, where `part` is `train` or `val`. All pictures are taken, in the order of their
/// names.
///
/// # Errors
/// [`DataError::File`] or [`DataError::List`] about the folders; files are looked at when samples
/// are read.
pub fn cityscapes(root: &Path, part: &str, masks: CityscapesMasks) -> Result<FileSet> {
    let (suffix, coding) = match masks {
        CityscapesMasks::LabelIds => {
            let meanings = CITYSCAPES_TRAIN_IDS.map(|id| match id {
                255 => Label::Void,
                id => Label::Class(id.into()),
            });
            let mut coding = MaskCoding::listed(CITYSCAPES_19.len(), &meanings);
            coding.set(VOID, Label::Void);
            ("gtFine_labelIds.png", coding)
        }
        CityscapesMasks::LabelTrainIds => {
            let coding = MaskCoding::direct(CITYSCAPES_19.len(), &[], &[VOID])?;
            ("gtFine_labelTrainIds.png", coding)
        }
    };
    let mut set = FileSet::new(ClassList::new(&CITYSCAPES_19)?, coding);
    let pictures = root.join("leftImg8bit").join(part);
    let truths = root.join("gtFine").join(part);
    for city in names_in(&pictures, "")? {
        let folder = pictures.join(&city);
        if !folder.is_dir() {
            continue;
        }
        for name in names_in(&folder, "_leftImg8bit.png")? {
            let picture = folder.join(format!("{name}_leftImg8bit.png"));
            let mask = truths.join(&city).join(format!("{name}_{suffix}"));
            set.add_exact(name, picture, mask);
        }
    }
    Ok(set)
}

/// What a [`folder`] cannot know by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FolderNumbers<'a> {
    /// Numbers of pixels without a label.
    pub unlabelled: &'a [u16],
    /// Numbers of void pixels.
    pub void: &'a [u16],
}

/// Reads a folder of one's own: `images`, `masks` (PNG), the list `{list}.txt` and `classes.txt`,
/// whose line number, counted from 0, is the number in the masks. A line of the list is a path
/// below `images`; a mask has the same path below `masks`. A line of `classes.txt` whose number
/// is unlabelled or void must be the last ones: it is no class, and keeps its name to itself.
///
/// # Errors
/// About the two lists only; files are looked at when samples are read. [`DataError::List`] if
/// a number that is no class stands before one that is: the numbers would shift.
pub fn folder(root: &Path, list: &str, numbers: FolderNumbers<'_>) -> Result<FileSet> {
    let path = root.join("classes.txt");
    let lines = ClassList::read(&path)?;
    let named = lines.names();
    let is_class = |line: usize| {
        let number = u16::try_from(line).ok();
        !number.is_some_and(|n| numbers.unlabelled.contains(&n) || numbers.void.contains(&n))
    };
    let classes = (0..named.len()).take_while(|&line| is_class(line)).count();
    if let Some(after) = (classes..named.len()).find(|&line| is_class(line)) {
        let reason = format!("it is a class, but line {} before it is none", classes + 1);
        return Err(DataError::list(&path, Some(after + 1), reason));
    }
    let classes = ClassList::new(named.get(..classes).unwrap_or_default())
        .map_err(|error| DataError::list(&path, None, error))?;
    let coding = MaskCoding::direct(classes.len(), numbers.unlabelled, numbers.void)?;
    let names = read_list(&root.join(format!("{list}.txt")), Naming::Line)?;
    let set = FileSet::new(classes, coding);
    Ok(beside(set, names, &root.join("images"), &root.join("masks")))
}

/// The set with a picture and a mask of each name.
fn beside(mut set: FileSet, names: Vec<String>, pictures: &Path, masks: &Path) -> FileSet {
    for name in names {
        let (picture, mask) = (pictures.join(&name), with_ending(&masks.join(&name), "png"));
        set.add(name, picture, mask);
    }
    set
}
