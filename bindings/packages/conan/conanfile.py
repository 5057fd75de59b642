import os
import re
from pathlib import Path

from conan import ConanFile
from conan.errors import ConanInvalidConfiguration
from conan.tools.build import cross_building
from conan.tools.files import copy, load, rm, rmdir

required_conan_version = ">=2.0"


class Zsseg(ConanFile):
    """The library, from the source tree that this recipe lies in. Needs Rust's cargo in PATH."""

    name = "zsseg"
    description = "Zero-shot semantic segmentation on edge devices, in a fixed memory budget"
    license = "MIT OR Apache-2.0"
    topics = ("segmentation", "embedded", "inference", "computer-vision")
    package_type = "library"
    # C's ABI alone: neither compiler nor build type make a difference.
    settings = "os", "arch"
    options = {"shared": [True, False], "with_tract": [True, False]}
    default_options = {"shared": False, "with_tract": False}

    def _root(self):
        return Path(self.recipe_folder).parents[2]

    def set_version(self):
        manifest = load(self, self._root() / "Cargo.toml")
        self.version = re.search(r'^version = "(.+)"', manifest, re.MULTILINE).group(1)

    def export(self):
        copy(self, "native-static-libs.txt", self._root() / "cmake", self.export_folder)

    def export_sources(self):
        # What a build reads; the manifest also names examples, tests and the Python module.
        files = ["Cargo.*", "build.rs", "cbindgen.toml", "rustfmt.toml", "LICENSE-*", "NOTICE", "README.md"]
        folders = ["benches", "bindings/python", "cmake", "examples", "include", "scripts", "src", "tests"]
        for pattern in files + [folder + "/*" for folder in folders]:
            copy(self, pattern, self._root(), self.export_sources_folder, excludes=["*/fuzz/*", "*/reference/*"])

    def validate(self):
        if self.settings.os != "Linux":
            raise ConanInvalidConfiguration("scripts/install.sh knows Linux only")
        if cross_building(self):
            raise ConanInvalidConfiguration("for other machines use scripts/cross.sh")

    def build(self):
        features = "tract,capi" if self.options.with_tract else "std,capi"
        self.run(
            f"cargo build --release --locked --lib --no-default-features --features {features}"
            f' --target-dir "{self.build_folder}/target"',
            cwd=self.source_folder,
        )

    def package(self):
        without = "" if self.options.shared else "WITHOUT_SHARED=1 "
        install = os.path.join(self.source_folder, "scripts", "install.sh")
        self.run(f'{without}"{install}" "{self.package_folder}" "{self.build_folder}/target/release"')
        if self.options.shared:
            rm(self, "*.a", os.path.join(self.package_folder, "lib"))
        # Conan writes its own from package_info().
        rmdir(self, os.path.join(self.package_folder, "lib", "cmake"))
        rmdir(self, os.path.join(self.package_folder, "lib", "pkgconfig"))
        for pattern in ("LICENSE-*", "NOTICE"):
            copy(self, pattern, self.source_folder, os.path.join(self.package_folder, "licenses"))

    def package_info(self):
        self.cpp_info.libs = ["zsseg"]
        self.cpp_info.set_property("cmake_file_name", "zsseg")
        self.cpp_info.set_property("cmake_target_name", "zsseg::zsseg")
        self.cpp_info.set_property("pkg_config_name", "zsseg")
        if self.options.shared:
            self.cpp_info.set_property("cmake_target_aliases", ["zsseg::shared"])
        else:
            libs = load(self, os.path.join(self.recipe_folder, "native-static-libs.txt"))
            self.cpp_info.system_libs = [lib.removeprefix("-l") for lib in libs.split()]
            # tract's assembly says nothing about its stack.
            self.cpp_info.exelinkflags = ["-Wl,-z,noexecstack"]
            self.cpp_info.sharedlinkflags = ["-Wl,-z,noexecstack"]
