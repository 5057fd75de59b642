/*
 * Segments a picture in slices, as a task that must not stay away long:
 * step_rtos BUNDLE.zsb PICTURE.ppm
 *
 * The C++ twin of bindings/c/examples/step_rtos.c.
 */
#include <algorithm>
#include <chrono>

#include "opened.hpp"

namespace {

constexpr std::uint32_t pieces = 8;

using Clock = std::chrono::steady_clock;
using Microseconds = std::chrono::duration<double, std::micro>;

} // namespace

int main(int argc, char **argv)
{
    if (argc != 3) {
        std::fprintf(stderr, "usage: %s BUNDLE.zsb PICTURE.ppm\n", argv[0]);
        return EXIT_FAILURE;
    }
    const Picture picture(argv[2]);
    if (picture.reason != nullptr) {
        return fail(argv[0], picture.reason);
    }
    const auto bytes = read_file(argv[1]);
    const auto bundle = zsseg::Bundle::open(bytes);
    if (!bundle) {
        return fail(argv[0], bundle.error().text());
    }
    auto segmenter = zsseg::Segmenter::create(*bundle, {picture.width, picture.height});
    if (!segmenter) {
        return fail(argv[0], segmenter.error().text());
    }
    zsseg::Mask whole(picture.width, picture.height), sliced(picture.width, picture.height);
    if (!segmenter->segment(picture.image(), whole.output()) ||
        !segmenter->begin(picture.image(), sliced.output())) {
        return fail(argv[0], segmenter->last_error().text());
    }
    unsigned slices = 0;
    Microseconds longest(0);
    for (bool done = false; !done; ++slices) {
        const auto started = Clock::now();
        const auto step = segmenter->step(pieces);
        if (!step) {
            return fail(argv[0], step.error().text());
        }
        done = *step;
        // Here other tasks would have their turn.
        longest = std::max(longest, Microseconds(Clock::now() - started));
    }
    std::printf("%u slices of %u pieces, longest %.0f us\n", slices, unsigned{pieces},
                longest.count());
    const auto left = whole.labels(), right = sliced.labels();
    if (!std::equal(left.begin(), left.end(), right.begin(), right.end())) {
        return fail(argv[0], "another mask in slices");
    }
    std::printf("the same mask as in one call\n");
    return EXIT_SUCCESS;
}
