/*
 * Segments a picture: segment_image BUNDLE.zsb PICTURE.ppm [MASK.pgm]
 *
 * The C++ twin of bindings/c/examples/segment_image.c, with the same output.
 */
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <vector>

#include "ppm.h"
#include "zsseg.hpp"

namespace {

std::vector<std::uint8_t> read(const char *path)
{
    std::ifstream file(path, std::ios::binary);
    return std::vector<std::uint8_t>(std::istreambuf_iterator<char>(file), {});
}

int fail(const char *reason)
{
    std::fprintf(stderr, "segment_image: %s\n", reason);
    return EXIT_FAILURE;
}

/* The share of every class that occurs, in the order of the classes. */
void print_shares(const zsseg::Bundle &bundle, const zsseg::Mask &mask)
{
    const auto counts = mask.counts();
    for (std::uint32_t label = 0; label < counts.size(); ++label) {
        if (counts[label] > 0) {
            const auto found = bundle.class_at(label);
            const std::string_view name = found ? found->name : "(unlabelled)";
            const double share = static_cast<double>(counts[label]) /
                                 static_cast<double>(mask.labels().size());
            std::printf("%6.2f %%  %.*s\n", 100.0 * share, static_cast<int>(name.size()),
                        name.data());
        }
    }
}

} // namespace

int main(int argc, char **argv)
{
    if (argc != 3 && argc != 4) {
        std::fprintf(stderr, "usage: %s BUNDLE.zsb PICTURE.ppm [MASK.pgm]\n", argv[0]);
        return EXIT_FAILURE;
    }
    ppm picture = {};
    if (const char *reason = ppm_read(argv[2], &picture)) {
        return fail(reason);
    }
    const std::unique_ptr<std::uint8_t, decltype(&std::free)> pixels(picture.pixels, &std::free);
    const std::size_t pixel_bytes = std::size_t{picture.width} * picture.height * 3;

    const std::vector<std::uint8_t> bytes = read(argv[1]);
    const auto bundle = zsseg::Bundle::open(bytes);
    if (!bundle) {
        return fail(bundle.error().text());
    }
    auto segmenter = zsseg::Segmenter::create(*bundle, {picture.width, picture.height});
    if (!segmenter) {
        return fail(segmenter.error().text());
    }
    std::printf("arena: %zu bytes\n", *segmenter->arena_peak());

    zsseg::Mask mask(picture.width, picture.height);
    const zsseg::span<const std::uint8_t> rgb(pixels.get(), pixel_bytes);
    const auto frame = zsseg::Image::rgb8(rgb, picture.width, picture.height);
    if (!segmenter->segment(frame, mask.output())) {
        return fail(segmenter->last_error().text());
    }
    print_shares(*bundle, mask);
    if (argc == 4) {
        const char *reason =
            pgm_write(argv[3], mask.labels().data(), picture.width, picture.height);
        if (reason != nullptr) {
            return fail(reason);
        }
    }
    return EXIT_SUCCESS;
}
