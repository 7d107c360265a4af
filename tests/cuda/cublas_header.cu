/* Whether what blas.h declares of cuBLAS is what NVIDIA's header declares. By hand, where the pip package nvidia-cublas or a
 * toolkit has that header:
 *
 *     nvcc -std=c++17 -DSNNCC_REAL_BITS=32 -I runtime/snncc_runtime/include -I <folder of cublas_v2.h> -c \
 *         tests/cuda/cublas_header.cu -o /dev/null
 */
#include "snncc/cuda/cuda.h"

#include <cublas_v2.h>
#include <type_traits>

/* How a type is passed: an enumeration as an int, any pointer as one. */
template <class T> struct passed {
    typedef std::conditional_t<std::is_enum_v<T>, int, T> type;
};
template <> struct passed<cublasHandle_t> {
    typedef void *type;
};
template <> struct passed<cublasHandle_t *> {
    typedef void **type;
};
template <class Result, class... Parameters>
constexpr bool is_declared(Result (*)(Parameters...), typename passed<Result>::type (*)(typename passed<Parameters>::type...))
{
    return (... && (!std::is_enum_v<Parameters> || sizeof(Parameters) == sizeof(int)));
}

static_assert(is_declared(&cublasCreate_v2, (snncc_blas_create *)nullptr));
static_assert(is_declared(&cublasDestroy_v2, (snncc_blas_destroy *)nullptr));
static_assert(is_declared(&cublasSetStream_v2, (snncc_blas_set_stream *)nullptr));
static_assert(is_declared(&cublasSetWorkspace_v2, (snncc_blas_set_workspace *)nullptr));

/* The header overloads these for C++: here are those that the library exports. */
typedef cublasStatus_t gemm(cublasHandle_t, cublasOperation_t, cublasOperation_t, int, int, int, const void *, const void *,
                            cudaDataType, int, const void *, cudaDataType, int, const void *, void *, cudaDataType, int,
                            cublasComputeType_t, cublasGemmAlgo_t);
typedef cublasStatus_t gemm_batched(cublasHandle_t, cublasOperation_t, cublasOperation_t, int, int, int, const void *,
                                    const void *, cudaDataType, int, long long, const void *, cudaDataType, int, long long,
                                    const void *, void *, cudaDataType, int, long long, int, cublasComputeType_t,
                                    cublasGemmAlgo_t);
static_assert(is_declared((gemm *)&cublasGemmEx, (snncc_blas_gemm *)nullptr));
static_assert(is_declared((gemm_batched *)&cublasGemmStridedBatchedEx, (snncc_blas_gemm_batched *)nullptr));

static_assert(CUBLAS_STATUS_SUCCESS == 0);
static_assert(CUBLAS_OP_N == (int)SNNCC_BLAS_KEPT && CUBLAS_OP_T == (int)SNNCC_BLAS_TURNED);
static_assert(CUDA_R_32F == (int)SNNCC_BLAS_FLOAT && CUDA_R_64F == (int)SNNCC_BLAS_DOUBLE);
static_assert(CUDA_R_16BF == (int)SNNCC_BLAS_HALF);
static_assert(CUBLAS_COMPUTE_32F == (int)SNNCC_BLAS_IN_FLOAT && CUBLAS_COMPUTE_64F == (int)SNNCC_BLAS_IN_DOUBLE);
static_assert(CUBLAS_COMPUTE_32F_FAST_TF32 == (int)SNNCC_BLAS_IN_TF32);
static_assert(CUBLAS_COMPUTE_32F_FAST_16BF == (int)SNNCC_BLAS_IN_BF16);
static_assert(CUBLAS_GEMM_DEFAULT == (int)SNNCC_BLAS_BEST);
