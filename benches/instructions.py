#!/usr/bin/env python3
"""Counts the instructions of the kernels for 64-bit ARM, and prints tables in Markdown.

    scripts/cross.sh aarch64-unknown-linux-gnu \\
        cargo build --release --example kernels --no-default-features --features std
    benches/instructions.py target/aarch64-unknown-linux-gnu/release/examples/kernels

Two ways. Of a whole layer, executed: the emulator writes a line per instruction, and a run with two
repeats less one with one is a repeat, with everything around the inner loops. Of inner loops, read:
instructions from a loop's first to the branch back, and the multiply-accumulates of those that
multiply. Neither is a time: processors differ in how many instructions they execute at once.
"""

import re
import subprocess
import sys

PROCESSORS = [("cortex-a53", "fastest"), ("neoverse-n1", "fastest"), ("max", "fastest")]
LAYERS = [
    ("product_u8", "product, 96 x 256 x 64"),
    ("convolution_u8", "convolution 3x3, 16 x 16 x 32 to 64"),
    ("depthwise_u8", "depthwise 3x3, 32 x 32 x 64"),
    ("depthwise_u8_stride_2", "depthwise 3x3 of stride 2"),
    ("depthwise_u8_5x5", "depthwise 5x5"),
    ("add_u8", "sum of two maps, per result"),
    ("table_u8", "table, per result"),
    ("classes_i8", "classifier i8, 256 channels, 20 classes"),
    ("product_f32", "product f32, 96 x 256 x 64"),
    ("depthwise_f32", "depthwise 3x3 f32, 32 x 32 x 96"),
]
# Multiply-accumulates of an instruction on vectors of 128 bits.
PRODUCTS = [
    (r"usmmla\t", 32),
    (r"sdot\t", 16),
    (r"smull2?\tv\d+\.8h", 8),
    (r"smlal2?\tv\d+\.8h", 8),
    (r"smlal2?\tv\d+\.4s", 4),
    (r"fmla\tv\d+\.4s, v\d+\.4s, v\d+\.s\[", 4),
]
FUNCTIONS = {
    "gemm_u8_neon": "product u8, NEON",
    "gemm_u8_dotprod": "product u8, dotprod",
    "gemm_u8_i8mm": "product u8, i8mm",
    "depthwise_u8": "depthwise u8, per row of taps",
    "linear_i8": "classifier i8",
    "gemm_f32": "product f32",
}


def run(program, processor, *arguments):
    emulator = ["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu", "-cpu", processor]
    return emulator, [program, *arguments]


def executed(program, processor, layer, kernels, repeats):
    """Instructions of a run."""
    emulator, command = run(program, processor, layer, kernels, str(repeats))
    trace = ["-singlestep", "-d", "exec,nochain", "-D", "/dev/stderr"]
    process = subprocess.Popen(
        emulator + trace + command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    lines = sum(chunk.count(b"\nTrace ") for chunk in iter(lambda: process.stderr.read(1 << 20), b""))
    if process.wait() != 0:
        sys.exit(f"{layer} failed on {processor}")
    return lines


def layer_rows(program):
    for layer, text in LAYERS:
        cells = [text]
        for processor, kernels in [("cortex-a53", "portable"), *PROCESSORS]:
            emulator, command = run(program, processor, layer, kernels, "1")
            said = subprocess.run(emulator + command, capture_output=True, text=True, check=True)
            size = int(said.stdout.split()[1])
            one, two = (executed(program, processor, layer, kernels, count) for count in (1, 2))
            cells.append(f"{(two - one) / size:.3f}")
        yield cells


def functions(program):
    """Functions by name, each a list of (address, text)."""
    listing = subprocess.run(
        ["aarch64-linux-gnu-objdump", "-d", "--no-show-raw-insn", program],
        capture_output=True, text=True, check=True,
    ).stdout
    code = []
    for line in listing.splitlines():
        if name := re.match(r"[0-9a-f]+ <(.*)>:$", line):
            code = []
            yield name[1], code
        elif instruction := re.match(r"\s*([0-9a-f]+):\t(.*)", line):
            code.append((int(instruction[1], 16), instruction[2]))


def inner_loops(code):
    """Loops without another inside: a branch back and what it jumps to."""
    loops = []
    for address, text in code:
        branch = re.match(r"(?:b\.\w+|cbn?z|tbn?z)\t.*?\b([0-9a-f]+) <", text)
        if branch and int(branch[1], 16) < address:
            loops.append((int(branch[1], 16), address))
    for start, end in loops:
        if not any((start <= a and b <= end) and (a, b) != (start, end) for a, b in loops):
            yield [text for address, text in code if start <= address <= end]


def loop_rows(program):
    best = {}
    for name, code in list(functions(program)):
        kernel = next((key for key in FUNCTIONS if f"{len(key)}{key}" in name), None)
        if kernel is None or "portable" in name:
            continue
        for loop in inner_loops(code):
            products = sum(
                next((size for words, size in PRODUCTS if re.match(words, text)), 0)
                for text in loop
            )
            stack = sum("[sp" in text for text in loop)
            key = (kernel, products)
            if products >= 96 and (key not in best or best[key][0] > len(loop)):
                best[key] = (len(loop), stack)
    for (kernel, products), (count, stack) in sorted(best.items()):
        yield [
            FUNCTIONS[kernel], str(count), str(products), f"{count / products:.3f}", str(stack)
        ]


def table(heads, rows):
    print("| " + " | ".join(heads) + " |")
    print("|---" * len(heads) + "|")
    for row in rows:
        print("| " + " | ".join(row) + " |", flush=True)
    print()


if __name__ == "__main__":
    table(
        ["inner loop", "instructions", "multiply-accumulates", "ratio", "of them on the stack"],
        loop_rows(sys.argv[1]),
    )
    table(["layer", "portable", "NEON", "dotprod", "i8mm"], layer_rows(sys.argv[1]))
