/* Arrays of exactly the size that the headers ask for, for the sanitizers to watch. */
#ifndef EXACT_H
#define EXACT_H

#include "whole_matrices.h"
#include <stdlib.h>
typedef snncc_real real;
static void *kept[32];
static int count;
/* Only event lists must be aligned to 64 bytes, and they are multiples of that. */
static void *exact(size_t bytes)
{
    void *const memory = bytes % 64 ? malloc(bytes) : aligned_alloc(64, bytes ? bytes : 64);
    return memset(kept[count++] = memory, 0, bytes);
}
static real *numbers(int rows, int n, int percent)
{
    real *const x = exact((size_t)rows * n * sizeof *x);
    for (int i = 0; i < rows * n; i++) x[i] = rand() % 100 < percent ? (real)(rand() % 1000 - 500) / 500 : 0;
    return x;
}

#endif
