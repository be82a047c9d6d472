// SPDX-License-Identifier: Apache-2.0
/* Base64 (RFC 4648): tokens, what Secrets hold, metadata in headers.
 *
 *   base64_write(&text, BASE64_URL, bytes);
 *   if (base64_read(&bytes, BASE64_URL, text) < 0) …            // bytes is as it was
 *
 * Reading is strict: bytes outside the form's alphabet, padding where it must not be or is missing, and bits that must be
 * zero and are not are -EINVAL, so that every text has one meaning and, but for BASE64_LINES, every meaning one text. What
 * is read is shorter than its text, which whoever received it has bounded.
 */
#pragma once

#include "base/buf.h"
#include "base/must.h"
#include "base/view.h"

enum base64_form {
    BASE64_STANDARD, /* "+/", padded to a multiple of four */
    BASE64_URL,      /* "-_", no padding: JSON Web Tokens */
    BASE64_LINES,    /* standard; line breaks are skipped and unused bits not looked at, as Kubernetes reads data */
};

/* Appends the text of `bytes`; no line breaks in any form. */
void base64_write(struct buf *out, enum base64_form form, struct view bytes);
/* Appends the bytes of `text`, or nothing: -EINVAL. */
int base64_read(struct buf *out, enum base64_form form, struct view text) must_check;
