// SPDX-License-Identifier: Apache-2.0
/* weft uninstall: takes away what `weft install` brought and what weft-control made while it ran: the objects with weft's
 * labels, ConfigMap istio-ca-root-cert of every namespace, Lease weft-leader, Secret istio-ca-secret, and the namespace, when
 * weft made it and nothing of anybody else is in it. Webhooks go first, so that nobody waits for one that is gone.
 *
 * Definitions (CRDs) go when no object of theirs is left; those that still hold objects stay, with the objects, and are named:
 * --purge takes them too. What people made (Secret cacerts, labels of namespaces, sidecars in running pods) is told, not
 * touched. It first says what it will do and asks, unless -y.
 *
 * Exit codes: 0 nothing of weft is left; 1 something could not be removed, or stays because of others (named); 2 command
 * line; 3 no cluster.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/objects.h"

struct removal {
    const struct installed_kind *kind; /* NULL: by path alone */
    struct view ns, name, path, label;
};

struct uninstall {
    struct cli *c;
    struct arena *a;
    struct view home, revision; /* istio-system; empty: all revisions */
    struct removal *list;
    size_t n;
    struct removal *keep; /* definitions with objects */
    size_t n_keep;
    struct view *objects; /* of keep: "3 virtualservices" */
    size_t n_objects, n_user_objects;
    bool others; /* control planes of another revision stay */
    struct node *report;
    unsigned failed;
};

static const struct installed_kind leases = {"Lease", "coordination.k8s.io", "v1", "leases", true},
                                   secrets = {"Secret", "", "v1", "secrets", true};

static void add(struct uninstall *u, const struct installed_kind *k, struct view ns, struct view name)
{
    *ARENA_PUSH(u->a, u->list, u->n) = (struct removal){
        .kind = k,
        .ns = ns,
        .name = name,
        .path = object_path(u->a, k, ns, name),
        .label = arena_printf(u->a, "%s %.*s%s%.*s", k->kind, VIEW_ARGS(ns), ns.n ? "/" : "", VIEW_ARGS(name)),
    };
}

/* The items of a collection; NULL: there are none, or *ret_exit is set. */
static const struct node *list(struct uninstall *u, const struct installed_kind *k, struct view ns,
                               const char *selector, int *ret_exit)
{
    struct view path = object_path(u->a, k, ns, VIEW_NONE);
    struct node *answer;
    *ret_exit = EXIT_OK;
    if (selector)
        path = arena_printf(u->a, "%.*s?labelSelector=%.*s", VIEW_ARGS(path),
                            VIEW_ARGS(client_escape(u->a, view_of(selector))));
    int status = object_call(u->c, u->a, "GET", path, NULL, &answer);
    if (status == 404)
        return NULL;
    if (status != 200) {
        *ret_exit = status ? cli_fail(u->c, "%s: %.*s", k->plural, VIEW_ARGS(object_why(u->a, answer, status)))
                           : object_away(u->c);
        return NULL;
    }
    return node_get(answer, VIEW("items"));
}

static bool of_revision(const struct uninstall *u, const struct node *o)
{
    return !u->revision.n || view_eq(object_label(o, "istio.io/rev"), u->revision);
}

/* Everything with the labels that `weft install` sets, backwards. */
static int find_installed(struct uninstall *u)
{
    for (size_t i = installed_kinds_n; i-- > 0;) {
        const struct installed_kind *k = &installed_kinds[i];
        int r;
        if (strcmp(k->kind, "Namespace") == 0 || strcmp(k->kind, "CustomResourceDefinition") == 0)
            continue;
        const struct node *items =
            list(u, k, VIEW_NONE, "app.kubernetes.io/managed-by=weft,app.kubernetes.io/part-of=weft", &r);
        if (r)
            return r;
        for (uint32_t n = 0; node_is(items, NODE_SEQ) && n < items->n; n++) {
            const struct node *o = items->items[n];
            struct view name = node_text_at(o, "metadata.name"), ns = node_text_at(o, "metadata.namespace");
            if (!of_revision(u, o)) {
                u->others = u->others || strcmp(k->kind, "Deployment") == 0;
                continue;
            }
            if (ns.n && view_starts(name, VIEW("istiod")))
                u->home = ns;
            add(u, k, ns, name);
        }
    }
    return EXIT_OK;
}

/* What weft-control made. */
static int find_made(struct uninstall *u)
{
    static const struct {
        const struct installed_kind *kind;
        const char *name;
    } made[] = {{&leases, "weft-leader"}, {&secrets, "istio-ca-secret"}};
    struct node *o;
    int r;
    const struct node *namespaces = list(u, object_kind("Namespace"), VIEW_NONE, NULL, &r);
    for (uint32_t i = 0; node_is(namespaces, NODE_SEQ) && i < namespaces->n; i++) {
        struct view ns = node_text_at(namespaces->items[i], "metadata.name");
        struct view path = object_path(u->a, object_kind("ConfigMap"), ns, VIEW("istio-ca-root-cert"));
        if (object_call(u->c, u->a, "GET", path, NULL, &o) == 200)
            add(u, object_kind("ConfigMap"), ns, VIEW("istio-ca-root-cert"));
    }
    for (size_t i = 0; i < COUNT_OF(made) && !r; i++)
        if (object_call(u->c, u->a, "GET", object_path(u->a, made[i].kind, u->home, view_of(made[i].name)), NULL, &o) ==
            200)
            add(u, made[i].kind, u->home, view_of(made[i].name));
    return r;
}

/* How many objects a definition holds. */
static int count_objects(struct uninstall *u, const struct node *crd, uint32_t *ret_n)
{
    struct installed_kind k = {.namespaced = true};
    const struct node *versions = node_at(crd, "spec.versions"), *items;
    struct view version = VIEW_NONE;
    int r;
    for (uint32_t i = 0; node_is(versions, NODE_SEQ) && i < versions->n; i++)
        if (node_bool(node_get(versions->items[i], VIEW("storage")), false))
            version = node_text_at(versions->items[i], "name");
    k.group = arena_str(u->a, node_text_at(crd, "spec.group"));
    k.version = arena_str(u->a, version);
    k.plural = arena_str(u->a, node_text_at(crd, "spec.names.plural"));
    items = list(u, &k, VIEW_NONE, NULL, &r);
    *ret_n = node_is(items, NODE_SEQ) ? items->n : 0;
    return r;
}

static int find_definitions(struct uninstall *u)
{
    const struct installed_kind *k = object_kind("CustomResourceDefinition");
    bool purge = u->c->opt[OPT_PURGE] != NULL;
    int r;
    const struct node *items =
        list(u, k, VIEW_NONE, "app.kubernetes.io/managed-by=weft,app.kubernetes.io/part-of=weft", &r);
    for (uint32_t i = 0; node_is(items, NODE_SEQ) && i < items->n && !r; i++) {
        const struct node *crd = items->items[i];
        struct view name = node_text_at(crd, "metadata.name");
        uint32_t n = 0;
        r = count_objects(u, crd, &n);
        if (!n || purge)
            add(u, k, VIEW_NONE, name);
        else
            *ARENA_PUSH(u->a, u->keep, u->n_keep) = (struct removal){.kind = k, .name = name};
        if (n)
            *ARENA_PUSH(u->a, u->objects, u->n_objects) =
                arena_printf(u->a, "%u %.*s", n, VIEW_ARGS(node_text_at(crd, "spec.names.plural")));
        u->n_user_objects += n;
    }
    return r;
}

static bool is_listed(const struct uninstall *u, const struct installed_kind *k, struct view name)
{
    for (size_t i = 0; i < u->n; i++)
        if (view_eq(u->list[i].name, name) && strcmp(u->list[i].kind->kind, k->kind) == 0)
            return true;
    return false;
}

/* The namespace goes when `weft install` made it and nobody else uses it. */
static int find_namespace(struct uninstall *u, struct view *ret_user)
{
    static const struct installed_kind looked[] = {
        {"Deployment", "apps", "v1", "deployments", true},    {"StatefulSet", "apps", "v1", "statefulsets", true},
        {"DaemonSet", "apps", "v1", "daemonsets", true},      {"Service", "", "v1", "services", true},
        {"ConfigMap", "", "v1", "configmaps", true},          {"Secret", "", "v1", "secrets", true},
        {"ServiceAccount", "", "v1", "serviceaccounts", true}};
    const struct installed_kind *k = object_kind("Namespace");
    struct node *ns;
    int r = EXIT_OK;
    if (object_call(u->c, u->a, "GET", object_path(u->a, k, VIEW_NONE, u->home), NULL, &ns) != 200 ||
        !object_managed_by(ns, "weft"))
        return EXIT_OK;
    for (size_t i = 0; i < COUNT_OF(looked) && !r; i++) {
        const struct node *items = list(u, &looked[i], u->home, NULL, &r);
        for (uint32_t n = 0; node_is(items, NODE_SEQ) && n < items->n; n++) {
            struct view name = node_text_at(items->items[n], "metadata.name");
            bool default_one = (i == 4 && view_is(name, "kube-root-ca.crt")) || (i == 6 && view_is(name, "default"));
            if (!default_one && !is_listed(u, &looked[i], name))
                *ret_user = arena_printf(u->a, "%s %.*s", looked[i].kind, VIEW_ARGS(name));
        }
    }
    if (!r && !ret_user->n)
        add(u, k, VIEW_NONE, u->home);
    return r;
}

static bool confirmed(struct uninstall *u)
{
    char line[16] = "";
    if (u->c->opt[OPT_YES])
        return true;
    if (!isatty(STDIN_FILENO))
        return false;
    fprintf(stderr, "Remove these %zu objects%s? [y/N] ", u->n,
            u->c->opt[OPT_PURGE] ? " and all objects of their kinds" : "");
    return fgets(line, sizeof(line), stdin) && (line[0] == 'y' || line[0] == 'Y');
}

static void print_plan(const struct uninstall *u)
{
    fprintf(stderr, "weft uninstall removes:\n");
    for (size_t i = 0; i < u->n; i++)
        fprintf(stderr, "  %.*s\n", VIEW_ARGS(u->list[i].label));
    for (size_t i = 0; u->c->opt[OPT_PURGE] && i < u->n_objects; i++)
        fprintf(stderr, "  with all objects: %.*s\n", VIEW_ARGS(u->objects[i]));
}

static void remove_one(struct uninstall *u, const struct removal *x)
{
    struct node *answer, *one = node_new(u->a, NODE_MAP);
    int status = object_call(u->c, u->a, "DELETE", x->path, NULL, &answer);
    bool gone = status == 200 || status == 202 || status == 404;
    node_set_str(u->a, one, "object", x->label);
    node_set_str(u->a, one, "result", gone ? VIEW("removed") : VIEW("failed"));
    node_push(u->a, node_get(u->report, VIEW("objects")), one);
    if (gone)
        return;
    u->failed++;
    say(u->c, MARK_FAILED, "%.*s: %.*s", VIEW_ARGS(x->label),
        VIEW_ARGS(status ? object_why(u->a, answer, status) : VIEW("the cluster does not answer")));
}

/* The pods of Deployments that were deleted end after them. */
static bool pods_gone(struct uninstall *u, uint64_t until)
{
    struct view more = u->revision.n ? arena_printf(u->a, ",istio.io/rev=%.*s", VIEW_ARGS(u->revision)) : VIEW_NONE;
    struct view selector = client_escape(u->a, arena_printf(u->a, "app=istiod%.*s", VIEW_ARGS(more)));
    struct view path =
        arena_printf(u->a, "/api/v1/namespaces/%.*s/pods?labelSelector=%.*s", VIEW_ARGS(u->home), VIEW_ARGS(selector));
    for (;;) {
        struct node *list;
        struct arena a;
        arena_init(&a, 0);
        int status = object_call(u->c, &a, "GET", path, NULL, &list);
        const struct node *items = node_get(list, VIEW("items"));
        bool some = status != 200 || (node_is(items, NODE_SEQ) && items->n > 0);
        arena_done(&a);
        if (!some || clock_mono() >= until)
            return !some;
        usleep(100 * 1000);
    }
}

/* Deletion takes its time: finalizers, pods that end. Until everything answers 404; false: something is left. */
static bool wait_gone(struct uninstall *u, uint64_t until)
{
    struct arena a;
    for (size_t i = 0; i < u->n; i++) {
        for (;;) {
            arena_init(&a, 0);
            int status = object_call(u->c, &a, "GET", u->list[i].path, NULL, NULL);
            arena_done(&a);
            if (status == 404)
                break;
            if (clock_mono() >= until) {
                say(u->c, MARK_WARNING, "%.*s is still being removed: `weft uninstall` again says what is left",
                    VIEW_ARGS(u->list[i].label));
                return false;
            }
            usleep(100 * 1000);
        }
    }
    if (pods_gone(u, until))
        return true;
    say(u->c, MARK_WARNING, "pods of istiod still end in %.*s", VIEW_ARGS(u->home));
    return false;
}

/* Sidecars that run stay until their pods are made anew. */
static void tell_sidecars(struct uninstall *u)
{
    static const struct installed_kind pods = {"Pod", "", "v1", "pods", true};
    int r;
    uint32_t with = 0;
    const struct node *items = list(u, &pods, VIEW_NONE, "security.istio.io/tlsMode=istio", &r);
    for (uint32_t i = 0; node_is(items, NODE_SEQ) && i < items->n; i++)
        with += node_get(node_at(items->items[i], "metadata.annotations"), VIEW("sidecar.istio.io/status")) != NULL;
    if (with)
        say(u->c, MARK_WARNING,
            "%u pods still have a sidecar, which keeps its last configuration: restart them (kubectl rollout restart)",
            with);
}

static int finish(struct uninstall *u, bool all_gone, struct view user)
{
    struct buf b = {0};
    if (u->n_keep) {
        for (size_t i = 0; i < u->n_objects; i++)
            buf_printf(&b, "%s%.*s", i ? ", " : "", VIEW_ARGS(u->objects[i]));
        say(u->c, MARK_WARNING, "%zu definitions stay with their objects (%s): --purge removes both", u->n_keep,
            buf_cstr(&b));
        buf_clear(&b);
    }
    if (user.n)
        say(u->c, MARK_WARNING, "namespace %.*s stays: it holds %.*s, which is not weft's", VIEW_ARGS(u->home),
            VIEW_ARGS(user));
    tell_sidecars(u);
    bool clean = all_gone && !u->failed && !u->n_keep && !u->others;
    if (u->c->output == OUTPUT_JSON) {
        node_set_bool(u->a, u->report, "clean", clean);
        node_print_json_pretty(u->report, &b);
        fwrite(buf_read(&b).p, 1, buf_len(&b), stdout);
    } else if (clean) {
        say(u->c, MARK_DONE, "%zu objects removed; nothing of weft is left", u->n);
    } else if (u->others && !u->failed) {
        say(u->c, MARK_DONE, "%zu objects removed; other revisions stay, and what they share", u->n);
    }
    buf_done(&b);
    return u->failed || !all_gone || u->n_keep ? EXIT_FAILED : EXIT_OK;
}

int verb_uninstall(struct cli *c)
{
    struct uninstall u = {.c = c, .a = &c->arena, .home = VIEW("istio-system")};
    struct view user = VIEW_NONE;
    uint64_t timeout = 60 * NS_PER_S;
    if (c->opt[OPT_TIMEOUT] && clock_parse_duration(view_of(c->opt[OPT_TIMEOUT]), &timeout))
        return cli_usage(c, "--timeout %s is not a duration: 30s, 2m", c->opt[OPT_TIMEOUT]);
    u.revision = view_of(c->opt[OPT_REVISION]);
    u.report = node_new(u.a, NODE_MAP);
    node_make(u.a, u.report, "objects", NODE_SEQ);
    int r = object_cluster(c);
    if (r == EXIT_OK)
        r = find_installed(&u);
    if (r == EXIT_OK && !u.others)
        r = find_made(&u);
    if (r == EXIT_OK && !u.others)
        r = find_definitions(&u);
    if (r == EXIT_OK && !u.others)
        r = find_namespace(&u, &user);
    if (r)
        return r;
    if (!u.n && !u.n_keep) {
        struct node *helm = NULL;
        if (object_call(c, u.a, "GET", object_path(u.a, object_kind("Deployment"), u.home, VIEW("istiod")), NULL,
                        &helm) == 200 &&
            object_is_wefts(helm))
            return cli_fail(c,
                            "weft was installed by Helm here: `helm uninstall` removes it (definitions stay: `kubectl "
                            "delete crd -l app.kubernetes.io/part-of=weft`)");
        say(c, MARK_DONE, "nothing of weft is installed");
        return EXIT_OK;
    }
    if (c->output != OUTPUT_JSON && !c->opt[OPT_YES])
        print_plan(&u);
    if (!confirmed(&u)) {
        cli_fail(c, "nothing was removed: say yes with -y");
        return EXIT_USAGE;
    }
    for (size_t i = 0; i < u.n; i++)
        remove_one(&u, &u.list[i]);
    return finish(&u, wait_gone(&u, clock_mono() + timeout), user);
}
