// SPDX-License-Identifier: Apache-2.0
/* Whole files into a buffer: manifests, certificates, tokens. All of them are small, and somebody else may put anything in
 * their place, so every caller says how much it takes.
 *
 *   struct buf text = {0};
 *   int err = file_read(VIEW("/etc/hosts"), 64 * 1024, &text);
 *   … buf_read(&text) …   buf_done(&text);      // or buf_wipe(), when it is a secret
 */
#pragma once

#include <stddef.h>

#include "base/buf.h"
#include "base/must.h"
#include "base/view.h"

/* Appends. -errno; -EFBIG for more than `most` bytes. What was read by then stays in the buffer. A FIFO is not waited for. */
int file_read(struct view path, size_t most, struct buf *out) must_check;
int file_read_fd(int fd, size_t most, struct buf *out) must_check; /* from where it stands to its end */
