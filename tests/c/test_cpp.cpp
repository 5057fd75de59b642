/*
 * zsseg.hpp from C++17 and C++20, with and without exceptions:
 * zsseg_cpp_tests TINY.zsb WORDS.zsb [NETWORK.zsb PICTURE.ppm]
 */
#include "zsseg.hpp"

#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <type_traits>
#include <vector>

#include "ppm.h"

namespace {

unsigned long checks_made = 0;
unsigned long checks_failed = 0;

void note(bool good, int line, const char *text)
{
    ++checks_made;
    if (!good) {
        ++checks_failed;
        std::fprintf(stderr, "%s:%d: %s\n", __FILE__, line, text);
    }
}

#define CHECK(condition) note(static_cast<bool>(condition), __LINE__, #condition)

using Bytes = std::vector<std::uint8_t>;

static_assert(!std::is_copy_constructible_v<zsseg::Segmenter>);
static_assert(!std::is_copy_assignable_v<zsseg::Segmenter>);
static_assert(std::is_nothrow_move_constructible_v<zsseg::Segmenter>);
static_assert(std::is_nothrow_move_assignable_v<zsseg::Segmenter>);
static_assert(std::is_convertible_v<Bytes &, zsseg::span<const std::uint8_t>>);
static_assert(!std::is_convertible_v<const Bytes &, zsseg::span<std::uint8_t>>);
static_assert(!std::is_convertible_v<std::vector<float> &, zsseg::span<const std::uint8_t>>);

constexpr std::uint32_t width = 17;
constexpr std::uint32_t height = 11;

Bytes read(const char *path)
{
    std::ifstream file(path, std::ios::binary);
    return Bytes(std::istreambuf_iterator<char>(file), {});
}

std::vector<float> features()
{
    std::vector<float> values(5 * 3 * 4);
    for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] = static_cast<float>(i * 37 % 64) / 8.0F - 4.0F;
    }
    return values;
}

void test_bundle(const Bytes &bytes)
{
    const zsseg::Result<zsseg::Bundle> bundle = zsseg::Bundle::open(bytes);
    CHECK(bundle.ok() && bundle.status() == zsseg::Status());
    if (!bundle) {
        return;
    }
    CHECK(bundle->model_name() == "tiny" && bundle->license() == "CC0-1.0");
    CHECK(bundle->model_card().substr(0, 6) == "# tiny");
    CHECK(!bundle->has_network() && bundle->class_count() == 3);
    std::string names;
    const zsseg::Status status = bundle->for_each_class([&](const zsseg::Class &found) {
        names += std::string(found.name) + (found.seen ? "+" : "-") +
                 (found.background ? "! " : " ");
    });
    CHECK(status.ok() && names == "void+! cat+ zebra- ");
    CHECK(bundle->class_at(3).status().code() == ZSSEG_E_INVALID_ARGUMENT);

    Bytes damaged = bytes;
    damaged.back() ^= 1;
    CHECK(zsseg::Bundle::open(damaged).status().code() == ZSSEG_E_BUNDLE_CHECKSUM);
    CHECK(zsseg::Bundle::parse(damaged).ok());
    CHECK(std::strlen(zsseg::Bundle::open(damaged).error().text()) > 0);
    CHECK(zsseg::Bundle::open({}).status().code() == ZSSEG_E_NULL_POINTER);
}

void test_segmenter(const Bytes &bytes)
{
    const zsseg::Bundle bundle = *zsseg::Bundle::open(bytes);
    zsseg::Result<zsseg::Segmenter> made = zsseg::Segmenter::create(bundle, {width, height});
    CHECK(made.ok());
    zsseg::Segmenter first = std::move(*made);
    const std::vector<float> values = features();
    const auto input = zsseg::Features::for_bundle(bundle, values);
    zsseg::Mask mask(width, height);
    CHECK(first.segment_features(input, width, height, mask.output()));
    CHECK(mask.counts()[0] + mask.counts()[1] + mask.counts()[2] == mask.labels().size());
    CHECK(mask.label(width - 1, height - 1) == mask.labels()[mask.labels().size() - 1]);
    CHECK(mask.confidence(0, 0) >= 84);

    /* Moved from one to another, over one that is open, and out again. */
    zsseg::Segmenter second = *zsseg::Segmenter::create(bundle, {width, height});
    second = std::move(first);
    zsseg::Mask again(width, height);
    CHECK(second.segment_features(input, width, height, again.output()));
    CHECK(std::memcmp(again.labels().data(), mask.labels().data(), mask.labels().size()) == 0);
    CHECK(*second.arena_peak() == *zsseg::Segmenter::arena_bytes(bundle, {width, height}));

    const zsseg::Status refused = second.segment_features(input, 0, height, again.output());
    CHECK(refused.code() == ZSSEG_E_FRAME_SIZE);
    CHECK(second.last_error().status() == refused);
    CHECK(std::strlen(second.last_error().text()) > 0);
    CHECK(second.features().status().code() == ZSSEG_E_UNSUPPORTED);
    CHECK(zsseg::Segmenter::create(bundle, {0, height}).status().code() ==
          ZSSEG_E_INVALID_ARGUMENT);
}

void test_own_arena(const Bytes &bytes)
{
    const zsseg::Bundle bundle = *zsseg::Bundle::open(bytes);
    alignas(ZSSEG_ARENA_ALIGN) static std::byte arena[65536];
    const zsseg::Limits limits{width, height};
    {
        auto segmenter = zsseg::Segmenter::create_in(arena, bundle, limits);
        CHECK(segmenter.ok());
        CHECK(reinterpret_cast<std::byte *>(segmenter->c_ptr()) == arena);
    }
    CHECK(zsseg::Segmenter::create_in({arena, 64}, bundle, limits).status().code() ==
          ZSSEG_E_ARENA_TOO_SMALL);
    CHECK(zsseg::Segmenter::create_in({arena + 1, 4096}, bundle, limits).status().code() ==
          ZSSEG_E_ARENA_ALIGNMENT);
#if defined(ZSSEG_HAS_EXCEPTIONS)
    zsseg_status_t caught = ZSSEG_OK;
    try {
        (void)zsseg::Segmenter::create_in({arena, 64}, bundle, limits).value_or_throw();
    } catch (const zsseg::Exception &exception) {
        caught = exception.status().code();
        CHECK(std::strlen(exception.what()) > 0);
    }
    CHECK(caught == ZSSEG_E_ARENA_TOO_SMALL);
    CHECK(zsseg::Bundle::open(bytes).value_or_throw().class_count() == 3);
#endif
}

/* Without a network a frame without fault ends in ZSSEG_E_UNSUPPORTED. */
void test_images(const Bytes &bytes)
{
    const zsseg::Bundle bundle = *zsseg::Bundle::open(bytes);
    zsseg::Segmenter segmenter = *zsseg::Segmenter::create(bundle, {width, height});
    const Bytes memory(2 * width * height * 4);
    const zsseg::Plane all = memory;
    const zsseg::Image images[] = {
        zsseg::Image::rgb8(all, width, height),
        zsseg::Image::bgr8(all, width, height),
        zsseg::Image::rgba8(all, width, height),
        zsseg::Image::bgra8({memory, 4 * width + 12}, width, height),
        zsseg::Image::gray8(all, width, height),
        zsseg::Image::nv12(all, all, width, height),
        zsseg::Image::nv21(all, all, width, height),
        zsseg::Image::i420(all, all, all, width, height),
        zsseg::Image::yuyv(all, width, height),
        zsseg::Image::uyvy(all, width, height)
            .with_color(zsseg::ColorMatrix::bt709, zsseg::ColorRange::full),
    };
    zsseg::Mask mask(width, height);
    for (const zsseg::Image &image : images) {
        CHECK(segmenter.segment(image, mask.output()).code() == ZSSEG_E_UNSUPPORTED);
    }
    const auto narrow = zsseg::Image::rgb8({memory, 3 * width - 1}, width, height);
    CHECK(segmenter.segment(narrow, mask.output()).code() == ZSSEG_E_STRIDE_TOO_SHORT);
    const auto odd = zsseg::Image::nv12(all, {memory, width}, width, height);
    CHECK(segmenter.segment(odd, mask.output()).code() == ZSSEG_E_STRIDE_TOO_SHORT);

    std::vector<std::uint16_t> wide(width * height);
    Bytes margin(width * height);
    const auto output = zsseg::Output::labels(wide, 2 * width).with_margin(margin, width);
    const std::vector<float> values = features();
    const auto input = zsseg::Features::for_bundle(bundle, values);
    CHECK(segmenter.segment_features(input, width, height, output));
}

/* The list of classes, open: by row, embedding and word; and back to where it was. */
void test_classes(const Bytes &bytes)
{
    const zsseg::Bundle bundle = *zsseg::Bundle::open(bytes);
    const auto limits = zsseg::Limits{width, height}.with_extra_classes(2).with_use(
        ZSSEG_USE_SMOOTHING | ZSSEG_USE_FUSION);
    zsseg::Segmenter segmenter = *zsseg::Segmenter::create(bundle, limits);
    const std::vector<float> values = features();
    const auto input = zsseg::Features::for_bundle(bundle, values);
    zsseg::Mask before(width, height), mask(width, height);
    const auto same = [&](const zsseg::Mask &other) {
        return segmenter.segment_features(input, width, height, mask.output()).ok() &&
               std::memcmp(mask.labels().data(), other.labels().data(), width * height) == 0;
    };
    CHECK(segmenter.segment_features(input, width, height, before.output()));
    CHECK(bundle.can_add_by(ZSSEG_WAY_ROW | ZSSEG_WAY_EMBEDDING | ZSSEG_WAY_WORD));
    CHECK(zsseg::class_cost(bundle, limits)->bytes > 0);

    const auto dog = segmenter.add_class(
        zsseg::NewClass("Rex").with_label(4).with_color(9, 8, 7).with_bias(0.5F).seen(),
        zsseg::Source::word("dog"));
    CHECK(dog.ok() && *dog == 4 && *segmenter.find_class("Rex") == 4 && !same(before));
    const auto found = segmenter.class_at(4);
    CHECK(found.ok() && found->name == "Rex" && found->color[2] == 7 && found->seen);
    CHECK(found->bias == 0.5F && found->enabled && found->origin == ZSSEG_ORIGIN_WORD);
    std::vector<float> embedding(3);
    CHECK(bundle.embed("dog", embedding) && embedding[2] == 2.0F);
    CHECK(segmenter.replace_class(4, zsseg::Source::embedding(embedding)));
    CHECK(segmenter.enable_class(4, false) && same(before));
    const std::vector<float> row = {1.0F, 1.0F, 1.0F, 1.0F};
    CHECK(segmenter.add_class("bird", zsseg::Source::row(row, 0.25F)).ok());
    CHECK(*segmenter.class_vacancies() == 0 && *segmenter.label_capacity() == 5);
    const auto full = segmenter.add_class("wolf", zsseg::Source::word());
    CHECK(full.status().code() == ZSSEG_E_CLASS_TABLE_FULL);
    CHECK(segmenter.rename_class(4, "Bello") && segmenter.set_class_prior(4, 2.0F));
    CHECK(segmenter.remove_class(3) && segmenter.remove_class(4) && same(before));
    CHECK(segmenter.add_class("unicorn", zsseg::Source::word()).status().code() ==
          ZSSEG_E_UNKNOWN_WORD);
    CHECK(std::strlen(segmenter.last_error().text()) > 0);
}

/* Decision, smoothing, fusion, pieces. */
void test_settings(const Bytes &bytes)
{
    const zsseg::Bundle bundle = *zsseg::Bundle::open(bytes);
    const auto limits = zsseg::Limits{width, height}.with_use(ZSSEG_USE_SMOOTHING)
                            .with_use(ZSSEG_USE_FUSION).with_affinity(3, 5, 4);
    zsseg::Segmenter segmenter = *zsseg::Segmenter::create(bundle, limits);
    const std::vector<float> values = features();
    const auto input = zsseg::Features::for_bundle(bundle, values);
    zsseg::Mask whole(width, height), mask(width, height);
    Bytes unknown(width * height);
    zsseg_decision_t decision = *segmenter.decision();
    CHECK(decision.gamma == 0.125F && decision.stacking == ZSSEG_STACKING_PROBABILITIES);
    decision.gamma = 2.0F;
    CHECK(segmenter.set_decision(decision).code() == ZSSEG_E_INVALID_ARGUMENT);
    decision.gamma = 0.0F;
    CHECK(segmenter.set_decision(decision));
    CHECK(segmenter.set_smoothing(0.5F, 1.0F) && segmenter.forget());
    CHECK(segmenter.set_smoothing(1.0F, 1.0F));
    CHECK(segmenter.set_fusion(ZSSEG_FUSION_VOTE, 0.6F));
    const auto affinity = zsseg::Features::hwc(values, 3, 5, 4);
    CHECK(segmenter.begin(input, width, height, whole.output(), &affinity));
    CHECK(*segmenter.step(UINT32_MAX));
    CHECK(segmenter.begin(input, width, height,
                          mask.output().with_unknown(unknown, width), &affinity));
    unsigned steps = 1;
    while (!*segmenter.step(1)) {
        ++steps;
    }
    CHECK(steps > height && std::memcmp(mask.labels().data(), whole.labels().data(),
                                        whole.labels().size()) == 0);
    CHECK(segmenter.begin(input, width, height, mask.output(), &affinity));
    CHECK(segmenter.cancel() && segmenter.step(1).status().code() == ZSSEG_E_CANCELLED);
    CHECK(segmenter.set_deadline_us(1).code() == ZSSEG_E_INVALID_STATE);
    CHECK(segmenter.set_thread_pool(nullptr).code() == ZSSEG_E_NULL_POINTER);
    CHECK(bool(segmenter.unset_thread_pool()));
    CHECK(segmenter.set_clock(nullptr) && segmenter.stage_times()->head_ns == 0);
    CHECK(segmenter.unset_fusion());
}

void test_network(const Bytes &bytes, const ppm &picture)
{
    const zsseg::Result<zsseg::Bundle> opened = zsseg::Bundle::open(bytes);
    CHECK(opened.ok());
    if (!opened) {
        return;
    }
    const zsseg::Bundle &bundle = *opened;
    zsseg::Segmenter segmenter =
        *zsseg::Segmenter::create(bundle, {picture.width, picture.height});
    const zsseg::span<const std::uint8_t> pixels(
        picture.pixels, std::size_t{picture.width} * picture.height * 3);
    zsseg::Mask mask(picture.width, picture.height);
    const auto image = zsseg::Image::rgb8(pixels, picture.width, picture.height);
    CHECK(bundle.has_network());
    CHECK(segmenter.segment(image, mask.output()));

    const zsseg::Result<zsseg::Features> found = segmenter.features();
    CHECK(found.ok() && found->values().size() == std::size_t{found->grid_width()} *
                                                      found->grid_height() * found->channels());
    zsseg::Mask again(picture.width, picture.height);
    CHECK(segmenter.segment_features(*found, picture.width, picture.height, again.output()));
    CHECK(std::memcmp(mask.labels().data(), again.labels().data(), mask.labels().size()) == 0);
}

} // namespace

int main(int argc, char **argv)
{
    if (argc != 3 && argc != 5) {
        std::fprintf(stderr, "usage: %s TINY.zsb WORDS.zsb [NETWORK.zsb PICTURE.ppm]\n", argv[0]);
        return 2;
    }
    const Bytes tiny = read(argv[1]);
    test_bundle(tiny);
    if (checks_failed == 0) {
        test_segmenter(tiny);
        test_own_arena(tiny);
        test_images(tiny);
        test_classes(read(argv[2]));
        test_settings(read(argv[2]));
    }
    if (argc == 5) {
        ppm picture = {};
        const char *reason = ppm_read(argv[4], &picture);
        CHECK(reason == nullptr);
        if (reason == nullptr) {
            test_network(read(argv[3]), picture);
        }
        std::free(picture.pixels);
    }
    std::printf("C++: %lu checks, %lu failed\n", checks_made, checks_failed);
    return checks_failed == 0 ? 0 : 1;
}
