/* Products in each size of tiles against plain loops, bit for bit: factors whose rows or whose terms lie side by side, and
 * windows of images; rows, outputs and terms that fill no tile, one, and more than two. */
#define SNNCC_REAL_BITS 32
#include "snncc/cuda/cuda.h"

#include <cstdio>
#include <vector>

static std::vector<snncc_real> some(size_t count, unsigned seed)
{
    std::vector<snncc_real> numbers(count);
    for (snncc_real &number : numbers) {
        seed = seed * 1664525u + 1013904223u;
        number = (snncc_real)(int)(seed >> 8) / (1 << 22) - 2;
    }
    return numbers;
}

static snncc_real *uploaded(const std::vector<snncc_real> &numbers)
{
    void *device = nullptr;
    cudaMalloc(&device, numbers.size() * sizeof(snncc_real));
    cudaMemcpy(device, numbers.data(), numbers.size() * sizeof(snncc_real), cudaMemcpyHostToDevice);
    return (snncc_real *)device;
}

static int failures = 0;

/* What the kernel gives, added to `start`, and what loops give of the same factors. */
template <int TALL, int WIDE, int DEPTH, class Left, class Right>
static void compare(const char *what, int rows, int outputs, int terms, Left a, Right b)
{
    const std::vector<snncc_real> start = some((size_t)rows * outputs, 7);
    std::vector<snncc_real> found(start);
    snncc_real *const y = uploaded(start);
    snncc_multiply_tiled<TALL, WIDE, DEPTH>(nullptr, 1, rows, outputs, terms, a, b, nullptr, 1, y);
    cudaMemcpy(found.data(), y, found.size() * sizeof(snncc_real), cudaMemcpyDeviceToHost);
    cudaFree(y);
    for (int row = 0; row < rows; row++)
        for (int output = 0; output < outputs; output++) {
            snncc_real sum = start[(size_t)row * outputs + output];
            for (int term = 0; term < terms; term++) sum += a.at(a.row(row), a.term(term)) * b.at(b.row(output), b.term(term));
            if (sum != found[(size_t)row * outputs + output] && !failures++)
                printf("%s <%d, %d, %d>, %d x %d of %d: differs at %d, %d\n", what, TALL, WIDE, DEPTH, rows, outputs, terms,
                       row, output);
        }
}

template <int TALL, int WIDE, int DEPTH> static void compare_all(const snncc_real *x, const snncc_real *w)
{
    const int sizes[][3] = {{1, 1, 1}, {16 * TALL, 16 * WIDE, 2 * DEPTH}, {16 * TALL + 3, 16 * WIDE + 1, 2 * DEPTH + 5}};
    for (const auto &size : sizes) {
        const int rows = size[0], outputs = size[1], terms = size[2];
        const snncc_factor along = {x, terms, 1, 0}, across = {x + (terms - 1) * rows, 1, -rows, 0};
        compare<TALL, WIDE, DEPTH>("terms by outputs", rows, outputs, terms, along, snncc_factor{w, 1, outputs, 0});
        compare<TALL, WIDE, DEPTH>("rows by terms", rows, outputs, terms, across, snncc_factor{w, terms, 1, 0});
    }
    const snncc_windows g = {3, 16 * WIDE + 2, 1, {1, 5, 4}, {1, 3, 4}, {1, 3, 2}, {1, 2, 1}, {0, 1, 1}, {1, 1, 2}};
    const int windows = snncc_out_pixels(g), inputs = snncc_window_inputs(g), images = 4 + TALL;
    const snncc_unfolded unfolded = snncc_unfolded_of(g, x);
    compare<TALL, WIDE, DEPTH>("windows", images * windows, g.outputs, inputs, snncc_conv_left{unfolded},
                               snncc_factor{w, 1, g.outputs, 0});
    compare<TALL, WIDE, DEPTH>("gradient", inputs, g.outputs, images * windows, snncc_conv_gradient_left{unfolded, images - 1},
                               snncc_conv_gradient_right{g.outputs, images - 1, snncc_divide_by(windows), w});
}

int main()
{
    const snncc_real *const x = uploaded(some(1 << 15, 1)), *const w = uploaded(some(1 << 15, 2));
    compare_all<8, 4, 8>(x, w);
    compare_all<4, 4, 16>(x, w);
    compare_all<4, 1, 16>(x, w);
    compare_all<1, 1, 64>(x, w);
    return failures > 0;
}
