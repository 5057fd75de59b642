//! Options that name a data set.

use crate::train::data::{DataSource, Layout};
use std::path::PathBuf;
use std::string::String;
use std::vec::Vec;

/// Which data set, and which of its lists.
#[derive(clap::Args)]
pub struct DataOptions {
    /// Folder of the data set.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Layout of that folder.
    #[arg(long, value_enum, default_value = "folder")]
    layout: Layout,
    /// List (or part) of pictures; may be given several times.
    #[arg(long = "list", value_name = "NAME", required = true)]
    lists: Vec<String>,
    /// Numbers of void pixels in the masks of a folder of one's own.
    #[arg(long, value_name = "N", value_delimiter = ',')]
    void: Vec<u16>,
    /// Numbers of pixels without a label in such masks.
    #[arg(long, value_name = "N", value_delimiter = ',')]
    unlabelled: Vec<u16>,
}

impl DataOptions {
    /// What they say.
    pub fn source(&self) -> DataSource {
        DataSource {
            layout: self.layout,
            root: self.data.clone(),
            lists: self.lists.clone(),
            void: self.void.clone(),
            unlabelled: self.unlabelled.clone(),
        }
    }
}
