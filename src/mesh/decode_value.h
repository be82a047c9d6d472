// SPDX-License-Identifier: Apache-2.0
/* Single values for decode.c: strings, numbers, durations, enums, and the flat lists and maps of them. */
#pragma once

#include "mesh/decode.h"

/* Reads n into *to as the field's type says; `count` is where FIELD_U32S puts its length. */
void value_decode(struct decoder *d, const struct field *f, void *to, void *count, const struct node *n,
                  const struct place *at);
void value_wrong_type(struct decoder *d, const struct node *n, const struct place *at, const char *wanted);
