/*
 * messages.hpp: between ROS messages and the core. Templates, so that the message packages are the
 * node's affair.
 */
#ifndef ZSSEG_ROS_MESSAGES_HPP
#define ZSSEG_ROS_MESSAGES_HPP

#include "zsseg_ros/core.hpp"

#include <memory>

namespace zsseg_ros {

/** A sensor_msgs/Image where it lies. */
template <class Image>
ImageView view_of(const Image &image)
{
    return {image.width, image.height, image.step, image.encoding,
            {image.data.data(), image.data.size()}};
}

/**
 * A mono8 image of the size, frame and time of another.
 * Throws Error: image, for one that says it is larger than its data. No encoding has less than a
 * byte per pixel, so that nobody can ask for more memory than they send.
 */
template <class Image>
std::unique_ptr<Image> plane_for(const Image &image)
{
    if (std::uint64_t{image.width} * image.height > image.data.size()) {
        throw Error(ErrorKind::image, "an image with less than a byte per pixel");
    }
    auto plane = std::make_unique<Image>();
    plane->header = image.header;
    plane->width = image.width;
    plane->height = image.height;
    plane->encoding = "mono8";
    plane->is_bigendian = 0;
    plane->step = image.width;
    plane->data.resize(std::size_t{image.width} * image.height);
    return plane;
}

/** The whole of a mono8 image, to be written. */
template <class Image>
PlaneView plane_of(Image &image)
{
    return {image.step, {image.data.data(), image.data.size()}};
}

/** Fills a vision_msgs/LabelInfo; its header stays as it is. */
template <class LabelInfo>
void tell_classes(Core &core, LabelInfo &info)
{
    info.class_map.clear();
    for (const ClassInfo &found : core.classes()) {
        auto &entry = info.class_map.emplace_back();
        entry.class_id = found.id;
        entry.class_name = found.name;
    }
    info.threshold = core.min_confidence();
}

/** Answers zsseg_ros/AddClass: what is wrong with a class is said in the response. */
template <class Request, class Response>
void add_class(Core &core, const Request &request, Response &response)
{
    try {
        response.label = core.add_class(request.name, request.words);
        response.success = true;
    } catch (const Error &error) {
        response.label = unlabeled;
        response.success = false;
        response.message = error.what();
    }
}

} // namespace zsseg_ros

#endif
