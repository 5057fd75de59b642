#include "zsseg_ros/core.hpp"

#include <algorithm>
#include <array>
#include <fstream>
#include <ios>

namespace zsseg_ros {

namespace {

constexpr std::uint32_t max_labels = unlabeled;
/** The library's own limit. */
constexpr std::streamoff max_bundle_bytes = std::streamoff{1} << 30;

zsseg::Bundle open(const std::string &path, zsseg::span<const std::uint8_t> bytes)
{
    auto bundle = zsseg::Bundle::open(bytes);
    if (!bundle) {
        throw Error(ErrorKind::bundle, path + ": " + bundle.error().text());
    }
    if (bundle->class_count() > max_labels) {
        throw Error(ErrorKind::bundle, path + " has more classes than a mask of bytes has labels");
    }
    return *bundle;
}

zsseg::Segmenter create(const zsseg::Bundle &bundle, const Settings &settings)
{
    const std::uint32_t room =
        std::min(settings.extra_classes, max_labels - bundle.class_count());
    const auto limits =
        zsseg::Limits{settings.max_width, settings.max_height}.with_extra_classes(room);
    auto segmenter = zsseg::Segmenter::create(bundle, limits);
    if (segmenter) {
        return std::move(*segmenter);
    }
    const zsseg_status_t code = segmenter.status().code();
    const bool of_settings =
        code == ZSSEG_E_INVALID_ARGUMENT || code == ZSSEG_E_LIMIT_EXCEEDED;
    throw Error(of_settings ? ErrorKind::setting : ErrorKind::bundle,
                settings.bundle + ": " + segmenter.error().text());
}

enum class Layout { rgb8, bgr8, rgba8, bgra8, mono8, nv12, nv21, yuyv, uyvy };

struct Encoding {
    std::string_view name;
    Layout layout;
};

// YUY2 has other names before ROS 2 Iron than after, and cameras' drivers use all of them.
constexpr std::array<Encoding, 11> known = {{
    {"rgb8", Layout::rgb8},
    {"bgr8", Layout::bgr8},
    {"rgba8", Layout::rgba8},
    {"bgra8", Layout::bgra8},
    {"mono8", Layout::mono8},
    {"nv12", Layout::nv12},
    {"nv21", Layout::nv21},
    {"yuyv", Layout::yuyv},
    {"yuv422_yuy2", Layout::yuyv},
    {"uyvy", Layout::uyvy},
    {"yuv422", Layout::uyvy},
}};

Layout layout_of(std::string_view encoding)
{
    const auto found = std::find_if(known.begin(), known.end(), [&](const Encoding &entry) {
        return entry.name == encoding;
    });
    if (found == known.end()) {
        throw Error(ErrorKind::encoding, "images in " + std::string(encoding) + " are not read");
    }
    return found->layout;
}

/** The image for the library, which checks step and data. */
zsseg::Image image_of(const ImageView &view)
{
    const std::uint32_t width = view.width;
    const std::uint32_t height = view.height;
    const Layout layout = layout_of(view.encoding);
    // A step of 0 would be taken for rows without padding.
    if (view.step == 0) {
        throw Error(ErrorKind::image, "an image with a step of 0 bytes");
    }
    const zsseg::Plane whole(view.data, view.step);
    switch (layout) {
    case Layout::rgb8:
        return zsseg::Image::rgb8(whole, width, height);
    case Layout::bgr8:
        return zsseg::Image::bgr8(whole, width, height);
    case Layout::rgba8:
        return zsseg::Image::rgba8(whole, width, height);
    case Layout::bgra8:
        return zsseg::Image::bgra8(whole, width, height);
    case Layout::mono8:
        return zsseg::Image::gray8(whole, width, height);
    case Layout::yuyv:
        return zsseg::Image::yuyv(whole, width, height);
    case Layout::uyvy:
        return zsseg::Image::uyvy(whole, width, height);
    case Layout::nv12:
    case Layout::nv21:
        break;
    }
    // Chroma begins below the last row of luma. Too little data leaves a plane too short, which
    // the library says; the division keeps the product from overflowing.
    const std::size_t rows = std::min<std::size_t>(height, view.data.size() / view.step);
    const std::size_t luma = rows * view.step;
    using Bytes = zsseg::span<const std::uint8_t>;
    const zsseg::Plane y(Bytes(view.data.data(), luma), view.step);
    const zsseg::Plane chroma(Bytes(view.data.data() + luma, view.data.size() - luma), view.step);
    return layout == Layout::nv12 ? zsseg::Image::nv12(y, chroma, width, height)
                                  : zsseg::Image::nv21(y, chroma, width, height);
}

ErrorKind kind_of_frame(zsseg_status_t code)
{
    switch (code) {
    case ZSSEG_E_NULL_POINTER:
    case ZSSEG_E_INVALID_ARGUMENT:
    case ZSSEG_E_BUFFER_TOO_SMALL:
    case ZSSEG_E_STRIDE_TOO_SHORT:
    case ZSSEG_E_OVERLAP:
    case ZSSEG_E_FRAME_SIZE:
        return ErrorKind::image;
    default:
        return ErrorKind::library;
    }
}

ErrorKind kind_of_class(zsseg_status_t code)
{
    switch (code) {
    case ZSSEG_E_INVALID_ARGUMENT:
    case ZSSEG_E_CLASS_EXISTS:
        return ErrorKind::class_name;
    case ZSSEG_E_UNKNOWN_WORD:
        return ErrorKind::word;
    case ZSSEG_E_CLASS_TABLE_FULL:
        return ErrorKind::full;
    case ZSSEG_E_UNSUPPORTED:
        return ErrorKind::bundle;
    default:
        return ErrorKind::library;
    }
}

} // namespace

const std::vector<std::string_view> &encodings()
{
    static const std::vector<std::string_view> names = [] {
        std::vector<std::string_view> found;
        for (const Encoding &entry : known) {
            found.push_back(entry.name);
        }
        return found;
    }();
    return names;
}

Core::File::File(const std::string &path)
{
    if (path.empty()) {
        throw Error(ErrorKind::file, "no bundle is named");
    }
    std::ifstream file(path, std::ios::binary | std::ios::ate);
    const std::streamoff end = file.tellg();
    // A folder can be opened, and says that it is as long as a number can be.
    if (!file || end < 0 || end > max_bundle_bytes) {
        throw Error(ErrorKind::file, path + " cannot be read");
    }
    size = static_cast<std::size_t>(end);
    bytes.reset(static_cast<std::uint8_t *>(
        ::operator new(size + 1, std::align_val_t{ZSSEG_ARENA_ALIGN})));
    file.seekg(0);
    if (!file.read(reinterpret_cast<char *>(bytes.get()), end)) {
        throw Error(ErrorKind::file, path + " cannot be read");
    }
}

Core::Core(const Settings &settings)
    : file_(settings.bundle), bundle_(open(settings.bundle, {file_.bytes.get(), file_.size})),
      segmenter_(create(bundle_, settings))
{
    decide(settings);
}

void Core::decide(const Settings &settings)
{
    zsseg_decision_t decision = segmenter_.decision().value_or_throw();
    if (settings.unseen_bias) {
        // The handicap stays where the bundle's own is: on logits or on probabilities.
        decision.gamma = *settings.unseen_bias;
        if (decision.gamma == 0.0F) {
            decision.stacking = ZSSEG_STACKING_OFF;
        } else if (decision.stacking == ZSSEG_STACKING_OFF) {
            decision.stacking = ZSSEG_STACKING_PROBABILITIES;
        }
    }
    decision.min_confidence = settings.min_confidence.value_or(decision.min_confidence);
    if (!segmenter_.set_decision(decision)) {
        throw Error(ErrorKind::setting, std::string("unseen_bias or min_confidence: ") +
                                            segmenter_.last_error().text());
    }
}

void Core::segment(const ImageView &image, const PlaneView &labels,
                   const std::optional<PlaneView> &confidence)
{
    const zsseg::Image frame = image_of(image);
    zsseg::Output output = zsseg::Output::labels(labels.data, labels.step);
    if (confidence) {
        output = output.with_confidence(confidence->data, confidence->step);
    }
    const zsseg::Status status = segmenter_.segment(frame, output);
    if (!status) {
        throw Error(kind_of_frame(status.code()), segmenter_.last_error().text());
    }
}

std::uint16_t Core::add_class(const std::string &name, const std::string &words)
{
    // C would read them up to the NUL.
    if (name.find('\0') != std::string::npos || words.find('\0') != std::string::npos) {
        throw Error(ErrorKind::class_name, "a class's name with a NUL in it");
    }
    const char *phrase = words.empty() ? nullptr : words.c_str();
    const auto label = segmenter_.add_class(name.c_str(), zsseg::Source::word(phrase));
    if (!label) {
        throw Error(kind_of_class(label.status().code()),
                    "class \"" + name + "\": " + label.error().text());
    }
    return static_cast<std::uint16_t>(*label);
}

std::vector<ClassInfo> Core::classes()
{
    std::vector<ClassInfo> found;
    const std::uint32_t capacity = segmenter_.label_capacity().value_or_throw();
    for (std::uint32_t label = 0; label < capacity; ++label) {
        const auto info = segmenter_.class_at(label);
        if (info) {
            found.push_back({static_cast<std::uint16_t>(label), std::string(info->name)});
        }
    }
    return found;
}

float Core::min_confidence()
{
    return segmenter_.decision().value_or_throw().min_confidence;
}

std::size_t Core::arena_bytes() const
{
    return segmenter_.arena_peak().value_or_throw();
}

} // namespace zsseg_ros
