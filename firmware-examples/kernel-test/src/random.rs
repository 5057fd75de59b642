//! Random numbers, and memory for them.

/// A small generator (splitmix32).
pub struct Random(pub u32);

impl Random {
    /// The next 32 bits.
    pub fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9);
        let mixed = (self.0 ^ (self.0 >> 16)).wrapping_mul(0x21f0_aaad);
        let mixed = (mixed ^ (mixed >> 15)).wrapping_mul(0x735a_2d97);
        mixed ^ (mixed >> 15)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        self.next() as usize % end
    }

    /// Whether a coin falls heads.
    pub fn coin(&mut self) -> bool {
        self.next() & 0x100 != 0
    }

    /// A byte; one in four is extreme.
    pub fn byte(&mut self) -> u8 {
        let bits = self.next();
        match bits % 8 {
            0 => 0,
            1 => 255,
            _ => (bits >> 16) as u8,
        }
    }

    /// A weight; one in four is extreme.
    pub fn weight(&mut self) -> i8 {
        (self.byte() ^ 0x80).cast_signed()
    }

    /// A bias; one in eight may be any number.
    pub fn bias(&mut self) -> i32 {
        let shift = if self.next().is_multiple_of(8) { 0 } else { 15 };
        self.next().cast_signed() >> shift
    }

    /// A factor from sums to steps, at most `most`.
    pub fn factor(&mut self, most: f32) -> f32 {
        (self.next() % 65_536 + 1) as f32 / 65_536.0 * most
    }

    /// Every place of a slice.
    pub fn fill<T>(&mut self, places: &mut [T], mut value: impl FnMut(&mut Self) -> T) {
        places.iter_mut().for_each(|place| *place = value(self));
    }
}
