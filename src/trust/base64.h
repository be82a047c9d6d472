// SPDX-License-Identifier: Apache-2.0
/* Base64 with the alphabet of URLs and without padding (RFC 4648 §5), as JWTs use it. */
#pragma once

#include "base/buf.h"
#include "base/must.h"
#include "base/view.h"

void base64_url(struct buf *out, struct view bytes);
/* Appends the bytes. -EINVAL: another alphabet, padding, bits that must be zero: every text has one form. */
int base64_url_read(struct buf *out, struct view text) must_check;
