/* A stand-in for cuBLAS: the products that generated code may ask it for, as functions with the same names, numbers and
 * rules, on what stands in for a device. Matrices lie column by column. Terms are added from the last to the first, since
 * the real one promises no order either. */
#include <algorithm>

#include "stream.h"

enum cublasStatus_t {
    CUBLAS_STATUS_SUCCESS = 0,
    CUBLAS_STATUS_NOT_INITIALIZED = 1,
    CUBLAS_STATUS_INVALID_VALUE = 7,
    CUBLAS_STATUS_EXECUTION_FAILED = 13,
    CUBLAS_STATUS_NOT_SUPPORTED = 15
};
enum cublasOperation_t { CUBLAS_OP_N = 0, CUBLAS_OP_T = 1 };
enum cudaDataType { CUDA_R_32F = 0, CUDA_R_64F = 1, CUDA_R_8I = 3, CUDA_R_32I = 10, CUDA_R_16BF = 14 };
enum cublasComputeType_t {
    CUBLAS_COMPUTE_32F = 68,
    CUBLAS_COMPUTE_64F = 70,
    CUBLAS_COMPUTE_32I = 72,
    CUBLAS_COMPUTE_32F_FAST_16BF = 75,
    CUBLAS_COMPUTE_32F_FAST_TF32 = 77
};

struct cublasContext {
    cudaStream_t stream = nullptr;
    const void *workspace = nullptr; // of the caller's, since the stream was set
};
typedef cublasContext *cublasHandle_t;

namespace {

struct Matrix {
    const void *start;
    cudaDataType type;
    int rows, columns, pitch; // as stored
    long long distance;       // elements between two of a batch

    size_t bytes() const
    {
        return type == CUDA_R_64F ? 8 : type == CUDA_R_8I ? 1 : type == CUDA_R_16BF ? 2 : 4;
    }
    bool is_sound() const { return rows >= 0 && columns >= 0 && pitch >= std::max(1, rows); }
    /* From the first byte to the last one. */
    size_t extent(int batch) const
    {
        if (rows == 0 || columns == 0 || batch == 0)
            return 0;
        return bytes() * (size_t(batch - 1) * size_t(distance) + size_t(columns - 1) * size_t(pitch) + size_t(rows));
    }
    bool is_there(int batch) const
    {
        return extent(batch) == 0 || snncc_host::type_of(start, extent(batch)) == cudaMemoryTypeDevice;
    }
    bool meets(const Matrix &other, int batch) const
    {
        const char *const from = static_cast<const char *>(start), *const there = static_cast<const char *>(other.start);
        return from < there + other.extent(batch) && there < from + extent(batch);
    }
    size_t place(int i, int j, int which) const
    {
        return size_t(which) * size_t(distance) + size_t(j) * size_t(pitch) + size_t(i);
    }
};

struct Product {
    cublasOperation_t turn_a, turn_b;
    int m, n, k, batch;
    Matrix a, b, c;
    double alpha, beta;
    cublasComputeType_t compute;
};

float from_bits(uint32_t bits)
{
    float value;
    __builtin_memcpy(&value, &bits, sizeof value);
    return value;
}

uint32_t to_bits(float value)
{
    uint32_t bits;
    __builtin_memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* To the nearest number whose last `dropped` bits are zero, ties to even. */
float rounded(float value, int dropped)
{
    const uint32_t bits = to_bits(value), unit = 1u << dropped;
    if (value != value || value - value != 0.0f)
        return value;
    return from_bits((bits + (unit / 2 - 1) + (bits >> dropped & 1u)) & ~(unit - 1));
}

double element(const Matrix &x, size_t place, cublasComputeType_t compute)
{
    switch (x.type) {
    case CUDA_R_64F: return static_cast<const double *>(x.start)[place];
    case CUDA_R_8I: return static_cast<const int8_t *>(x.start)[place];
    case CUDA_R_32I: return static_cast<const int32_t *>(x.start)[place];
    case CUDA_R_16BF: return from_bits(uint32_t(static_cast<const uint16_t *>(x.start)[place]) << 16);
    default: break;
    }
    const float value = static_cast<const float *>(x.start)[place];
    return compute == CUBLAS_COMPUTE_32F_FAST_TF32   ? rounded(value, 13)
           : compute == CUBLAS_COMPUTE_32F_FAST_16BF ? rounded(value, 16)
                                                     : value;
}

void store(const Matrix &y, size_t place, double value)
{
    void *start = const_cast<void *>(y.start);
    switch (y.type) {
    case CUDA_R_64F: static_cast<double *>(start)[place] = value; break;
    case CUDA_R_32I: static_cast<int32_t *>(start)[place] = int32_t(value); break;
    case CUDA_R_16BF: static_cast<uint16_t *>(start)[place] = uint16_t(to_bits(rounded(float(value), 16)) >> 16); break;
    default: static_cast<float *>(start)[place] = float(value);
    }
}

template <class Sum> void multiply(const Product &p)
{
    for (int which = 0; which < p.batch; which++)
        for (int j = 0; j < p.n; j++)
            for (int i = 0; i < p.m; i++) {
                Sum sum = 0;
                for (int l = p.k; l-- > 0;) {
                    const size_t in_a = p.turn_a ? p.a.place(l, i, which) : p.a.place(i, l, which);
                    const size_t in_b = p.turn_b ? p.b.place(j, l, which) : p.b.place(l, j, which);
                    sum += Sum(element(p.a, in_a, p.compute)) * Sum(element(p.b, in_b, p.compute));
                }
                const size_t place = p.c.place(i, j, which);
                Sum result = Sum(p.alpha) * sum;
                if (p.beta != 0.0) // what is there is not even read otherwise: it may be NaN
                    result += Sum(p.beta) * Sum(element(p.c, place, CUBLAS_COMPUTE_64F));
                store(p.c, place, double(result));
            }
}

cublasStatus_t submit(cublasHandle_t handle, const Product &p)
{
    if (handle == nullptr)
        return CUBLAS_STATUS_NOT_INITIALIZED;
    const bool sound = p.m >= 0 && p.n >= 0 && p.k >= 0 && p.batch >= 0 && p.turn_a < 2 && p.turn_b < 2;
    if (!sound || !p.a.is_sound() || !p.b.is_sound() || !p.c.is_sound())
        return CUBLAS_STATUS_INVALID_VALUE;
    const void *const workspace = handle->workspace;
    if (handle->stream && handle->stream->capture && !workspace) // the real one would allocate
        return CUBLAS_STATUS_EXECUTION_FAILED;
    const cudaError_t error = snncc_host::submit(handle->stream, [p, workspace] {
        const snncc_host::Touching memory;
        if (!p.a.is_there(p.batch) || !p.b.is_there(p.batch) || !p.c.is_there(p.batch))
            snncc_host::fail("a matrix of a cuBLAS product does not lie within device memory");
        if (workspace && snncc_host::type_of(workspace, 1) != cudaMemoryTypeDevice)
            snncc_host::fail("the workspace of cuBLAS does not lie within device memory");
        if (p.c.meets(p.a, p.batch) || p.c.meets(p.b, p.batch))
            snncc_host::fail("the result of a cuBLAS product lies where a factor does");
        if (p.compute == CUBLAS_COMPUTE_64F)
            multiply<double>(p);
        else if (p.compute == CUBLAS_COMPUTE_32I)
            multiply<int32_t>(p);
        else
            multiply<float>(p);
    });
    return error == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

Product product(cublasOperation_t turn_a, cublasOperation_t turn_b, int m, int n, int k, const void *a, int lda,
                long long a_distance, const void *b, int ldb, long long b_distance, void *c, int ldc,
                long long c_distance, int batch, cudaDataType type)
{
    const Matrix of_a = {a, type, turn_a ? k : m, turn_a ? m : k, lda, a_distance};
    const Matrix of_b = {b, type, turn_b ? n : k, turn_b ? k : n, ldb, b_distance};
    const cublasComputeType_t compute = type == CUDA_R_64F ? CUBLAS_COMPUTE_64F : CUBLAS_COMPUTE_32F;
    return {turn_a, turn_b, m, n, k, batch, of_a, of_b, {c, type, m, n, ldc, c_distance}, 0.0, 0.0, compute};
}

} // namespace

extern "C" {

cublasStatus_t cublasCreate_v2(cublasHandle_t *handle)
{
    *handle = new cublasContext;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDestroy_v2(cublasHandle_t handle)
{
    delete handle;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream)
{
    if (handle == nullptr)
        return CUBLAS_STATUS_NOT_INITIALIZED;
    handle->stream = stream, handle->workspace = nullptr;
    return CUBLAS_STATUS_SUCCESS;
}

/* Memory for the library's own use, until another stream is set: the real one must have it to be captured. */
cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t handle, void *start, size_t bytes)
{
    if (handle == nullptr)
        return CUBLAS_STATUS_NOT_INITIALIZED;
    const snncc_host::Device device;
    const bool there = bytes == 0 || snncc_host::type_of(start, bytes) == cudaMemoryTypeDevice;
    handle->workspace = there ? start : nullptr;
    return there ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasSetMathMode(cublasHandle_t handle, int mode)
{
    return handle == nullptr ? CUBLAS_STATUS_NOT_INITIALIZED
           : mode == 0       ? CUBLAS_STATUS_SUCCESS
                             : CUBLAS_STATUS_NOT_SUPPORTED;
}

#define SNNCC_GEMM(name, real, type) \
    cublasStatus_t name##_v2(cublasHandle_t handle, cublasOperation_t turn_a, cublasOperation_t turn_b, int m, int n, \
                             int k, const real *alpha, const real *a, int lda, const real *b, int ldb, \
                             const real *beta, real *c, int ldc) \
    { \
        Product wanted = product(turn_a, turn_b, m, n, k, a, lda, 0, b, ldb, 0, c, ldc, 0, 1, type); \
        wanted.alpha = *alpha, wanted.beta = *beta; \
        return submit(handle, wanted); \
    } \
    cublasStatus_t name##StridedBatched(cublasHandle_t handle, cublasOperation_t turn_a, cublasOperation_t turn_b, \
                                        int m, int n, int k, const real *alpha, const real *a, int lda, \
                                        long long a_distance, const real *b, int ldb, long long b_distance, \
                                        const real *beta, real *c, int ldc, long long c_distance, int batch) \
    { \
        Product wanted = product(turn_a, turn_b, m, n, k, a, lda, a_distance, b, ldb, b_distance, c, ldc, c_distance, \
                                 batch, type); \
        wanted.alpha = *alpha, wanted.beta = *beta; \
        return submit(handle, wanted); \
    }
SNNCC_GEMM(cublasSgemm, float, CUDA_R_32F)
SNNCC_GEMM(cublasDgemm, double, CUDA_R_64F)

/* Factors and result of other types; the scalars have the type that is computed with. */
cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t handle, cublasOperation_t turn_a, cublasOperation_t turn_b, int m,
                                          int n, int k, const void *alpha, const void *a, cudaDataType a_type, int lda,
                                          long long a_distance, const void *b, cudaDataType b_type, int ldb,
                                          long long b_distance, const void *beta, void *c, cudaDataType c_type, int ldc,
                                          long long c_distance, int batch, cublasComputeType_t compute, int)
{
    const bool whole = compute == CUBLAS_COMPUTE_32I, wide = compute == CUBLAS_COMPUTE_64F;
    const bool factors = whole  ? a_type == CUDA_R_8I
                         : wide ? a_type == CUDA_R_64F
                                : a_type == CUDA_R_32F || a_type == CUDA_R_16BF;
    const bool result = whole  ? c_type == CUDA_R_32I
                        : wide ? c_type == CUDA_R_64F
                               : c_type == CUDA_R_32F || c_type == a_type;
    const bool rounding = compute == CUBLAS_COMPUTE_32F_FAST_16BF || compute == CUBLAS_COMPUTE_32F_FAST_TF32;
    if (!factors || a_type != b_type || !result || (rounding && a_type != CUDA_R_32F))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    if (whole && (lda % 4 || ldb % 4))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    Product wanted = product(turn_a, turn_b, m, n, k, a, lda, a_distance, b, ldb, b_distance, c, ldc, c_distance, batch,
                             a_type);
    wanted.c.type = c_type, wanted.compute = compute;
    const auto scalar = [=](const void *value) {
        return whole  ? double(*static_cast<const int32_t *>(value))
               : wide ? *static_cast<const double *>(value)
                      : double(*static_cast<const float *>(value));
    };
    wanted.alpha = scalar(alpha), wanted.beta = scalar(beta);
    return submit(handle, wanted);
}

cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t turn_a, cublasOperation_t turn_b, int m, int n,
                            int k, const void *alpha, const void *a, cudaDataType a_type, int lda, const void *b,
                            cudaDataType b_type, int ldb, const void *beta, void *c, cudaDataType c_type, int ldc,
                            cublasComputeType_t compute, int algorithm)
{
    return cublasGemmStridedBatchedEx(handle, turn_a, turn_b, m, n, k, alpha, a, a_type, lda, 0, b, b_type, ldb, 0, beta,
                                      c, c_type, ldc, 0, 1, compute, algorithm);
}
}
