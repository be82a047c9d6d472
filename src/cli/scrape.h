// SPDX-License-Identifier: Apache-2.0
/* Reading metrics: the Prometheus text format, line by line, and the proxies of the sandbox to get it from. */
#pragma once

#include <stdbool.h>

#include "cli/cli.h"

enum { SERIES_LABELS = 40 };

struct series {
    struct view name;
    struct {
        struct view key, value; /* value unescaped */
    } labels[SERIES_LABELS];
    size_t n_labels;
    double value;
};

struct view series_label(const struct series *s, const char *key); /* empty when absent */

/* The next series of *rest, comments skipped; false at the end. Unescaped values live in `a`. Lines that are malformed
 * or have too many labels are passed over. */
bool series_next(struct arena *a, struct view *rest, struct series *ret);

struct scraped_pod {
    struct view ns, name;
    struct node *pod;
};

/* Running pods with a proxy (container istio-proxy). */
int scrape_pods(struct cli *c, struct scraped_pod **ret_pods, size_t *ret_n) must_check;
/* GET from a port of a pod, through the daemon; VIEW_NONE when it does not answer 200. In the cli's arena. */
struct view scrape_get(struct cli *c, struct view ns, struct view pod, unsigned port, const char *path);
