//! The linker is arm-none-eabi-gcc (scripts/cross.sh); memory.x and device.x lie beside this file.

fn main() {
    println!("cargo::rustc-link-search={}", env!("CARGO_MANIFEST_DIR"));
    for argument in ["-nostdlib", "-nostartfiles", "-Wl,--gc-sections", "-Tlink.x"] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
    println!("cargo::rerun-if-changed=memory.x");
    println!("cargo::rerun-if-changed=device.x");
}
