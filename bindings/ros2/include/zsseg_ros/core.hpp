/*
 * core.hpp: what the node does, without ROS. Images as sensor_msgs/Image describes them go in,
 * label masks and confidences go out, into memory of the caller's.
 */
#ifndef ZSSEG_ROS_CORE_HPP
#define ZSSEG_ROS_CORE_HPP

#include "zsseg.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace zsseg_ros {

/** Label of pixels without a class, as vision_msgs/VisionClass has it for masks of one byte. */
constexpr std::uint8_t unlabeled = ZSSEG_UNLABELED_U8;

/** What a call failed at. */
enum class ErrorKind {
    /** The bundle's file cannot be read. */
    file,
    /** The file is no bundle, is damaged, or needs another build of the library. */
    bundle,
    /** A setting is out of its range. */
    setting,
    /** The image's encoding is not one of those that are read. */
    encoding,
    /** Sizes, step and data of an image, or of a mask, do not go together. */
    image,
    /** A class's name is taken or is none, or it has no place. */
    class_name,
    /** A word is not in the bundle's table. */
    word,
    /** No place is left for one more class. */
    full,
    /** The network failed, or the library did. */
    library,
};

/** What the core's calls throw. Nothing was changed then. */
class Error : public std::runtime_error {
public:
    Error(ErrorKind kind, const std::string &text) : std::runtime_error(text), kind_(kind) {}

    ErrorKind kind() const noexcept { return kind_; }

private:
    ErrorKind kind_;
};

/** An image that lies elsewhere. The fields are those of sensor_msgs/Image. */
struct ImageView {
    std::uint32_t width = 0;
    std::uint32_t height = 0;
    /** Bytes from a row to the next; of nv12 and nv21 in both planes. */
    std::size_t step = 0;
    std::string_view encoding;
    zsseg::span<const std::uint8_t> data;
};

/** A plane of one byte per pixel, to be written. */
struct PlaneView {
    /** Bytes from a row to the next. */
    std::size_t step = 0;
    zsseg::span<std::uint8_t> data;
};

/** A class, as vision_msgs/VisionClass tells it. */
struct ClassInfo {
    std::uint16_t id = 0;
    std::string name;
};

struct Settings {
    /** Path of a .zsb file. */
    std::string bundle;
    /** Largest image that will come, in pixels. */
    std::uint32_t max_width = 4096;
    std::uint32_t max_height = 4096;
    /** Room for classes that are added; less where labels would not fit in a byte. */
    std::uint32_t extra_classes = 16;
    /** Handicap of the classes seen in training; as the bundle says if not given, 0 for none. */
    std::optional<float> unseen_bias;
    /** Pixels of lower confidence get no class; as the bundle says if not given, 0 for none. */
    std::optional<float> min_confidence;
};

/** The encodings that are read: those of sensor_msgs/image_encodings.hpp, and nv12. */
const std::vector<std::string_view> &encodings();

/** One model with all the memory it needs. One thread at a time. */
class Core {
public:
    /**
     * Reads the bundle and takes all memory.
     * Throws Error: file, bundle, setting.
     */
    explicit Core(const Settings &settings);

    Core(const Core &) = delete;
    Core &operator=(const Core &) = delete;

    /**
     * Writes the class of every pixel, and its probability (255 = 1) where that is wanted. Planes
     * have the image's size; they must not overlap it or one another.
     * Throws Error: encoding, image, library.
     */
    void segment(const ImageView &image, const PlaneView &labels,
                 const std::optional<PlaneView> &confidence = std::nullopt);

    /**
     * Adds a class, from the next image on, by words of the bundle's table; by those of its name
     * if there are none. Returns its label.
     * Throws Error: class_name, word, full, bundle (which has no words), library.
     */
    std::uint16_t add_class(const std::string &name, const std::string &words = {});

    /** The classes in the order of their labels. */
    std::vector<ClassInfo> classes();

    std::string model_name() const { return std::string(bundle_.model_name()); }
    /** Confidence below which pixels get no class. */
    float min_confidence();
    /** Bytes of the arena; they never change. */
    std::size_t arena_bytes() const;

private:
    struct Release {
        void operator()(std::uint8_t *bytes) const noexcept
        {
            ::operator delete(bytes, std::align_val_t{ZSSEG_ARENA_ALIGN});
        }
    };
    /** A file at a multiple of 64 bytes, where a network's weights are read fastest. */
    struct File {
        explicit File(const std::string &path);

        std::unique_ptr<std::uint8_t, Release> bytes;
        std::size_t size = 0;
    };

    void decide(const Settings &settings);

    File file_;
    zsseg::Bundle bundle_;
    zsseg::Segmenter segmenter_;
};

} // namespace zsseg_ros

#endif
