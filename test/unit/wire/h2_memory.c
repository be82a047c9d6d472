// SPDX-License-Identifier: Apache-2.0
/* wire/h2_memory.c as nghttp2 uses it: pieces of all sizes, frame buffers among them, that keep their bytes and come back.
 */
#include "wire/h2_memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { FRAME = 16394, MANY = 200 };

static bool all_are(const unsigned char *p, unsigned char value, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] != value)
            return false;
    return true;
}

static void many_frame_buffers_hold_their_bytes_and_are_used_again(void **state)
{
    struct h2_memory *m = h2_memory_new();
    nghttp2_mem *hooks = h2_memory_hooks(m);
    unsigned char *p[MANY];
    uint64_t before;

    for (int turn = 0; turn < 3; turn++) {
        before = h2_memory_heap_count(m);
        for (int i = 0; i < MANY; i++) {
            p[i] = hooks->malloc(FRAME, hooks->mem_user_data);
            assert_int_equal((uintptr_t)p[i] % 16, 0);
            memset(p[i], i + turn, FRAME);
        }
        for (int i = 0; i < MANY; i++)
            assert_true(all_are(p[i], (unsigned char)(i + turn), FRAME));
        for (int i = 0; i < MANY; i++)
            hooks->free(p[i], hooks->mem_user_data);
    }
#ifndef WEFT_ARENA_MALLOC
    assert_int_equal(h2_memory_heap_count(m), before); /* the third time nothing new was asked for */
#endif
    h2_memory_free(m);
}

static void zeroed_pieces_are_zero_whatever_was_in_them(void **state)
{
    static const size_t sizes[] = {1, 32, 33, 1024, 4096, 12 * 1024, 12 * 1024 + 1, FRAME, 20 * 1024, 70 * 1024};
    struct h2_memory *m = h2_memory_new();
    nghttp2_mem *hooks = h2_memory_hooks(m);

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        unsigned char *p = hooks->malloc(sizes[i], hooks->mem_user_data);
        memset(p, 0xee, sizes[i]);
        hooks->free(p, hooks->mem_user_data);
        p = hooks->calloc(1, sizes[i], hooks->mem_user_data);
        assert_true(all_are(p, 0, sizes[i]));
        hooks->free(p, hooks->mem_user_data);
    }
    h2_memory_free(m);
}

static void a_piece_that_grows_through_all_classes_keeps_its_bytes(void **state)
{
    struct h2_memory *m = h2_memory_new();
    nghttp2_mem *hooks = h2_memory_hooks(m);
    unsigned char *p = hooks->realloc(NULL, 8, hooks->mem_user_data);

    memset(p, 0x5a, 8);
    for (size_t n = 8, more = 16; more < 256 * 1024; n = more, more = more * 5 / 4) {
        p = hooks->realloc(p, more, hooks->mem_user_data);
        assert_true(all_are(p, 0x5a, n));
        memset(p, 0x5a, more);
    }
    hooks->free(p, hooks->mem_user_data);
    hooks->free(NULL, hooks->mem_user_data);
    h2_memory_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_frame_buffers_hold_their_bytes_and_are_used_again),
        cmocka_unit_test(zeroed_pieces_are_zero_whatever_was_in_them),
        cmocka_unit_test(a_piece_that_grows_through_all_classes_keeps_its_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
