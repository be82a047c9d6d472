// SPDX-License-Identifier: Apache-2.0
/* weft demo: Bookinfo in the mesh, from the sample's folder. On a terminal it stays until Ctrl-C; with --once it runs 20 s
 * of traffic, prints status and edges, checks that every edge inside the mesh is encrypted and busy, and removes
 * everything: exit 0, or 1 when a check failed.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/edges.h"
#include "cli/up.h"

enum { EDGES = 7, TRAFFIC_S = 20 };

/* samples/bookinfo beside the build folder, below the present one, or installed. */
static const char *sample_dir(struct cli *c)
{
    char self[3072] = "";
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    self[n > 0 ? n : 0] = 0;
    char *slash = strrchr(self, '/');
    if (slash)
        *slash = 0;
    static const char *const places[] = {"../../samples/bookinfo", "../share/weft/samples/bookinfo"};
    for (size_t i = 0; i < COUNT_OF(places); i++) {
        char path[4096];
        snprintf(path, sizeof(path), "%s/%s", self, places[i]);
        if (access(path, R_OK) == 0)
            return arena_str(&c->arena, view_of(path));
    }
    return "samples/bookinfo";
}

/* Waits until all edges of the sample have seen traffic; how many of those inside the mesh are encrypted. */
static size_t count_mtls(struct cli *c, uint64_t window, uint64_t wait, size_t *ret_inside, struct edge **ret_edges,
                         size_t *ret_n)
{
    uint64_t until = clock_mono() + wait;
    size_t secure = 0;
    do {
        secure = *ret_inside = 0;
        if (edges_collect(c, window, ret_edges, ret_n))
            return 0;
        for (size_t i = 0; i < *ret_n; i++) {
            *ret_inside += (*ret_edges)[i].inside;
            secure += (*ret_edges)[i].inside && (*ret_edges)[i].mtls;
        }
    } while (*ret_inside < EDGES && clock_mono() < until);
    return secure;
}

static int check(struct cli *c, struct up *u)
{
    struct edge *edges;
    size_t n, inside;
    size_t secure = count_mtls(c, 500 * NS_PER_MS, 15 * NS_PER_S, &inside, &edges, &n);
    bool good = inside == EDGES && secure == inside;
    up_note(u, good, "mutual TLS on %zu of %d edges inside the mesh", secure, EDGES);
    return good ? EXIT_OK : EXIT_FAILED;
}

static int run_once(struct cli *c, struct up *u)
{
    int r = check(c, u);
    up_stay(u, (TRAFFIC_S - 5) * NS_PER_S);
    struct edge *edges;
    size_t n, inside;
    count_mtls(c, 5 * NS_PER_S, 0, &inside, &edges, &n);
    printf("\n");
    fflush(stdout);
    int s = verb_status(c);
    printf("\n");
    edges_print(c, edges, n, stdout);
    for (size_t i = 0; i < n; i++) {
        bool bad = edges[i].inside && !(edges[i].mtls && edges[i].rate > 0 && edges[i].success >= 99);
        if (bad)
            r = cli_fail(c, "the edge %.*s -> %.*s is not encrypted, idle, or failing", VIEW_ARGS(edges[i].source),
                         VIEW_ARGS(edges[i].destination));
    }
    fflush(stdout);
    return r ? r : s;
}

int verb_demo(struct cli *c)
{
    const char *dir = sample_dir(c);
    struct up u = {.c = c, .paths = &dir, .n_paths = 1};
    int r = up_start(&u);
    if (!u.child)
        return r;
    if (r == EXIT_OK && c->opt[OPT_ONCE]) {
        r = run_once(c, &u);
    } else if (r == EXIT_OK) {
        r = check(c, &u);
        fprintf(stderr, "  Bookinfo    http://127.0.0.1:8080/productpage        (through the ingress gateway)\n"
                        "  Try         weft status · weft edges · weft apply -f "
                        "samples/bookinfo/networking/reviews-v3.yaml · weft logs "
                        "deploy/reviews-v3 -c istio-proxy\n");
        up_stay(&u, 0);
        fprintf(stderr, "\n");
    }
    up_end(&u);
    return r;
}
