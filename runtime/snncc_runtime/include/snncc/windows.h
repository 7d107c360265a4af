/* Windows that slide over images. In memory an image lies pixel by pixel, [depth][height][width][channels]; flat ones
 * have a depth of 1. A weight is a matrix [outputs][places][channels of a group] in panels: see layout.h. */
#ifndef SNNCC_WINDOWS_H
#define SNNCC_WINDOWS_H

#include "target.h"

/* Of a convolution from `channels` to `outputs`; of pooling outputs is 0. in, out: pixels of the images. Always a
 * constant, so that kernels are specialised for it. */
typedef struct {
    int channels, outputs, groups;
    int in[3], out[3], size[3], stride[3], before[3], dilation[3];
} snncc_windows;

/* A window: its number, and the place in the image of its first place, which may lie outside. */
typedef struct {
    int number;
    int start[3];
} snncc_window;

/* Places begin .. end along an axis that lie in the image. */
typedef struct {
    int begin, end;
} snncc_inside;

SNNCC_INLINE int snncc_in_pixels(snncc_windows g)
{
    return g.in[0] * g.in[1] * g.in[2];
}

SNNCC_INLINE int snncc_out_pixels(snncc_windows g)
{
    return g.out[0] * g.out[1] * g.out[2];
}

SNNCC_INLINE int snncc_window_places(snncc_windows g)
{
    return g.size[0] * g.size[1] * g.size[2];
}

SNNCC_INLINE int snncc_group_channels(snncc_windows g)
{
    return g.channels / g.groups;
}

SNNCC_INLINE int snncc_group_outputs(snncc_windows g)
{
    return g.outputs / g.groups;
}

/* Inputs of an output: rows of the weight's panels. */
SNNCC_INLINE int snncc_window_inputs(snncc_windows g)
{
    return snncc_window_places(g) * snncc_group_channels(g);
}

SNNCC_INLINE snncc_window snncc_window_at(snncc_windows g, int number)
{
    snncc_window w;
    const int x = number % g.out[2], y = number / g.out[2] % g.out[1], z = number / (g.out[2] * g.out[1]);
    w.number = number;
    w.start[0] = z * g.stride[0] - g.before[0];
    w.start[1] = y * g.stride[1] - g.before[1];
    w.start[2] = x * g.stride[2] - g.before[2];
    return w;
}

SNNCC_INLINE snncc_inside snncc_window_inside(snncc_windows g, snncc_window w, int axis)
{
    snncc_inside k;
    const int start = w.start[axis], d = g.dilation[axis], left = g.in[axis] - start;
    k.begin = start < 0 ? (d - 1 - start) / d : 0;
    k.end = left <= 0 ? 0 : (left + d - 1) / d;
    if (k.end > g.size[axis]) k.end = g.size[axis];
    return k;
}

/* The pixel at place (a, b, c) of a window. */
SNNCC_INLINE int snncc_window_pixel(snncc_windows g, snncc_window w, int a, int b, int c)
{
    const int z = w.start[0] + a * g.dilation[0], y = w.start[1] + b * g.dilation[1];
    return (z * g.in[1] + y) * g.in[2] + w.start[2] + c * g.dilation[2];
}

/* Whether the inputs of a line of a window lie side by side in the image. */
SNNCC_INLINE int snncc_lines_touch(snncc_windows g)
{
    return g.dilation[2] == 1 && g.groups == 1;
}

/* What a window of a channel comes to. */
enum { SNNCC_POOL_MAX, SNNCC_POOL_PLACE, SNNCC_POOL_SUM, SNNCC_POOL_WINDOW, SNNCC_POOL_INSIDE };

/* Places of a window that a mean is over: those in the image, or all but those that lie `beyond` its last ends. */
SNNCC_INLINE int snncc_pool_count(snncc_windows g, int what, snncc_window here, const int *last)
{
    int count = 1;
    for (int axis = 0; axis < 3; axis++) {
        int places = 0;
        for (int k = 0; k < g.size[axis]; k++) {
            const int at = here.start[axis] + k * g.dilation[axis];
            places += what == SNNCC_POOL_INSIDE ? at >= 0 && at < g.in[axis] : at < last[axis];
        }
        count *= places;
    }
    return count;
}

#endif
