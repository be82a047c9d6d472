// SPDX-License-Identifier: Apache-2.0
/* Writing volumes (volume.h). A volume of files is gathered as a list of (path, content, mode) from its sources, then
 * written into a new folder `..<n>`; `..data` is turned to it by rename, which is atomic.
 */
#include "sandbox/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

struct file {
    struct view path, content;
    mode_t mode;
};

struct gather {
    struct arena *a;
    struct volume_set *set;
    struct file *files;
    size_t n;
    struct view why;
};

enum part_kind { PART_ITEMS = 1, PART_TOKEN = 2, PART_META = 4 };

/* Paths come from manifests: relative, without `..`, at most as long as a path may be. */
static bool path_safe(struct view path)
{
    struct view part;
    if (view_empty(path) || path.p[0] == '/' || path.n > 255)
        return false;
    while (view_cut(&path, '/', &part))
        if (view_is(part, "..") || view_empty(part) || memchr(part.p, 0, part.n))
            return false;
    return true;
}

static int add(struct gather *g, struct view path, struct view content, struct opt_i64 own, struct opt_i64 of_volume,
               mode_t preset)
{
    if (!path_safe(path)) {
        g->why = arena_printf(g->a, "`%.*s` is not a path inside a volume", VIEW_ARGS(path));
        return -EINVAL;
    }
    mode_t mode = own.set ? (mode_t)own.value : of_volume.set ? (mode_t)of_volume.value : preset;
    *ARENA_PUSH(g->a, g->files, g->n) = (struct file){.path = path, .content = content, .mode = mode & 0777};
    return 0;
}

static int gather_keys(struct gather *g, enum runtime_source source, const struct volume_keys *v, struct opt_i64 mode)
{
    const struct facts *f = g->set->facts;
    struct runtime_item *items = NULL;
    size_t n = 0;
    int err = f->config->items(f->config->arg, source, f->pod->o.meta.ns, v->name, g->a, &items, &n);
    if (err) {
        g->why = arena_printf(g->a, "%s \"%.*s\" not found", source == RUNTIME_SECRET ? "Secret" : "ConfigMap",
                              VIEW_ARGS(v->name));
        return v->optional ? 0 : -ENOENT;
    }
    if (v->mode.set)
        mode = v->mode;
    if (!v->n_items)
        for (size_t i = 0; i < n && !err; i++)
            err = add(g, items[i].key, items[i].value, (struct opt_i64){0}, mode, 0644);
    for (uint32_t k = 0; k < v->n_items && !err; k++) {
        const struct runtime_item *item = NULL;
        for (size_t i = 0; i < n && !item; i++)
            if (view_eq(items[i].key, v->items[k].key))
                item = &items[i];
        if (item)
            err = add(g, v->items[k].path, item->value, v->items[k].mode, mode, 0644);
        else if (!v->optional) {
            g->why = arena_printf(g->a, "%.*s has no key %.*s", VIEW_ARGS(v->name), VIEW_ARGS(v->items[k].key));
            return -ENOENT;
        }
    }
    return err;
}

static int gather_downward(struct gather *g, const struct downward_api *d, struct opt_i64 mode)
{
    const struct facts *f = g->set->facts;
    const struct pod_spec *spec = &f->pod->spec;
    int err = 0;
    for (uint32_t i = 0; i < d->n_items && !err; i++) {
        const struct downward_item *item = &d->items[i];
        struct view value = VIEW_NONE;
        const struct container *c = spec->containers;
        for (uint32_t k = 0; k < spec->n_containers; k++)
            if (view_eq(spec->containers[k].name, item->resource_container))
                c = &spec->containers[k];
        err = view_empty(item->field_path) ? resource_value(g->a, f, c, item->resource, item->resource_divisor, &value)
                                           : field_value(g->a, f, item->field_path, &value);
        if (err)
            g->why = arena_printf(g->a, "downwardAPI: there is no `%.*s`",
                                  VIEW_ARGS(view_empty(item->field_path) ? item->resource : item->field_path));
        else
            err = add(g, item->path, value, (struct opt_i64){0}, d->mode.set ? d->mode : mode, 0644);
    }
    return err;
}

static int gather_token(struct gather *g, struct view audience, int64_t expires, struct view path, struct opt_i64 mode)
{
    const struct facts *f = g->set->facts;
    struct view token;
    if (expires < 600) /* as the API server: no shorter ones */
        expires = expires > 0 ? 600 : 3600;
    int err = f->config->token(f->config->arg, f->pod, audience, (uint64_t)expires, g->a, &token);
    if (err) {
        g->why = arena_printf(g->a, "no token for service account %.*s: %s", VIEW_ARGS(f->pod->spec.service_account),
                              strerror(-err));
        return -ENOENT;
    }
    uint64_t renewal = (uint64_t)expires * 8 / 10;
    if (!g->set->token_renewal || renewal < g->set->token_renewal)
        g->set->token_renewal = renewal;
    return add(g, path, token, (struct opt_i64){0}, mode, 0644);
}

static int gather_projected(struct gather *g, const struct projected *p)
{
    int err = 0;
    for (uint32_t i = 0; i < p->n_sources && !err; i++) {
        const struct projected_source *s = &p->sources[i];
        if (s->config_map)
            err = gather_keys(g, RUNTIME_CONFIG_MAP, s->config_map, p->mode);
        if (s->secret && !err)
            err = gather_keys(g, RUNTIME_SECRET, s->secret, p->mode);
        if (s->downward_api && !err)
            err = gather_downward(g, s->downward_api, p->mode);
        if (s->token && !err)
            err = gather_token(g, s->token->audience, s->token->expiration_s, s->token->path, p->mode);
    }
    return err;
}

/* What kubelet mounts for every pod: token, namespace and the API server's root. */
static int gather_account(struct gather *g)
{
    const struct facts *f = g->set->facts;
    struct opt_i64 mode = {0};
    int err = gather_token(g, VIEW_NONE, 3607, VIEW("token"), mode);
    if (!err)
        err = add(g, VIEW("namespace"), f->pod->o.meta.ns, mode, mode, 0644);
    struct volume_keys root = {.name = VIEW("kube-root-ca.crt"), .optional = true};
    return err ? err : gather_keys(g, RUNTIME_CONFIG_MAP, &root, mode);
}

static int gather_volume(struct gather *g, const struct volume *v)
{
    if (!v)
        return gather_account(g);
    if (v->config_map)
        return gather_keys(g, RUNTIME_CONFIG_MAP, v->config_map, (struct opt_i64){0});
    if (v->secret)
        return gather_keys(g, RUNTIME_SECRET, v->secret, (struct opt_i64){0});
    if (v->projected)
        return gather_projected(g, v->projected);
    if (v->downward_api)
        return gather_downward(g, v->downward_api, (struct opt_i64){0});
    return 0;
}

static bool has_files(const struct volume *v)
{
    return !v || v->config_map || v->secret || v->projected || v->downward_api;
}

static int write_file(int dir, const struct file *f)
{
    char path[256];
    snprintf(path, sizeof(path), "%.*s", VIEW_ARGS(f->path));
    for (char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        if (mkdirat(dir, path, 0755) < 0 && errno != EEXIST)
            return -errno;
        *slash = '/';
    }
    int fd = openat(dir, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, f->mode);
    if (fd < 0)
        return -errno;
    int err = fchmod(fd, f->mode) < 0 ? -errno : 0;
    for (struct view rest = f->content; rest.n && !err;) {
        ssize_t n = write(fd, rest.p, rest.n);
        if (n < 0)
            err = -errno;
        else
            rest = view_from(rest, (size_t)n);
    }
    close(fd);
    return err;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

/* The first part of each file's path becomes a link through ..data. */
static int link_files(int dir, const struct gather *g)
{
    for (size_t i = 0; i < g->n; i++) {
        char first[256], target[280];
        snprintf(first, sizeof(first), "%.*s",
                 VIEW_ARGS(view_head(g->files[i].path, view_find(g->files[i].path, '/'))));
        snprintf(target, sizeof(target), "..data/%s", first);
        if (symlinkat(target, dir, first) < 0 && errno != EEXIST)
            return -errno;
    }
    return 0;
}

static int publish(struct gather *g, const char *where)
{
    char name[32], old[64] = "", newest[600];
    snprintf(name, sizeof(name), "..%llu", (unsigned long long)++g->set->version);
    int dir = open(where, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return -errno;
    int err = mkdirat(dir, name, 0755) < 0 ? -errno : 0;
    int data = err ? -1 : openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (!err && data < 0)
        err = -errno;
    for (size_t i = 0; i < g->n && !err; i++)
        err = write_file(data, &g->files[i]);
    ssize_t had = readlinkat(dir, "..data", old, sizeof(old) - 1);
    if (!err && (symlinkat(name, dir, "..tmp") < 0 || renameat(dir, "..tmp", dir, "..data") < 0))
        err = -errno;
    if (!err)
        err = link_files(dir, g);
    if (!err && had > 0) {
        snprintf(newest, sizeof(newest), "%s/%s", where, old);
        (void)nftw(newest, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    }
    if (data >= 0)
        close(data);
    close(dir);
    return err;
}

static void folder_of(const struct volume_set *set, struct view name, char *to, size_t room)
{
    snprintf(to, room, "%s/%.*s", set->dir, VIEW_ARGS(name));
}

static int write_volume(struct volume_set *set, const struct volume *v, struct arena *a, struct view *ret_why)
{
    char where[512];
    struct gather g = {.a = a, .set = set};
    struct view name = v ? v->name : VIEW(VOLUME_TOKEN_NAME);
    folder_of(set, name, where, sizeof(where));
    if (v && v->host_path)
        return 0;
    bool files = has_files(v);
    if (mkdir(where, 0755) < 0 && errno != EEXIST)
        return -errno;
    struct opt_i64 group = set->facts->pod->spec.security.fs_group;
    if (!files) { /* emptyDir: everyone may write */
        if (chmod(where, group.set ? 02777 : 0777) < 0 ||
            chown(where, (uid_t)-1, group.set ? (gid_t)group.value : 0) < 0)
            return -errno;
        return 0;
    }
    int err = gather_volume(&g, v);
    if (!err)
        err = publish(&g, where);
    if (err)
        *ret_why = arena_printf(a, "volume %.*s: %.*s", VIEW_ARGS(v ? name : VIEW("of the service account token")),
                                VIEW_ARGS(view_empty(g.why) ? view_of(strerror(-err)) : g.why));
    return err;
}

static bool wants_account(const struct facts *f)
{
    const struct pod_spec *s = &f->pod->spec;
    return !s->automount_token.set || s->automount_token.value;
}

int volumes_open(struct volume_set *set, const struct facts *facts, const char *dir, struct arena *a,
                 struct view *ret_why)
{
    const struct pod_spec *s = &facts->pod->spec;
    uint64_t version = set->version;
    *set = (struct volume_set){.facts = facts, .version = version};
    snprintf(set->dir, sizeof(set->dir), "%s", dir);
    if (mkdir(dir, 0755) < 0 && errno != EEXIST)
        return -errno;
    int err = wants_account(facts) ? write_volume(set, NULL, a, ret_why) : 0;
    for (uint32_t i = 0; i < s->n_volumes && !err; i++)
        err = write_volume(set, &s->volumes[i], a, ret_why);
    return err;
}

static bool keys_are(const struct volume_keys *k, struct view name)
{
    return k && (view_empty(name) || view_eq(k->name, name));
}

/* Which kinds of content a volume has; for items only those of this source and name. */
static unsigned volume_parts(const struct volume *v, enum runtime_source source, struct view name)
{
    bool secret = source == RUNTIME_SECRET;
    unsigned parts = v->downward_api ? PART_META : 0;
    if (keys_are(secret ? v->secret : v->config_map, name))
        parts |= PART_ITEMS;
    for (uint32_t i = 0; v->projected && i < v->projected->n_sources; i++) {
        const struct projected_source *s = &v->projected->sources[i];
        parts |= keys_are(secret ? s->secret : s->config_map, name) ? PART_ITEMS : 0;
        parts |= s->token ? PART_TOKEN : 0;
        parts |= s->downward_api ? PART_META : 0;
    }
    return parts;
}

static void refresh(struct volume_set *set, unsigned part, enum runtime_source source, struct view name)
{
    const struct pod_spec *s = &set->facts->pod->spec;
    struct arena a;
    struct view why = VIEW_NONE;
    arena_init(&a, 0);
    int err = part == PART_TOKEN && wants_account(set->facts) ? write_volume(set, NULL, &a, &why) : 0;
    for (uint32_t i = 0; i < s->n_volumes; i++)
        if (volume_parts(&s->volumes[i], source, name) & part) {
            int r = write_volume(set, &s->volumes[i], &a, &why);
            err = r ? r : err;
        }
    if (err)
        log_warn("%.*s; the pod keeps the files it has", VIEW_ARGS(why));
    arena_done(&a);
}

void volumes_refresh(struct volume_set *set, enum runtime_source source, struct view name)
{
    refresh(set, PART_ITEMS, source, name);
}

void volumes_refresh_tokens(struct volume_set *set)
{
    refresh(set, PART_TOKEN, RUNTIME_CONFIG_MAP, VIEW("\n"));
}

void volumes_refresh_meta(struct volume_set *set)
{
    refresh(set, PART_META, RUNTIME_CONFIG_MAP, VIEW("\n"));
}

static const struct volume *volume_named(const struct volume_set *set, struct view name)
{
    const struct pod_spec *s = &set->facts->pod->spec;
    for (uint32_t i = 0; i < s->n_volumes; i++)
        if (view_eq(s->volumes[i].name, name))
            return &s->volumes[i];
    return NULL;
}

bool volume_path(const struct volume_set *set, struct view name, struct arena *a, struct view *ret_path)
{
    const struct volume *v = volume_named(set, name);
    if (!v && !(view_is(name, VOLUME_TOKEN_NAME) && wants_account(set->facts)))
        return false;
    *ret_path = v && v->host_path ? v->host_path->path : arena_printf(a, "%s/%.*s", set->dir, VIEW_ARGS(name));
    return true;
}

bool volume_read_only(const struct volume_set *set, struct view name)
{
    const struct volume *v = volume_named(set, name);
    return has_files(v) || v->host_path; /* nothing that a pod does may stay on the machine */
}
