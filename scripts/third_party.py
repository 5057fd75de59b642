#!/usr/bin/env python3
"""Prints the crates that are linked into the default build, with the texts of their licences."""

import json
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent
TEXTS = ("LICENSE*", "LICENCE*", "COPYING*", "COPYRIGHT*", "NOTICE*", "license*")


def linked(metadata):
    """Packages that normal dependencies lead to from the root, by name."""
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    found, todo = set(), [metadata["resolve"]["root"]]
    while todo:
        for dependency in nodes[todo.pop()]["deps"]:
            normal = any(kind["kind"] is None for kind in dependency["dep_kinds"])
            if normal and dependency["pkg"] not in found:
                found.add(dependency["pkg"])
                todo.append(dependency["pkg"])
    return sorted(
        (package for package in metadata["packages"] if package["id"] in found),
        key=lambda package: (package["name"], package["version"]),
    )


def texts(package):
    folder = pathlib.Path(package["manifest_path"]).parent
    paths = {path for pattern in TEXTS for path in folder.glob(pattern) if path.is_file()}
    return [path.read_text(errors="replace").strip() for path in sorted(paths)]


def main():
    rustc = subprocess.run(["rustc", "-vV"], check=True, capture_output=True, text=True).stdout
    host = next(line.split()[1] for line in rustc.splitlines() if line.startswith("host:"))
    command = ["cargo", "metadata", "--locked", "--format-version=1", f"--filter-platform={host}"]
    output = subprocess.run(command, check=True, capture_output=True, cwd=ROOT).stdout
    packages = linked(json.loads(output))

    by_text = {}
    for package in packages:
        for text in texts(package):
            by_text.setdefault(text, []).append(package["name"])
    print("Rust's standard library (MIT OR Apache-2.0) and these crates are part of zsseg's programs:\n")
    for package in packages:
        source = package["repository"] or "https://crates.io/crates/" + package["name"]
        print(f"{package['name']} {package['version']}: {package['license']}, {source}")
    for text, names in by_text.items():
        print(f"\n{'=' * 80}\n{', '.join(dict.fromkeys(names))}:\n\n{text}")


main()
