// SPDX-License-Identifier: Apache-2.0
/* AdmissionReviews as an API server (or whoever reaches port 15017) sends them, through the injector: an answer must be one
 * JSON object, and its patch must fit. The first line, when it begins with '/', is the path behind /inject/; with '{' in
 * front of a newline it is the text of the injection settings.
 */
#include "fuzz.h"

#include <stdlib.h>

#include "inject/admission.h"
#include "inject/settings.h"
#include "wire/base64.h"

static void check(struct arena *a, struct view answer)
{
    struct node *n = NULL, *patch = NULL;
    struct buf bytes = {0};
    if (node_parse(a, answer, &n, NULL) < 0 || !node_text_at(n, "response.uid").n)
        abort();
    struct view text = node_text_at(n, "response.patch");
    if (text.n && (base64_read(&bytes, BASE64_STANDARD, text) < 0 || node_parse(a, buf_read(&bytes), &patch, NULL) < 0))
        abort();
    buf_done(&bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct view rest = view_make(data, size), first = VIEW_NONE;
    struct arena a;
    struct diags d;
    struct buf out = {0};
    struct inject_outcome seen;
    arena_init(&a, 0);
    diags_init(&d, &a);
    struct inject_config c = inject_config_kubernetes(&a);
    size_t line = view_find(rest, '\n');
    if (line < size) {
        first = view_head(rest, line);
        rest = view_from(rest, line + 1);
    }
    if (view_starts(first, VIEW("/")) && inject_settings_path(&a, view_from(first, 1), &c) < 0)
        c = inject_config_kubernetes(&a);
    struct inject_settings text = {.values = first};
    if (view_starts(first, VIEW("{")) && inject_settings_read(&a, &d, &(struct origin){0}, &text, &c) < 0)
        c = inject_config_kubernetes(&a);
    if (inject_review(&a, rest, &c, &out, &seen) == 0)
        check(&a, buf_read(&out));
    buf_done(&out);
    arena_done(&a);
    return 0;
}
