//! Colours of classes.

use crate::classes::voc_color;
use crate::head::UNLABELED_U8;
use std::vec::Vec;

/// Red, green, blue.
pub type Color = [u8; 3];

/// Colours of Cityscapes' 19 training classes, road to bicycle.
const CITYSCAPES: [Color; 19] = [
    [128, 64, 128],
    [244, 35, 232],
    [70, 70, 70],
    [102, 102, 156],
    [190, 153, 153],
    [153, 153, 153],
    [250, 170, 30],
    [220, 220, 0],
    [107, 142, 35],
    [152, 251, 152],
    [70, 130, 180],
    [220, 20, 60],
    [255, 0, 0],
    [0, 0, 142],
    [0, 0, 70],
    [0, 60, 100],
    [0, 80, 100],
    [0, 0, 230],
    [119, 11, 32],
];

/// One colour per class index, and one for pixels without a class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Palette {
    colors: Vec<Color>,
    unlabeled: Color,
}

impl Palette {
    /// The PASCAL VOC colour map, which goes on for ever: three bits of the index make the
    /// highest bits of red, green and blue, the next three the second highest, and so on.
    /// Unlabelled pixels have its colour 255, a light yellow.
    pub fn voc(classes: usize) -> Palette {
        let colors = (0..classes).map(voc_color).collect();
        Palette { colors, unlabeled: voc_color(UNLABELED_U8.into()) }
    }

    /// The colours of Cityscapes' 19 training classes; further classes have those of
    /// [`Palette::voc`]. Unlabelled pixels are black.
    pub fn cityscapes(classes: usize) -> Palette {
        let known = CITYSCAPES.into_iter().take(classes);
        let colors = known.chain((CITYSCAPES.len()..classes).map(voc_color)).collect();
        Palette { colors, unlabeled: [0; 3] }
    }

    /// The colours that a model gives its classes; unlabelled pixels as in [`Palette::voc`].
    pub fn of_classes(colors: impl IntoIterator<Item = Color>) -> Palette {
        let colors = colors.into_iter().collect();
        Palette { colors, unlabeled: voc_color(UNLABELED_U8.into()) }
    }

    /// The colour of class `index`; that of unlabelled pixels if there is no such class.
    pub fn color(&self, index: usize) -> Color {
        self.colors.get(index).copied().unwrap_or(self.unlabeled)
    }

    /// 256 colours as an indexed picture stores them: the classes, black, and last the colour of
    /// unlabelled pixels. For at most 255 classes.
    pub fn indexed(&self) -> [Color; 256] {
        core::array::from_fn(|index| match self.colors.get(index) {
            Some(color) if index < usize::from(UNLABELED_U8) => *color,
            _ if index == usize::from(UNLABELED_U8) => self.unlabeled,
            _ => [0; 3],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn voc_colors_are_the_published_ones() {
        let palette = Palette::voc(21);
        let known = [
            (0, [0, 0, 0]),
            (1, [128, 0, 0]),
            (3, [128, 128, 0]),
            (8, [64, 0, 0]),
            (12, [64, 0, 128]),
            (15, [192, 128, 128]),
            (20, [0, 64, 128]),
            (255, [224, 224, 192]),
        ];
        for (index, color) in known {
            assert_eq!(palette.color(index), color, "class {index}");
        }
    }

    #[test]
    fn cityscapes_goes_on_with_voc() {
        let palette = Palette::cityscapes(21);
        assert_eq!(palette.color(18), [119, 11, 32]);
        assert_eq!(palette.color(20), [0, 64, 128]);
        assert_eq!(palette.color(21), [0, 0, 0]);
        assert_eq!(Palette::cityscapes(2).color(5), [0, 0, 0]);
    }

    #[test]
    fn indexed_palette_keeps_255_for_unlabelled_pixels() {
        let indexed = Palette::of_classes([[1, 2, 3]; 300]).indexed();
        assert_eq!((indexed[254], indexed[255]), ([1, 2, 3], [224, 224, 192]));
        assert_eq!(Palette::of_classes([[1, 2, 3]]).indexed()[1], [0, 0, 0]);
    }
}
