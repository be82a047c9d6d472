// SPDX-License-Identifier: Apache-2.0
/* Images stand for programs: there are no container images in the sandbox. images.yaml says what runs for which name.
 *
 *   images:
 *   - image: docker.io/istio/examples-bookinfo-productpage-v1:*   # `*` matches any text; without a tag: every tag
 *     command: [bookinfo, productpage, --version, v1]             # the image's entrypoint
 *     user: 1000                                                   # its USER; 0 when not given
 *     workingDir: /                                                #
 *     env: {LANG: C.UTF-8}                                         # its ENV
 *     replace: true                                                # the container's own command and args are ignored
 *
 * As with real images, a container's `command` replaces the entrypoint and its `args` follow. A program without a slash
 * is looked for beside weft's programs, then in PATH. The first entry that matches counts; the entries of images.def
 * come last. An image that nothing matches is refused by name.
 */
#pragma once

#include "base/arena.h"
#include "base/must.h"
#include "base/view.h"
#include "mesh/label.h"
#include "mesh/value.h"

struct image {
    struct view pattern;
    struct strings command;
    struct labels env;
    struct view working_dir;
    uint32_t user;
    bool replace;
};

struct image_table {
    struct image *images;
    size_t n;
};

/* -EINVAL: *ret_why says what is wrong and where (in `a`). Everything lives in `a`. */
int image_table_read(struct arena *a, struct view text, struct view file, struct image_table *ret_table,
                     struct view *ret_why) must_check;
const struct image *image_find(const struct image_table *t, struct view name); /* NULL: nothing matches */
bool image_matches(struct view pattern, struct view name);
