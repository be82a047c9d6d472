// SPDX-License-Identifier: Apache-2.0
/* YAML, as manifests and annotations bring it: reading never crashes, and what was printed reads back the same. */
#include <stdlib.h>

#include "fuzz.h"

#include "wire/node.h"
#include "wire/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct node *n, *again;
    arena_init(&a, 0);
    struct pull *in = yaml_pull(&a, view_make(data, size), 1);
    while (node_read(&a, in, &n) == 0 && n) {
        struct buf json = {0}, yaml = {0}; /* trees of JSON borrow from their text */
        if (n->weight > 10000)             /* aliases: printing would be long, not wrong */
            continue;
        node_print_json(n, &json);
        if (n->type == NODE_MAP || n->type == NODE_SEQ) {
            struct pull_error e;
            if (node_parse(&a, buf_read(&json), &again, &e) < 0)
                abort();
            node_print_yaml(again, &yaml);
            struct node *third;
            if (node_parse(&a, buf_read(&yaml), &third, &e) < 0 || !node_eq(again, third))
                abort();
        }
        buf_done(&json);
        buf_done(&yaml);
    }
    arena_done(&a);
    return 0;
}
