// SPDX-License-Identifier: Apache-2.0
/* Metrics of streams and relays: which series they count in. The rules for each label are Istio's (istio_stats). */
#pragma once

#include <stdbool.h>

struct relay;
struct stream;
struct upstream;
struct worker;

void report_init(struct worker *w);
void report_done(struct worker *w);
void report_forget(struct worker *w, const struct upstream *u); /* its cached series go */
void report_stream(struct stream *s);
void report_relay(struct relay *r, bool ended);
