# An overlay port: builds the source tree that it lies in, with Rust's cargo from PATH.
vcpkg_check_linkage(ONLY_STATIC_LIBRARY)
# The C API is the same for debug and release programs.
set(VCPKG_BUILD_TYPE release)

get_filename_component(SOURCE_PATH "${CURRENT_PORT_DIR}/../../../.." ABSOLUTE)
find_program(CARGO cargo REQUIRED)
set(library_features std,capi)
if("tract" IN_LIST FEATURES)
    set(library_features tract,capi)
endif()
set(target_dir "${CURRENT_BUILDTREES_DIR}/${TARGET_TRIPLET}-rel")

file(MAKE_DIRECTORY "${target_dir}")
vcpkg_execute_required_process(
    COMMAND "${CARGO}" build --release --locked --lib --no-default-features
        --features "${library_features}" --target-dir "${target_dir}"
    WORKING_DIRECTORY "${SOURCE_PATH}"
    LOGNAME "build-${TARGET_TRIPLET}"
)
set(ENV{WITHOUT_SHARED} 1)
vcpkg_execute_required_process(
    COMMAND "${SOURCE_PATH}/scripts/install.sh" "${CURRENT_PACKAGES_DIR}" "${target_dir}/release"
    WORKING_DIRECTORY "${SOURCE_PATH}"
    LOGNAME "install-${TARGET_TRIPLET}"
)

# vcpkg keeps CMake files in share, one folder nearer to the prefix.
file(MAKE_DIRECTORY "${CURRENT_PACKAGES_DIR}/share")
file(RENAME "${CURRENT_PACKAGES_DIR}/lib/cmake/zsseg" "${CURRENT_PACKAGES_DIR}/share/zsseg")
file(REMOVE_RECURSE "${CURRENT_PACKAGES_DIR}/lib/cmake")
vcpkg_replace_string("${CURRENT_PACKAGES_DIR}/share/zsseg/zssegConfig.cmake"
    "_zsseg_prefix}/../../..\"" "_zsseg_prefix}/../..\"")

file(INSTALL "${CURRENT_PORT_DIR}/usage" DESTINATION "${CURRENT_PACKAGES_DIR}/share/zsseg")
vcpkg_install_copyright(FILE_LIST
    "${SOURCE_PATH}/LICENSE-APACHE" "${SOURCE_PATH}/LICENSE-MIT" "${SOURCE_PATH}/NOTICE")
