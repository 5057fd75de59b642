//! Which classes the published protocols hide from the training (methods.md 1.4).
//!
//! Splits hold names. [`Split::roles`] finds them in a data set's own list, so that a list in
//! another order cannot make other classes unseen.

use super::classes::ClassList;
use super::error::{DataError, Result};
use super::label::{Label, LabelMap};
use super::names::{COCO_80, COCO_STUFF_182, CONTEXT_33, CONTEXT_60, VOC_21};
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

const BACKGROUND: &str = "background";

/// Unseen in ZS3's split of VOC; each split has two more than the one before.
const ZS3_VOC: [&str; 10] = [
    "cow",
    "motorbike",
    "aeroplane",
    "sofa",
    "cat",
    "tvmonitor",
    "train",
    "bottle",
    "chair",
    "pottedplant",
];

/// Unseen in ZS3's split of Context; each split has two more than the one before.
const ZS3_CONTEXT: [&str; 10] = [
    "cow",
    "motorbike",
    "sofa",
    "cat",
    "boat",
    "fence",
    "bird",
    "tvmonitor",
    "aeroplane",
    "keyboard",
];

/// Unseen in SPNet's split of VOC.
const SPNET_VOC_UNSEEN: [&str; 5] = ["pottedplant", "sheep", "sofa", "train", "tvmonitor"];
/// Unseen while settings are tuned on SPNet's split of VOC, seen in the end.
const SPNET_VOC_TUNING: [&str; 3] = ["horse", "motorbike", "person"];
/// Unseen in CaGNet's split of Context.
const CAGNET_UNSEEN: [&str; 4] = ["cow", "motorbike", "sofa", "cat"];

/// Unseen in SPNet's split of COCO-Stuff.
const COCO_STUFF_UNSEEN: [&str; 15] = [
    "cow",
    "giraffe",
    "suitcase",
    "frisbee",
    "skateboard",
    "carrot",
    "scissors",
    "cardboard",
    "clouds",
    "grass",
    "playingfield",
    "river",
    "road",
    "tree",
    "wall-concrete",
];

/// Unseen while settings are tuned on it, seen in the end.
const COCO_STUFF_TUNING: [&str; 12] = [
    "motorcycle",
    "elephant",
    "baseball bat",
    "wine glass",
    "banana",
    "chair",
    "keyboard",
    "refrigerator",
    "branch",
    "light",
    "napkin",
    "pavement",
];

/// Never annotated.
const COCO_STUFF_ABSENT: [&str; 11] = [
    "street sign",
    "hat",
    "shoe",
    "eye glasses",
    "plate",
    "mirror",
    "window",
    "desk",
    "door",
    "blender",
    "hair brush",
];

/// Unseen in the four folds of COCO-20^i.
const COCO_FOLDS: [[&str; 20]; 4] = [
    [
        "person",
        "airplane",
        "boat",
        "parking meter",
        "dog",
        "elephant",
        "backpack",
        "suitcase",
        "sports ball",
        "skateboard",
        "wine glass",
        "spoon",
        "sandwich",
        "hot dog",
        "chair",
        "dining table",
        "mouse",
        "microwave",
        "refrigerator",
        "scissors",
    ],
    [
        "bicycle",
        "bus",
        "traffic light",
        "bench",
        "horse",
        "bear",
        "umbrella",
        "frisbee",
        "kite",
        "surfboard",
        "cup",
        "bowl",
        "orange",
        "pizza",
        "couch",
        "toilet",
        "remote",
        "oven",
        "book",
        "teddy bear",
    ],
    [
        "car",
        "train",
        "fire hydrant",
        "bird",
        "sheep",
        "zebra",
        "handbag",
        "skis",
        "baseball bat",
        "tennis racket",
        "fork",
        "banana",
        "broccoli",
        "donut",
        "potted plant",
        "tv",
        "keyboard",
        "toaster",
        "clock",
        "hair drier",
    ],
    [
        "motorcycle",
        "truck",
        "stop sign",
        "cat",
        "cow",
        "giraffe",
        "tie",
        "snowboard",
        "baseball glove",
        "bottle",
        "knife",
        "apple",
        "carrot",
        "cake",
        "bed",
        "laptop",
        "cell phone",
        "sink",
        "vase",
        "toothbrush",
    ],
];

/// How a protocol counts pixels that show none of the named things (methods.md 1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Background {
    /// As a seen class.
    Seen,
    /// Not at all: the class "background" is void. Also where there is no such class.
    Ignored,
    /// Against one class at a time, as few-shot protocols do.
    PerEpisode,
}

/// A published way to divide classes into seen and unseen ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Its name here, such as "zs3-voc-2".
    pub name: String,
    /// What becomes of background.
    pub background: Background,
    /// Classes whose masks the training sees; with [`Background::Seen`] "background" is one.
    pub seen: Vec<&'static str>,
    /// Classes that are only named, and scored.
    pub unseen: Vec<&'static str>,
    /// Classes that are neither shown nor scored: the final unseen ones while settings are tuned.
    pub held_out: Vec<&'static str>,
    /// Classes of the list that no mask has.
    pub absent: Vec<&'static str>,
}

/// What a class is to the training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Its masks are shown.
    Seen,
    /// It is only named: its pixels are unlabelled in training, and scored in evaluation.
    Unseen,
    /// Its pixels are unlabelled in training and void in evaluation.
    HeldOut,
    /// No part of the protocol: its pixels are void.
    Outside,
}

/// The role of every class of a data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roles(Vec<Role>);

impl Split {
    /// The split of this name: `zs3-voc-K` and `zs3-context-K` with K = 2, 4, 6, 8 or 10,
    /// `spnet-voc`, `spnet-cocostuff` and each with `-tuning`, `cagnet-context`, `pascal-5i-F`
    /// and `coco-20i-F` with fold F = 0 to 3.
    ///
    /// # Errors
    /// [`DataError::Argument`] with all names, if there is none.
    pub fn named(name: &str) -> Result<Split> {
        let mut splits = Split::all();
        match splits.iter().position(|split| split.name == name) {
            Some(place) => Ok(splits.swap_remove(place)),
            None => {
                let names: Vec<String> = splits.into_iter().map(|split| split.name).collect();
                let reason = format!("no split is named \"{name}\", only {}", names.join(", "));
                Err(DataError::argument(reason))
            }
        }
    }

    /// All splits of methods.md 1.4.
    pub fn all() -> Vec<Split> {
        let mut splits = Vec::new();
        for k in [2, 4, 6, 8, 10] {
            let voc = ZS3_VOC.get(..k).unwrap_or_default();
            splits.push(zero_shot(format!("zs3-voc-{k}"), Background::Seen, &VOC_21, voc));
            let context = ZS3_CONTEXT.get(..k).unwrap_or_default();
            let name = format!("zs3-context-{k}");
            splits.push(zero_shot(name, Background::Seen, &CONTEXT_60, context));
        }
        splits.extend(spnet("spnet-voc", &VOC_21, &SPNET_VOC_UNSEEN, &SPNET_VOC_TUNING, &[]));
        splits.extend(spnet(
            "spnet-cocostuff",
            &COCO_STUFF_182,
            &COCO_STUFF_UNSEEN,
            &COCO_STUFF_TUNING,
            &COCO_STUFF_ABSENT,
        ));
        let name = "cagnet-context".to_string();
        splits.push(zero_shot(name, Background::Ignored, &CONTEXT_33, &CAGNET_UNSEEN));
        let objects = VOC_21.get(1..).unwrap_or_default();
        for (fold, unseen) in objects.chunks(5).enumerate() {
            let name = format!("pascal-5i-{fold}");
            splits.push(zero_shot(name, Background::PerEpisode, objects, unseen));
        }
        for (fold, unseen) in COCO_FOLDS.iter().enumerate() {
            let name = format!("coco-20i-{fold}");
            splits.push(zero_shot(name, Background::PerEpisode, &COCO_80, unseen));
        }
        splits
    }

    /// The role of every class of a data set, found by name. Classes that the split does not name
    /// are outside.
    ///
    /// # Errors
    /// [`DataError::UnknownClasses`] with all classes of the split that the data set lacks; those
    /// that no mask has may be missing.
    pub fn roles(&self, classes: &ClassList) -> Result<Roles> {
        let named: Vec<&str> =
            [&self.seen, &self.unseen, &self.held_out].into_iter().flatten().copied().collect();
        classes.places(&named)?;
        let role = |name: &str| match name {
            _ if self.seen.contains(&name) => Role::Seen,
            _ if self.unseen.contains(&name) => Role::Unseen,
            _ if self.held_out.contains(&name) => Role::HeldOut,
            _ => Role::Outside,
        };
        Ok(Roles(classes.names().iter().map(|name| role(name)).collect()))
    }
}

impl Roles {
    /// Roles of a data set of one's own: the named classes unseen, all others seen.
    ///
    /// # Errors
    /// [`DataError::UnknownClasses`] with all names that the data set lacks;
    /// [`DataError::Argument`] if no class is left to be seen.
    pub fn with_unseen(classes: &ClassList, unseen: &[impl AsRef<str>]) -> Result<Roles> {
        let places = classes.places(unseen)?;
        let roles: Vec<Role> = (0..classes.len())
            .map(|place| if places.contains(&place) { Role::Unseen } else { Role::Seen })
            .collect();
        Roles::from_roles(roles)
    }

    /// These roles, one per class of a data set in its order.
    ///
    /// # Errors
    /// [`DataError::Argument`] if no class is seen.
    pub fn from_roles(roles: Vec<Role>) -> Result<Roles> {
        if !roles.contains(&Role::Seen) {
            return Err(DataError::argument("no class is left to be seen"));
        }
        Ok(Roles(roles))
    }

    /// These roles, but the named classes are outside: their pixels are void.
    ///
    /// # Errors
    /// As [`Roles::with_unseen`].
    pub fn leaving_out(mut self, classes: &ClassList, names: &[impl AsRef<str>]) -> Result<Roles> {
        for place in classes.places(names)? {
            if let Some(role) = self.0.get_mut(place) {
                *role = Role::Outside;
            }
        }
        if !self.0.contains(&Role::Seen) {
            return Err(DataError::argument("no class is left to be seen"));
        }
        Ok(self)
    }

    /// The roles in the order of the classes.
    pub fn as_slice(&self) -> &[Role] {
        &self.0
    }

    /// Numbers of the classes that have a role.
    pub fn places(&self, role: Role) -> Vec<usize> {
        let with_role = self.0.iter().enumerate().filter(|(_, found)| **found == role);
        with_role.map(|(place, _)| place).collect()
    }

    /// What the training may know: pixels of unseen and held-out classes unlabelled, pixels of
    /// classes outside void (the zero-label setting, methods.md 1.1).
    ///
    /// # Errors
    /// [`DataError::Argument`] if the map has another number of classes.
    pub fn for_training(&self, labels: &LabelMap) -> Result<LabelMap> {
        self.relabelled(labels, |role, id| match role {
            Role::Seen => Label::Class(id),
            Role::Unseen | Role::HeldOut => Label::Unlabelled,
            Role::Outside => Label::Void,
        })
    }

    /// What is scored: seen and unseen classes as they are, all others void.
    ///
    /// # Errors
    /// As [`Roles::for_training`].
    pub fn for_evaluation(&self, labels: &LabelMap) -> Result<LabelMap> {
        self.relabelled(labels, |role, id| match role {
            Role::Seen | Role::Unseen => Label::Class(id),
            Role::HeldOut | Role::Outside => Label::Void,
        })
    }

    /// Whether a pixel shows an unseen or held-out class. The zero-shot setting leaves such
    /// pictures out of the training (methods.md 1.1).
    pub fn shows_unseen(&self, labels: &LabelMap) -> bool {
        labels.contains(|id| matches!(self.role(id), Role::Unseen | Role::HeldOut))
    }

    fn role(&self, id: u16) -> Role {
        self.0.get(usize::from(id)).copied().unwrap_or(Role::Outside)
    }

    fn relabelled(
        &self,
        labels: &LabelMap,
        replace: impl Fn(Role, u16) -> Label,
    ) -> Result<LabelMap> {
        if labels.classes() != self.0.len() {
            let reason =
                format!("labels of {} classes, roles of {}", labels.classes(), self.0.len());
            return Err(DataError::argument(reason));
        }
        labels.relabelled(labels.classes(), |id| replace(self.role(id), id))
    }
}

fn zero_shot(
    name: String,
    background: Background,
    classes: &[&'static str],
    unseen: &[&'static str],
) -> Split {
    let seen = rest(background, classes, &[unseen]);
    let unseen = unseen.to_vec();
    Split { name, background, seen, unseen, held_out: Vec::new(), absent: Vec::new() }
}

/// The split for the final figures, and the one for tuning without a look at its unseen classes.
fn spnet(
    name: &str,
    classes: &[&'static str],
    unseen: &[&'static str],
    tuning: &[&'static str],
    absent: &[&'static str],
) -> [Split; 2] {
    let background = Background::Ignored;
    let done = Split {
        name: name.to_string(),
        background,
        seen: rest(background, classes, &[unseen, absent]),
        unseen: unseen.to_vec(),
        held_out: Vec::new(),
        absent: absent.to_vec(),
    };
    let tuned = Split {
        name: format!("{name}-tuning"),
        seen: rest(background, classes, &[unseen, tuning, absent]),
        unseen: tuning.to_vec(),
        held_out: unseen.to_vec(),
        ..done.clone()
    };
    [done, tuned]
}

/// The classes that are in none of the lists, background only if it is seen.
fn rest(
    background: Background,
    classes: &[&'static str],
    others: &[&[&'static str]],
) -> Vec<&'static str> {
    let is_left = |name: &&&str| {
        let shown = background == Background::Seen || **name != BACKGROUND;
        shown && !others.iter().any(|list| list.contains(*name))
    };
    classes.iter().filter(is_left).copied().collect()
}
