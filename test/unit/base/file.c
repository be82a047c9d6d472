// SPDX-License-Identifier: Apache-2.0
/* Files come whole or not at all, up to the size that the caller names. */
#include "base/file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static char folder[] = "/tmp/weft-test-file-XXXXXX", path[64];

static int setup(void **state)
{
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/x", folder);
    return 0;
}

static int teardown(void **state)
{
    unlink(path);
    return rmdir(folder);
}

static void fill(size_t n)
{
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    for (size_t i = 0; i < n; i++)
        fputc('a' + (int)(i % 26), f);
    assert_int_equal(fclose(f), 0);
}

static void a_file_is_appended_up_to_its_limit(void **state)
{
    static const struct {
        size_t size, most;
        int err;
    } rows[] = {{0, 0, 0}, {1, 0, -EFBIG}, {5000, 5000, 0}, {5001, 5000, -EFBIG}, {100000, 100000, 0}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct buf b = {0};
        buf_str(&b, "before:"); /* does not count */
        fill(rows[i].size);
        assert_int_equal(file_read(view_of(path), rows[i].most, &b), rows[i].err);
        assert_true(view_starts(buf_read(&b), VIEW("before:")));
        if (!rows[i].err)
            assert_int_equal(buf_len(&b), rows[i].size + 7);
        if (rows[i].size > 30)
            assert_true(view_starts(view_from(buf_read(&b), 7), VIEW("abcdefghijklmnopqrstuvwxyzabc")));
        buf_done(&b);
    }
}

static void what_cannot_be_read_says_why(void **state)
{
    struct buf b = {0};
    char long_name[8192];
    memset(long_name, 'x', sizeof(long_name));
    assert_int_equal(file_read(view_make(long_name, sizeof(long_name)), 10, &b), -ENAMETOOLONG);
    assert_int_equal(file_read(VIEW("/nowhere/at/all"), 10, &b), -ENOENT);
    assert_int_equal(file_read(view_of(folder), 10, &b), -EISDIR);
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(file_read(view_of(path), 10, &b), 0); /* nobody writes: nothing, at once */
    assert_int_equal(buf_len(&b), 0);
    buf_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_appended_up_to_its_limit),
        cmocka_unit_test(what_cannot_be_read_says_why),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
