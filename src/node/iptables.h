// SPDX-License-Identifier: Apache-2.0
/* Traffic capture of a pod by iptables, with the flags and the very rules of istio-iptables.
 *
 *   struct iptables_options o;                        // what the flags say: iptables_options.def
 *   iptables_options_parse(&o, &arena, argc, argv, getenv, &why);
 *   iptables_rules(&o, IPTABLES_V4, &text);           // pure: input for iptables-restore --noflush
 *   iptables_run(&o, &arena);                         // compares with the kernel's rules, applies, validates: exit code
 *
 * The text is pure so that it can be tested without a kernel; only iptables_apply.c and iptables_probe.c touch one.
 * Needs NET_ADMIN and NET_RAW, nothing else. Rules: Istio 1.31 `tools/istio-iptables/pkg/capture/run.go`.
 */
#pragma once

#include <stdbool.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/must.h"
#include "base/view.h"

enum iptables_family { IPTABLES_V4, IPTABLES_V6 };

#define IPTABLES_PROBE_FAILED 126 /* exit code of a failed validation: the CNI's repair controller looks for it */

struct iptables_options {
#define TEXT(field, ...) struct view field;
#define BOOL(field, ...) bool field;
#define REFUSED(...)
#include "node/iptables_options.def"
#undef TEXT
#undef BOOL
#undef REFUSED
    /* Filled by iptables_options_parse from the lists above: CIDRs by family with host bits cleared. */
    bool outbound_any, outbound_has_loopback;
    struct view *include[2], *exclude[2];
    size_t n_include[2], n_exclude[2];
    struct view *groups; /* as numbers */
    size_t n_groups;
    bool groups_except; /* `groups` are left out; else only they are captured */
};

/* argv without the program's name and verb. -EINVAL: *ret_why names the flag and what is wrong with it. */
int iptables_options_parse(struct iptables_options *o, struct arena *a, int argc, char **argv,
                           char *(*env)(const char *name), struct view *ret_why) must_check;

/* Appends what iptables-restore --noflush (or ip6tables-restore) reads. */
void iptables_rules(const struct iptables_options *o, enum iptables_family family, struct buf *out);

/* What a rule means regardless of how it is written: options sorted, implied matches left out. For comparing our text
 * with what iptables-save prints. */
struct view iptables_rule_canonical(struct arena *a, struct view rule);

/* How the rules that `saved` (the output of iptables-save) shows stand to the wanted text. */
struct iptables_difference {
    bool residue;       /* chains or rules of ours are there */
    bool delta;         /* and they are not the wanted ones (or there are none) */
    struct buf cleanup; /* restore text that removes ours */
};
void iptables_compare(struct arena *a, struct view wanted, struct view saved, struct iptables_difference *ret);

int iptables_run(const struct iptables_options *o, struct arena *a) must_check; /* exit code of the program */

/* Connects to 127.0.0.6:probe_port as the proxy would and sees whether the inbound port gets it. 0 or -errno. */
int iptables_probe(const struct iptables_options *o) must_check;
