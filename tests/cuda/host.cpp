/* All of CUDA on the host: as one file it compiles in half the time. */
#include "block.cpp"
#include "device.cpp"
#include "graph.cpp"
#include "memory.cpp"
#include "stream.cpp"
