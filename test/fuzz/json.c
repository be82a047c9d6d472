// SPDX-License-Identifier: Apache-2.0
/* JSON, as API servers and webhooks bring it: reading never crashes, and what was printed reads back the same. */
#include <stdlib.h>

#include "fuzz.h"

#include "wire/json.h"
#include "wire/node.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct node *n, *again;
    arena_init(&a, 0);
    struct pull *in = json_pull(&a, view_make(data, size), 1);
    while (node_read(&a, in, &n) == 0 && n) {
        struct buf text = {0};
        node_print_json(n, &text);
        struct pull *back = json_pull(&a, buf_read(&text), 1);
        if (node_read(&a, back, &again) < 0 || !again || !node_eq(n, again))
            abort();
        buf_done(&text);
    }
    arena_done(&a);
    return 0;
}
