// Bilinear resizing and its transpose, in the form that gathers: a thread per number of the
// result, 256 to a block. Pictures are rows of pixels, picture after picture, row after row.
#include "numbers.cuh"

// What a pixel reads along one axis.
struct Tap {
    unsigned int low;
    unsigned int high;
    float low_weight;
    float high_weight;
};

// A pixel that reads another one along one axis, and with what weight.
struct Reader {
    unsigned int index;
    float weight;
};

// `taps` are those of the rows, then those of the columns. `height` and `width` are those of `x`,
// with `new_` those of `y`, which has `count` numbers.
extern "C" __global__ void __launch_bounds__(256)
resize(const float* x, const Tap* taps, unsigned int height, unsigned int width,
       unsigned int new_height, unsigned int new_width, unsigned int columns, float* y,
       unsigned long long count)
{
    const unsigned long long place = position();
    if (place >= count) {
        return;
    }
    const unsigned long long pixel = place / columns;
    const unsigned int column = (unsigned int)(place - pixel * columns);
    const unsigned long long line = pixel / new_width;
    const unsigned long long picture = line / new_height;
    const Tap down = taps[line - picture * new_height];
    const Tap across = taps[new_height + (pixel - line * new_width)];
    const float* from = x + picture * height * width * columns + column;
    const unsigned long long low = (unsigned long long)across.low * columns;
    const unsigned long long high = (unsigned long long)across.high * columns;
    const float* top = from + (unsigned long long)down.low * width * columns;
    const float* bottom = from + (unsigned long long)down.high * width * columns;
    const float above = across.low_weight * top[low] + across.high_weight * top[high];
    const float below = across.low_weight * bottom[low] + across.high_weight * bottom[high];
    y[place] = down.low_weight * above + down.high_weight * below;
}
ZS_EXPORT(resize)

// The readers of row `i` of a picture of `dx` are `readers[starts[i]..starts[i + 1]]`, and after
// those of its `height` rows come those of its columns, whose starts follow after one more. All
// are added up in their order.
extern "C" __global__ void __launch_bounds__(256)
resize_backward(const float* dy, const unsigned int* starts, const Reader* readers,
                unsigned int height, unsigned int width, unsigned int new_height,
                unsigned int new_width, unsigned int columns, float* dx, unsigned long long count)
{
    const unsigned long long place = position();
    if (place >= count) {
        return;
    }
    const unsigned long long pixel = place / columns;
    const unsigned int column = (unsigned int)(place - pixel * columns);
    const unsigned long long line = pixel / width;
    const unsigned long long picture = line / height;
    const unsigned int* rows = starts + (line - picture * height);
    const unsigned int* across = starts + height + 1 + (pixel - line * width);
    const float* from = dy + picture * new_height * new_width * columns + column;
    float sum = 0.0f;
    for (unsigned int i = across[0]; i < across[1]; i++) {
        float part = 0.0f;
        for (unsigned int j = rows[0]; j < rows[1]; j++) {
            const unsigned long long read =
                (unsigned long long)readers[j].index * new_width + readers[i].index;
            part += readers[j].weight * from[read * columns];
        }
        sum += readers[i].weight * part;
    }
    dx[place] = sum;
}
ZS_EXPORT(resize_backward)
