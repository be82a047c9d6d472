// SPDX-License-Identifier: Apache-2.0
/* weft install: the objects of deploy/chart (install/chart.h), applied server-side in the order of install/kinds.def, or
 * printed with --dry-run. Doing it again brings an installation up to date: what changed is changed, and what an earlier
 * version had and this one has not is removed (found by labels).
 *
 * Webhooks come last, once istiod is ready, so that no pod waits for one that cannot answer yet. A definition (CRD) that
 * something else brought is left as it is, an installation by Helm or an Istio is refused by name.
 *
 * Exit codes: 0 installed and ready; 1 refused or not ready in time (what was applied stays: run it again); 2 command line
 * and values; 3 no cluster.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "cli/files.h"
#include "cli/install_wait.h"
#include "cli/objects.h"
#include "install/chart.h"
#include "install/values.h"

struct install {
    struct cli *c;
    struct chart chart;
    uint64_t until;
    bool wait;
    struct node *report, *objects; /* -o json */
    unsigned created, changed, same, foreign, pruned;
};

/* All -f, the later over the earlier. */
static int read_values(struct cli *c, struct node **ret)
{
    *ret = node_new(&c->arena, NODE_MAP);
    for (size_t i = 0; i < c->n_files; i++) {
        struct view text;
        struct node *one;
        struct pull_error why = {0};
        int r = files_read_one(c, c->files[i], &text);
        if (r)
            return r;
        if (node_parse(&c->arena, text, &one, &why) < 0 && view_is(why.text, "empty"))
            continue; /* only comments */
        if (why.text.n)
            return cli_fail(c, "%s:%u:%u: %.*s", c->files[i], why.line, why.col, VIEW_ARGS(why.text));
        if (!node_is(one, NODE_MAP))
            return cli_fail(c, "%s: values are a map of names; this is %s", c->files[i],
                            node_type_name((enum node_type)one->type));
        *ret = values_merge(&c->arena, *ret, one);
    }
    return 0;
}

static int render(struct cli *c, struct chart *ret)
{
    struct node *values;
    struct view *sets = NULL, why = VIEW_NONE;
    size_t n = 0;
    int r = read_values(c, &values);
    if (r)
        return r;
    if (c->opt[OPT_REVISION])
        *ARENA_PUSH(&c->arena, sets, n) = arena_printf(&c->arena, "revision=%s", c->opt[OPT_REVISION]);
    for (size_t i = 0; i < c->n_sets; i++)
        *ARENA_PUSH(&c->arena, sets, n) = view_of(c->sets[i]);
    if (chart_render(&c->arena, values, sets, n, ret, &why) < 0) {
        cli_fail(c, "%.*s", VIEW_ARGS(why));
        return EXIT_USAGE;
    }
    return 0;
}

static int print_objects(const struct cli *c, const struct chart *chart)
{
    struct buf b = {0};
    bool json = c->output == OUTPUT_JSON;
    if (json)
        buf_str(&b, "{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[");
    for (size_t i = 0; i < chart->n; i++) {
        if (json) {
            buf_str(&b, i ? "," : "");
            node_print_json(chart->objects[i].tree, &b);
        } else {
            buf_str(&b, i ? "---\n" : "");
            node_print_yaml(chart->objects[i].tree, &b);
        }
    }
    if (json)
        buf_str(&b, "]}\n");
    fwrite(buf_read(&b).p, 1, buf_len(&b), stdout);
    buf_done(&b);
    return EXIT_OK;
}

static bool is_kind(const struct chart_object *o, const char *kind)
{
    return strcmp(o->kind->kind, kind) == 0;
}

static void note(struct install *x, const struct installed_kind *k, struct view ns, struct view name,
                 const char *result)
{
    struct arena *a = &x->c->arena;
    struct node *one = node_new(a, NODE_MAP);
    node_set_str(a, one, "kind", view_of(k->kind));
    if (ns.n)
        node_set_str(a, one, "namespace", ns);
    node_set_str(a, one, "name", arena_view(a, name));
    node_set_str(a, one, "result", view_of(result));
    node_push(a, x->objects, one);
}

/* ---- before ---- */

/* Something else that calls itself istiod here, or that owns what we would write. */
static int refuse_foreign(struct install *x)
{
    static const char *const kinds[] = {"Deployment", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"};
    struct cli *c = x->c;
    for (size_t i = 0; i < x->chart.n; i++) {
        const struct chart_object *o = &x->chart.objects[i];
        struct node *now;
        bool looked = false;
        for (size_t k = 0; k < COUNT_OF(kinds); k++)
            looked = looked || is_kind(o, kinds[k]);
        if (!looked)
            continue;
        int status = object_call(c, &c->arena, "GET", object_path(&c->arena, o->kind, o->ns, o->name), NULL, &now);
        if (!status)
            return object_away(c);
        if (status == 404)
            continue;
        if (status != 200)
            return cli_fail(c, "%s %.*s: %.*s", o->kind->kind, VIEW_ARGS(o->name),
                            VIEW_ARGS(object_why(&c->arena, now, status)));
        if (object_managed_by(now, "Helm")) {
            struct view release =
                node_text(node_get(node_at(now, "metadata.annotations"), VIEW("meta.helm.sh/release-name")));
            return cli_fail(c,
                            "%s %.*s belongs to Helm's release `%.*s`: use `helm upgrade`, or remove that first with "
                            "`helm uninstall`",
                            o->kind->kind, VIEW_ARGS(o->name), VIEW_ARGS(release));
        }
        if (!object_is_wefts(now))
            return cli_fail(c,
                            "%s %.*s is there already and is not weft's: another Istio runs here. Remove it first, or "
                            "install beside it with --revision NAME",
                            o->kind->kind, VIEW_ARGS(o->name));
    }
    return EXIT_OK;
}

/* ---- applying ---- */

/* A Namespace that the user made stays the user's; so does a definition that something else brought. */
static bool left_alone(struct install *x, const struct chart_object *o, const struct node *now)
{
    bool shared = is_kind(o, "Namespace") || is_kind(o, "CustomResourceDefinition");
    if (!shared || object_managed_by(now, "weft"))
        return false;
    note(x, o->kind, o->ns, o->name, "left alone");
    if (is_kind(o, "CustomResourceDefinition"))
        x->foreign++;
    return true;
}

/* istiod turned failurePolicy to Fail once it was seen to answer: an upgrade does not turn it back. */
static void keep_policies(struct install *x, const struct chart_object *o, const struct node *now)
{
    const struct node *ours = node_get(o->tree, VIEW("webhooks")), *theirs = node_get(now, VIEW("webhooks"));
    for (uint32_t i = 0; node_is(ours, NODE_SEQ) && i < ours->n; i++)
        for (uint32_t k = 0; node_is(theirs, NODE_SEQ) && k < theirs->n; k++)
            if (view_eq(node_text_at(ours->items[i], "name"), node_text_at(theirs->items[k], "name")))
                node_set_str(&x->c->arena, ours->items[i], "failurePolicy",
                             node_text_at(theirs->items[k], "failurePolicy"));
}

static int apply_one(struct install *x, const struct chart_object *o)
{
    struct cli *c = x->c;
    struct view path = object_path(&c->arena, o->kind, o->ns, o->name);
    struct node *now, *after;
    int status = object_call(c, &c->arena, "GET", path, NULL, &now);
    if (!status)
        return object_away(c);
    if (status == 200 && left_alone(x, o, now))
        return EXIT_OK;
    bool existed = status == 200;
    if (existed && is_kind(o, "ValidatingWebhookConfiguration"))
        keep_policies(x, o, now);
    status = object_call(c, &c->arena, "APPLY", path, o->tree, &after);
    if (!status)
        return object_away(c);
    if (status != 200 && status != 201)
        return cli_fail(c, "%s %.*s could not be applied: %.*s", o->kind->kind, VIEW_ARGS(o->name),
                        VIEW_ARGS(object_why(&c->arena, after, status)));
    bool same = existed &&
                view_eq(node_text_at(now, "metadata.resourceVersion"), node_text_at(after, "metadata.resourceVersion"));
    x->created += !existed;
    x->changed += existed && !same;
    x->same += same;
    note(x, o->kind, o->ns, o->name, !existed ? "created" : same ? "unchanged" : "configured");
    return EXIT_OK;
}

/* All of the kinds between two names of kinds.def, inclusive; one line for them. */
static int apply_kinds(struct install *x, const char *first, const char *last, const char *what)
{
    const struct installed_kind *from = object_kind(first), *to = object_kind(last);
    unsigned created = x->created, changed = x->changed, same = x->same, foreign = x->foreign, n = 0;
    for (size_t i = 0; i < x->chart.n; i++) {
        if (x->chart.objects[i].kind < from || x->chart.objects[i].kind > to)
            continue;
        int r = apply_one(x, &x->chart.objects[i]);
        if (r)
            return r;
        n++;
    }
    created = x->created - created;
    changed = x->changed - changed;
    same = x->same - same;
    foreign = x->foreign - foreign;
    if (!n)
        return EXIT_OK;
    struct buf b = {0};
    const struct {
        unsigned n;
        const char *word;
    } parts[] = {
        {created, "created"}, {changed, "changed"}, {same, "as they were"}, {foreign, "not weft's and left alone"}};
    for (size_t i = 0; i < COUNT_OF(parts); i++)
        if (parts[i].n)
            buf_printf(&b, "%s%u %s", buf_len(&b) ? ", " : ": ", parts[i].n, parts[i].word);
    say(x->c, MARK_DONE, "%s%s", what, buf_cstr(&b));
    buf_done(&b);
    return EXIT_OK;
}

static int not_ready(struct install *x, struct view why)
{
    say(x->c, MARK_FAILED, "%.*s", VIEW_ARGS(why));
    return cli_fail(x->c,
                    "not ready in time; everything stays applied: see `weft check`, or wait with `weft install` again");
}

static int apply_all(struct install *x)
{
    struct view why = VIEW_NONE;
    int r = apply_kinds(x, "Namespace", "CustomResourceDefinition", "namespace and definitions");
    if (r == EXIT_OK && !wait_definitions(x->c, &x->chart, x->until, &why))
        return not_ready(x, why);
    if (r == EXIT_OK)
        r = apply_kinds(x, "ServiceAccount", "RoleBinding", "accounts and rights");
    if (r == EXIT_OK)
        r = apply_kinds(x, "NetworkPolicy", "HorizontalPodAutoscaler", "settings, services, policies");
    if (r == EXIT_OK)
        r = apply_kinds(x, "Deployment", "Deployment", "deployments");
    if (r == EXIT_OK && x->wait) {
        struct view name = x->chart.revision.n && !view_is(x->chart.revision, "default")
                               ? arena_printf(&x->c->arena, "istiod-%.*s", VIEW_ARGS(x->chart.revision))
                               : VIEW("istiod");
        if (!wait_deployment(x->c, x->chart.ns, name, x->until, &why))
            return not_ready(x, why);
        say(x->c, MARK_DONE, "istiod is ready");
    }
    if (r == EXIT_OK)
        r = apply_kinds(x, "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration", "webhooks");
    return r;
}

/* ---- what an earlier version had ---- */

static bool in_chart(const struct install *x, const struct installed_kind *k, struct view name)
{
    for (size_t i = 0; i < x->chart.n; i++)
        if (x->chart.objects[i].kind == k && view_eq(x->chart.objects[i].name, name))
            return true;
    return false;
}

static int prune_kind(struct install *x, const struct installed_kind *k)
{
    struct cli *c = x->c;
    struct arena *a = &c->arena;
    struct view rev = x->chart.revision.n ? x->chart.revision : VIEW("default");
    struct view selector = client_escape(
        a, arena_printf(a, "app.kubernetes.io/managed-by=weft,app.kubernetes.io/part-of=weft,istio.io/rev=%.*s",
                        VIEW_ARGS(rev)));
    struct view path = arena_printf(a, "%.*s?labelSelector=%.*s", VIEW_ARGS(object_path(a, k, x->chart.ns, VIEW_NONE)),
                                    VIEW_ARGS(selector));
    struct node *list, *answer;
    int status = object_call(c, a, "GET", path, NULL, &list);
    if (status != 200)
        return status ? cli_fail(c, "%s: %.*s", k->plural, VIEW_ARGS(object_why(a, list, status))) : object_away(c);
    const struct node *items = node_get(list, VIEW("items"));
    for (uint32_t i = 0; node_is(items, NODE_SEQ) && i < items->n; i++) {
        struct view name = node_text_at(items->items[i], "metadata.name");
        if (in_chart(x, k, name))
            continue;
        status = object_call(c, a, "DELETE", object_path(a, k, x->chart.ns, name), NULL, &answer);
        if (status != 200 && status != 202 && status != 404)
            return cli_fail(c, "%s %.*s could not be removed: %.*s", k->kind, VIEW_ARGS(name),
                            VIEW_ARGS(object_why(a, answer, status)));
        note(x, k, k->namespaced ? x->chart.ns : VIEW_NONE, name, "removed");
        say(c, MARK_DONE, "removed %s %.*s, which this version does not have", k->kind, VIEW_ARGS(name));
        x->pruned++;
    }
    return EXIT_OK;
}

static int prune(struct install *x)
{
    int r = EXIT_OK;
    for (size_t i = installed_kinds_n; i-- > 0 && r == EXIT_OK;)
        if (strcmp(installed_kinds[i].kind, "Namespace") != 0 &&
            strcmp(installed_kinds[i].kind, "CustomResourceDefinition") != 0)
            r = prune_kind(x, &installed_kinds[i]);
    return r;
}

/* ---- after ---- */

static int wait_rest(struct install *x)
{
    struct view why = VIEW_NONE;
    if (!wait_bundles(x->c, &x->chart, x->until, &why) || !wait_injection(x->c, &x->chart, x->until, &why))
        return not_ready(x, why);
    say(x->c, MARK_DONE, "webhooks answer: a dry run of a pod got its sidecar");
    for (size_t i = 0; i < x->chart.n; i++) {
        const struct chart_object *o = &x->chart.objects[i];
        if (!is_kind(o, "Deployment") || view_starts(o->name, VIEW("istiod")))
            continue;
        if (!wait_deployment(x->c, o->ns, o->name, x->until, &why))
            return not_ready(x, why);
        say(x->c, MARK_DONE, "%.*s is ready", VIEW_ARGS(o->name));
    }
    return EXIT_OK;
}

static int finish(struct install *x, int r)
{
    struct arena *a = &x->c->arena;
    struct view rev = x->chart.revision.n ? x->chart.revision : VIEW("default");
    if (x->c->output == OUTPUT_JSON) {
        struct buf b = {0};
        node_set_str(a, x->report, "version", VIEW(WEFT_VERSION));
        node_set_str(a, x->report, "namespace", x->chart.ns);
        node_set_str(a, x->report, "revision", rev);
        node_set_bool(a, x->report, "installed", r == EXIT_OK);
        node_set_bool(a, x->report, "ready", r == EXIT_OK && x->wait);
        node_print_json_pretty(x->report, &b);
        fwrite(buf_read(&b).p, 1, buf_len(&b), stdout);
        buf_done(&b);
    } else if (r == EXIT_OK) {
        bool named = !view_is(rev, "default");
        fprintf(stderr, "weft " WEFT_VERSION " is installed in %.*s. Next: kubectl label namespace default %s%.*s\n",
                VIEW_ARGS(x->chart.ns), named ? "istio.io/rev=" : "istio-injection=enabled",
                VIEW_ARGS(named ? rev : VIEW_NONE));
    }
    return r;
}

static int install(struct install *x)
{
    int r = refuse_foreign(x);
    if (r == EXIT_OK)
        r = apply_all(x);
    if (r == EXIT_OK)
        r = prune(x);
    if (r == EXIT_OK && x->wait)
        r = wait_rest(x);
    return finish(x, r);
}

int verb_install(struct cli *c)
{
    struct install x = {.c = c, .wait = true};
    uint64_t timeout = 300 * NS_PER_S;
    if (c->opt[OPT_PRINT_VALUES]) {
        struct view text = chart_text("values.yaml");
        fwrite(text.p, 1, text.n, stdout);
        return EXIT_OK;
    }
    if (c->opt[OPT_WAIT] && strcmp(c->opt[OPT_WAIT], "true") != 0 && strcmp(c->opt[OPT_WAIT], "false") != 0)
        return cli_usage(c, "--wait %s: true or false", c->opt[OPT_WAIT]);
    if (c->opt[OPT_TIMEOUT] && clock_parse_duration(view_of(c->opt[OPT_TIMEOUT]), &timeout))
        return cli_usage(c, "--timeout %s is not a duration: 30s, 2m", c->opt[OPT_TIMEOUT]);
    int r = render(c, &x.chart);
    if (r)
        return r;
    if (c->opt[OPT_DRY_RUN])
        return print_objects(c, &x.chart);
    x.wait = !c->opt[OPT_WAIT] || strcmp(c->opt[OPT_WAIT], "true") == 0;
    x.until = clock_mono() + timeout;
    x.report = node_new(&c->arena, NODE_MAP);
    x.objects = node_make(&c->arena, x.report, "objects", NODE_SEQ);
    r = object_cluster(c);
    return r ? r : install(&x);
}
