/* opened.hpp: a picture and its bundle, for the examples that are about something else. */
#ifndef OPENED_HPP
#define OPENED_HPP

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <vector>

#include "ppm.h"
#include "zsseg.hpp"

/** A picture as its file had it: R G B bytes. */
struct Picture {
    std::uint32_t width = 0;
    std::uint32_t height = 0;
    std::vector<std::uint8_t> rgb;
    /** What is wrong with the file, or nullptr. */
    const char *reason = nullptr;

    explicit Picture(const char *path)
    {
        ppm read = {};
        reason = ppm_read(path, &read);
        if (reason == nullptr) {
            width = read.width;
            height = read.height;
            rgb.assign(read.pixels, read.pixels + std::size_t{width} * height * 3);
            std::free(read.pixels);
        }
    }

    zsseg::Image image() const { return zsseg::Image::rgb8(rgb, width, height); }
};

inline std::vector<std::uint8_t> read_file(const char *path)
{
    std::ifstream file(path, std::ios::binary);
    return std::vector<std::uint8_t>(std::istreambuf_iterator<char>(file), {});
}

inline int fail(const char *program, const char *reason)
{
    std::fprintf(stderr, "%s: %s\n", program, reason);
    return EXIT_FAILURE;
}

#endif
