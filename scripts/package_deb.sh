#!/usr/bin/env bash
# Makes Debian packages of what `cargo build --release` left: scripts/package_deb.sh [--fast]
#
#   zsseg            the command, its manual page and the model voc11-lite0-zs
#   libzsseg0.1      the shared library
#   libzsseg-dev     headers, static library, pkg-config and CMake files
#
# They appear in target/debian, for this machine's architecture. --fast compresses less.
# DEBFULLNAME and DEBEMAIL name the maintainer. Needs dpkg-dev, help2man and cargo-deb; the last is
# installed in target/tools where it is missing.
set -euo pipefail
umask 022
cd "$(dirname "$0")/.."

if [ $# -gt 1 ] || [ "${1:---fast}" != --fast ]; then
    echo "usage: scripts/package_deb.sh [--fast]" >&2
    exit 2
fi
cargo_deb=3.8.0
built=${CARGO_TARGET_DIR:-target}/release
stage=target/deb # as in Cargo.toml
out=target/debian
maintainer="${DEBFULLNAME:-The zsseg authors} <${DEBEMAIL:-$(id -un)@$(hostname)}>"

if [ "$(target/tools/bin/cargo-deb --version 2>/dev/null)" != "cargo-deb $cargo_deb" ]; then
    cargo install --quiet --locked --force --root target/tools --target-dir target/tools/build \
        "cargo-deb@$cargo_deb"
    rm -rf target/tools/build
fi

# What install.sh installs, divided into two packages.
rm -rf "$stage" "$out"
dev=$stage/libzsseg-dev
folder=lib/$(dpkg-architecture -qDEB_HOST_MULTIARCH)
DESTDIR=$dev INSTALL_LIBDIR=$folder scripts/install.sh /usr "$built"
version=$(pkg-config --modversion "$dev/usr/$folder/pkgconfig/zsseg.pc")
soname=$(objdump -p "$dev/usr/$folder/libzsseg.so" | awk '$1 == "SONAME" {print $2}')
library=libzsseg${soname#libzsseg.so.}
mkdir -p "$stage/$library/usr/$folder"
mv "$dev/usr/$folder/$soname" "$dev/usr/$folder/libzsseg.so.$version" "$stage/$library/usr/$folder/"
strip --strip-unneeded "$stage/$library/usr/$folder/libzsseg.so.$version"
strip --strip-debug "$dev/usr/$folder/libzsseg.a"

manual=$stage/zsseg/usr/share/man/man1
mkdir -p "$manual"
help2man --no-info --name "zero-shot semantic segmentation of pictures" \
    --output "$manual/zsseg.1" "$built/zsseg"
gzip -9n "$manual/zsseg.1"

for package in zsseg "$library" libzsseg-dev; do
    doc=$stage/$package/usr/share/doc/$package
    mkdir -p "$doc"
    scripts/third_party.py | gzip -9n >"$doc/third-party.txt.gz"
    gzip -9nc CHANGELOG.md >"$doc/changelog.gz"
done
cat >"$stage/changelog" <<END
zsseg ($version-1) unstable; urgency=medium

  * See changelog.gz.

 -- $maintainer  $(date -R)
END

package() { # [--variant NAME] [CARGO-DEB OPTIONS]
    target/tools/bin/cargo-deb --quiet --locked --no-build --output "$out" \
        --maintainer "$maintainer" "$@"
}
package "$@"
package --variant libzsseg --multiarch same --fast
package --variant libzsseg-dev --multiarch same "$@"

# cargo-deb cannot say which package a program linked with the library needs, and has looked for the
# library's own needs because it was executable, which libraries are not in Debian.
deb=$(echo "$out/$library"_*.deb)
dpkg-deb --raw-extract "$deb" "$stage/repacked"
echo "libzsseg ${soname#libzsseg.so.} $library (>= $version)" >"$stage/repacked/DEBIAN/shlibs"
chmod 644 "$stage/repacked/usr/$folder/libzsseg.so.$version"
dpkg-deb --build --root-owner-group -Zxz -z$((${#} ? 1 : 6)) "$stage/repacked" "$deb" >/dev/null
ls -l "$out"/*.deb
