//! Where a panic goes when there is no `std` and no unwinder. The core is written to have no panic
//! site; if one is left, the firmware is told its line and must not return.

unsafe extern "C" {
    /// Provided by the firmware.
    fn zsseg_on_panic(line: u32) -> !;
}

#[cfg(not(test))]
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    let line = info.location().map_or(0, core::panic::Location::line);
    // SAFETY: the hook takes a number and does not return.
    unsafe { zsseg_on_panic(line) }
}
