// SPDX-License-Identifier: Apache-2.0
/* kubeconfig files and service accounts (config.h). Several files in $KUBECONFIG are searched in order, as kubectl merges
 * them: the first that defines a name counts; paths are relative to the file that names them.
 */
#include "kube/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/file.h"
#include "base/limits.h"
#include "kube/credential.h"
#include "wire/base64.h"
#include "wire/node.h"

#define SERVICE_ACCOUNT "/var/run/secrets/kubernetes.io/serviceaccount"
enum { MOST_FILES = 16 };

struct file {
    struct view path, dir; /* dir with its '/' */
    const struct node *tree;
};

struct loading {
    struct arena *a;
    struct file files[MOST_FILES];
    int n;
    struct kube_config *ret;
    const char **why;
};

static int refuse(struct loading *l, int err, const char *fmt, ...) printf_like(3, 4);
static int refuse(struct loading *l, int err, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    *l->why = arena_vprintf(l->a, fmt, args).p;
    va_end(args);
    return err;
}

static struct kube_config begin(struct loading *l, const char **why)
{
    struct kube_config none = {.memory = mem_alloc(sizeof(struct arena))};
    arena_init(none.memory, 4096);
    l->a = none.memory;
    l->why = why;
    return none;
}

static void wipe(struct view v)
{
    if (v.n)
        explicit_bzero((char *)(uintptr_t)v.p, v.n);
}

void kube_config_done(struct kube_config *c)
{
    if (!c->memory)
        return;
    wipe(c->token);
    wipe(c->key_pem);
    arena_done(c->memory);
    mem_free(c->memory);
    *c = (struct kube_config){0};
}

/* ---- in a pod ---- */

int kube_config_in_cluster(struct kube_config *ret, const char **why)
{
    const char *host = getenv("KUBERNETES_SERVICE_HOST"), *port = getenv("KUBERNETES_SERVICE_PORT");
    struct loading l = {0};
    struct buf ns = {0};

    *ret = begin(&l, why);
    if (!host || !*host || !port || !*port)
        return refuse(
            &l, -ENOENT,
            "KUBERNETES_SERVICE_HOST and _PORT are not set: this is not a pod. Outside of one give --kubeconfig");
    if (access(SERVICE_ACCOUNT "/token", R_OK) < 0)
        return refuse(&l, -errno,
                      SERVICE_ACCOUNT "/token: %s. The pod needs a service account with automountServiceAccountToken",
                      strerror(errno));
    ret->server = strchr(host, ':') ? arena_printf(l.a, "https://[%s]:%s", host, port)
                                    : arena_printf(l.a, "https://%s:%s", host, port);
    ret->token_file = VIEW(SERVICE_ACCOUNT "/token");
    ret->ca_file = VIEW(SERVICE_ACCOUNT "/ca.crt");
    if (file_read(VIEW(SERVICE_ACCOUNT "/namespace"), 4096, &ns) == 0)
        ret->ns = arena_view(l.a, view_trim(buf_read(&ns)));
    buf_done(&ns);
    return 0;
}

/* ---- files ---- */

static int read_config(struct loading *l, struct view path)
{
    struct file *f = &l->files[l->n];
    struct pull_error bad = {0};
    struct buf text = {0};
    struct node *tree = NULL;
    int err = file_read(path, LIMIT_YAML_BYTES, &text);

    if (!err) {
        struct view kept = arena_view(l->a, buf_read(&text));
        if (node_parse(l->a, kept, &tree, &bad))
            err = refuse(l, -EINVAL, "%.*s:%u: %.*s", VIEW_ARGS(path), bad.line, VIEW_ARGS(bad.text));
        else if (!node_is(tree, NODE_MAP))
            err = refuse(l, -EINVAL, "%.*s: not a kubeconfig", VIEW_ARGS(path));
    } else if (err != -ENOENT) {
        err = refuse(l, err, "%.*s: %s", VIEW_ARGS(path), strerror(-err));
    }
    buf_wipe(&text);
    if (err)
        return err;
    *f = (struct file){.path = arena_view(l->a, path), .tree = tree};
    for (size_t i = 0; i < path.n; i++)
        if (path.p[i] == '/')
            f->dir = view_head(f->path, i + 1);
    l->n++;
    return 0;
}

static int read_files(struct loading *l, const char *given)
{
    const char *home = getenv("HOME"), *env = getenv("KUBECONFIG");
    struct view rest = view_of(given && *given ? given : env && *env ? env : "");
    bool list = !(given && *given);

    if (!rest.n) {
        rest = arena_printf(l->a, "%s/.kube/config", home ? home : "");
        list = false;
    }
    struct view all = rest;
    while (rest.n && l->n < MOST_FILES) {
        struct view one = list ? view_head(rest, view_find(rest, ':')) : rest;
        int err = one.n ? read_config(l, one) : -ENOENT;
        if (err && err != -ENOENT)
            return err;
        rest = list ? view_from(rest, one.n + 1) : VIEW_NONE;
    }
    if (!l->n)
        return refuse(l, -ENOENT, "%.*s: no such file. Give --kubeconfig FILE or set KUBECONFIG", VIEW_ARGS(all));
    return 0;
}

/* The map called `field` of the entry with this name in one of the lists called `list`. */
static const struct node *find(const struct loading *l, const char *list, const char *field, struct view name,
                               const struct file **ret_file)
{
    for (int i = 0; i < l->n; i++) {
        const struct node *all = node_get(l->files[i].tree, view_of(list));
        for (uint32_t j = 0; node_is(all, NODE_SEQ) && j < all->n; j++) {
            if (!view_eq(node_text_at(all->items[j], "name"), name))
                continue;
            *ret_file = &l->files[i];
            return node_get(all->items[j], view_of(field));
        }
    }
    return NULL;
}

static struct view path_in(struct loading *l, const struct file *f, struct view path)
{
    if (!path.n || path.p[0] == '/')
        return path;
    return arena_printf(l->a, "%.*s%.*s", VIEW_ARGS(f->dir), VIEW_ARGS(path));
}

/* X-data wins over X, as in client-go. */
static int take_pem(struct loading *l, const struct file *f, const struct node *from, const char *key,
                    struct view *ret_file, struct view *ret_pem)
{
    struct view name = view_of(key), data = node_text(node_get(from, arena_printf(l->a, "%s-data", key)));
    struct buf out = {0};

    if (!data.n) {
        *ret_file = path_in(l, f, node_text(node_get(from, name)));
        return 0;
    }
    if (base64_read(&out, BASE64_LINES, data)) {
        buf_wipe(&out);
        return refuse(l, -EINVAL, "%.*s: %s-data is not base64", VIEW_ARGS(f->path), key);
    }
    *ret_pem = arena_view(l->a, buf_read(&out));
    buf_wipe(&out);
    return 0;
}

static int take_cluster(struct loading *l, struct view name)
{
    const struct file *f = NULL;
    const struct node *c = find(l, "clusters", "cluster", name, &f);

    if (!c)
        return refuse(l, -ENOENT, "%.*s: the context names cluster \"%.*s\", which is not there",
                      VIEW_ARGS(l->files[0].path), VIEW_ARGS(name));
    if (node_text_at(c, "proxy-url").n)
        return refuse(l, -EOPNOTSUPP, "%.*s: cluster \"%.*s\" has proxy-url, which is not supported",
                      VIEW_ARGS(f->path), VIEW_ARGS(name));
    l->ret->server = node_text_at(c, "server");
    l->ret->server_name = node_text_at(c, "tls-server-name");
    l->ret->insecure = node_bool(node_get(c, VIEW("insecure-skip-tls-verify")), false);
    if (!l->ret->server.n)
        return refuse(l, -EINVAL, "%.*s: cluster \"%.*s\" has no server", VIEW_ARGS(f->path), VIEW_ARGS(name));
    return take_pem(l, f, c, "certificate-authority", &l->ret->ca_file, &l->ret->ca_pem);
}

static int take_exec(struct loading *l, const struct file *f, struct view user, const struct node *e)
{
    struct kube_exec *x = ARENA_NEW(l->a, struct kube_exec);
    const struct node *args = node_get(e, VIEW("args")), *env = node_get(e, VIEW("env"));
    struct view command = node_text_at(e, "command");
    uint32_t n = node_is(args, NODE_SEQ) ? args->n : 0, m = node_is(env, NODE_SEQ) ? env->n : 0;
    const char **argv = ARENA_ARRAY(l->a, const char *, n + 2), **vars = ARENA_ARRAY(l->a, const char *, m + 1);

    x->api_version = node_text_at(e, "apiVersion");
    if (!command.n || (!view_is(x->api_version, "client.authentication.k8s.io/v1") &&
                       !view_is(x->api_version, "client.authentication.k8s.io/v1beta1")))
        return refuse(l, -EOPNOTSUPP,
                      "%.*s: exec of user \"%.*s\" needs a command and apiVersion client.authentication.k8s.io/v1 or "
                      "v1beta1; the tool that wrote it is probably old",
                      VIEW_ARGS(f->path), VIEW_ARGS(user));
    if (view_is(node_text_at(e, "interactiveMode"), "Always"))
        return refuse(l, -EOPNOTSUPP,
                      "%.*s: exec of user \"%.*s\" wants a terminal (interactiveMode: Always), which it does not get "
                      "here; on AKS use: kubelogin convert-kubeconfig -l azurecli",
                      VIEW_ARGS(f->path), VIEW_ARGS(user));
    argv[0] = arena_str(l->a, view_find(command, '/') < command.n ? path_in(l, f, command) : command);
    for (uint32_t i = 0; i < n; i++)
        argv[1 + i] = arena_str(l->a, args->items[i]->type < NODE_SEQ ? args->items[i]->text : VIEW_NONE);
    for (uint32_t i = 0; i < m; i++)
        vars[i] = arena_printf(l->a, "%.*s=%.*s", VIEW_ARGS(node_text_at(env->items[i], "name")),
                               VIEW_ARGS(node_text_at(env->items[i], "value")))
                      .p;
    x->argv = argv;
    x->env = vars;
    x->install_hint = node_text_at(e, "installHint");
    x->cluster_info = node_bool(node_get(e, VIEW("provideClusterInfo")), false);
    l->ret->exec = x;
    return 0;
}

static int take_user(struct loading *l, struct view name)
{
    static const struct {
        const char *key, *hint;
    } refused[] = {
        {"auth-provider", "it is gone from Kubernetes since 1.26; on AKS: kubelogin convert-kubeconfig -l azurecli"},
        {"username", "API servers do not take passwords since 1.19"},
        {"password", "API servers do not take passwords since 1.19"},
        {"as", "impersonation is not supported"},
        {"as-uid", "impersonation is not supported"},
        {"as-groups", "impersonation is not supported"},
        {"as-user-extra", "impersonation is not supported"},
    };
    const struct file *f = NULL;
    const struct node *u = find(l, "users", "user", name, &f);

    if (!name.n)
        return 0; /* kubectl proxy, anonymous */
    if (!u)
        return refuse(l, -ENOENT, "%.*s: the context names user \"%.*s\", which is not there",
                      VIEW_ARGS(l->files[0].path), VIEW_ARGS(name));
    for (size_t i = 0; i < COUNT_OF(refused); i++)
        if (node_get(u, view_of(refused[i].key)))
            return refuse(l, -EOPNOTSUPP, "%.*s: user \"%.*s\" has %s, which cannot be used: %s", VIEW_ARGS(f->path),
                          VIEW_ARGS(name), refused[i].key, refused[i].hint);
    l->ret->token = node_text_at(u, "token");
    l->ret->token_file = path_in(l, f, node_text_at(u, "tokenFile"));
    int err = take_pem(l, f, u, "client-certificate", &l->ret->cert_file, &l->ret->cert_pem);
    if (!err)
        err = take_pem(l, f, u, "client-key", &l->ret->key_file, &l->ret->key_pem);
    if (!err && node_is(node_get(u, VIEW("exec")), NODE_MAP))
        err = take_exec(l, f, name, node_get(u, VIEW("exec")));
    return err;
}

static void name_contexts(struct loading *l, struct buf *out)
{
    const char *comma = "";
    for (int i = 0; i < l->n; i++) {
        const struct node *all = node_get(l->files[i].tree, VIEW("contexts"));
        for (uint32_t j = 0; node_is(all, NODE_SEQ) && j < all->n; j++, comma = ", ")
            buf_printf(out, "%s%.*s", comma, VIEW_ARGS(node_text_at(all->items[j], "name")));
    }
}

static int take_context(struct loading *l, struct view name)
{
    const struct file *f = NULL;
    const struct node *c;
    struct buf names = {0};

    for (int i = 0; i < l->n && !name.n; i++)
        name = node_text_at(l->files[i].tree, "current-context");
    c = find(l, "contexts", "context", name, &f);
    if (!c) {
        name_contexts(l, &names);
        int err = name.n ? refuse(l, -ENOENT, "%.*s: no context \"%.*s\"; there are: %.*s", VIEW_ARGS(l->files[0].path),
                                  VIEW_ARGS(name), VIEW_ARGS(buf_read(&names)))
                         : refuse(l, -ENOENT, "%.*s: no current-context; give --context with one of: %.*s",
                                  VIEW_ARGS(l->files[0].path), VIEW_ARGS(buf_read(&names)));
        buf_done(&names);
        return err;
    }
    l->ret->context = name;
    l->ret->ns = node_text_at(c, "namespace");
    int err = take_cluster(l, node_text_at(c, "cluster"));
    return err ? err : take_user(l, node_text_at(c, "user"));
}

int kube_config_load(const char *kubeconfig, const char *context, struct kube_config *ret, const char **why)
{
    struct loading l = {.ret = ret};

    *ret = begin(&l, why);
    int err = read_files(&l, kubeconfig);
    return err ? err : take_context(&l, view_of(context));
}
