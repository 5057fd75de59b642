/*
 * Milliseconds per frame: bench BUNDLE.zsb PICTURE.ppm [FRAMES [THREADS]]
 *
 * The C++ twin of bindings/c/examples/bench.c.
 */
#include <algorithm>
#include <chrono>

#include "opened.hpp"
#include "thread_pool.h"

namespace {

/** Threads that are joined at the end. */
class Threads {
public:
    explicit Threads(std::uint32_t count) { thread_pool_open(&pool, count); }
    ~Threads() { thread_pool_close(&pool); }
    Threads(const Threads &) = delete;
    Threads &operator=(const Threads &) = delete;
    thread_pool pool;
};

} // namespace

int main(int argc, char **argv)
{
    using Clock = std::chrono::steady_clock;
    using Milliseconds = std::chrono::duration<double, std::milli>;

    const long frames = argc >= 4 ? std::strtol(argv[3], nullptr, 10) : 20;
    const long threads = argc == 5 ? std::strtol(argv[4], nullptr, 10) : 1;
    if (argc < 3 || argc > 5 || frames < 1 || frames > 1000000 || threads < 1 || threads > 64) {
        std::fprintf(stderr, "usage: %s BUNDLE.zsb PICTURE.ppm [FRAMES [THREADS]]\n", argv[0]);
        return EXIT_FAILURE;
    }
    const Picture picture(argv[2]);
    if (picture.reason != nullptr) {
        return fail(argv[0], picture.reason);
    }
    const auto bytes = read_file(argv[1]);
    const auto bundle = zsseg::Bundle::open(bytes);
    if (!bundle) {
        return fail(argv[0], bundle.error().text());
    }
    auto limits = zsseg::Limits{picture.width, picture.height};
    limits.threads = static_cast<std::uint32_t>(threads);
    Threads lent(limits.threads);
    auto segmenter = zsseg::Segmenter::create(*bundle, limits);
    if (!segmenter) {
        return fail(argv[0], segmenter.error().text());
    }
    if (!segmenter->set_thread_pool(thread_pool_run, &lent.pool)) {
        return fail(argv[0], segmenter->last_error().text());
    }
    zsseg::Mask mask(picture.width, picture.height);
    std::vector<double> times_ms;
    for (long frame = 0; frame < frames; ++frame) {
        const auto started = Clock::now();
        if (!segmenter->segment(picture.image(), mask.output())) {
            return fail(argv[0], segmenter->last_error().text());
        }
        times_ms.push_back(Milliseconds(Clock::now() - started).count());
    }
    std::sort(times_ms.begin(), times_ms.end());
    std::printf("%.2f ms median, %.2f ms least, of %ld\n", times_ms[times_ms.size() / 2],
                times_ms.front(), frames);
    return EXIT_SUCCESS;
}
