/*
 * Adds a class by its name and segments a picture with it:
 * add_class BUNDLE.zsb PICTURE.ppm NAME [MASK.pgm]
 *
 * The C++ twin of bindings/c/examples/add_class.c, with the same mask.
 */
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <vector>

#include "ppm.h"
#include "zsseg.hpp"

namespace {

/* How often a class is added to measure the time. */
constexpr unsigned turns = 200;

std::vector<std::uint8_t> read(const char *path)
{
    std::ifstream file(path, std::ios::binary);
    return std::vector<std::uint8_t>(std::istreambuf_iterator<char>(file), {});
}

int fail(const char *reason)
{
    std::fprintf(stderr, "add_class: %s\n", reason);
    return EXIT_FAILURE;
}

extern "C" std::uint64_t now_ns()
{
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
}

struct Costs {
    const zsseg::Bundle &bundle;
    zsseg::Limits limits;

    /* Bytes of the arena that a use takes beside the classes. */
    std::size_t once(std::uint32_t uses) const
    {
        zsseg::Limits with = limits, without = limits;
        with.uses = uses;
        without.uses = 0;
        const auto more = zsseg::Segmenter::arena_bytes(bundle, with);
        const auto less = zsseg::Segmenter::arena_bytes(bundle, without);
        return more && less ? *more - *less : 0;
    }
    unsigned long per_class(std::uint32_t uses) const
    {
        zsseg::Limits with = limits;
        with.uses = uses;
        const auto cost = zsseg::class_cost(bundle, with);
        return cost ? static_cast<unsigned long>(cost->bytes) : 0;
    }
};

/* Adds and removes the class again and again, and prints the costs. */
zsseg::Status measure(zsseg::Segmenter &segmenter, const Costs &costs, const char *text,
                      const char *name, const zsseg::Source &source, std::uint32_t uses)
{
    std::uint64_t spent_ns = 0;
    for (unsigned turn = 0; turn < turns; ++turn) {
        const std::uint64_t start = now_ns();
        const auto label = segmenter.add_class(name, source);
        spent_ns += now_ns() - start;
        if (!label) {
            return label.status();
        }
        if (const auto removed = segmenter.remove_class(*label); !removed) {
            return removed;
        }
    }
    std::printf("%-10s %8lu bytes a class, %8zu bytes once, %10.1f us\n", text,
                costs.per_class(uses), costs.once(uses),
                static_cast<double>(spent_ns) / (1000.0 * turns));
    return zsseg::Status();
}

zsseg::Status measure_ways(zsseg::Segmenter &segmenter, const Costs &costs, const char *name)
{
    const zsseg::Bundle &bundle = costs.bundle;
    /* Any row will do for measuring. */
    std::vector<float> row(bundle.info().channels);
    for (std::size_t i = 0; i < row.size(); ++i) {
        row[i] = i % 2 == 0 ? 0.125F : -0.125F;
    }
    std::vector<float> embedding(bundle.info().embedding_dim);
    const bool words = bundle.info().word_count > 0;
    zsseg::Status status;
    if (bundle.can_add_by(ZSSEG_WAY_ROW)) {
        status = measure(segmenter, costs, "row", name, zsseg::Source::row(row), 0);
    }
    if (status && words) {
        status = bundle.embed(name, embedding);
    }
    if (status && words && bundle.can_add_by(ZSSEG_WAY_EMBEDDING)) {
        status = measure(segmenter, costs, "embedding", name,
                         zsseg::Source::embedding(embedding), 0);
    }
    if (status && bundle.can_add_by(ZSSEG_WAY_WORD)) {
        status = measure(segmenter, costs, "word", name, zsseg::Source::word(), 0);
    }
    if (status && words && bundle.can_add_by(ZSSEG_WAY_GENERATOR)) {
        const auto source = zsseg::Source::word(nullptr, zsseg::Method::generator);
        status = measure(segmenter, costs, "generator", name, source, ZSSEG_USE_GENERATOR);
    }
    return status;
}

void print_pixels(const zsseg::Mask &mask, std::uint32_t label, const char *text)
{
    const auto counts = mask.counts();
    const std::size_t count = label < counts.size() ? counts[label] : 0;
    std::printf("%s: %zu of %zu pixels\n", text, count, mask.labels().size());
}

/* Once with segments, for their cost, and once without, for the mask. */
zsseg::Status segment_twice(zsseg::Segmenter &segmenter, const Costs &costs,
                            const zsseg::Image &image, zsseg::Mask &mask, std::uint32_t label)
{
    if (const auto status = segmenter.set_fusion(ZSSEG_FUSION_VOTE, 0.6F); !status) {
        return status;
    }
    if (const auto status = segmenter.segment(image, mask.output()); !status) {
        return status;
    }
    const auto times = segmenter.stage_times();
    std::printf("%-10s %8d bytes a class, %8zu bytes once, %10.1f us a frame\n", "segments", 0,
                costs.once(ZSSEG_USE_FUSION),
                times ? static_cast<double>(times->fusion_ns) / 1000.0 : 0.0);
    print_pixels(mask, label, "with segments");
    if (const auto status = segmenter.unset_fusion(); !status) {
        return status;
    }
    return segmenter.segment(image, mask.output());
}

} // namespace

int main(int argc, char **argv)
{
    if (argc != 4 && argc != 5) {
        std::fprintf(stderr, "usage: %s BUNDLE.zsb PICTURE.ppm NAME [MASK.pgm]\n", argv[0]);
        return EXIT_FAILURE;
    }
    const char *const name = argv[3];
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
    auto limits = zsseg::Limits{picture.width, picture.height}.with_extra_classes(1).with_use(
        ZSSEG_USE_FUSION);
    if (bundle->can_add_by(ZSSEG_WAY_GENERATOR)) {
        limits = limits.with_use(ZSSEG_USE_GENERATOR);
    }
    auto segmenter = zsseg::Segmenter::create(*bundle, limits);
    if (!segmenter) {
        return fail(segmenter.error().text());
    }
    std::printf("arena: %zu bytes\n", *segmenter->arena_peak());
    const Costs costs{*bundle, limits};
    if (!segmenter->set_clock(now_ns)) {
        return fail(segmenter->last_error().text());
    }
    if (const auto status = measure_ways(*segmenter, costs, name); !status) {
        return fail(status.text());
    }
    const auto label = segmenter->add_class(name, zsseg::Source::word());
    if (!label) {
        return fail(label.error().text());
    }
    std::printf("%s has label %u\n", name, static_cast<unsigned>(*label));
    if (!bundle->has_network()) {
        return EXIT_SUCCESS;
    }

    zsseg::Mask mask(picture.width, picture.height);
    const zsseg::span<const std::uint8_t> rgb(pixels.get(), pixel_bytes);
    const auto frame = zsseg::Image::rgb8(rgb, picture.width, picture.height);
    if (!segment_twice(*segmenter, costs, frame, mask, *label)) {
        return fail(segmenter->last_error().text());
    }
    print_pixels(mask, *label, name);
    if (argc == 5) {
        const char *reason =
            pgm_write(argv[4], mask.labels().data(), picture.width, picture.height);
        if (reason != nullptr) {
            return fail(reason);
        }
    }
    return EXIT_SUCCESS;
}
