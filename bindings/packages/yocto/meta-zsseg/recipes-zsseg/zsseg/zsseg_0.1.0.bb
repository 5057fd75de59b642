SUMMARY = "Zero-shot semantic segmentation on edge devices, in a fixed memory budget"
DESCRIPTION = "Static and shared library with a C API: a camera frame goes in, a mask comes out."
SECTION = "libs"
LICENSE = "MIT | Apache-2.0"

inherit cargo pkgconfig

# The source tree that this layer lies in.
EXTERNALSRC = "${@os.path.abspath(d.getVar('THISDIR') + '/../../../../../..')}"
LIC_FILES_CHKSUM = "\
    file://LICENSE-MIT;md5=1744cb9add18b1874ca9cc196ea242d4 \
    file://LICENSE-APACHE;md5=3b83ef96387f14655fc854ddc3c6bd57 \
"

# Cargo.lock is the list of crates: no copy of it that could differ. Before externalsrc, which looks
# at SRC_URI.
python () {
    import re
    lock = d.getVar('EXTERNALSRC') + '/Cargo.lock'
    bb.parse.mark_dependency(d, lock)
    with open(lock) as file:
        crates = re.findall(r'name = "(.+)"\nversion = "(.+)"\nsource = .+\nchecksum = "(.+)"', file.read())
    for crate, version, checksum in crates:
        name = '%s-%s' % (crate, version)
        d.appendVar('SRC_URI', ' crate://crates.io/%s/%s;name=%s' % (crate, version, name))
        d.setVarFlag('SRC_URI', name + '.sha256sum', checksum)
}

inherit externalsrc
# No links to the build's folders in the tree.
EXTERNALSRC_SYMLINKS = ""

# "tract,capi" for the tract engine, which runs networks that are not compiled to plans.
ZSSEG_FEATURES ?= "std,capi"
CARGO_BUILD_FLAGS += "--lib --no-default-features --features ${ZSSEG_FEATURES}"

do_install() {
    DESTDIR=${D} INSTALL_LIBDIR=${baselib} ${S}/scripts/install.sh ${prefix} ${B}/target/${CARGO_TARGET_SUBDIR}
    # pkg-config puts the sysroot before it.
    sed -i 's|^prefix=.*|prefix=${prefix}|' ${D}${libdir}/pkgconfig/zsseg.pc
}
