// SPDX-License-Identifier: Apache-2.0
/* weft delete -f FILE, or KIND NAME…, or KIND/NAME…: removes objects and waits until pods among them are gone. */
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/apply.h"
#include "cli/client.h"
#include "wire/node.h"

static int wait_gone(struct cli *c, struct view path, struct view uid, uint64_t until)
{
    for (;;) {
        struct answer a = {0};
        int r = client_call(c, "GET", path, VIEW_NONE, &a);
        struct node *n = NULL;
        bool there = r == EXIT_OK && a.status == 200 &&
                     node_parse(&c->arena, arena_view(&c->arena, buf_read(&a.body)), &n, NULL) == 0 &&
                     view_eq(node_text_at(n, "metadata.uid"), uid);
        answer_done(&a);
        if (!there)
            return r;
        if (clock_mono() > until)
            return cli_fail(c, "%.*s is still ending: see `weft get pods`", VIEW_ARGS(path));
        usleep(50 * 1000);
    }
}

static int delete_one(struct cli *c, enum mesh_kind kind, struct view name, uint64_t until)
{
    struct view path = client_path(c, kind, c->ns, name);
    int r;
    const struct node *object = client_get(c, path, &r);
    if (!object)
        return r;
    struct answer a = {0};
    r = client_call(c, "DELETE", path, VIEW_NONE, &a);
    if (r == EXIT_OK && a.status != 200 && a.status != 202) /* 202: it ends in its own time */
        r = client_refused(c, &a);
    answer_done(&a);
    if (r)
        return r;
    printf("%.*s deleted\n", VIEW_ARGS(client_label(c, kind, name)));
    fflush(stdout);
    return kind == KIND_POD ? wait_gone(c, path, node_text_at(object, "metadata.uid"), until) : EXIT_OK;
}

int verb_delete(struct cli *c)
{
    if (c->n_files)
        return apply_files(c, "delete");
    if (!c->n_args)
        return cli_usage(c, "say what: -f FILE, KIND NAME or KIND/NAME");
    uint64_t wait = 60 * NS_PER_S;
    if (c->opt[OPT_TIMEOUT] && clock_parse_duration(view_of(c->opt[OPT_TIMEOUT]), &wait))
        return cli_usage(c, "--timeout %s is not a duration: 30s, 2m", c->opt[OPT_TIMEOUT]);
    uint64_t until = clock_mono() + wait;
    enum mesh_kind kind = MESH_KINDS;
    int worst = EXIT_OK;
    for (size_t i = 0; i < c->n_args; i++) {
        struct view word = view_of(c->args[i]), name = word;
        size_t slash = view_find(word, '/');
        if (slash < word.n || kind == MESH_KINDS) {
            int r = client_kind(c, view_head(word, slash), &kind);
            if (r)
                return r;
            if (slash == word.n && c->n_args == 1)
                return cli_usage(c, "say which: weft delete %.*s NAME", VIEW_ARGS(word));
            if (slash == word.n)
                continue;
            name = view_from(word, slash + 1);
        }
        int r = delete_one(c, kind, name, until);
        worst = r ? r : worst;
    }
    return worst;
}
