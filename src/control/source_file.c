// SPDX-License-Identifier: Apache-2.0
/* A folder or a file, read again when inotify says that it changed; see source.h. Only files whose bytes differ reach the
 * store. Editors write in bursts, so reading waits until a folder was quiet for a moment.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/map.h"
#include "control/source.h"
#include "control/store.h"
#include "net/fd_watch.h"
#include "net/loop.h"
#include "net/timer.h"

enum { EVENT_CHANGED = 1, EVENT_QUIET = 2 };

#define QUIET (50 * NS_PER_MS)
#define CHANGES (IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | IN_CREATE)

struct file {
    uint64_t hash;
    bool seen;
    size_t n;
    char path[];
};

struct source_file {
    struct task task;
    struct fd_watch watch;
    struct timer quiet;
    struct store *store;
    struct map files; /* path → struct file */
    int inotify;
    char path[PATH_MAX];
};

static void take_file(struct source_file *s, const char *path)
{
    struct view key = view_of(path);
    struct file *f = map_get(&s->files, key);
    struct buf text = {0};
    uint64_t hash;
    int r = file_read(key, LIMIT_YAML_BYTES, &text);

    if (r < 0) {
        log_warn("%s: %s; what was in it stays", path, strerror(-r));
        if (f)
            f->seen = true;
        buf_done(&text);
        return;
    }
    hash = view_hash(buf_read(&text));
    if (!f) {
        f = malloc(sizeof(*f) + key.n);
        must(f != NULL);
        *f = (struct file){.hash = ~hash, .n = key.n};
        memcpy(f->path, key.p, key.n);
        map_put(&s->files, view_make(f->path, f->n), f);
    }
    f->seen = true;
    if (f->hash != hash) {
        f->hash = hash;
        if (store_put_file(s->store, key, buf_read(&text)) < 0)
            log_warn("%s: not all of it was accepted, see /debug/diagz; the last good objects stay", path);
    }
    buf_done(&text);
}

static bool is_manifest(const char *name)
{
    struct view v = view_of(name);

    return name[0] != '.' && (view_ends(v, VIEW(".yaml")) || view_ends(v, VIEW(".yml")) || view_ends(v, VIEW(".json")));
}

static int scan(struct source_file *s)
{
    struct stat st;
    struct dirent *e;
    unsigned n = 0;
    DIR *dir;

    if (stat(s->path, &st) < 0)
        return -errno;
    MAP_EACH (&s->files, it) {
        ((struct file *)it->value)->seen = false;
    }
    dir = S_ISDIR(st.st_mode) ? opendir(s->path) : NULL;
    if (!dir)
        take_file(s, s->path);
    while (dir && (e = readdir(dir)) && n < LIMIT_CONTROL_SOURCE_FILES) {
        char path[PATH_MAX + 256];
        if (!is_manifest(e->d_name))
            continue;
        n++;
        snprintf(path, sizeof(path), "%s/%s", s->path, e->d_name);
        take_file(s, path);
    }
    if (dir)
        closedir(dir);
    MAP_EACH (&s->files, it) {
        struct file *f = it->value;
        if (!f->seen) {
            store_del_file(s->store, it->key);
            map_del(&s->files, it->key);
            free(f);
        }
    }
    return 0;
}

static void source_run(struct task *t, uint32_t events)
{
    struct source_file *s = CONTAINER_OF(t, struct source_file, task);
    char buffer[4096] __attribute__((aligned(8)));
    int r;

    if (events & EVENT_CHANGED) {
        while (read(s->inotify, buffer, sizeof(buffer)) > 0)
            ;
        timer_in(&s->quiet, QUIET);
    }
    if (events & EVENT_QUIET) {
        r = scan(s);
        if (r < 0)
            log_warn("%s: %s; what is known stays", s->path, strerror(-r));
    }
}

int source_file_new(struct loop *loop, const char *path, struct store *store, struct source_file **ret)
{
    struct source_file *s = calloc(1, sizeof(*s));
    int r;

    must(s != NULL);
    s->store = store;
    s->inotify = -1;
    snprintf(s->path, sizeof(s->path), "%s", path);
    map_init(&s->files, NULL);
    task_init(&s->task, loop, source_run, "file source");
    timer_init(&s->quiet, &s->task, EVENT_QUIET);
    fd_watch_init(&s->watch, &s->task, EVENT_CHANGED);
    s->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    r = s->inotify < 0 || inotify_add_watch(s->inotify, path, CHANGES) < 0 ? -errno : 0;
    if (r == 0)
        r = fd_watch_open(&s->watch, loop, s->inotify, FD_IN);
    if (r == 0)
        r = scan(s);
    if (r < 0) {
        source_file_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

struct source_file *source_file_free(struct source_file *s)
{
    if (!s)
        return NULL;
    MAP_EACH (&s->files, it) {
        free(it->value);
    }
    map_done(&s->files);
    fd_watch_done(&s->watch);
    if (s->inotify >= 0)
        close(s->inotify);
    timer_done(&s->quiet);
    task_done(&s->task);
    free(s);
    return NULL;
}
