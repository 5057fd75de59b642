//! Runs the fastest kernels of a Cortex-M and the portable ones on the same random layers, and compares
//! every byte. `board.c` of cortex-m-c starts it.
#![no_std]

mod depthwise;
mod product;
mod random;

use core::ffi::{CStr, c_char};
use random::Random;
use zsseg::math::network::kernels::NetworkKernels;

const CASES: u32 = 4000;

unsafe extern "C" {
    fn platform_write(text: *const c_char);
}

fn write(text: &CStr) {
    // SAFETY: reads the text up to its zero.
    unsafe { platform_write(text.as_ptr()) };
}

/// Writes `name`, a space and a number.
fn write_number(name: &CStr, number: u32) {
    let mut digits = [0; 12];
    let (mut place, mut rest) = (digits.len() - 1, number);
    while place > 0 {
        place -= 1;
        digits[place] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    write(name);
    write(c" ");
    write(CStr::from_bytes_until_nul(&digits[place..]).unwrap_or_default());
    write(c"\n");
}

/// Called by board.c. The exit status.
#[unsafe(no_mangle)]
extern "C" fn main() -> i32 {
    let kernels = NetworkKernels::detect();
    match kernels.name {
        "dsp" => write(c"kernels dsp\n"),
        "mve" => write(c"kernels mve\n"),
        _ => {
            write(c"no kernels but the portable ones\n");
            return 1;
        }
    }
    let mut done = [0; 3];
    for case in 0..CASES {
        let mut random = Random(case);
        if !product::equal(&kernels, &mut random) {
            write_number(c"different: product", case);
            return 1;
        }
        let Some(made) = depthwise::equal(&kernels, &mut random) else {
            write_number(c"different: depthwise convolution", case);
            return 1;
        };
        done[0] += 1;
        done[1 + usize::from(!made)] += 1;
    }
    write_number(c"depthwise convolutions left to the portable kernel", done[2]);
    write_number(c"equal depthwise convolutions", done[1]);
    write_number(c"equal products", done[0]);
    0
}
