// SPDX-License-Identifier: Apache-2.0
/* weft check: is everything right, and if not, which object is at fault and what to do. --pre asks before an installation;
 * without it what is installed is looked at, and of a sandbox what applies there. Nothing is changed: writes are dry runs.
 *
 * checks.def lists the checks; check_*.c has their code. √ holds, ‼ does not matter yet, × is wrong. When the API server does
 * not answer, the rest is not asked.
 *
 * Exit codes: 0 all hold or only ‼; 1 something is ×; 2 command line; 3 there is no cluster and no sandbox to ask.
 */
#include "cli/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cluster.h"

enum { SHOWN = 5 }; /* findings of a check in the table; -o json has all */

const struct check_row check_rows[] = {
#define CHECK(id, fn, group, when, worst, holds, hint) {#id, group, when, MARK_##worst, holds, hint, check_##fn},
#include "cli/checks.def"
#undef CHECK
};
const size_t check_rows_n = COUNT_OF(check_rows);

void found(struct check *k, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    *ARENA_PUSH(k->a, k->found, k->n_found) = arena_vprintf(k->a, fmt, args);
    va_end(args);
}

void note(struct check *k, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    k->note = arena_vprintf(k->a, fmt, args);
    va_end(args);
}

void skip(struct check *k, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    k->skipped = arena_vprintf(k->a, fmt, args);
    va_end(args);
}

static void no_answer(struct check *k, struct view path, int status, const struct node *answer)
{
    if (!status)
        k->away = true;
    found(k, "%.*s: %.*s", VIEW_ARGS(path),
          VIEW_ARGS(status ? object_why(k->a, answer, status) : VIEW("no answer from the API server")));
}

const struct node *check_items(struct check *k, const char *path)
{
    struct check_answer *x = NULL;
    struct node *answer;
    for (size_t i = 0; i < k->n_answers && !x; i++)
        if (strcmp(k->answers[i].path, path) == 0)
            x = &k->answers[i];
    if (!x) {
        int status = object_call(k->c, k->a, "GET", view_of(path), NULL, &answer);
        x = ARENA_PUSH(k->a, k->answers, k->n_answers);
        *x = (struct check_answer){
            .path = path, .status = status, .items = status == 200 ? node_get(answer, VIEW("items")) : answer};
    }
    if (x->status == 200)
        return x->items;
    if (x->status != 404)
        no_answer(k, view_of(path), x->status, x->items);
    return NULL;
}

const struct node *check_get(struct check *k, struct view path)
{
    struct node *answer;
    int status = object_call(k->c, k->a, "GET", path, NULL, &answer);
    if (status == 200)
        return answer;
    if (status != 404)
        no_answer(k, path, status, answer);
    return NULL;
}

const struct node *check_ask(struct check *k, const struct node *pod, const char *path)
{
    struct node *answer;
    struct view at = arena_printf(k->a, "/api/v1/namespaces/%.*s/pods/%.*s:15014/proxy%s", VIEW_ARGS(ns_of(pod)),
                                  VIEW_ARGS(name_of(pod)), path);
    return object_call(k->c, k->a, "GET", at, NULL, &answer) == 200 ? answer : NULL;
}

bool check_is_istiod(const struct check *k, const struct node *pod)
{
    struct view rev = k->revision.n ? k->revision : VIEW("default"), theirs = object_label(pod, "istio.io/rev");
    return view_is(object_label(pod, "app"), "istiod") && view_eq(ns_of(pod), k->home) &&
           (view_eq(theirs, rev) || (k->sandbox && !theirs.n));
}

/* ---- output ---- */

struct report {
    struct check *k;
    struct node *groups, *rows;
    const char *group, *printed;
    unsigned n, failed, warned;
};

static void add_json(struct report *r, const struct check_row *row, const char *result)
{
    struct arena *a = r->k->a;
    struct node *one = node_new(a, NODE_MAP), *list;
    if (!r->group || strcmp(r->group, row->group) != 0) {
        struct node *group = node_new(a, NODE_MAP);
        node_set_str(a, group, "categoryName", view_of(row->group));
        r->rows = node_make(a, group, "checks", NODE_SEQ);
        node_push(a, r->groups, group);
    }
    r->group = row->group;
    node_set_str(a, one, "id", view_of(row->id));
    node_set_str(a, one, "description", view_of(row->holds));
    node_set_str(a, one, "result", view_of(result));
    if (r->k->note.n)
        node_set_str(a, one, "note", r->k->note);
    if (r->k->skipped.n)
        node_set_str(a, one, "skipped", r->k->skipped);
    if (r->k->n_found) {
        list = node_make(a, one, "found", NODE_SEQ);
        for (size_t i = 0; i < r->k->n_found; i++)
            node_push(a, list, node_str(a, r->k->found[i]));
        node_set_str(a, one, "hint", view_of(row->hint));
    }
    node_push(a, r->rows, one);
}

static void print_row(struct report *r, const struct check_row *row, enum mark mark)
{
    const struct check *k = r->k;
    const struct cli *c = k->c;
    bool fine = !k->n_found;
    if (c->output == OUTPUT_JSON || (c->output == OUTPUT_SHORT && fine))
        return;
    if (!r->printed || strcmp(r->printed, row->group) != 0)
        printf("%s%s\n", r->printed ? "\n" : "", row->group);
    r->printed = row->group;
    if (k->skipped.n && fine) {
        printf("- %s: not known, %.*s\n", row->holds, VIEW_ARGS(k->skipped));
        return;
    }
    printf("%s %s", mark_text(mark, c->color_out), row->holds);
    if (fine && k->note.n)
        printf(" (%.*s)", VIEW_ARGS(k->note));
    printf(fine ? "\n" : "  [%s]\n", row->id);
    for (size_t i = 0; i < k->n_found && i < SHOWN; i++)
        printf("    %.*s\n", VIEW_ARGS(k->found[i]));
    if (k->n_found > SHOWN)
        printf("    … and %zu more (-o json shows all)\n", k->n_found - SHOWN);
    if (!fine)
        printf("    hint: %s\n", row->hint);
}

static void run_one(struct report *r, const struct check_row *row)
{
    static const char *const results[] = {"success", "warning", "error"};
    struct check *k = r->k;
    k->found = NULL;
    k->n_found = 0;
    k->note = k->skipped = VIEW_NONE;
    row->run(k);
    enum mark mark = k->n_found ? row->worst : MARK_DONE;
    r->n++;
    r->failed += mark == MARK_FAILED;
    r->warned += mark == MARK_WARNING;
    if (k->c->output == OUTPUT_JSON)
        add_json(r, row, k->skipped.n && !k->n_found ? "skipped" : results[mark]);
    print_row(r, row, mark);
}

static int finish(struct report *r)
{
    const struct cli *c = r->k->c;
    if (c->output == OUTPUT_JSON) {
        struct node *all = node_new(r->k->a, NODE_MAP);
        struct buf b = {0};
        node_set_str(r->k->a, all, "version", VIEW(WEFT_VERSION));
        node_set_bool(r->k->a, all, "success", !r->failed);
        node_set(r->k->a, all, VIEW("categories"), r->groups);
        node_print_json_pretty(all, &b);
        fwrite(buf_read(&b).p, 1, buf_len(&b), stdout);
        buf_done(&b);
    } else if (r->failed || r->warned) {
        printf("\n%u of %u checks found something: %u wrong, %u to look at. `weft explain ID` says more about one.\n",
               r->failed + r->warned, r->n, r->failed, r->warned);
    } else if (c->output != OUTPUT_SHORT) {
        printf("\nall %u checks hold\n", r->n);
    }
    return r->k->away ? EXIT_AWAY : r->failed ? EXIT_FAILED : EXIT_OK;
}

int verb_check(struct cli *c)
{
    struct check k = {.c = c,
                      .a = &c->arena,
                      .sandbox = !c->cluster,
                      .home = VIEW("istio-system"),
                      .revision = view_of(c->opt[OPT_REVISION])};
    struct report r = {.k = &k, .groups = node_new(&c->arena, NODE_SEQ)};
    if (view_is(k.revision, "default"))
        k.revision = VIEW_NONE;
    if (c->output != OUTPUT_TABLE && c->output != OUTPUT_SHORT && c->output != OUTPUT_JSON)
        return cli_usage(c, "-o json, short or table");
    if (c->opt[OPT_PRE] && k.sandbox)
        return cli_usage(c, "--pre is asked of a cluster: --kubeconfig or --context name it");
    char when = k.sandbox ? 'S' : c->opt[OPT_PRE] ? 'B' : 'A';
    if (k.sandbox) { /* none runs: that is said by the client, with what to do */
        int fd = client_connect(c, "");
        if (fd < 0)
            return client_away(c, fd);
        close(fd);
    }
    for (size_t i = 0; i < check_rows_n && !k.away; i++)
        if (strchr(check_rows[i].when, when))
            run_one(&r, &check_rows[i]);
    return finish(&r);
}
