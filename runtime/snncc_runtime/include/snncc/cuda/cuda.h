/* Everything that a model.cu needs: what C and CUDA share, then the kernels of a GPU. */
#ifndef SNNCC_CUDA_H
#define SNNCC_CUDA_H

#define SNNCC_CUDA
#include "launch.h"
#include "../target.h"
#include "../math.h"
#include "../half.h"
#include "../random.h"
#include "../windows.h"
#include "device.h"
#include "streams.h"
#include "tensors.h"
#include "rows.h"
#include "update.h"
#include "product.h"
#include "loop.h"
#include "blas.h"
#include "split.h"
#include "moves.h"
#include "steps.h"
#include "delay.h"
#include "sparse.h"
#include "late.h"
#include "embedding.h"
#include "conv.h"
#include "conv_blas.h"
#include "conv_groups.h"
#include "loop_conv.h"
#include "spikes.h"
#include "images.h"
#include "graphs.h"

#endif
