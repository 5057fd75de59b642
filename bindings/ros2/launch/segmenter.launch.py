"""The segmenter as a component in a container of its own.

ros2 launch zsseg_ros segmenter.launch.py bundle:=MODEL.zsb image:=/camera/image_raw
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import ComposableNodeContainer
from launch_ros.descriptions import ComposableNode
from launch_ros.substitutions import FindPackageShare


def generate_launch_description():
    usual = PathJoinSubstitution([FindPackageShare("zsseg_ros"), "config", "segmenter.yaml"])
    segmenter = ComposableNode(
        package="zsseg_ros",
        plugin="zsseg_ros::SegmenterNode",
        name="segmenter",
        parameters=[LaunchConfiguration("parameters"), {"bundle": LaunchConfiguration("bundle")}],
        remappings=[("image", LaunchConfiguration("image"))],
        extra_arguments=[{"use_intra_process_comms": True}],
    )
    return LaunchDescription(
        [
            DeclareLaunchArgument("bundle", description="The model: a .zsb file"),
            DeclareLaunchArgument("image", default_value="image", description="Topic of images"),
            DeclareLaunchArgument("parameters", default_value=usual, description="A YAML file"),
            ComposableNodeContainer(
                name="segmenter_container",
                namespace="",
                package="rclcpp_components",
                executable="component_container",
                composable_node_descriptions=[segmenter],
                output="screen",
            ),
        ]
    )
