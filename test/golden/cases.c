// SPDX-License-Identifier: Apache-2.0
/* Running golden cases (cases.h): the folder's files in order, the first line that differs shown for each. */
#include "cases.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/must.h"

struct run {
    const char *dir, *suffix;
    case_fn produce;
    bool update;
    unsigned passed, failed;
};

static void show_difference(const char *name, struct view want, struct view got)
{
    struct view a, b;
    unsigned line = 0;
    bool more_a, more_b;
    do {
        a = b = VIEW_NONE;
        more_a = view_cut(&want, '\n', &a);
        more_b = view_cut(&got, '\n', &b);
        line++;
    } while (more_a && more_b && view_eq(a, b));
    printf("FAIL %s, line %u\n  expected: %.*s\n  got:      %.*s\n", name, line, VIEW_ARGS(a), VIEW_ARGS(b));
}

static void run_case(struct run *r, const char *name)
{
    char path[4096], golden[4096];
    struct buf text = {0}, want = {0}, got = {0};
    snprintf(path, sizeof(path), "%s/%s", r->dir, name);
    snprintf(golden, sizeof(golden), "%s/%.*s%s", r->dir, (int)(strlen(name) - strlen(".yaml")), name, r->suffix);
    must(file_read(view_of(path), LIMIT_YAML_BYTES, &text) == 0);
    r->produce(view_of(name), buf_read(&text), &got);
    if (r->update) {
        FILE *f = fopen(golden, "we");
        if (f) {
            fwrite(got.data + got.at, 1, buf_len(&got), f);
            fclose(f);
        }
    }
    bool same = file_read(view_of(golden), LIMIT_YAML_BYTES, &want) == 0 && view_eq(buf_read(&want), buf_read(&got));
    if (!same)
        show_difference(name, buf_read(&want), buf_read(&got));
    r->passed += same;
    r->failed += !same;
    buf_done(&text);
    buf_done(&want);
    buf_done(&got);
}

static const char *suffix_of_this_run;

static int is_case(const struct dirent *e)
{
    struct view name = view_of(e->d_name);
    return view_ends(name, VIEW(".yaml")) && !view_ends(name, view_of(suffix_of_this_run));
}

int cases_main(int argc, char **argv, const char *suffix, case_fn produce)
{
    struct run r = {.suffix = suffix, .produce = produce, .update = argc > 2 && !strcmp(argv[2], "--update")};
    struct dirent **entries;
    if (argc < 2) {
        fprintf(stderr, "usage: %s FOLDER [--update]\n", argv[0]);
        return 2;
    }
    r.dir = argv[1];
    suffix_of_this_run = suffix;
    int n = scandir(r.dir, &entries, is_case, alphasort);
    for (int i = 0; i < n; i++) {
        run_case(&r, entries[i]->d_name);
        free(entries[i]);
    }
    if (n >= 0)
        free(entries);
    printf("%u passed, %u failed\n", r.passed, r.failed);
    return r.failed || n <= 0 || odd_count();
}
