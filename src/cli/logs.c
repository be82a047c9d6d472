// SPDX-License-Identifier: Apache-2.0
/* weft logs POD | KIND/NAME: what a container wrote; -f goes on, --previous shows the run before the last restart. */
#include <stdio.h>

#include "cli/client.h"

static void to_stdout(void *arg, struct view piece)
{
    fwrite(piece.p, 1, piece.n, stdout);
    fflush(stdout);
}

int verb_logs(struct cli *c)
{
    int r;
    struct view pod = client_pod(c, view_of(c->args[0]), &r);
    if (!pod.n)
        return r;
    if (c->cluster && c->opt[OPT_FOLLOW])
        return cli_usage(c, "-f follows in a sandbox; on a cluster use `kubectl logs -f %.*s`", VIEW_ARGS(pod));
    struct buf path = {0};
    struct view base = client_path(c, KIND_POD, c->ns, pod);
    buf_printf(&path, "%.*s/log?", VIEW_ARGS(base));
    if (c->opt[OPT_CONTAINER])
        buf_printf(&path, "container=%.*s&", VIEW_ARGS(client_escape(&c->arena, view_of(c->opt[OPT_CONTAINER]))));
    if (c->opt[OPT_TAIL])
        buf_printf(&path, "tailLines=%.*s&", VIEW_ARGS(client_escape(&c->arena, view_of(c->opt[OPT_TAIL]))));
    buf_printf(&path, "follow=%d&previous=%d", c->opt[OPT_FOLLOW] != NULL, c->opt[OPT_PREVIOUS] != NULL);
    struct answer a = {0};
    r = client_stream(c, buf_read(&path), to_stdout, NULL, &a);
    if (r == EXIT_OK && a.status != 200)
        r = client_refused(c, &a);
    answer_done(&a);
    buf_done(&path);
    return r;
}
