/*
 * node.cpp: zsseg_ros::SegmenterNode, a component. Subscribes to `image`; publishes `~/mask`,
 * `~/confidence` and, latched, `~/label_info`; serves `~/add_class`.
 *
 * Neither compiled nor run by this project's tests, which have no rclcpp: what can be tested
 * without it is in core.cpp and messages.hpp.
 */
#include "zsseg_ros/core.hpp"
#include "zsseg_ros/messages.hpp"
#include "zsseg_ros/srv/add_class.hpp"

#include <rclcpp/rclcpp.hpp>
#include <rclcpp_components/register_node_macro.hpp>
#include <sensor_msgs/msg/image.hpp>
#include <vision_msgs/msg/label_info.hpp>

#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace zsseg_ros {

class SegmenterNode : public rclcpp::Node {
    using Image = sensor_msgs::msg::Image;
    using LabelInfo = vision_msgs::msg::LabelInfo;
    using AddClass = srv::AddClass;

public:
    explicit SegmenterNode(const rclcpp::NodeOptions &options)
        : rclcpp::Node("segmenter", options), core_(settings())
    {
        for (const std::string &name :
             declare_parameter<std::vector<std::string>>("add_class", std::vector<std::string>())) {
            // An empty list cannot be told from no list in a file of parameters: [""] can.
            if (!name.empty()) {
                core_.add_class(name);
            }
        }
        mask_ = create_publisher<Image>("~/mask", rclcpp::SensorDataQoS());
        confidence_ = create_publisher<Image>("~/confidence", rclcpp::SensorDataQoS());
        // Latched topics cannot go through the process's own memory in ROS 2 Humble.
        rclcpp::PublisherOptions latched;
        latched.use_intra_process_comm = rclcpp::IntraProcessSetting::Disable;
        label_info_ = create_publisher<LabelInfo>(
            "~/label_info", rclcpp::QoS(1).reliable().transient_local(), latched);
        add_class_ = create_service<AddClass>(
            "~/add_class", [this](const std::shared_ptr<AddClass::Request> request,
                                  std::shared_ptr<AddClass::Response> response) {
                add_class(core_, *request, *response);
                if (response->success) {
                    publish_classes();
                }
            });
        image_ = create_subscription<Image>(
            "image", rclcpp::SensorDataQoS(),
            [this](const Image::ConstSharedPtr image) { segment(*image); });
        publish_classes();
        RCLCPP_INFO(get_logger(), "%s, arena of %zu bytes", core_.model_name().c_str(),
                    core_.arena_bytes());
    }

private:
    Settings settings()
    {
        Settings found;
        found.bundle = declare_parameter<std::string>("bundle", "");
        found.max_width = whole("max_width", found.max_width);
        found.max_height = whole("max_height", found.max_height);
        found.extra_classes = whole("extra_classes", found.extra_classes);
        found.unseen_bias = number("unseen_bias");
        found.min_confidence = number("min_confidence");
        return found;
    }

    std::uint32_t whole(const char *name, std::uint32_t usual)
    {
        const auto value = declare_parameter<std::int64_t>(name, usual);
        if (value < 0 || value > std::numeric_limits<std::uint32_t>::max()) {
            throw Error(ErrorKind::setting, std::string(name) + " is out of range");
        }
        return static_cast<std::uint32_t>(value);
    }

    /** A number; none where it is not given, or .nan in a file of parameters. */
    std::optional<float> number(const char *name)
    {
        const double value =
            declare_parameter<double>(name, std::numeric_limits<double>::quiet_NaN());
        return std::isnan(value) ? std::nullopt : std::optional<float>(static_cast<float>(value));
    }

    /** The callbacks are in one group that excludes one another: the core has one thread. */
    void segment(const Image &image)
    {
        const bool wants_confidence = confidence_->get_subscription_count() > 0 ||
                                      confidence_->get_intra_process_subscription_count() > 0;
        const bool wants_mask = mask_->get_subscription_count() > 0 ||
                                mask_->get_intra_process_subscription_count() > 0;
        if (!wants_mask && !wants_confidence) {
            return;
        }
        try {
            auto mask = plane_for(image);
            std::unique_ptr<Image> confidence;
            std::optional<PlaneView> confidence_plane;
            if (wants_confidence) {
                confidence = plane_for(image);
                confidence_plane = plane_of(*confidence);
            }
            core_.segment(view_of(image), plane_of(*mask), confidence_plane);
            mask_->publish(std::move(mask));
            if (confidence) {
                confidence_->publish(std::move(confidence));
            }
        } catch (const Error &error) {
            RCLCPP_ERROR_THROTTLE(get_logger(), *get_clock(), 1000, "%s", error.what());
        }
    }

    void publish_classes()
    {
        LabelInfo info;
        info.header.stamp = now();
        tell_classes(core_, info);
        label_info_->publish(info);
    }

    Core core_;
    rclcpp::Publisher<Image>::SharedPtr mask_;
    rclcpp::Publisher<Image>::SharedPtr confidence_;
    rclcpp::Publisher<LabelInfo>::SharedPtr label_info_;
    rclcpp::Service<AddClass>::SharedPtr add_class_;
    rclcpp::Subscription<Image>::SharedPtr image_;
};

} // namespace zsseg_ros

RCLCPP_COMPONENTS_REGISTER_NODE(zsseg_ros::SegmenterNode)
