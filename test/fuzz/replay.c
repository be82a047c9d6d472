// SPDX-License-Identifier: Apache-2.0
/* Runs a fuzz target over the files of its corpus, so that every ordinary test run replays what fuzzing has found; and
 * mutates each of them a fixed number of times with a fixed seed, so that a compiler without libFuzzer fuzzes a little too.
 *
 *   fuzz-h1 test/fuzz/corpus/h1 [MUTATIONS]
 *
 * With clang: clang -fsanitize=fuzzer,address on the same target, without this file (test/fuzz/README.md).
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "fuzz.h"

enum { MOST = 128 * 1024 };

static void mutate(struct rng *r, uint8_t *bytes, size_t *n)
{
    for (uint64_t i = 1 + rng_below(r, 4); i > 0 && *n; i--) {
        size_t at = (size_t)rng_below(r, *n), run = 1 + (size_t)rng_below(r, 8);
        switch (rng_below(r, 5)) {
        case 0:
            bytes[at] = (uint8_t)rng_next(r);
            break;
        case 1:
            bytes[at] ^= (uint8_t)(1u << rng_below(r, 8));
            break;
        case 2: /* cut out */
            run = run < *n - at ? run : *n - at;
            memmove(bytes + at, bytes + at + run, *n - at - run);
            *n -= run;
            break;
        case 3: /* say twice */
            run = run < *n - at ? run : *n - at;
            if (*n + run > MOST)
                break;
            memmove(bytes + at + run, bytes + at, *n - at);
            *n += run;
            break;
        case 4:
            *n = at;
            break;
        }
    }
}

static void run_file(const char *path, unsigned long mutations)
{
    static uint8_t original[MOST];
    FILE *f = fopen(path, "rb");
    if (!f) {
        perror(path);
        exit(1);
    }
    size_t n = fread(original, 1, sizeof(original), f);
    fclose(f);
    struct rng r;
    rng_seed(&r, n + 1);
    for (unsigned long i = 0; i <= mutations; i++) {
        uint8_t *bytes = (uint8_t *)malloc(MOST);
        size_t m = n;
        memcpy(bytes, original, n);
        if (i > 0)
            mutate(&r, bytes, &m);
        bytes = (uint8_t *)realloc(bytes, m ? m : 1); /* as long as it is, for ASan */
        LLVMFuzzerTestOneInput(bytes, m);
        free(bytes);
    }
}

int main(int argc, char **argv)
{
    unsigned long mutations = argc > 2 ? strtoul(argv[2], NULL, 10) : 200, files = 0;
    if (argc < 2) {
        fprintf(stderr, "usage: %s CORPUS [MUTATIONS]\n", argv[0]);
        return 2;
    }
    DIR *d = opendir(argv[1]);
    if (!d) {
        perror(argv[1]);
        return 1;
    }
    for (struct dirent *e; (e = readdir(d));) {
        char path[4096];
        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "%s/%s", argv[1], e->d_name);
        run_file(path, mutations);
        files++;
    }
    closedir(d);
    printf("%lu files, %lu mutations each\n", files, mutations);
    return files ? 0 : 1;
}
