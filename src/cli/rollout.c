// SPDX-License-Identifier: Apache-2.0
/* weft rollout restart KIND/NAME: new pods by a new annotation in the template, as kubectl does it.
 * weft rollout status KIND/NAME: waits until every pod is new and available; exits 1 when it takes too long.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/client.h"
#include "wire/node.h"

static int64_t count(const struct node *o, const char *path, int64_t absent)
{
    int64_t n;
    const struct node *at = node_at(o, path);
    return at && node_i64(at, &n) == 0 ? n : absent;
}

static int restart(struct cli *c, enum mesh_kind kind, struct view name)
{
    struct buf body = {0};
    buf_str(&body, "{\"spec\":{\"template\":{\"metadata\":{\"annotations\":{\"kubectl.kubernetes.io/restartedAt\":\"");
    clock_print_time(&body, clock_wall());
    buf_str(&body, "\"}}}}}");
    struct answer a = {0};
    int r = client_call(c, "PATCH", client_path(c, kind, c->ns, name), buf_read(&body), &a);
    if (r == EXIT_OK && a.status != 200)
        r = client_refused(c, &a);
    else if (r == EXIT_OK)
        printf("%.*s restarted\n", VIEW_ARGS(client_label(c, kind, name)));
    buf_done(&body);
    answer_done(&a);
    return r;
}

/* What is left to do, or NULL. */
static const char *waiting_for(const struct node *o, enum mesh_kind kind, char *text, size_t size)
{
    if (count(o, "status.observedGeneration", 0) < count(o, "metadata.generation", 0))
        return "the change is not seen yet";
    bool set = kind == KIND_DAEMON_SET;
    int64_t wanted = set ? count(o, "status.desiredNumberScheduled", 1) : count(o, "spec.replicas", 1);
    int64_t fresh = count(o, set ? "status.updatedNumberScheduled" : "status.updatedReplicas", 0);
    int64_t all = count(o, set ? "status.currentNumberScheduled" : "status.replicas", 0);
    int64_t serving = count(o, set ? "status.numberAvailable" : "status.availableReplicas", 0);
    if (fresh < wanted)
        snprintf(text, size, "%lld of %lld new pods are made", (long long)fresh, (long long)wanted);
    else if (all > fresh)
        snprintf(text, size, "%lld old pods are still there", (long long)(all - fresh));
    else if (serving < wanted)
        snprintf(text, size, "%lld of %lld new pods are available", (long long)serving, (long long)wanted);
    else
        return NULL;
    return text;
}

static int status(struct cli *c, enum mesh_kind kind, struct view name)
{
    uint64_t wait = 60 * NS_PER_S;
    if (c->opt[OPT_TIMEOUT] && clock_parse_duration(view_of(c->opt[OPT_TIMEOUT]), &wait))
        return cli_usage(c, "--timeout %s is not a duration: 30s, 2m", c->opt[OPT_TIMEOUT]);
    uint64_t until = clock_mono() + wait;
    char text[128], told[128] = "";
    for (;;) {
        int r;
        const struct node *o = client_get(c, client_path(c, kind, c->ns, name), &r);
        const char *why = o ? waiting_for(o, kind, text, sizeof(text)) : NULL;
        if (!o)
            return r;
        struct view label = client_label(c, kind, name);
        if (!why) {
            printf("%.*s successfully rolled out\n", VIEW_ARGS(label));
            return EXIT_OK;
        }
        if (strcmp(told, why) != 0)
            fprintf(stderr, "Waiting for %.*s: %s\n", VIEW_ARGS(label), why);
        snprintf(told, sizeof(told), "%s", why);
        if (clock_mono() > until)
            return cli_fail(c, "%.*s is not done in time: see `weft get pods` and `weft logs`", VIEW_ARGS(label));
        usleep(100 * 1000);
    }
}

int verb_rollout(struct cli *c)
{
    struct view word = view_of(c->args[1]), name;
    size_t slash = view_find(word, '/');
    enum mesh_kind kind;
    int r = client_kind(c, view_head(word, slash), &kind);
    if (r)
        return r;
    if (slash == word.n && c->n_args < 3)
        return cli_usage(c, "say which: KIND/NAME");
    name = slash < word.n ? view_from(word, slash + 1) : view_of(c->args[2]);
    if (kind != KIND_DEPLOYMENT && kind != KIND_STATEFUL_SET && kind != KIND_DAEMON_SET)
        return cli_usage(c, "only Deployments, StatefulSets and DaemonSets roll out");
    if (strcmp(c->args[0], "restart") == 0)
        return restart(c, kind, name);
    if (strcmp(c->args[0], "status") == 0)
        return status(c, kind, name);
    return cli_usage(c, "`weft rollout %s`: restart or status", c->args[0]);
}
