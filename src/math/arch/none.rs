//! Stands in for the module of a processor without kernels of its own.

use crate::math::kernels::Kernels;

/// None.
pub fn supported() -> impl Iterator<Item = &'static Kernels> {
    core::iter::empty()
}

pub mod network {
    //! Layers of networks.

    pub mod kernels {
        //! Sets of kernels for all layers.

        use crate::math::network::kernels::NetworkKernels;

        /// None.
        pub fn supported() -> impl Iterator<Item = NetworkKernels> {
            core::iter::empty()
        }
    }

    #[cfg(test)]
    pub mod kernels_f32 {
        //! Sets of kernels for float layers.

        use crate::math::network::kernels_f32::KernelsF32;

        /// None.
        pub fn supported() -> impl Iterator<Item = &'static KernelsF32> {
            core::iter::empty()
        }
    }
}
