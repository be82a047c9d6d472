// SPDX-License-Identifier: Apache-2.0
/* inotify says that something changed, a scan a moment later finds out what (watch_dir.h): editors write files in
 * several steps and by renaming, and a scan does not care how.
 */
#include "sandbox/watch_dir.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"
#include "net/fd_watch.h"
#include "net/task.h"
#include "net/timer.h"
#include "sandbox/admit.h"

enum { WATCH_INOTIFY = 1, WATCH_SCAN = 2, SETTLE_MS = 60 };

/* An object that a file brought. */
struct brought {
    enum mesh_kind kind;
    char *ns, *name;
};

struct source_file {
    struct list link;
    char *path;
    uint64_t hash; /* of the text that was last looked at */
    bool seen;     /* in this scan */
    struct brought *objects;
    size_t n_objects;
};

struct watch_dir {
    struct cluster *cluster;
    struct task task;
    struct timer settle;
    struct fd_watch watch;
    int inotify;
    char **paths;
    size_t n_paths;
    struct list files;
    watch_dir_fn print;
    void *arg;
    bool good;
};

static void drop_objects(struct source_file *f)
{
    for (size_t i = 0; i < f->n_objects; i++) {
        mem_free(f->objects[i].ns);
        mem_free(f->objects[i].name);
    }
    mem_free(f->objects);
    f->objects = NULL;
    f->n_objects = 0;
}

static void file_free(struct source_file *f)
{
    list_del(&f->link);
    drop_objects(f);
    mem_free(f->path);
    mem_free(f);
}

static void watch_run(struct task *t, uint32_t events)
{
    struct watch_dir *w = CONTAINER_OF(t, struct watch_dir, task);
    if (events & WATCH_INOTIFY) {
        char ignored[4096];
        while (read(w->inotify, ignored, sizeof(ignored)) > 0)
            ;
        timer_in(&w->settle, SETTLE_MS * NS_PER_MS);
    }
    if (events & WATCH_SCAN)
        watch_dir_scan(w);
}

static void watch_path(struct watch_dir *w, const char *path)
{
    struct stat st;
    char dir[4096];
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
        snprintf(dir, sizeof(dir), "%s", path);
    } else { /* a file is replaced by renaming: watch where it lies */
        const char *slash = strrchr(path, '/');
        snprintf(dir, sizeof(dir), "%.*s", slash ? (int)(slash - path + 1) : 1, slash ? path : ".");
    }
    inotify_add_watch(w->inotify, dir, IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ONLYDIR);
}

struct watch_dir *watch_dir_new(struct loop *loop, struct cluster *cluster, const char *const *paths, size_t n,
                                watch_dir_fn print, void *arg)
{
    struct watch_dir *w = mem_alloc(sizeof(*w));
    w->cluster = cluster;
    w->print = print;
    w->arg = arg;
    w->paths = mem_alloc((n + 1) * sizeof(*w->paths));
    w->n_paths = n;
    list_init(&w->files);
    task_init(&w->task, loop, watch_run, "watched files");
    timer_init(&w->settle, &w->task, WATCH_SCAN);
    fd_watch_init(&w->watch, &w->task, WATCH_INOTIFY);
    w->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    for (size_t i = 0; i < n; i++) {
        w->paths[i] = view_dup(view_of(paths[i]));
        if (w->inotify >= 0)
            watch_path(w, paths[i]);
    }
    if (w->inotify >= 0 && fd_watch_open(&w->watch, loop, w->inotify, FD_IN)) {
        close(w->inotify);
        w->inotify = -1; /* nothing is applied by itself, `weft apply` still works */
    }
    return w;
}

struct watch_dir *watch_dir_free(struct watch_dir *w)
{
    if (!w)
        return NULL;
    LIST_EACH (&w->files, struct source_file, link, f)
        file_free(f);
    if (w->inotify >= 0) {
        fd_watch_done(&w->watch);
        close(w->inotify);
    }
    timer_done(&w->settle);
    task_done(&w->task);
    for (size_t i = 0; i < w->n_paths; i++)
        mem_free(w->paths[i]);
    mem_free(w->paths);
    mem_free(w);
    return NULL;
}

static bool in_results(const struct apply_result *results, size_t n, const struct brought *b)
{
    for (size_t i = 0; i < n; i++)
        if (results[i].kind == b->kind && view_is(results[i].ns, b->ns) && view_is(results[i].name, b->name))
            return true;
    return false;
}

/* Does another file bring it too? Then it moved. */
static bool elsewhere(struct watch_dir *w, const struct source_file *not_in, const struct brought *b)
{
    LIST_EACH (&w->files, struct source_file, link, f)
        for (size_t i = 0; f != not_in && i < f->n_objects; i++)
            if (f->objects[i].kind == b->kind && strcmp(f->objects[i].ns, b->ns) == 0 &&
                strcmp(f->objects[i].name, b->name) == 0)
                return true;
    return false;
}

/* Deletes what the file brought and `results` does not have. The namespaces of every cluster stay. */
static size_t delete_missing(struct watch_dir *w, struct source_file *f, const struct apply_result *results, size_t n)
{
    size_t deleted = 0;
    for (size_t i = 0; i < f->n_objects; i++) {
        struct brought *b = &f->objects[i];
        bool permanent =
            b->kind == KIND_NAMESPACE && (strcmp(b->name, "default") == 0 || strcmp(b->name, "istio-system") == 0);
        if (permanent || in_results(results, n, b) || elsewhere(w, f, b))
            continue;
        deleted += cluster_delete(w->cluster, b->kind, view_of(b->ns), view_of(b->name), -1) == 0;
    }
    return deleted;
}

static void remember(struct source_file *f, const struct apply_result *results, size_t n)
{
    drop_objects(f);
    f->objects = mem_alloc((n + 1) * sizeof(*f->objects));
    for (size_t i = 0; i < n; i++)
        f->objects[f->n_objects++] =
            (struct brought){results[i].kind, view_dup(results[i].ns), view_dup(results[i].name)};
}

static void unreadable(struct diags *d, const char *path, int err)
{
    struct origin at = {.file = view_of(path)};
    struct diag *one = diag_add(d, DIAG_ERROR, "WEFT0001", &at);
    one->title = diag_text(d, "%s cannot be read: %s", path, strerror(-err));
    one->hint = VIEW("check the name and its permissions");
}

static void apply_file(struct watch_dir *w, struct source_file *f)
{
    struct arena a;
    arena_init(&a, 64 * 1024);
    struct diags d;
    diags_init(&d, &a);
    struct buf text = {0};
    int err = file_read(view_of(f->path), LIMIT_YAML_BYTES, &text);
    uint64_t hash = err ? 1 : view_hash(buf_read(&text)) | 2;
    if (hash != f->hash) {
        struct apply_result *results = NULL;
        size_t n = 0, changed = 0;
        f->hash = hash;
        if (err)
            unreadable(&d, f->path, err);
        else
            err = admit_apply(w->cluster, view_of(f->path), buf_read(&text), VIEW_NONE, &a, &d, &results, &n);
        for (size_t i = 0; i < n; i++)
            changed += results[i].verb == APPLY_CREATED || results[i].verb == APPLY_CONFIGURED;
        if (!err) {
            changed += delete_missing(w, f, results, n);
            remember(f, results, n);
        }
        w->good = w->good && !err;
        w->print(w->arg, view_of(f->path), &d, changed);
    }
    buf_done(&text);
    arena_done(&a);
}

static void visit(struct watch_dir *w, const char *path)
{
    struct source_file *f = NULL;
    LIST_EACH (&w->files, struct source_file, link, one)
        if (strcmp(one->path, path) == 0)
            f = one;
    if (!f) {
        f = mem_alloc(sizeof(*f));
        f->path = view_dup(view_of(path));
        list_push(&w->files, &f->link);
    }
    f->seen = true;
    apply_file(w, f);
}

static int is_manifest(const struct dirent *e)
{
    struct view name = view_of(e->d_name);
    bool ending = view_ends(name, VIEW(".yaml")) || view_ends(name, VIEW(".yml")) || view_ends(name, VIEW(".json"));
    return ending && e->d_name[0] != '.' && !view_is(name, "images.yaml");
}

static void visit_dir(struct watch_dir *w, const char *dir)
{
    struct dirent **names = NULL;
    int n = scandir(dir, &names, is_manifest, alphasort);
    for (int i = 0; i < n; i++) {
        char path[4096];
        size_t len = strlen(dir);
        snprintf(path, sizeof(path), "%s%s%s", dir, len && dir[len - 1] == '/' ? "" : "/", names[i]->d_name);
        visit(w, path);
        free(names[i]);
    }
    free(names);
}

bool watch_dir_scan(struct watch_dir *w)
{
    w->good = true;
    LIST_EACH (&w->files, struct source_file, link, f)
        f->seen = false;
    for (size_t i = 0; i < w->n_paths; i++) {
        struct stat st;
        bool there = stat(w->paths[i], &st) == 0;
        if (there && S_ISDIR(st.st_mode))
            visit_dir(w, w->paths[i]);
        else if (there)
            visit(w, w->paths[i]);
    }
    LIST_EACH (&w->files, struct source_file, link, f) {
        if (f->seen)
            continue;
        struct diags none = {0};
        list_init(&none.all);
        w->print(w->arg, view_of(f->path), &none, delete_missing(w, f, NULL, 0));
        file_free(f);
    }
    return w->good;
}
