/*
 * zsseg.hpp: zsseg.h for C++17 and later, header only.
 *
 *     auto bundle = zsseg::Bundle::open({bytes.data(), bytes.size()});
 *     if (!bundle) return fail(bundle.error().text());
 *     auto limits = zsseg::Limits{1280, 720}.with_extra_classes(8);
 *     auto segmenter = zsseg::Segmenter::create(*bundle, limits);
 *     if (!segmenter) return fail(segmenter.error().text());
 *     auto cat = segmenter->add_class("cat", zsseg::Source::word());
 *     if (!cat) return fail(cat.error().text());
 *
 *     zsseg::Mask mask(1280, 720);
 *     auto frame = zsseg::Image::rgb8(pixels, 1280, 720);
 *     if (!segmenter->segment(frame, mask.output())) return fail(segmenter->last_error().text());
 *
 * Errors are values: nothing throws unless value_or_throw() is called, and the header compiles
 * with -fno-exceptions and -fno-rtti. Memory is taken from the heap in two places only, both of
 * which can be left out: Segmenter::create() (use create_in() with an arena of your own) and Mask
 * (use Output over buffers of your own).
 *
 * Ownership and threads are as in zsseg.h: the bundle's bytes outlive the Bundle and every
 * Segmenter made from it; one Segmenter, one thread at a time.
 */
#ifndef ZSSEG_HPP
#define ZSSEG_HPP

#include "zsseg.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#if defined(__has_include)
#if __has_include(<version>)
#include <version>
#endif
#endif

#if defined(__cpp_lib_span)
#include <span>
#endif

#if defined(__cpp_exceptions)
#include <stdexcept>
#define ZSSEG_HAS_EXCEPTIONS 1
#endif

namespace zsseg {

// Files compiled as C++17 and as C++20 have different spans, so their names must differ too.
#if defined(__cpp_lib_span)
inline namespace std_span {
#else
inline namespace own_span {
#endif

#if defined(__cpp_lib_span)

template <class T>
using span = std::span<T>;

#else

/** The part of std::span that this header needs, for C++17. */
template <class T>
class span {
public:
    using element_type = T;
    using value_type = std::remove_cv_t<T>;

    constexpr span() noexcept = default;
    constexpr span(T *data, std::size_t size) noexcept : data_(data), size_(size) {}

    template <std::size_t N>
    constexpr span(T (&array)[N]) noexcept : data_(array), size_(N) {}

    /** From anything with data() and size(), such as std::vector and std::array. */
    template <class Range,
              class Pointer = decltype(std::declval<Range &>().data()),
              class = decltype(std::declval<Range &>().size()),
              class = std::enable_if_t<
                  std::is_convertible_v<std::remove_pointer_t<Pointer> (*)[], T (*)[]>>>
    constexpr span(Range &&range) noexcept : data_(range.data()), size_(range.size()) {}

    constexpr T *data() const noexcept { return data_; }
    constexpr std::size_t size() const noexcept { return size_; }
    constexpr std::size_t size_bytes() const noexcept { return size_ * sizeof(T); }
    constexpr bool empty() const noexcept { return size_ == 0; }
    constexpr T &operator[](std::size_t index) const noexcept { return data_[index]; }
    constexpr T *begin() const noexcept { return data_; }
    constexpr T *end() const noexcept { return data_ + size_; }

private:
    T *data_ = nullptr;
    std::size_t size_ = 0;
};

#endif

/** Outcome of a call; true when it did what it promised. */
class [[nodiscard]] Status {
public:
    constexpr Status() noexcept = default;
    constexpr explicit Status(zsseg_status_t code) noexcept : code_(code) {}

    /** ZSSEG_OK or one of the ZSSEG_E_ numbers. */
    constexpr zsseg_status_t code() const noexcept { return code_; }
    constexpr bool ok() const noexcept { return code_ == ZSSEG_OK; }
    constexpr explicit operator bool() const noexcept { return ok(); }
    /** A short English sentence. */
    const char *text() const noexcept { return zsseg_status_str(code_); }

    friend constexpr bool operator==(Status left, Status right) noexcept
    {
        return left.code_ == right.code_;
    }
    friend constexpr bool operator!=(Status left, Status right) noexcept
    {
        return left.code_ != right.code_;
    }

private:
    zsseg_status_t code_ = ZSSEG_OK;
};

/** A status with its circumstances, in fixed memory. */
class Error {
public:
    Error() noexcept { raw_.struct_size = sizeof raw_; }
    /** An error whose text is that of its status. */
    explicit Error(Status status) noexcept : Error()
    {
        raw_.status = status.code();
        const std::string_view text = status.text();
        text.copy(raw_.text, sizeof raw_.text - 1);
    }

    Status status() const noexcept { return Status(raw_.status); }
    /** English, says what was wrong and where. */
    const char *text() const noexcept { return raw_.text; }
    /** For calls of zsseg.h. */
    zsseg_error_t *c_ptr() noexcept { return &raw_; }

private:
    friend class Segmenter;
    zsseg_error_t raw_ = {};
};

#if defined(ZSSEG_HAS_EXCEPTIONS)

/** What value_or_throw() throws. */
class Exception : public std::runtime_error {
public:
    explicit Exception(const Error &error)
        : std::runtime_error(error.text()), status_(error.status())
    {
    }

    Status status() const noexcept { return status_; }

private:
    Status status_;
};

#endif

/** A value or the error that was met instead. Asking for the one that is not there aborts. */
template <class T>
class [[nodiscard]] Result {
public:
    Result(T value) noexcept : content_(std::in_place_index<0>, std::move(value)) {}
    Result(const Error &error) noexcept : content_(std::in_place_index<1>, error) {}

    bool ok() const noexcept { return content_.index() == 0; }
    explicit operator bool() const noexcept { return ok(); }
    Status status() const noexcept { return ok() ? Status() : error().status(); }

    T &value() & noexcept { return present(std::get_if<0>(&content_)); }
    const T &value() const & noexcept { return present(std::get_if<0>(&content_)); }
    T value() && noexcept { return std::move(present(std::get_if<0>(&content_))); }
    const Error &error() const noexcept { return present(std::get_if<1>(&content_)); }

    T &operator*() & noexcept { return value(); }
    const T &operator*() const & noexcept { return value(); }
    T operator*() && noexcept { return std::move(*this).value(); }
    T *operator->() noexcept { return &value(); }
    const T *operator->() const noexcept { return &value(); }

#if defined(ZSSEG_HAS_EXCEPTIONS)
    T value_or_throw() &&
    {
        if (!ok()) {
            throw Exception(error());
        }
        return std::move(*this).value();
    }
#endif

private:
    template <class U>
    static U &present(U *pointer) noexcept
    {
        if (pointer == nullptr) {
            std::abort();
        }
        return *pointer;
    }

    std::variant<T, Error> content_;
};

/** One class of a model or of a segmenter. Its name lies there. */
struct Class {
    /** Its value in masks. */
    std::uint32_t index = 0;
    std::string_view name;
    std::array<std::uint8_t, 3> color = {};
    bool seen = false;
    bool background = false;
    float bias = 0.0F;
    /** Whether it takes part. */
    bool enabled = true;
    float prior = 1.0F;
    /** One of ZSSEG_ORIGIN_*. */
    std::uint32_t origin = ZSSEG_ORIGIN_BUNDLE;

    static Class of(const zsseg_class_t &raw) noexcept
    {
        Class found;
        found.index = raw.label;
        found.name = raw.name;
        found.color = {raw.color[0], raw.color[1], raw.color[2]};
        found.seen = (raw.flags & ZSSEG_CLASS_SEEN) != 0;
        found.background = (raw.flags & ZSSEG_CLASS_BACKGROUND) != 0;
        found.bias = raw.bias;
        found.prior = raw.prior;
        found.origin = raw.origin;
        return found;
    }
};

/** A view of a bundle's bytes, which the caller keeps. */
class Bundle {
public:
    /** Checks structure, numbers and every checksum; linear in the size of the bundle. */
    static Result<Bundle> open(span<const std::uint8_t> bytes) noexcept
    {
        Error error;
        if (zsseg_bundle_verify(bytes.data(), bytes.size(), error.c_ptr()) != ZSSEG_OK) {
            return error;
        }
        return parse(bytes);
    }

    /** As open(), without comparing the checksums of the sections. */
    static Result<Bundle> parse(span<const std::uint8_t> bytes) noexcept
    {
        Bundle bundle(bytes);
        Error error;
        if (zsseg_bundle_info(bytes.data(), bytes.size(), &bundle.info_, error.c_ptr()) !=
            ZSSEG_OK) {
            return error;
        }
        return bundle;
    }

    span<const std::uint8_t> bytes() const noexcept { return bytes_; }
    /** Everything the bundle says about itself. */
    const zsseg_bundle_info_t &info() const noexcept { return info_; }
    std::string_view model_name() const noexcept { return info_.model_name; }
    /** SPDX expression of the weights' licence. */
    std::string_view license() const noexcept { return info_.license; }
    /** Markdown; empty when there is none. */
    std::string_view model_card() const noexcept
    {
        return info_.model_card == nullptr
                   ? std::string_view()
                   : std::string_view(info_.model_card, info_.model_card_bytes);
    }
    bool has_network() const noexcept { return info_.backbone != ZSSEG_BACKBONE_EXTERNAL; }
    std::uint32_t class_count() const noexcept { return info_.class_count; }
    /** Whether classes can be added in this way, one of ZSSEG_WAY_*. */
    bool can_add_by(std::uint32_t way) const noexcept { return (info_.ways & way) == way; }

    /** Writes the embedding of a phrase: info().embedding_dim numbers. */
    Status embed(const char *phrase, span<float> values) const noexcept
    {
        return Status(zsseg_bundle_embed(bytes_.data(), bytes_.size(), phrase, values.data(),
                                         values.size(), nullptr));
    }

    /** Class `index`, which is its label in masks. */
    Result<Class> class_at(std::uint32_t index) const noexcept
    {
        zsseg_class_t raw = {};
        raw.struct_size = sizeof raw;
        Error error;
        if (zsseg_bundle_class(bytes_.data(), bytes_.size(), index, &raw, error.c_ptr()) !=
            ZSSEG_OK) {
            return error;
        }
        return Class::of(raw);
    }

    /** Calls `visit(const Class &)` for every class in the order of the labels. */
    template <class Visit>
    Status for_each_class(Visit &&visit) const
    {
        for (std::uint32_t index = 0; index < class_count(); ++index) {
            const Result<Class> found = class_at(index);
            if (!found) {
                return found.status();
            }
            visit(*found);
        }
        return Status();
    }

private:
    explicit Bundle(span<const std::uint8_t> bytes) noexcept : bytes_(bytes)
    {
        info_.struct_size = sizeof info_;
    }

    span<const std::uint8_t> bytes_;
    zsseg_bundle_info_t info_ = {};
};

/** What a segmenter must be ready for. */
struct Limits {
    std::uint32_t max_frame_width = 0;
    std::uint32_t max_frame_height = 0;
    /** Threads that the network may use. */
    std::uint32_t threads = 1;
    /** Classes that may be added or given another row. */
    std::uint32_t extra_classes = 0;
    /** ZSSEG_USE_* bits. */
    std::uint32_t uses = 0;
    /** Rows, columns and channels of features for the segments; zeros for the network's own. */
    std::array<std::uint32_t, 3> affinity = {};

    Limits with_extra_classes(std::uint32_t count) const noexcept
    {
        Limits limits = *this;
        limits.extra_classes = count;
        return limits;
    }
    /** Adds a use, one of ZSSEG_USE_*. */
    Limits with_use(std::uint32_t use) const noexcept
    {
        Limits limits = *this;
        limits.uses |= use;
        return limits;
    }
    Limits with_affinity(std::uint32_t grid_height, std::uint32_t grid_width,
                         std::uint32_t channels) const noexcept
    {
        Limits limits = *this;
        limits.affinity = {grid_height, grid_width, channels};
        return limits;
    }

    zsseg_limits_t c_struct() const noexcept
    {
        zsseg_limits_t raw = {};
        raw.struct_size = sizeof raw;
        raw.max_frame_width = max_frame_width;
        raw.max_frame_height = max_frame_height;
        raw.threads = threads;
        raw.extra_classes = extra_classes;
        raw.uses = uses;
        raw.affinity_height = affinity[0];
        raw.affinity_width = affinity[1];
        raw.affinity_channels = affinity[2];
        return raw;
    }
};

/** What each class that may be added costs, with this bundle and these limits. */
inline Result<zsseg_class_cost_t> class_cost(const Bundle &bundle, const Limits &limits) noexcept
{
    const zsseg_limits_t raw = limits.c_struct();
    zsseg_class_cost_t cost = {};
    cost.struct_size = sizeof cost;
    Error error;
    if (zsseg_class_cost(bundle.bytes().data(), bundle.bytes().size(), &raw, &cost,
                         error.c_ptr()) != ZSSEG_OK) {
        return error;
    }
    return cost;
}

/** How a class's row is made from its embedding. */
enum class Method : std::uint32_t {
    direct = ZSSEG_METHOD_DIRECT,
    generator = ZSSEG_METHOD_GENERATOR,
};

/** Where the row of a class comes from. Numbers and texts are the caller's, for the call only. */
class Source {
public:
    /** The row itself; without bias for dot and cosine heads. */
    static Source row(span<const float> weights, float bias = 0.0F) noexcept
    {
        return Source(Kind::row, weights, nullptr, bias, Method::direct);
    }
    static Source embedding(span<const float> values, Method method = Method::direct) noexcept
    {
        return Source(Kind::embedding, values, nullptr, 0.0F, method);
    }
    /** Words of the bundle; those of the class's name if there is no phrase. */
    static Source word(const char *phrase = nullptr, Method method = Method::direct) noexcept
    {
        return Source(Kind::word, {}, phrase, 0.0F, method);
    }

private:
    friend class Segmenter;
    enum class Kind { row, embedding, word };

    Source(Kind kind, span<const float> numbers, const char *phrase, float bias,
           Method method) noexcept
        : kind_(kind), numbers_(numbers), phrase_(phrase), bias_(bias), method_(method)
    {
    }

    zsseg_status_t add(zsseg_t *handle, const zsseg_new_class_t &raw,
                       std::uint32_t *label) const noexcept
    {
        const auto method = static_cast<std::uint32_t>(method_);
        switch (kind_) {
        case Kind::row:
            return zsseg_class_add_row(handle, &raw, numbers_.data(), numbers_.size(), bias_,
                                       label);
        case Kind::embedding:
            return zsseg_class_add_embedding(handle, &raw, numbers_.data(), numbers_.size(),
                                             method, label);
        case Kind::word:
            break;
        }
        return zsseg_class_add_word(handle, &raw, phrase_, method, label);
    }

    zsseg_status_t replace(zsseg_t *handle, std::uint32_t label) const noexcept
    {
        const auto method = static_cast<std::uint32_t>(method_);
        switch (kind_) {
        case Kind::row:
            return zsseg_class_replace_row(handle, label, numbers_.data(), numbers_.size(), bias_);
        case Kind::embedding:
            return zsseg_class_replace_embedding(handle, label, numbers_.data(), numbers_.size(),
                                                 method);
        case Kind::word:
            break;
        }
        return zsseg_class_replace_word(handle, label, phrase_, method);
    }

    Kind kind_;
    span<const float> numbers_;
    const char *phrase_;
    float bias_;
    Method method_;
};

/** A class that is to be added: an unseen one with a free label unless said. */
class NewClass {
public:
    /** `name` is NUL-terminated UTF-8. */
    NewClass(const char *name) noexcept
    {
        raw_.struct_size = sizeof raw_;
        raw_.name = name;
    }

    NewClass seen() const noexcept
    {
        NewClass changed = *this;
        changed.raw_.flags |= ZSSEG_NEW_CLASS_SEEN;
        return changed;
    }
    NewClass with_label(std::uint32_t label) const noexcept
    {
        NewClass changed = *this;
        changed.raw_.flags |= ZSSEG_NEW_CLASS_LABEL;
        changed.raw_.label = label;
        return changed;
    }
    NewClass with_color(std::uint8_t red, std::uint8_t green, std::uint8_t blue) const noexcept
    {
        NewClass changed = *this;
        changed.raw_.flags |= ZSSEG_NEW_CLASS_COLOR;
        changed.raw_.color[0] = red;
        changed.raw_.color[1] = green;
        changed.raw_.color[2] = blue;
        return changed;
    }
    NewClass with_bias(float bias) const noexcept
    {
        NewClass changed = *this;
        changed.raw_.bias = bias;
        return changed;
    }

    const zsseg_new_class_t &c_struct() const noexcept { return raw_; }

private:
    zsseg_new_class_t raw_ = {};
};

enum class ColorMatrix : std::uint32_t { bt601 = ZSSEG_MATRIX_BT601, bt709 = ZSSEG_MATRIX_BT709 };
enum class ColorRange : std::uint32_t { limited = ZSSEG_RANGE_LIMITED, full = ZSSEG_RANGE_FULL };

/** One plane of a frame: bytes, or anything that has data() and size(). */
struct Plane {
    /** A stride of 0 stands for rows without padding. */
    template <class Bytes, class = std::enable_if_t<
                               std::is_convertible_v<Bytes &&, span<const std::uint8_t>>>>
    Plane(Bytes &&plane, std::size_t stride = 0) noexcept : bytes(plane), stride_bytes(stride)
    {
    }

    span<const std::uint8_t> bytes;
    std::size_t stride_bytes;
};

/** A camera frame, read in place. The library checks planes and strides when it is used. */
class Image {
public:
    static Image rgb8(Plane pixels, std::uint32_t width, std::uint32_t height) noexcept
    {
        return Image(ZSSEG_FORMAT_RGB8, width, height).plane(0, pixels, width, 3);
    }
    static Image bgr8(Plane pixels, std::uint32_t width, std::uint32_t height) noexcept
    {
        return Image(ZSSEG_FORMAT_BGR8, width, height).plane(0, pixels, width, 3);
    }
    static Image rgba8(Plane pixels, std::uint32_t width, std::uint32_t height) noexcept
    {
        return Image(ZSSEG_FORMAT_RGBA8, width, height).plane(0, pixels, width, 4);
    }
    static Image bgra8(Plane pixels, std::uint32_t width, std::uint32_t height) noexcept
    {
        return Image(ZSSEG_FORMAT_BGRA8, width, height).plane(0, pixels, width, 4);
    }
    static Image gray8(Plane pixels, std::uint32_t width, std::uint32_t height) noexcept
    {
        return Image(ZSSEG_FORMAT_GRAY8, width, height).plane(0, pixels, width, 1);
    }
    /** Y, then interleaved Cb and Cr. */
    static Image nv12(Plane y, Plane cb_cr, std::uint32_t width, std::uint32_t height) noexcept
    {
        return Image(ZSSEG_FORMAT_NV12, width, height)
            .plane(0, y, width, 1)
            .plane(1, cb_cr, half(width), 2);
    }
    /** Y, then interleaved Cr and Cb. */
    static Image nv21(Plane y, Plane cr_cb, std::uint32_t width, std::uint32_t height) noexcept
    {
        return Image(ZSSEG_FORMAT_NV21, width, height)
            .plane(0, y, width, 1)
            .plane(1, cr_cb, half(width), 2);
    }
    static Image i420(Plane y, Plane cb, Plane cr, std::uint32_t width,
                      std::uint32_t height) noexcept
    {
        return Image(ZSSEG_FORMAT_I420, width, height)
            .plane(0, y, width, 1)
            .plane(1, cb, half(width), 1)
            .plane(2, cr, half(width), 1);
    }
    static Image yuyv(Plane pixels, std::uint32_t width, std::uint32_t height) noexcept
    {
        return Image(ZSSEG_FORMAT_YUYV, width, height).plane(0, pixels, half(width), 4);
    }
    static Image uyvy(Plane pixels, std::uint32_t width, std::uint32_t height) noexcept
    {
        return Image(ZSSEG_FORMAT_UYVY, width, height).plane(0, pixels, half(width), 4);
    }

    /** The same frame with another meaning of its YCbCr values; BT.601, limited, unless said. */
    Image with_color(ColorMatrix matrix, ColorRange range) const noexcept
    {
        Image image = *this;
        image.raw_.color_matrix = static_cast<std::uint32_t>(matrix);
        image.raw_.color_range = static_cast<std::uint32_t>(range);
        return image;
    }

    std::uint32_t width() const noexcept { return raw_.width; }
    std::uint32_t height() const noexcept { return raw_.height; }
    const zsseg_image_t &c_struct() const noexcept { return raw_; }

private:
    Image(std::uint32_t format, std::uint32_t width, std::uint32_t height) noexcept
    {
        raw_.struct_size = sizeof raw_;
        raw_.format = format;
        raw_.width = width;
        raw_.height = height;
        raw_.color_matrix = ZSSEG_MATRIX_BT601;
        raw_.color_range = ZSSEG_RANGE_LIMITED;
    }

    static constexpr std::uint32_t half(std::uint32_t side) noexcept
    {
        return side / 2 + side % 2;
    }

    Image &plane(std::size_t number, const Plane &source, std::uint32_t samples,
                 std::size_t sample_bytes) noexcept
    {
        raw_.planes[number] = source.bytes.data();
        raw_.plane_bytes[number] = source.bytes.size();
        raw_.stride_bytes[number] =
            source.stride_bytes == 0 ? samples * sample_bytes : source.stride_bytes;
        return *this;
    }

    zsseg_image_t raw_ = {};
};

/** Where a mask goes: buffers of the caller's, with the bytes between two rows. */
class Output {
public:
    /** One byte per pixel; ZSSEG_UNLABELED_U8 where the network saw nothing. */
    static Output labels(span<std::uint8_t> plane, std::size_t stride_bytes) noexcept
    {
        return Output(ZSSEG_LABELS_U8, plane.data(), plane.size(), stride_bytes);
    }
    /** Two bytes per pixel; ZSSEG_UNLABELED_U16 where the network saw nothing. */
    static Output labels(span<std::uint16_t> plane, std::size_t stride_bytes) noexcept
    {
        return Output(ZSSEG_LABELS_U16, plane.data(), plane.size_bytes(), stride_bytes);
    }
    /** Asks for the probability of the winning class, 255 = 1. */
    Output with_confidence(span<std::uint8_t> plane, std::size_t stride_bytes) const noexcept
    {
        Output output = *this;
        output.raw_.confidence = plane.data();
        output.raw_.confidence_bytes = plane.size();
        output.raw_.confidence_stride_bytes = stride_bytes;
        return output;
    }
    /** Asks for the winner's lead over the runner-up, 255 = 1. */
    Output with_margin(span<std::uint8_t> plane, std::size_t stride_bytes) const noexcept
    {
        Output output = *this;
        output.raw_.margin = plane.data();
        output.raw_.margin_bytes = plane.size();
        output.raw_.margin_stride_bytes = stride_bytes;
        return output;
    }
    /** Asks for how much a pixel looks like none of the classes, 255 = 1. */
    Output with_unknown(span<std::uint8_t> plane, std::size_t stride_bytes) const noexcept
    {
        Output output = *this;
        output.raw_.unknown = plane.data();
        output.raw_.unknown_bytes = plane.size();
        output.raw_.unknown_stride_bytes = stride_bytes;
        return output;
    }

    const zsseg_output_t &c_struct() const noexcept { return raw_; }

private:
    Output(std::uint32_t type, void *plane, std::size_t bytes, std::size_t stride_bytes) noexcept
    {
        raw_.struct_size = sizeof raw_;
        raw_.label_type = type;
        raw_.labels = plane;
        raw_.labels_bytes = bytes;
        raw_.labels_stride_bytes = stride_bytes;
    }

    zsseg_output_t raw_ = {};
};

/** A mask in memory of its own: labels and confidences of a frame, one byte each. */
class Mask {
public:
    Mask(std::uint32_t width, std::uint32_t height)
        : width_(width), height_(height), labels_(pixels(), std::uint8_t{ZSSEG_UNLABELED_U8}),
          confidences_(pixels())
    {
    }

    std::uint32_t width() const noexcept { return width_; }
    std::uint32_t height() const noexcept { return height_; }
    /** Row after row, without padding. */
    span<const std::uint8_t> labels() const noexcept { return {labels_.data(), labels_.size()}; }
    span<const std::uint8_t> confidences() const noexcept
    {
        return {confidences_.data(), confidences_.size()};
    }
    std::uint8_t label(std::uint32_t x, std::uint32_t y) const noexcept
    {
        return labels_[at(x, y)];
    }
    std::uint8_t confidence(std::uint32_t x, std::uint32_t y) const noexcept
    {
        return confidences_[at(x, y)];
    }
    /** Number of pixels with each label; the last element counts the unlabelled ones. */
    std::array<std::size_t, 256> counts() const noexcept
    {
        std::array<std::size_t, 256> counted = {};
        for (const std::uint8_t found : labels_) {
            ++counted[found];
        }
        return counted;
    }

    /** For Segmenter::segment(); valid as long as the mask is neither moved nor destroyed. */
    Output output() noexcept
    {
        return Output::labels(span<std::uint8_t>(labels_.data(), labels_.size()), width_)
            .with_confidence(span<std::uint8_t>(confidences_.data(), confidences_.size()), width_);
    }

private:
    std::size_t pixels() const noexcept { return static_cast<std::size_t>(width_) * height_; }
    std::size_t at(std::uint32_t x, std::uint32_t y) const noexcept
    {
        return static_cast<std::size_t>(y) * width_ + x;
    }

    std::uint32_t width_;
    std::uint32_t height_;
    std::vector<std::uint8_t> labels_;
    std::vector<std::uint8_t> confidences_;
};

/** A network's output: features, or logits for a bundle without a classifier. */
class Features {
public:
    /** Values of an NPU for a bundle, in the shape and order that the bundle states. */
    static Features for_bundle(const Bundle &bundle, span<const float> values) noexcept
    {
        const zsseg_bundle_info_t &info = bundle.info();
        Features features;
        features.raw_.layout = info.output_layout;
        features.raw_.data = values.data();
        features.raw_.len = values.size();
        features.raw_.grid_height = info.grid_height;
        features.raw_.grid_width = info.grid_width;
        features.raw_.channels = info.channels;
        return features;
    }

    /** Values of any shape, such as those for the segments. */
    static Features hwc(span<const float> values, std::uint32_t grid_height,
                        std::uint32_t grid_width, std::uint32_t channels) noexcept
    {
        Features features;
        features.raw_.layout = ZSSEG_LAYOUT_HWC;
        features.raw_.data = values.data();
        features.raw_.len = values.size();
        features.raw_.grid_height = grid_height;
        features.raw_.grid_width = grid_width;
        features.raw_.channels = channels;
        return features;
    }

    span<const float> values() const noexcept { return {raw_.data, raw_.len}; }
    /** ZSSEG_LAYOUT_CHW or ZSSEG_LAYOUT_HWC. */
    std::uint32_t layout() const noexcept { return raw_.layout; }
    std::uint32_t grid_height() const noexcept { return raw_.grid_height; }
    std::uint32_t grid_width() const noexcept { return raw_.grid_width; }
    std::uint32_t channels() const noexcept { return raw_.channels; }
    const zsseg_features_t &c_struct() const noexcept { return raw_; }

private:
    friend class Segmenter;
    Features() noexcept { raw_.struct_size = sizeof raw_; }

    zsseg_features_t raw_ = {};
};

/** Segments frames with one model. Move-only; closes its handle when it goes. */
class Segmenter {
public:
    /** Exact size of the arena that create_in() will need. */
    static Result<std::size_t> arena_bytes(const Bundle &bundle, const Limits &limits) noexcept
    {
        const zsseg_limits_t raw = limits.c_struct();
        std::size_t need = 0;
        Error error;
        if (zsseg_arena_size(bundle.bytes().data(), bundle.bytes().size(), &raw, &need,
                             error.c_ptr()) != ZSSEG_OK) {
            return error;
        }
        return need;
    }

    /** With an arena of its own, from the heap. */
    static Result<Segmenter> create(const Bundle &bundle, const Limits &limits) noexcept
    {
        const Result<std::size_t> need = arena_bytes(bundle, limits);
        if (!need) {
            return need.error();
        }
        OwnedArena arena(static_cast<std::byte *>(
            ::operator new(*need, std::align_val_t{ZSSEG_ARENA_ALIGN}, std::nothrow)));
        if (arena == nullptr) {
            return Error(Status(ZSSEG_E_ARENA_TOO_SMALL));
        }
        Result<Segmenter> created = create_in({arena.get(), *need}, bundle, limits);
        if (created) {
            created->arena_ = std::move(arena);
        }
        return created;
    }

    /** In the caller's arena, which starts at a multiple of ZSSEG_ARENA_ALIGN and outlives it. */
    static Result<Segmenter> create_in(span<std::byte> arena, const Bundle &bundle,
                                       const Limits &limits) noexcept
    {
        const zsseg_limits_t raw = limits.c_struct();
        zsseg_t *handle = nullptr;
        Error error;
        if (zsseg_init(bundle.bytes().data(), bundle.bytes().size(), &raw, arena.data(),
                       arena.size(), &handle, error.c_ptr()) != ZSSEG_OK) {
            return error;
        }
        return Segmenter(handle);
    }

    Segmenter(Segmenter &&other) noexcept
        : arena_(std::move(other.arena_)), handle_(std::exchange(other.handle_, nullptr)),
          latest_(other.latest_)
    {
    }
    Segmenter &operator=(Segmenter &&other) noexcept
    {
        if (this != &other) {
            close();
            handle_ = std::exchange(other.handle_, nullptr);
            arena_ = std::move(other.arena_);
            latest_ = other.latest_;
        }
        return *this;
    }
    Segmenter(const Segmenter &) = delete;
    Segmenter &operator=(const Segmenter &) = delete;
    ~Segmenter() { close(); }

    /** Writes the class of every pixel of `image`; `output` is written on success only. */
    Status segment(const Image &image, const Output &output) noexcept
    {
        latest_ = Status(zsseg_segment(handle_, &image.c_struct(), &output.c_struct()));
        return latest_;
    }

    /** The same for a frame whose features another engine computed. */
    Status segment_features(const Features &features, std::uint32_t width, std::uint32_t height,
                            const Output &output) noexcept
    {
        latest_ = Status(zsseg_segment_features(handle_, &features.c_struct(), width, height,
                                                &output.c_struct()));
        return latest_;
    }

    /** The network's output for the latest frame; valid until the next one. */
    Result<Features> features() noexcept
    {
        Features features;
        latest_ = Status(zsseg_features(handle_, &features.raw_));
        if (!latest_) {
            return last_error();
        }
        return features;
    }

    /** Begins a frame that step() carries on. What image, features and output describe stays in
     * place until then; `affinity`, where given, is what segments are found from. */
    Status begin(const Image &image, const Output &output,
                 const Features *affinity = nullptr) noexcept
    {
        zsseg_frame_t frame = {};
        frame.image = &image.c_struct();
        return begin(frame, affinity, output);
    }
    Status begin(const Features &features, std::uint32_t width, std::uint32_t height,
                 const Output &output, const Features *affinity = nullptr) noexcept
    {
        zsseg_frame_t frame = {};
        frame.features = &features.c_struct();
        frame.width = width;
        frame.height = height;
        return begin(frame, affinity, output);
    }
    /** Carries the frame on by at most `pieces` pieces; whether its mask is complete. */
    Result<bool> step(std::uint32_t pieces) noexcept
    {
        std::uint32_t done = 0;
        return noted(zsseg_step(handle_, pieces, &done), [&] { return done == 1; });
    }
    /** Stops the frame at work; from any thread. */
    Status cancel() noexcept { return Status(zsseg_cancel(handle_)); }

    /** Adds a class from the next frame on; its label. Nothing changes on an error. */
    Result<std::uint32_t> add_class(const NewClass &added, const Source &source) noexcept
    {
        std::uint32_t label = 0;
        return noted(source.add(handle_, added.c_struct(), &label), [&] { return label; });
    }
    /** Gives a class another row; a word needs its phrase. */
    Status replace_class(std::uint32_t label, const Source &source) noexcept
    {
        return noted(source.replace(handle_, label));
    }
    Status remove_class(std::uint32_t label) noexcept
    {
        return noted(zsseg_class_remove(handle_, label));
    }
    Status rename_class(std::uint32_t label, const char *name) noexcept
    {
        return noted(zsseg_class_rename(handle_, label, name));
    }
    Status enable_class(std::uint32_t label, bool enabled) noexcept
    {
        return noted(zsseg_class_enable(handle_, label, enabled ? 1 : 0));
    }
    Status set_class_bias(std::uint32_t label, float bias) noexcept
    {
        return noted(zsseg_class_set_bias(handle_, label, bias));
    }
    Status set_class_prior(std::uint32_t label, float prior) noexcept
    {
        return noted(zsseg_class_set_prior(handle_, label, prior));
    }
    /** Label of the class with this name. */
    Result<std::uint32_t> find_class(const char *name) noexcept
    {
        std::uint32_t label = 0;
        return noted(zsseg_class_find(handle_, name, &label), [&] { return label; });
    }
    /** The class with this label; its name is there until the class changes. */
    Result<Class> class_at(std::uint32_t label) noexcept
    {
        zsseg_class_t raw = {};
        raw.struct_size = sizeof raw;
        return noted(zsseg_class_info(handle_, label, &raw), [&] {
            Class found = Class::of(raw);
            found.enabled = (raw.flags & ZSSEG_CLASS_ENABLED) != 0;
            return found;
        });
    }
    /** Labels are smaller than this. */
    Result<std::uint32_t> label_capacity() noexcept
    {
        std::uint32_t count = 0;
        return noted(zsseg_label_capacity(handle_, &count), [&] { return count; });
    }
    /** Rows that can still be added or replaced. */
    Result<std::uint32_t> class_vacancies() noexcept
    {
        std::uint32_t count = 0;
        return noted(zsseg_class_vacancies(handle_, &count), [&] { return count; });
    }

    /** How pixels are decided. */
    Result<zsseg_decision_t> decision() noexcept
    {
        zsseg_decision_t found = {};
        found.struct_size = sizeof found;
        return noted(zsseg_decision(handle_, &found), [&] { return found; });
    }
    Status set_decision(const zsseg_decision_t &decision) noexcept
    {
        return noted(zsseg_set_decision(handle_, &decision));
    }
    Status set_smoothing(float weight, float cut) noexcept
    {
        return noted(zsseg_set_smoothing(handle_, weight, cut));
    }
    Status forget() noexcept { return noted(zsseg_forget(handle_)); }
    /** One of ZSSEG_FUSION_* with its parameter. */
    Status set_fusion(std::uint32_t mode, float parameter, std::uint32_t segments = 5) noexcept
    {
        const zsseg_fusion_t fusion = {sizeof fusion, mode, parameter, segments};
        return noted(zsseg_set_fusion(handle_, &fusion));
    }
    Status unset_fusion() noexcept { return noted(zsseg_set_fusion(handle_, nullptr)); }
    Status set_clock(std::uint64_t (*now_ns)()) noexcept
    {
        return noted(zsseg_set_clock(handle_, now_ns));
    }
    /** Threads for the layers of a compiled network: `run` keeps what zsseg_run_parts_t says. */
    Status set_thread_pool(zsseg_run_parts_t run, void *context = nullptr) noexcept
    {
        const zsseg_thread_pool_t pool = {sizeof pool, 0, context, run};
        return noted(zsseg_set_thread_pool(handle_, &pool));
    }
    Status unset_thread_pool() noexcept { return noted(zsseg_set_thread_pool(handle_, nullptr)); }
    /** 0 for no deadline. */
    Status set_deadline_us(std::uint64_t deadline_us) noexcept
    {
        return noted(zsseg_set_deadline_us(handle_, deadline_us));
    }
    /** Where the time of the latest frame went. */
    Result<zsseg_times_t> stage_times() noexcept
    {
        zsseg_times_t times = {};
        times.struct_size = sizeof times;
        return noted(zsseg_stage_times(handle_, &times), [&] { return times; });
    }

    /** What the latest call that can fail, other than arena_peak() and cancel(), failed with. */
    Error last_error() const noexcept
    {
        Error error;
        error.raw_.status = latest_.code();
        const zsseg_status_t asked =
            zsseg_last_error(handle_, error.raw_.text, sizeof error.raw_.text);
        return asked == ZSSEG_OK ? error : Error(Status(asked));
    }

    /** Bytes of the arena in use. */
    Result<std::size_t> arena_peak() const noexcept
    {
        std::size_t bytes = 0;
        const Status status(zsseg_arena_peak(handle_, &bytes));
        if (!status) {
            return Error(status);
        }
        return bytes;
    }

    /** For calls of zsseg.h; still owned by this object. */
    zsseg_t *c_ptr() const noexcept { return handle_; }

private:
    struct Release {
        void operator()(std::byte *bytes) const noexcept
        {
            ::operator delete(bytes, std::align_val_t{ZSSEG_ARENA_ALIGN});
        }
    };
    using OwnedArena = std::unique_ptr<std::byte, Release>;

    explicit Segmenter(zsseg_t *handle) noexcept : handle_(handle) {}

    Status noted(zsseg_status_t status) noexcept
    {
        latest_ = Status(status);
        return latest_;
    }
    /** What `get` says after a success, or the error. */
    template <class Get, class T = std::invoke_result_t<Get>>
    Result<T> noted(zsseg_status_t status, Get &&get) noexcept
    {
        if (!noted(status)) {
            return last_error();
        }
        return get();
    }

    Status begin(zsseg_frame_t &frame, const Features *affinity, const Output &output) noexcept
    {
        frame.struct_size = sizeof frame;
        frame.affinity = affinity == nullptr ? nullptr : &affinity->c_struct();
        return noted(zsseg_begin(handle_, &frame, &output.c_struct()));
    }

    void close() noexcept
    {
        if (handle_ != nullptr) {
            (void)zsseg_close(std::exchange(handle_, nullptr));
        }
    }

    OwnedArena arena_;
    zsseg_t *handle_ = nullptr;
    Status latest_;
};

} // inline namespace
} // namespace zsseg

#endif
