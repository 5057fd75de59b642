#!/usr/bin/env bash
# Makes the Debian packages, installs them into a folder of their own, and uses them as users do:
# scripts/test_deb.sh
#
# dpkg checks dependencies against a copy of this machine's list of packages; nothing else of the
# machine is touched. After `cargo build --release --lib --bins --examples`.
set -euo pipefail
cd "$(dirname "$0")/.."

PATH=$PATH:/usr/sbin:/sbin # dpkg asks for ldconfig
built=${CARGO_TARGET_DIR:-target}/release
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
multiarch=$(dpkg-architecture -qDEB_HOST_MULTIARCH)
libraries=$root/usr/lib/$multiarch

quiet() { "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; return 1; }; }
not() { ! "$@"; } # a bare ! does not stop a script under set -e
in_root() { dpkg --root="$root" --force-not-root --log=/dev/null "$@"; }
files() { (cd "$1" && find . ! -type d ! -path './var/*' | LC_ALL=C sort); }
needs_shared() { readelf -d "$1" | grep -q 'NEEDED.*libzsseg\.so\.0'; }
shows_model() { LD_LIBRARY_PATH=$libraries "$@" "$root/usr/share/zsseg/voc11-lite0-zs.zsb" |
    grep -q '^model    voc11-lite0-zs$'; }

quiet scripts/package_deb.sh --fast
command=$(echo target/debian/zsseg_*.deb)
shared=$(echo target/debian/libzsseg0*.deb)
dev=$(echo target/debian/libzsseg-dev_*.deb)
for deb in "$command" "$shared"; do
    dpkg-deb --field "$deb" Depends | grep -q '^libc6 (>= '
done
echo "ok      packages"

mkdir -p "$root/var/lib/dpkg/"{info,updates,triggers}
cp /var/lib/dpkg/status "$root/var/lib/dpkg/"
files "$root" >"$work/before"
not quiet in_root --install "$dev" 2>/dev/null
quiet in_root --purge libzsseg-dev
echo "ok      headers need the library"
quiet in_root --install "$command" "$shared" "$dev"
dpkg-query --admindir="$root/var/lib/dpkg" --show zsseg 'libzsseg*'
echo "ok      installation"

# The two library packages have what install.sh installs, and their documents.
DESTDIR=$work/plain INSTALL_LIBDIR=lib/$multiarch quiet scripts/install.sh /usr "$built"
for deb in "$dev" "$shared"; do
    dpkg-deb --fsys-tarfile "$deb" | tar -t | grep -v '/$\|/usr/share/doc/'
done | LC_ALL=C sort | diff <(files "$work/plain") -
echo "ok      files"

export PKG_CONFIG_PATH=$libraries/pkgconfig
cp -r tests/install "$work/app"
cp bindings/c/examples/list_classes.c bindings/c/examples/file.h "$work/app/"
gcc -std=c99 "$work/app/list_classes.c" -o "$work/pc" $(pkg-config --cflags --libs zsseg)
needs_shared "$work/pc"
shows_model "$work/pc"
mkdir "$work/debian" && touch "$work/debian/control"
shlibs=$(echo "$root"/var/lib/dpkg/info/libzsseg0*.shlibs)
needs=$(cd "$work" && dpkg-shlibdeps -L"$shlibs" -l"$libraries" -O pc)
grep -q "libzsseg0\.1 (>= $(pkg-config --modversion zsseg))" <<<"$needs"
echo "ok      pkg-config"
quiet cmake -S "$work/app" -B "$work/app/build" -DCMAKE_PREFIX_PATH="$root/usr"
quiet cmake --build "$work/app/build"
shows_model "$work/app/build/app"
shows_model "$work/app/build/app_shared"
needs_shared "$work/app/build/app_shared"
echo "ok      CMake"
quiet meson setup -Dstatic=false "$work/app/meson" "$work/app"
quiet meson compile -C "$work/app/meson"
shows_model "$work/app/meson/app"
needs_shared "$work/app/meson/app"
echo "ok      Meson"

# From a folder without models: the command finds the one of its package.
picture=$PWD/tests/data/chelsea.png
(cd "$work" && quiet "$root/usr/bin/zsseg" segment "$picture" -o mask.png)
"$built/examples/compare_masks" "$work/mask.png" \
    tests/reference/voc11-lite0-zs/int8/chelsea.png 0.99
zcat "$root/usr/share/man/man1/zsseg.1.gz" | grep -q '^zsseg \\- zero-shot'
echo "ok      command"

quiet in_root --purge zsseg libzsseg-dev "$(dpkg-deb --field "$shared" Package)"
files "$root" | diff "$work/before" -
not test -e "$root/usr"
echo "ok      nothing is left"
echo "9 passed, 0 failed"
