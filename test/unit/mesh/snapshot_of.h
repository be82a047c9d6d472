// SPDX-License-Identifier: Apache-2.0
/* A mesh out of text, for tests: manifests without a mistake, as one snapshot that lives as long as the arena. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mesh/parse.h"
#include "mesh/snapshot.h"

static inline struct mesh_snapshot *snapshot_of(struct arena *a, const char *text)
{
    struct object_list objects = {0};
    struct diags *d = ARENA_NEW(a, struct diags);

    diags_init(d, a);
    assert_int_equal(mesh_parse(a, d, &(struct mesh_source){.text = view_of(text)}, &objects), 0);
    return snapshot_new(a, d, objects.list, objects.n);
}
