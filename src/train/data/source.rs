//! Which data set is read, as a configuration says it.

use super::error::{DataError, Result};
use super::readers::{
    CityscapesMasks, FolderNumbers, VocMasks, camvid, cityscapes, coco_stuff, folder, voc,
};
use super::set::{DataSet, FileSet};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::string::String;
use std::vec::Vec;

/// Layout of a data set's folder, as [`folder`], [`voc`], [`camvid`], [`coco_stuff`] and
/// [`cityscapes`] read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// `images`, `masks`, lists and `classes.txt`.
    Folder,
    /// VOC with its own masks.
    Voc,
    /// VOC with those of SBD.
    VocAug,
    /// CamVid as SegNet has it.
    Camvid,
    /// COCO-Stuff pixel maps.
    CocoStuff,
    /// Cityscapes with label ids.
    Cityscapes,
    /// Cityscapes with train ids.
    CityscapesTrainIds,
}

/// Which pictures of which data set are read.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DataSource {
    /// Layout of the folder.
    pub layout: Layout,
    /// The folder.
    pub root: PathBuf,
    /// Lists (or parts) of pictures, read one after another; at least one.
    pub lists: Vec<String>,
    /// Numbers of void pixels, for [`Layout::Folder`] only.
    #[serde(default)]
    pub void: Vec<u16>,
    /// Numbers of pixels without a label, for [`Layout::Folder`] only.
    #[serde(default)]
    pub unlabelled: Vec<u16>,
}

impl DataSource {
    /// Opens the lists, and puts them behind one another.
    ///
    /// # Errors
    /// [`DataError::Argument`] without a list, for a picture that is in two of them, and for
    /// numbers that the layout has of itself; those of the reader.
    pub fn open(&self) -> Result<FileSet> {
        let has_numbers = !self.void.is_empty() || !self.unlabelled.is_empty();
        if has_numbers && self.layout != Layout::Folder {
            return Err(DataError::argument(
                "numbers of void and unlabelled pixels are given for a layout that fixes them",
            ));
        }
        let mut sets = self.lists.iter().map(|list| self.open_list(list));
        let first = sets.next().ok_or_else(|| DataError::argument("no list of pictures"))?;
        sets.try_fold(first?, |set, next| set.followed_by(next?))
    }

    fn open_list(&self, list: &str) -> Result<FileSet> {
        let root = &self.root;
        match self.layout {
            Layout::Folder => {
                let numbers = FolderNumbers { unlabelled: &self.unlabelled, void: &self.void };
                folder(root, list, numbers)
            }
            Layout::Voc => voc(root, list, VocMasks::Plain),
            Layout::VocAug => voc(root, list, VocMasks::Augmented),
            Layout::Camvid => camvid(root, list),
            Layout::CocoStuff => coco_stuff(root, list, None),
            Layout::Cityscapes => cityscapes(root, list, CityscapesMasks::LabelIds),
            Layout::CityscapesTrainIds => cityscapes(root, list, CityscapesMasks::LabelTrainIds),
        }
    }
}

impl FileSet {
    /// This set's samples, then those of another set of the same classes.
    ///
    /// # Errors
    /// [`DataError::Argument`] for other classes, and for a name that both sets have.
    pub fn followed_by(mut self, other: FileSet) -> Result<FileSet> {
        let named =
            |set: &FileSet| (0..set.len()).filter_map(|i| set.name(i).map(String::from)).collect();
        let names: std::collections::BTreeSet<String> = named(&self);
        let others: std::collections::BTreeSet<String> = named(&other);
        if let Some(name) = names.intersection(&others).next() {
            let reason = std::format!("picture \"{name}\" is in two lists");
            return Err(DataError::argument(reason));
        }
        self.append(other)?;
        Ok(self)
    }
}
