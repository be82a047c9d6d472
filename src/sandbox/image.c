// SPDX-License-Identifier: Apache-2.0
/* Reading images.yaml and matching image names (image.h). */
#include "sandbox/image.h"

#include <errno.h>
#include <string.h>

#include "wire/node.h"

static const struct {
    const char *pattern, *program;
} known[] = {
#define IMAGE(pattern, program) {pattern, program},
#include "sandbox/images.def"
#undef IMAGE
};

static int wrong(struct arena *a, struct view file, const struct node *at, const char *what, struct view *ret_why)
{
    *ret_why = arena_printf(a, "%.*s:%u:%u: %s", VIEW_ARGS(file), at ? at->line : 1, at ? at->col : 1, what);
    return -EINVAL;
}

static int read_strings(struct arena *a, const struct node *list, struct strings *ret)
{
    if (!node_is(list, NODE_SEQ))
        return -EINVAL;
    for (uint32_t i = 0; i < list->n; i++) {
        const struct node *item = list->items[i];
        if (item->type == NODE_SEQ || item->type == NODE_MAP || item->type == NODE_NULL)
            return -EINVAL;
        *ARENA_PUSH(a, ret->list, ret->n) = arena_view(a, item->text);
    }
    return 0;
}

static int read_env(struct arena *a, const struct node *map, struct labels *ret)
{
    if (!node_is(map, NODE_MAP))
        return -EINVAL;
    for (uint32_t i = 0; i < map->n; i++) {
        if (map->fields[i].value->type == NODE_SEQ || map->fields[i].value->type == NODE_MAP)
            return -EINVAL;
        struct label *l = ARENA_PUSH(a, ret->list, ret->n);
        l->key = arena_view(a, map->fields[i].key);
        l->value = arena_view(a, map->fields[i].value->text);
    }
    return 0;
}

static int read_image(struct arena *a, const struct node *map, struct view file, struct image *image,
                      struct view *ret_why)
{
    int64_t user = 0;
    if (!node_is(map, NODE_MAP))
        return wrong(a, file, map, "an entry is a map with `image` and `command`", ret_why);
    for (uint32_t i = 0; i < map->n; i++) {
        struct view key = map->fields[i].key;
        const struct node *value = map->fields[i].value;
        if (view_is(key, "image") && node_is(value, NODE_STR))
            image->pattern = arena_view(a, value->text);
        else if (view_is(key, "workingDir") && node_is(value, NODE_STR))
            image->working_dir = arena_view(a, value->text);
        else if (view_is(key, "replace") && node_is(value, NODE_BOOL))
            image->replace = node_bool(value, false);
        else if (view_is(key, "user") && node_i64(value, &user) == 0 && user >= 0 && user < UINT32_MAX)
            image->user = (uint32_t)user;
        else if (view_is(key, "command") && read_strings(a, value, &image->command) == 0)
            continue;
        else if (view_is(key, "env") && read_env(a, value, &image->env) == 0)
            continue;
        else
            return wrong(a, file, value,
                         "not one of image, command (a list), user (a number), workingDir, env (a map), replace",
                         ret_why);
    }
    if (view_empty(image->pattern))
        return wrong(a, file, map, "an entry needs `image`", ret_why);
    if (image->replace && !image->command.n)
        return wrong(a, file, map, "`replace` needs a `command`", ret_why);
    return 0;
}

int image_table_read(struct arena *a, struct view text, struct view file, struct image_table *ret_table,
                     struct view *ret_why)
{
    struct node *doc = NULL;
    struct pull_error error = {0};
    struct image_table t = {0};
    if (!view_empty(view_trim(text))) {
        if (node_parse(a, text, &doc, &error) < 0) {
            *ret_why =
                arena_printf(a, "%.*s:%u:%u: %.*s", VIEW_ARGS(file), error.line, error.col, VIEW_ARGS(error.text));
            return -EINVAL;
        }
        const struct node *list = node_get(doc, VIEW("images"));
        if (!node_is(doc, NODE_MAP) || !node_is(list, NODE_SEQ) || doc->n != 1)
            return wrong(a, file, doc, "expected `images:` with a list, and nothing else", ret_why);
        for (uint32_t i = 0; i < list->n; i++) {
            int err = read_image(a, list->items[i], file, ARENA_PUSH(a, t.images, t.n), ret_why);
            if (err)
                return err;
        }
    }
    for (size_t i = 0; i < COUNT_OF(known); i++) {
        struct image *image = ARENA_PUSH(a, t.images, t.n);
        image->pattern = view_of(known[i].pattern);
        if (*known[i].program)
            *ARENA_PUSH(a, image->command.list, image->command.n) = view_of(known[i].program);
    }
    *ret_table = t;
    return 0;
}

/* `*` stands for any text. Iterative, so that a hostile pattern costs no more than length times length. */
static bool glob(struct view pattern, struct view text)
{
    size_t p = 0, t = 0, star = SIZE_MAX, mark = 0;
    while (t < text.n) {
        if (p < pattern.n && pattern.p[p] == '*') {
            star = p++;
            mark = t;
        } else if (p < pattern.n && pattern.p[p] == text.p[t]) {
            p++;
            t++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            t = ++mark;
        } else {
            return false;
        }
    }
    while (p < pattern.n && pattern.p[p] == '*')
        p++;
    return p == pattern.n;
}

/* docker.io/library/busybox, docker.io/busybox and busybox are one image. */
static struct view short_name(struct view name)
{
    static const char *const prefixes[] = {"docker.io/library/", "docker.io/", "index.docker.io/"};
    for (size_t i = 0; i < COUNT_OF(prefixes); i++)
        if (view_starts(name, view_of(prefixes[i])))
            return view_from(name, strlen(prefixes[i]));
    return name;
}

/* Without :tag and @digest. A colon before the last slash is a registry's port. */
static struct view bare_name(struct view name)
{
    name = view_head(name, view_find(name, '@'));
    for (size_t i = name.n; i > 0 && name.p[i - 1] != '/'; i--)
        if (name.p[i - 1] == ':')
            return view_head(name, i - 1);
    return name;
}

bool image_matches(struct view pattern, struct view name)
{
    pattern = short_name(pattern);
    name = short_name(name);
    return glob(pattern, name) || glob(pattern, bare_name(name));
}

const struct image *image_find(const struct image_table *t, struct view name)
{
    for (size_t i = 0; i < t->n; i++)
        if (image_matches(t->images[i].pattern, name))
            return &t->images[i];
    return NULL;
}
