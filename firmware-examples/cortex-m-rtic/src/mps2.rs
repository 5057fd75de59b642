//! As much of the mps2-an386 board as this example needs: two interrupts and two timers.

use core::ptr;
use cortex_m::interrupt::InterruptNumber;

/// Priority bits of its interrupt controller.
pub const NVIC_PRIO_BITS: u8 = 3;
/// The timers' clock.
pub const TICKS_PER_US: u32 = 25;

/// Interrupts, by their numbers.
#[allow(clippy::upper_case_acronyms)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Interrupt {
    UARTRX0 = 0,
    TIMER0 = 8,
}

pub use Interrupt as interrupt;

// SAFETY: the numbers are those of the board, and stay.
unsafe impl InterruptNumber for Interrupt {
    fn number(self) -> u16 {
        self as u16
    }
}

unsafe extern "C" {
    fn UARTRX0();
    fn TIMER0();
}

#[unsafe(link_section = ".vector_table.interrupts")]
#[unsafe(no_mangle)]
pub static __INTERRUPTS: [Option<unsafe extern "C" fn()>; 9] =
    [Some(UARTRX0), None, None, None, None, None, None, None, Some(TIMER0)];

/// RTIC asks for the peripherals of the device; this example names addresses instead.
pub struct Peripherals;

impl Peripherals {
    /// # Safety
    /// None to keep: there is nothing in it.
    pub unsafe fn steal() -> Peripherals {
        Peripherals
    }
}

/// A CMSDK timer: counts down to 0 and starts again from its reload value.
#[derive(Clone, Copy)]
pub struct Timer {
    base: usize,
}

/// Interrupts, a thousand a second.
pub const CONTROL: Timer = Timer { base: 0x4000_0000 };
/// A clock: 171 seconds until it starts again.
pub const CLOCK: Timer = Timer { base: 0x4000_1000 };

impl Timer {
    const CONTROL: usize = 0x0;
    const VALUE: usize = 0x4;
    const RELOAD: usize = 0x8;
    const CLEAR: usize = 0xc;
    const ENABLE: u32 = 1;
    const INTERRUPT: u32 = 8;

    fn write(self, register: usize, value: u32) {
        // SAFETY: a register of the timer at this address.
        unsafe { ptr::write_volatile((self.base + register) as *mut u32, value) }
    }

    fn start(self, reload: u32, interrupt: u32) {
        self.write(Timer::RELOAD, reload);
        self.write(Timer::VALUE, reload);
        self.write(Timer::CONTROL, Timer::ENABLE | interrupt);
    }

    /// Interrupts every `ticks` from now on.
    pub fn start_interrupts(self, ticks: u32) {
        self.start(ticks - 1, Timer::INTERRUPT);
    }

    /// Counts from now on.
    pub fn start_clock(self) {
        self.start(u32::MAX, 0);
    }

    pub fn stop(self) {
        self.write(Timer::CONTROL, 0);
    }

    /// Tells the timer that its interrupt was seen.
    pub fn clear_interrupt(self) {
        self.write(Timer::CLEAR, 1);
    }

    /// Ticks since [`Timer::start_clock`].
    pub fn ticks(self) -> u32 {
        // SAFETY: a register of the timer at this address.
        u32::MAX - unsafe { ptr::read_volatile((self.base + Timer::VALUE) as *const u32) }
    }
}
