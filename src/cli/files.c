// SPDX-License-Identifier: Apache-2.0
/* Reading what -f names (files.h). */
#include "cli/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/limits.h"

int files_read_one(struct cli *c, const char *path, struct view *ret_text)
{
    bool in = strcmp(path, "-") == 0;
    int fd = in ? 0 : open(path, O_RDONLY | O_CLOEXEC); /* it waits for a FIFO: `-f <(…)` is one */
    struct buf text = {0};
    int err = fd < 0 ? -errno : file_read_fd(fd, LIMIT_YAML_BYTES, &text);
    if (fd > 0)
        close(fd);
    if (!err)
        *ret_text = arena_view(&c->arena, buf_read(&text));
    buf_done(&text);
    return err ? cli_fail(c, "%s cannot be read: %s", path, strerror(-err)) : EXIT_OK;
}

static int is_manifest(const struct dirent *e)
{
    struct view name = view_of(e->d_name);
    bool ending = view_ends(name, VIEW(".yaml")) || view_ends(name, VIEW(".yml")) || view_ends(name, VIEW(".json"));
    return ending && e->d_name[0] != '.' && !view_is(name, "images.yaml");
}

static int add(struct cli *c, const char *path, struct input_file **files, size_t *n)
{
    struct view text;
    int r = files_read_one(c, path, &text);
    if (r)
        return r;
    struct input_file *f = ARENA_PUSH(&c->arena, *files, *n);
    *f = (struct input_file){.name = arena_view(&c->arena, view_of(strcmp(path, "-") ? path : "stdin")), .text = text};
    return EXIT_OK;
}

static int add_dir(struct cli *c, const char *dir, struct input_file **files, size_t *n)
{
    struct dirent **names = NULL;
    int found = scandir(dir, &names, is_manifest, alphasort), r = EXIT_OK;
    if (found <= 0)
        r = cli_fail(c, "%s holds no manifests (*.yaml, *.yml, *.json)", dir);
    for (int i = 0; i < found; i++) {
        char path[4096];
        size_t len = strlen(dir);
        snprintf(path, sizeof(path), "%s%s%s", dir, len && dir[len - 1] == '/' ? "" : "/", names[i]->d_name);
        if (r == EXIT_OK)
            r = add(c, path, files, n);
        free(names[i]);
    }
    free(names);
    return r;
}

int files_read(struct cli *c, const char *const *paths, size_t n, struct input_file **ret_files, size_t *ret_n)
{
    *ret_files = NULL;
    *ret_n = 0;
    if (!n)
        return cli_usage(c, "say which manifests: -f FILE, -f DIR or -f -");
    for (size_t i = 0; i < n; i++) {
        struct stat st;
        bool dir = stat(paths[i], &st) == 0 && S_ISDIR(st.st_mode);
        int r = dir ? add_dir(c, paths[i], ret_files, ret_n) : add(c, paths[i], ret_files, ret_n);
        if (r)
            return r;
    }
    return EXIT_OK;
}
