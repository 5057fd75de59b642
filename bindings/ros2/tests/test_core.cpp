/*
 * The core and what lies between it and messages, without ROS:
 * test_core NETWORK.zsb PICTURE.ppm BROKEN_FILE
 *
 * NETWORK.zsb knows the word cat and has no class of that name.
 */
#include "zsseg_ros/core.hpp"
#include "zsseg_ros/messages.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <limits>
#include <string>
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

using zsseg_ros::Core;
using zsseg_ros::Error;
using zsseg_ros::ErrorKind;
using zsseg_ros::ImageView;
using zsseg_ros::PlaneView;
using zsseg_ros::Settings;
using Bytes = std::vector<std::uint8_t>;

/** Whether the call throws an error of this kind, which says something. */
bool throws(ErrorKind kind, const std::function<void()> &call)
{
    try {
        call();
    } catch (const Error &error) {
        if (error.kind() == kind && error.what()[0] != '\0') {
            return true;
        }
        std::fprintf(stderr, "    thrown: %d, %s\n", static_cast<int>(error.kind()), error.what());
    }
    return false;
}

struct Picture {
    std::uint32_t width;
    std::uint32_t height;
    Bytes rgb;
};

struct Planes {
    Bytes labels;
    Bytes confidence;

    bool operator==(const Planes &other) const
    {
        return labels == other.labels && confidence == other.confidence;
    }
};

/** What zsseg.hpp makes of a frame. */
Planes reference(const zsseg::Bundle &bundle, const zsseg::Image &image, bool with_cat = false)
{
    const std::uint32_t width = image.width();
    const std::uint32_t height = image.height();
    const auto limits = zsseg::Limits{width, height}.with_extra_classes(1);
    auto segmenter = zsseg::Segmenter::create(bundle, limits).value_or_throw();
    if (with_cat) {
        segmenter.add_class("cat", zsseg::Source::word()).value_or_throw();
    }
    zsseg::Mask mask(width, height);
    CHECK(segmenter.segment(image, mask.output()));
    const auto labels = mask.labels();
    const auto confidence = mask.confidences();
    return {Bytes(labels.begin(), labels.end()), Bytes(confidence.begin(), confidence.end())};
}

/** What the core makes of it, in planes with rows of padding, without the padding. */
Planes segmented(Core &core, const ImageView &image)
{
    const std::size_t step = image.width + 5;
    Bytes labels(step * image.height, 0xee);
    Bytes confidence(step * image.height, 0xee);
    core.segment(image, {step, labels}, PlaneView{step, confidence});
    Planes found;
    bool padding_is_kept = true;
    for (std::size_t row = 0; row < image.height; ++row) {
        const auto copy = [&](const Bytes &from, Bytes &to) {
            const auto start = from.begin() + static_cast<std::ptrdiff_t>(row * step);
            const auto end = start + image.width;
            to.insert(to.end(), start, end);
            padding_is_kept &= std::count(end, end + 5, 0xee) == 5;
        };
        copy(labels, found.labels);
        copy(confidence, found.confidence);
    }
    CHECK(padding_is_kept);
    return found;
}

/** Rows of `row_bytes`, moved `step` bytes apart. */
Bytes padded(const Bytes &packed, std::size_t row_bytes, std::size_t step)
{
    Bytes moved(packed.size() / row_bytes * step, 0xa5);
    for (std::size_t row = 0; row < packed.size() / row_bytes; ++row) {
        std::memcpy(moved.data() + row * step, packed.data() + row * row_bytes, row_bytes);
    }
    return moved;
}

/** Any bytes are a frame: the picture's serve for every encoding. */
void test_encodings(Core &core, const zsseg::Bundle &bundle, const Picture &picture)
{
    // Even sides: drivers send no others in the encodings with coarse chroma.
    const std::uint32_t width = 200;
    const std::uint32_t height = 120;
    Bytes source = picture.rgb;
    source.insert(source.end(), picture.rgb.begin(), picture.rgb.end());
    const auto part = [&](std::size_t bytes) {
        return Bytes(source.begin(), source.begin() + static_cast<std::ptrdiff_t>(bytes));
    };
    struct Case {
        const char *encoding;
        std::size_t row_bytes;
        std::size_t rows;
        std::function<zsseg::Image(const Bytes &)> image;
    };
    const std::size_t pixels = std::size_t{width} * height;
    const auto chroma = [&](const Bytes &bytes) {
        return zsseg::span<const std::uint8_t>(bytes.data() + pixels, bytes.size() - pixels);
    };
    using zsseg::Image;
    const auto w = width;
    const auto h = height;
    const auto yuyv = [&](const Bytes &b) { return Image::yuyv(b, w, h); };
    const auto uyvy = [&](const Bytes &b) { return Image::uyvy(b, w, h); };
    const std::vector<Case> cases = {
        {"rgb8", w * 3U, h, [&](const Bytes &b) { return Image::rgb8(b, w, h); }},
        {"bgr8", w * 3U, h, [&](const Bytes &b) { return Image::bgr8(b, w, h); }},
        {"rgba8", w * 4U, h, [&](const Bytes &b) { return Image::rgba8(b, w, h); }},
        {"bgra8", w * 4U, h, [&](const Bytes &b) { return Image::bgra8(b, w, h); }},
        {"mono8", w, h, [&](const Bytes &b) { return Image::gray8(b, w, h); }},
        {"nv12", w, h * 3U / 2, [&](const Bytes &b) { return Image::nv12(b, chroma(b), w, h); }},
        {"nv21", w, h * 3U / 2, [&](const Bytes &b) { return Image::nv21(b, chroma(b), w, h); }},
        {"yuyv", w * 2U, h, yuyv},
        {"yuv422_yuy2", w * 2U, h, yuyv},
        {"uyvy", w * 2U, h, uyvy},
        {"yuv422", w * 2U, h, uyvy},
    };
    CHECK(cases.size() == zsseg_ros::encodings().size());
    std::vector<Planes> seen;
    for (const Case &entry : cases) {
        const Bytes packed = part(entry.row_bytes * entry.rows);
        const Planes wanted = reference(bundle, entry.image(packed));
        const std::size_t step = entry.row_bytes + 7;
        const Bytes moved = padded(packed, entry.row_bytes, step);
        CHECK(segmented(core, {w, h, entry.row_bytes, entry.encoding, packed}) == wanted);
        CHECK(segmented(core, {w, h, step, entry.encoding, moved}) == wanted);
        seen.push_back(wanted);

        // A byte less, of a frame whose last row has no padding, is too little.
        const Bytes labels(pixels, 0xee);
        Bytes untouched = labels;
        const std::size_t enough = step * (entry.rows - 1) + entry.row_bytes;
        const auto with = [&](std::size_t bytes, std::size_t row_step) {
            core.segment({w, h, row_step, entry.encoding, {moved.data(), bytes}}, {w, untouched});
        };
        CHECK(throws(ErrorKind::image, [&] { with(enough - 1, step); }));
        CHECK(throws(ErrorKind::image, [&] { with(0, step); }));
        CHECK(throws(ErrorKind::image, [&] { with(moved.size(), entry.row_bytes - 1); }));
        CHECK(throws(ErrorKind::image, [&] { with(moved.size(), 0); }));
        CHECK(throws(ErrorKind::image,
                     [&] { with(moved.size(), std::numeric_limits<std::size_t>::max()); }));
        CHECK(untouched == labels);
        with(enough, step);
        CHECK(untouched == wanted.labels);
    }
    // Else a wrong encoding would not be noticed.
    for (std::size_t a = 0; a < 8; ++a) {
        for (std::size_t b = 0; b < a; ++b) {
            CHECK(!(seen[a] == seen[b]));
        }
    }
}

void test_refusals(Core &core, const Picture &picture)
{
    const std::size_t step = picture.width * 3U;
    const std::size_t pixels = std::size_t{picture.width} * picture.height;
    Bytes labels(pixels);
    const PlaneView plane = {picture.width, labels};
    const auto with = [&](std::uint32_t width, std::uint32_t height, const char *encoding) {
        core.segment({width, height, step, encoding, picture.rgb}, plane);
    };
    for (const char *encoding : {"", "RGB8", "rgb8 ", "rgb16", "32FC1", "bayer_rggb8", "nv24"}) {
        CHECK(throws(ErrorKind::encoding,
                     [&] { with(picture.width, picture.height, encoding); }));
    }
    CHECK(throws(ErrorKind::image, [&] { with(0, picture.height, "rgb8"); }));
    CHECK(throws(ErrorKind::image, [&] { with(picture.width, 0, "rgb8"); }));
    CHECK(throws(ErrorKind::image, [&] { with(1, 2000, "rgb8"); }));
    const ImageView view = {picture.width, picture.height, step, "rgb8", picture.rgb};
    CHECK(throws(ErrorKind::image, [&] { core.segment(view, {picture.width - 1U, labels}); }));
    CHECK(throws(ErrorKind::image, [&] {
        core.segment(view, {picture.width, {labels.data(), labels.size() - 1}});
    }));
    CHECK(throws(ErrorKind::image, [&] { core.segment(view, plane, plane); }));
}

void test_settings(const Settings &usual, const char *broken, const Picture &picture)
{
    const auto with = [&](const std::function<void(Settings &)> &change) {
        Settings settings = usual;
        change(settings);
        return settings;
    };
    const auto opens = [](const Settings &settings) { Core core(settings); };
    const auto refuses = [&](ErrorKind kind, const std::function<void(Settings &)> &change) {
        return throws(kind, [&] { opens(with(change)); });
    };
    CHECK(refuses(ErrorKind::file, [](Settings &s) { s.bundle.clear(); }));
    CHECK(refuses(ErrorKind::file, [](Settings &s) { s.bundle = "/nowhere/at/all.zsb"; }));
    CHECK(refuses(ErrorKind::file, [](Settings &s) { s.bundle = "/"; }));
    CHECK(refuses(ErrorKind::bundle, [&](Settings &s) { s.bundle = broken; }));
    CHECK(refuses(ErrorKind::setting, [](Settings &s) { s.max_width = 0; }));
    CHECK(refuses(ErrorKind::setting, [](Settings &s) { s.max_height = 1U << 20; }));
    CHECK(refuses(ErrorKind::setting, [](Settings &s) { s.unseen_bias = INFINITY; }));
    CHECK(refuses(ErrorKind::setting, [](Settings &s) { s.min_confidence = -0.1F; }));
    // As much room as labels leave.
    opens(with([](Settings &s) { s.extra_classes = 100000; }));

    const ImageView view = {picture.width, picture.height, picture.width * 3U, "rgb8",
                            picture.rgb};
    Core plain(usual);
    Core strict(with([](Settings &s) { s.min_confidence = 0.9F; }));
    CHECK(strict.min_confidence() == 0.9F);
    const Planes all = segmented(plain, view);
    const Planes sure = segmented(strict, view);
    std::size_t rejected = 0;
    bool all_low_ones = true;
    for (std::size_t i = 0; i < all.labels.size(); ++i) {
        const bool low = all.confidence[i] < 228; // 0.9 of 255 is 229.5
        all_low_ones &= !low || sure.labels[i] == zsseg_ros::unlabeled;
        rejected += sure.labels[i] == zsseg_ros::unlabeled ? 1U : 0U;
    }
    CHECK(all_low_ones);
    CHECK(rejected > 0 && rejected < all.labels.size());

    Core biased(with([](Settings &s) { s.unseen_bias = 0.9F; }));
    Core even(with([](Settings &s) { s.unseen_bias = 0.0F; }));
    biased.add_class("cat");
    even.add_class("cat");
    const auto cats = [&](Core &core) {
        const Bytes labels = segmented(core, view).labels;
        return std::count(labels.begin(), labels.end(), std::uint8_t{11});
    };
    CHECK(cats(biased) > cats(even));
}

void test_classes(const Settings &usual, const zsseg::Bundle &bundle, const Picture &picture)
{
    Settings settings = usual;
    settings.extra_classes = 2;
    Core core(settings);
    const std::size_t arena = core.arena_bytes();
    const ImageView view = {picture.width, picture.height, picture.width * 3U, "rgb8",
                            picture.rgb};
    const auto image = zsseg::Image::rgb8(picture.rgb, picture.width, picture.height);
    CHECK(core.model_name() == bundle.model_name());
    CHECK(core.classes().size() == bundle.class_count());
    CHECK(core.classes()[0].name == "background" && core.classes()[0].id == 0);
    const Planes without = segmented(core, view);
    CHECK(without == reference(bundle, image));

    CHECK(throws(ErrorKind::word, [&] { core.add_class("notaword"); }));
    CHECK(throws(ErrorKind::class_name, [&] { core.add_class(""); }));
    CHECK(throws(ErrorKind::class_name, [&] { core.add_class("background", "cat"); }));
    CHECK(throws(ErrorKind::class_name, [&] { core.add_class(std::string("c\0t", 3), "cat"); }));
    CHECK(throws(ErrorKind::class_name, [&] { core.add_class(std::string(64, 'c'), "cat"); }));
    CHECK(core.classes().size() == bundle.class_count());
    CHECK(segmented(core, view) == without);

    const std::uint16_t cat = core.add_class("cat");
    CHECK(cat == bundle.class_count());
    CHECK(core.classes().back().id == cat && core.classes().back().name == "cat");
    const Planes with_cat = segmented(core, view);
    CHECK(with_cat == reference(bundle, image, true));
    CHECK(!(with_cat == without));
    CHECK(core.add_class("notaword", "cat") == cat + 1);
    CHECK(throws(ErrorKind::full, [&] { core.add_class("cow"); }));
    CHECK(core.arena_bytes() == arena);
}

/** The fields of ROS 2's messages that are looked at. */
struct Header {
    int stamp = 0;
    std::string frame_id;
};
struct Image {
    Header header;
    std::uint32_t height = 0;
    std::uint32_t width = 0;
    std::string encoding;
    std::uint8_t is_bigendian = 1;
    std::uint32_t step = 0;
    Bytes data;
};
struct VisionClass {
    std::uint16_t class_id = 0;
    std::string class_name;
};
struct LabelInfo {
    std::vector<VisionClass> class_map;
    float threshold = -1.0F;
};
struct Request {
    std::string name;
    std::string words;
};
struct Response {
    bool success = false;
    std::uint16_t label = 0;
    std::string message;
};

void test_messages(const Settings &usual, const zsseg::Bundle &bundle, const Picture &picture)
{
    Core core(usual);
    Image image;
    image.header = {42, "camera"};
    image.width = picture.width;
    image.height = picture.height;
    image.encoding = "rgb8";
    image.step = picture.width * 3U;
    image.data = picture.rgb;
    auto mask = zsseg_ros::plane_for(image);
    auto confidence = zsseg_ros::plane_for(image);
    CHECK(mask->header.stamp == 42 && mask->header.frame_id == "camera");
    CHECK(mask->width == image.width && mask->height == image.height);
    CHECK(mask->encoding == "mono8" && mask->step == image.width && mask->is_bigendian == 0);
    core.segment(zsseg_ros::view_of(image), zsseg_ros::plane_of(*mask),
                 zsseg_ros::plane_of(*confidence));
    const auto frame = zsseg::Image::rgb8(picture.rgb, picture.width, picture.height);
    CHECK((Planes{mask->data, confidence->data}) == reference(bundle, frame));
    image.width = image.height = 0xffffffffU;
    CHECK(throws(ErrorKind::image, [&] { zsseg_ros::plane_for(image); }));

    Response response;
    zsseg_ros::add_class(core, Request{"cat", ""}, response);
    CHECK(response.success && response.label == bundle.class_count() && response.message.empty());
    zsseg_ros::add_class(core, Request{"cat", ""}, response);
    CHECK(!response.success && response.label == zsseg_ros::unlabeled);
    CHECK(response.message.find("cat") != std::string::npos);

    LabelInfo info;
    info.class_map.resize(3);
    zsseg_ros::tell_classes(core, info);
    CHECK(info.class_map.size() == bundle.class_count() + 1U);
    CHECK(info.class_map.back().class_name == "cat");
    CHECK(info.class_map.back().class_id == bundle.class_count());
    CHECK(info.threshold == core.min_confidence());
}

} // namespace

int main(int argc, char **argv)
{
    if (argc != 4) {
        std::fprintf(stderr, "usage: %s NETWORK.zsb PICTURE.ppm BROKEN_FILE\n", argv[0]);
        return 2;
    }
    ppm read = {};
    const char *reason = ppm_read(argv[2], &read);
    if (reason != nullptr) {
        std::fprintf(stderr, "%s: %s\n", argv[2], reason);
        return 2;
    }
    Picture picture = {read.width, read.height, {}};
    picture.rgb.assign(read.pixels, read.pixels + std::size_t{read.width} * read.height * 3);
    std::free(read.pixels);

    std::ifstream file(argv[1], std::ios::binary);
    const Bytes bytes(std::istreambuf_iterator<char>(file), {});
    const zsseg::Bundle bundle = zsseg::Bundle::open(bytes).value_or_throw();
    Settings settings;
    settings.bundle = argv[1];
    settings.max_width = 600;
    settings.max_height = 600;
    Core core(settings);
    test_encodings(core, bundle, picture);
    test_refusals(core, picture);
    test_settings(settings, argv[3], picture);
    test_classes(settings, bundle, picture);
    test_messages(settings, bundle, picture);
    std::printf("ROS core: %lu checks, %lu failed\n", checks_made, checks_failed);
    return checks_failed == 0 ? 0 : 1;
}
