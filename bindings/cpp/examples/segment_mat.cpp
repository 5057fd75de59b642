/*
 * Segments a picture that OpenCV reads, into a cv::Mat: segment_mat BUNDLE.zsb PICTURE [MASK.png]
 *
 * The frame stays where OpenCV put it, B G R with whatever padding its rows have, and the mask is
 * written into the matrix; nothing is copied.
 */
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <opencv2/imgcodecs.hpp>
#include <vector>

#include "zsseg.hpp"

namespace {

zsseg::Image image_of(const cv::Mat &bgr)
{
    const std::size_t bytes = bgr.step * (bgr.rows - 1) + bgr.cols * bgr.elemSize();
    const zsseg::span<const std::uint8_t> pixels(bgr.data, bytes);
    return zsseg::Image::bgr8({pixels, bgr.step}, bgr.cols, bgr.rows);
}

zsseg::Output output_of(cv::Mat &labels)
{
    const zsseg::span<std::uint8_t> plane(labels.data, labels.step * labels.rows);
    return zsseg::Output::labels(plane, labels.step);
}

int fail(const char *reason)
{
    std::fprintf(stderr, "segment_mat: %s\n", reason);
    return EXIT_FAILURE;
}

} // namespace

int main(int argc, char **argv)
{
    if (argc != 3 && argc != 4) {
        std::fprintf(stderr, "usage: %s BUNDLE.zsb PICTURE [MASK.png]\n", argv[0]);
        return EXIT_FAILURE;
    }
    const cv::Mat frame = cv::imread(argv[2], cv::IMREAD_COLOR);
    if (frame.empty()) {
        return fail("the picture cannot be read");
    }
    std::ifstream file(argv[1], std::ios::binary);
    const std::vector<std::uint8_t> bytes(std::istreambuf_iterator<char>(file), {});
    const auto bundle = zsseg::Bundle::open(bytes);
    if (!bundle) {
        return fail(bundle.error().text());
    }
    const auto width = static_cast<std::uint32_t>(frame.cols);
    auto segmenter =
        zsseg::Segmenter::create(*bundle, {width, static_cast<std::uint32_t>(frame.rows)});
    if (!segmenter) {
        return fail(segmenter.error().text());
    }
    cv::Mat labels(frame.rows, frame.cols, CV_8UC1);
    if (!segmenter->segment(image_of(frame), output_of(labels))) {
        return fail(segmenter->last_error().text());
    }
    std::printf("%zu x %zu labels\n", std::size_t{width}, static_cast<std::size_t>(frame.rows));
    if (argc == 4 && !cv::imwrite(argv[3], labels)) {
        return fail("the mask cannot be written");
    }
    return EXIT_SUCCESS;
}
