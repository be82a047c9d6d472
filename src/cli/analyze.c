// SPDX-License-Identifier: Apache-2.0
/* weft analyze FILES|DIR…: everything that apply would say about these manifests, without a sandbox. Exits 1 when one of
 * them would be rejected.
 */
#include "mesh/analyze.h"

#include <stdio.h>

#include "cli/cli.h"
#include "cli/files.h"
#include "mesh/parse.h"
#include "mesh/snapshot.h"

int verb_analyze(struct cli *c)
{
    struct input_file *files;
    size_t n;
    if (!c->n_args)
        return cli_usage(c, "say which manifests: weft analyze DIR");
    int r = files_read(c, c->args, c->n_args, &files, &n);
    if (r)
        return r;
    struct diags d;
    diags_init(&d, &c->arena);
    struct object_list objects = {0};
    for (size_t i = 0; i < n; i++) {
        struct mesh_source src = {.file = files[i].name, .text = files[i].text};
        if (mesh_parse(&c->arena, &d, &src, &objects))
            r = EXIT_FAILED;
    }
    struct mesh_snapshot *snap = snapshot_new(&c->arena, &d, objects.list, objects.n);
    mesh_analyze(snap, &d);
    struct buf text = {0};
    if (c->output == OUTPUT_JSON)
        diags_print_json(&d, &text);
    else
        diags_print(&d, &text, c->color_out);
    fputs(buf_cstr(&text), stdout);
    buf_done(&text);
    if (list_empty(&d.all) && c->output != OUTPUT_JSON)
        fprintf(stderr, "√ nothing to say about %u objects in %zu files\n", objects.n, n);
    return d.n_errors ? EXIT_FAILED : r;
}
