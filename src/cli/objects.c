// SPDX-License-Identifier: Apache-2.0
/* Objects by path (objects.h), over client.h, which knows whether a sandbox or a cluster answers. */
#include "cli/objects.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cluster.h"

enum { BUSY_TRIES = 50, BUSY_PAUSE_US = 200 * 1000 };

const char *mark_text(enum mark mark, bool color)
{
    static const char *const plain[] = {"√", "‼", "×"}, *const colored[] = {"\033[32m√\033[0m", "\033[33m‼\033[0m",
                                                                            "\033[31m×\033[0m"};
    return color ? colored[mark] : plain[mark];
}

void say(const struct cli *c, enum mark mark, const char *fmt, ...)
{
    if (c->output == OUTPUT_JSON)
        return;
    va_list args;
    va_start(args, fmt);
    fprintf(stderr, "%s ", mark_text(mark, c->color_err));
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
    va_end(args);
}

const struct installed_kind *object_kind(const char *kind)
{
    for (size_t i = 0; i < installed_kinds_n; i++)
        if (strcmp(installed_kinds[i].kind, kind) == 0)
            return &installed_kinds[i];
    must(!"a kind that install/kinds.def does not list");
    return NULL;
}

struct view object_path(struct arena *a, const struct installed_kind *k, struct view ns, struct view name)
{
    struct buf b = {0};
    if (k->group[0])
        buf_printf(&b, "/apis/%s/%s", k->group, k->version);
    else
        buf_printf(&b, "/api/%s", k->version);
    if (k->namespaced && ns.n)
        buf_printf(&b, "/namespaces/%.*s", VIEW_ARGS(ns));
    buf_printf(&b, "/%s", k->plural);
    if (name.n)
        buf_printf(&b, "/%.*s", VIEW_ARGS(name));
    struct view path = arena_view(a, buf_read(&b));
    buf_done(&b);
    return path;
}

int object_call(struct cli *c, struct arena *a, const char *method, struct view path, const struct node *body,
                struct node **ret)
{
    struct answer answer = {0};
    struct buf text = {0};
    if (ret)
        *ret = NULL;
    if (body)
        node_print_json(body, &text);
    int r = client_try(c, method, path, buf_read(&text), &answer);
    for (int again = 0; r == 0 && answer.status == 429 && again < BUSY_TRIES;
         again++) { /* busy, or a definition is new */
        usleep(BUSY_PAUSE_US);
        answer_done(&answer);
        answer = (struct answer){0};
        r = client_try(c, method, path, buf_read(&text), &answer);
    }
    if (r == 0 && ret && node_parse(a, arena_view(a, buf_read(&answer.body)), ret, NULL) < 0)
        *ret = NULL; /* no JSON: the status says enough */
    buf_done(&text);
    answer_done(&answer);
    return r == 0 ? (int)answer.status : 0;
}

int object_away(const struct cli *c)
{
    return client_away(c, -EIO);
}

struct view object_why(struct arena *a, const struct node *answer, int status)
{
    struct view message = node_text_at(answer, "message");
    return message.n ? message : arena_printf(a, "the API server answers %d", status);
}

int object_cluster(struct cli *c)
{
    if (c->cluster)
        return EXIT_OK;
    if (!c->opt[OPT_CONTEXT])
        c->opt[OPT_CONTEXT] = ""; /* the current one: a cluster is meant, whatever sandbox runs */
    return cluster_choose(c);
}

struct view object_label(const struct node *o, const char *key)
{
    return node_text(node_get(node_at(o, "metadata.labels"), view_of(key)));
}

bool object_is_wefts(const struct node *o)
{
    return view_is(object_label(o, "app.kubernetes.io/part-of"), "weft");
}

bool object_managed_by(const struct node *o, const char *who)
{
    return view_is(object_label(o, "app.kubernetes.io/managed-by"), who);
}

int64_t object_count(const struct node *o, const char *path, int64_t absent)
{
    int64_t n;
    const struct node *at = node_at(o, path);
    return at && node_i64(at, &n) == 0 ? n : absent;
}

bool object_condition(const struct node *o, const char *type, struct view *ret_message)
{
    const struct node *all = node_at(o, "status.conditions");
    for (uint32_t i = 0; node_is(all, NODE_SEQ) && i < all->n; i++) {
        if (!view_is(node_text_at(all->items[i], "type"), type))
            continue;
        if (ret_message)
            *ret_message = node_text_at(all->items[i], "message");
        return view_is(node_text_at(all->items[i], "status"), "True");
    }
    return false;
}
