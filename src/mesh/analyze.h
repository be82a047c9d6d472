// SPDX-License-Identifier: Apache-2.0
/* What is probably not meant: checks over a whole snapshot, each one file in mesh/analyze/, listed in checks.def.
 * They add warnings and notes to diags and never reject: a referenced object may be applied a moment later.
 */
#pragma once

#include "base/diag.h"
#include "mesh/snapshot.h"

struct mesh_check {
    const char *code, *name, *what; /* IST0101, unknown_reference, one sentence */
    void (*run)(const struct mesh_snapshot *snap, struct diags *d);
};

extern const struct mesh_check mesh_checks[];
extern const unsigned n_mesh_checks;

/* Runs every check. Objects with annotation galley.istio.io/analyze-suppress: <code>,… (or *) are left in peace. */
void mesh_analyze(const struct mesh_snapshot *snap, struct diags *d);

/* A warning about one place of an object, with its source line for the picture. The caller fills title, label … */
struct diag *mesh_warn(struct diags *d, enum diag_severity severity, const char *code, const struct object *o,
                       const struct origin *at);
