/* The threads of one crew at work on a model of tests/test_teams.py, for the thread sanitizer to watch. */
#include "model.c"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

/* The threads of one crew in one slot, as OpenMP would start them: the sanitizer does not see into its runtime. */
static model_model model;
static model_io io;
static int steps, batch, threads, train;

static void *work(void *number)
{
    const int worker = (int)(size_t)number;
    (train ? train_work : forward_work)(&model, &io, steps, batch, 1, worker, threads);
    return NULL;
}

static void run(void)
{
    pthread_t started[4];
    memset(model.teams, 0, 2 * sizeof(snncc_team));
    for (int k = 0; k < threads; k++) pthread_create(&started[k], NULL, work, (void *)(size_t)k);
    for (int k = 0; k < threads; k++) pthread_join(started[k], NULL);
}

/* FNV-1a of all that the calls have left. */
static uint64_t hash(uint64_t sum, const void *bytes, size_t count)
{
    for (size_t k = 0; k < count; k++) sum = (sum ^ ((const unsigned char *)bytes)[k]) * 1099511628211u;
    return sum;
}

int main(int argc, char **argv)
{
    if (argc != 4) return 1;
    threads = atoi(argv[1]), steps = atoi(argv[2]), batch = atoi(argv[3]);
    const model_config config = {.steps = steps, .tile = 5, .slots = 1, .threads = threads, .training = 1};
    const size_t bytes = (model_arena_bytes(&config) + 63) / 64 * 64, out = (size_t)steps * batch * 150;
    float *const x = malloc((size_t)steps * batch * 100 * sizeof *x), *const y = calloc((size_t)batch * 150, sizeof *y);
    float *const spk = malloc(out * sizeof *spk), *const mem = malloc(out * sizeof *mem);
    double loss = 0;
    if (model_init(&model, &config, aligned_alloc(64, bytes), bytes)) return 2;
    for (int k = 0; k < PARAMETERS; k++) model.parameters[k] = (float)(rand() % 200 - 80) / 400;
    for (int k = 0; k < steps * batch * 100; k++) x[k] = rand() % 4 ? 0 : (float)(rand() % 100) / 25;
    io = (model_io){.x = x, .target = y, .spk = spk, .mem = mem, .loss = &loss};
    run();
    uint64_t sum = hash(14695981039346656037u, spk, out * sizeof *spk);
    sum = hash(sum, mem, out * sizeof *mem);
    train = 1;
    run();
    sum = hash(sum, model.sums, LEARNABLE * sizeof *model.sums);
    printf("%llx\n", (unsigned long long)sum);
    return 0;
}
