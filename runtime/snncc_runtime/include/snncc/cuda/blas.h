/* Products on cuBLAS, for models that were compiled with another `precision` than "exact". The library is found when the
 * model runs and never linked; where there is none, the kernels of product.h do the same in the model's own type.
 *
 * To cuBLAS matrices lie column by column: rows [m][n] are a matrix [n][m] to it. So y = a b is asked for as y' = b' a',
 * and no matrix is ever turned in memory. */
#ifndef SNNCC_CUDA_BLAS_H
#define SNNCC_CUDA_BLAS_H

#include <dlfcn.h>
#include <stdlib.h>

#include "product.h"
#include "rows.h"

enum {
    SNNCC_LIBRARY = 14, /* no cuBLAS at this place */
    SNNCC_BLAS = 3000,  /* and up: a status of cuBLAS's */
    SNNCC_WORKSPACE = 32 << 20, /* bytes that NVIDIA advises for its largest devices */
    SNNCC_WORKSPACE_ALIGNMENT = 256
};

/* How products are computed. FLOAT32 and FLOAT64: in the model's own type. TF32, BF16: factors are rounded to 11 or 8
 * bits. Sums are float32 or float64. */
enum snncc_precision { SNNCC_FLOAT32, SNNCC_FLOAT64, SNNCC_TF32, SNNCC_BF16 };

/* ---- what cublas_v2.h declares, whose enumerations are ints */

enum {
    SNNCC_BLAS_KEPT = 0, /* CUBLAS_OP_N, CUBLAS_OP_T */
    SNNCC_BLAS_TURNED = 1,
    SNNCC_BLAS_FLOAT = 0, /* CUDA_R_32F, CUDA_R_64F, CUDA_R_16BF */
    SNNCC_BLAS_DOUBLE = 1,
    SNNCC_BLAS_HALF = 14,
    SNNCC_BLAS_IN_FLOAT = 68, /* CUBLAS_COMPUTE_32F, 64F, 32F_FAST_TF32, 32F_FAST_16BF */
    SNNCC_BLAS_IN_DOUBLE = 70,
    SNNCC_BLAS_IN_TF32 = 77,
    SNNCC_BLAS_IN_BF16 = 75,
    SNNCC_BLAS_BEST = -1 /* CUBLAS_GEMM_DEFAULT */
};

typedef int snncc_blas_create(void **handle);
typedef int snncc_blas_destroy(void *handle);
typedef int snncc_blas_set_stream(void *handle, cudaStream_t stream);
typedef int snncc_blas_set_workspace(void *handle, void *workspace, size_t bytes);
typedef int snncc_blas_gemm(void *handle, int turn_a, int turn_b, int m, int n, int k, const void *alpha, const void *a,
                            int a_type, int lda, const void *b, int b_type, int ldb, const void *beta, void *c,
                            int c_type, int ldc, int compute, int algorithm);
typedef int snncc_blas_gemm_batched(void *handle, int turn_a, int turn_b, int m, int n, int k, const void *alpha,
                                    const void *a, int a_type, int lda, long long a_step, const void *b, int b_type,
                                    int ldb, long long b_step, const void *beta, void *c, int c_type, int ldc,
                                    long long c_step, int matrices, int compute, int algorithm);

/* ---- a model's cuBLAS */

/* A handle of its own and a workspace in the arena: then recorded calls allocate nothing, and cuBLAS promises the same
 * bits every time. */
typedef struct snncc_blas {
    void *handle, *workspace;
    int32_t status; /* the first failure since snncc_blas_begin */
    snncc_blas_destroy *destroy;
    snncc_blas_set_stream *set_stream;
    snncc_blas_set_workspace *set_workspace;
    snncc_blas_gemm *gemm;
    snncc_blas_gemm_batched *gemm_batched;
} snncc_blas;

static inline void snncc_blas_close(void **model_blas)
{
    snncc_blas *const blas = (snncc_blas *)*model_blas;
    *model_blas = NULL;
    if (!blas) return;
    if (blas->handle) {
        blas->set_stream(blas->handle, NULL); /* the one that it last had may be gone */
        blas->destroy(blas->handle);
    }
    free(blas);
}

template <class Function> static bool snncc_blas_find(void *library, const char *name, Function **found)
{
    *found = (Function *)dlsym(library, name);
    return *found != NULL;
}

/* Opens the cuBLAS at a path, or of a name that the loader finds, for good: it has threads of its own. workspace: device
 * memory of SNNCC_WORKSPACE bytes and SNNCC_WORKSPACE_ALIGNMENT more. */
static inline int32_t snncc_blas_open(void **model_blas, const char *path, char *workspace)
{
    snncc_blas_create *create = NULL;
    snncc_blas_close(model_blas);
    snncc_blas *const blas = (snncc_blas *)calloc(1, sizeof *blas);
    *model_blas = blas;
    if (!blas) return SNNCC_LIBRARY;
    const uintptr_t unit = SNNCC_WORKSPACE_ALIGNMENT;
    blas->workspace = workspace + (unit - (uintptr_t)workspace % unit) % unit;
    void *const library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!library || !snncc_blas_find(library, "cublasCreate_v2", &create)
        || !snncc_blas_find(library, "cublasDestroy_v2", &blas->destroy)
        || !snncc_blas_find(library, "cublasSetStream_v2", &blas->set_stream)
        || !snncc_blas_find(library, "cublasSetWorkspace_v2", &blas->set_workspace)
        || !snncc_blas_find(library, "cublasGemmEx", &blas->gemm)
        || !snncc_blas_find(library, "cublasGemmStridedBatchedEx", &blas->gemm_batched)) {
        snncc_blas_close(model_blas);
        return SNNCC_LIBRARY;
    }
    const int status = create(&blas->handle);
    if (!status) return SNNCC_OK;
    blas->handle = NULL;
    snncc_blas_close(model_blas);
    return SNNCC_BLAS + status;
}

static inline void snncc_blas_note(snncc_blas *blas, int status)
{
    if (status && !blas->status) blas->status = SNNCC_BLAS + status;
}

/* Before the products of a call. A new stream takes the workspace away, so that comes after it. */
static inline void snncc_blas_begin(snncc_blas *blas, cudaStream_t stream)
{
    if (!blas) return;
    blas->status = SNNCC_OK;
    snncc_blas_note(blas, blas->set_stream(blas->handle, stream));
    snncc_blas_note(blas, blas->set_workspace(blas->handle, blas->workspace, SNNCC_WORKSPACE));
}

/* What the products of a call came to. */
static inline int32_t snncc_blas_ended(const snncc_blas *blas)
{
    return blas ? blas->status : (int32_t)SNNCC_OK;
}

static inline const char *snncc_blas_error_text(int32_t code)
{
    switch (code) {
    case SNNCC_LIBRARY: return "there is no cuBLAS at this place";
    case SNNCC_BLAS + 1: return "cuBLAS cannot start, as one that is newer than the driver";
    case SNNCC_BLAS + 3: return "cuBLAS has too little memory";
    case SNNCC_BLAS + 8: /* an architecture, and what is not supported */
    case SNNCC_BLAS + 15: return "cuBLAS has no such product for this GPU; bf16 wants sm_80 or newer";
    default: return "cuBLAS did not do what it was asked for";
    }
}

/* ---- products */

/* A factor [first][second] of each product, a row each `pitch` elements; or, turned, [second][first]. */
typedef struct snncc_operand {
    const void *data;
    int pitch, turned;
    ptrdiff_t matrix_step;
} snncc_operand;

/* y = a b, or y += a b; a: [rows][terms], b: [terms][outputs], y: [matrices][rows][outputs]. */
static inline void snncc_blas_multiply(snncc_blas *blas, int type, int compute, int matrices, int rows, int outputs,
                                       int terms, snncc_operand a, snncc_operand b, int add, snncc_real *y)
{
    const int real = SNNCC_REAL_BITS == 64 ? SNNCC_BLAS_DOUBLE : SNNCC_BLAS_FLOAT;
    const int turn_a = a.turned ? SNNCC_BLAS_TURNED : SNNCC_BLAS_KEPT, turn_b = b.turned ? SNNCC_BLAS_TURNED : SNNCC_BLAS_KEPT;
    const snncc_real one = 1, start = add ? 1 : 0;
    if (matrices == 1)
        snncc_blas_note(blas, blas->gemm(blas->handle, turn_b, turn_a, outputs, rows, terms, &one, b.data, type, b.pitch,
                                         a.data, type, a.pitch, &start, y, real, outputs, compute, SNNCC_BLAS_BEST));
    else
        snncc_blas_note(blas, blas->gemm_batched(blas->handle, turn_b, turn_a, outputs, rows, terms, &one, b.data, type,
                                                 b.pitch, b.matrix_step, a.data, type, a.pitch, a.matrix_step, &start, y,
                                                 real, outputs, (long long)rows * outputs, matrices, compute,
                                                 SNNCC_BLAS_BEST));
}

/* As snncc_blas_multiply, of factors in the model's type. */
static inline void snncc_blas_reals(snncc_blas *blas, snncc_precision precision, int matrices, int rows, int outputs,
                                    int terms, snncc_operand a, snncc_operand b, int add, snncc_real *y)
{
    static const int compute[] = {SNNCC_BLAS_IN_FLOAT, SNNCC_BLAS_IN_DOUBLE, SNNCC_BLAS_IN_TF32, SNNCC_BLAS_IN_BF16};
    const int type = SNNCC_REAL_BITS == 64 ? SNNCC_BLAS_DOUBLE : SNNCC_BLAS_FLOAT;
    snncc_blas_multiply(blas, type, compute[precision], matrices, rows, outputs, terms, a, b, add, y);
}

/* y = bias in each row. */
static inline void snncc_blas_bias(cudaStream_t stream, int rows, int n, const snncc_real *bias, snncc_real *y)
{
    const size_t count = (size_t)rows * (size_t)n;
    SNNCC_EACH(snncc_fill_kernel, count, stream, count, n, bias, 0, y);
}

/* y = bias + x w, as snncc_product. */
static inline void snncc_blas_product(cudaStream_t stream, snncc_blas *blas, snncc_precision precision, int rows, int n_in,
                                      int n_out, const snncc_real *x, const snncc_real *w, const snncc_real *bias, snncc_real *y)
{
    if (!blas) return snncc_product(stream, rows, n_in, n_out, x, w, bias, y);
    if (bias) snncc_blas_bias(stream, rows, n_out, bias, y);
    snncc_blas_reals(blas, precision, 1, rows, n_out, n_in, {x, n_in, 0, 0}, {w, n_out, 0, 0}, bias != NULL, y);
}

/* d_x = d_y w', as snncc_input_gradient. */
static inline void snncc_blas_input_gradient(cudaStream_t stream, snncc_blas *blas, snncc_precision precision, int rows,
                                             int n_out, int n_in, const snncc_real *d_y, const snncc_real *w, snncc_real *d_x)
{
    if (!blas) return snncc_input_gradient(stream, rows, n_out, n_in, d_y, w, d_x);
    snncc_blas_reals(blas, precision, 1, rows, n_in, n_out, {d_y, n_out, 0, 0}, {w, n_out, 1, 0}, 0, d_x);
}

/* d_w += x' d_y, as snncc_weight_gradient. */
static inline void snncc_blas_weight_gradient(cudaStream_t stream, snncc_blas *blas, snncc_precision precision, int add,
                                              int rows, int n_in, int n_out, const snncc_real *x, const snncc_real *d_y,
                                              snncc_real *d_w)
{
    if (!blas) return snncc_weight_gradient(stream, add, rows, n_in, n_out, x, d_y, d_w);
    snncc_blas_reals(blas, precision, 1, n_in, n_out, rows, {x, n_in, 1, 0}, {d_y, n_out, 0, 0}, add, d_w);
}

/* y = a b in each row, as snncc_matmul. */
static inline void snncc_blas_matmul(cudaStream_t stream, snncc_blas *blas, snncc_precision precision, int rows, int matrices,
                                     int n, int k, int m, int a_turned, int b_turned, const snncc_real *a,
                                     const snncc_real *b, snncc_real *y)
{
    if (!blas) return snncc_matmul(stream, rows, matrices, n, k, m, a_turned, b_turned, a, b, y);
    const snncc_operand left = {a, a_turned ? n : k, a_turned, (ptrdiff_t)n * k};
    const snncc_operand right = {b, b_turned ? k : m, b_turned, (ptrdiff_t)k * m};
    snncc_blas_reals(blas, precision, rows * matrices, n, m, k, left, right, 0, y);
}

#endif
