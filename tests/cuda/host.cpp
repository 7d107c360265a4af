/* All of CUDA on the host: as one file it compiles in half the time. */
#include "block.cpp"
#include "meeting.cpp"
#include "shared.cpp"
#include "memory.cpp"
#include "stream.cpp"
#include "graph.cpp"
#include "device.cpp"
#include "driver.cpp"
