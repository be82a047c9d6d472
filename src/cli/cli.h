// SPDX-License-Identifier: Apache-2.0
/* The command line: what a verb gets and how it answers.
 *
 * verbs.def lists the verbs, options.def their options; cli_main() parses, prints help and calls verb_<name>() in
 * cli/<name>.c. Habits are kubectl's: data to stdout, progress and complaints to stderr, colour only on a terminal
 * (never with NO_COLOR), -o json wherever a table is printed. A complaint says what to do next.
 *
 * Exit codes: EXIT_OK, EXIT_FAILED (something was rejected, not found or not ready), EXIT_USAGE (the command line),
 * EXIT_AWAY (no sandbox is running); `exec` exits as its command did.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/must.h"
#include "base/view.h"

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_AWAY = 3 };

enum option_id {
#define OPTION(id, name, letter, value, help) OPT_##id,
#include "cli/options.def"
#undef OPTION
    OPT_COUNT
};

enum output_format { OUTPUT_TABLE, OUTPUT_WIDE, OUTPUT_JSON, OUTPUT_YAML, OUTPUT_NAME, OUTPUT_SHORT };

struct cli;
struct cli_cluster;

struct verb {
    const char *name, *arguments, *summary, *options;
    int fewest, most;
    int (*run)(struct cli *c);
};

struct cli {
    struct arena arena; /* everything of this run */
    const struct verb *verb;
    const char *opt[OPT_COUNT]; /* last value given; "" for a switch; NULL when absent */
    const char **files;         /* every -f: manifests, or values */
    size_t n_files;
    const char **sets; /* every --set */
    size_t n_sets;
    const char **args; /* what is no option */
    size_t n_args;
    const char **command; /* behind -- */
    size_t n_command;
    bool dashes; /* there was a -- */
    enum output_format output;
    struct view ns;              /* -n, else default */
    struct view sandbox;         /* -s, else $WEFT_SANDBOX, else demo */
    struct cli_cluster *cluster; /* NULL: a sandbox (cluster.h) */
    bool color_out, color_err;
    const char *self; /* argv[0] */
};

int cli_main(int argc, char **argv);

/* Parses argv[1…]; EXIT_USAGE with the complaint on stderr, or 0. Out of cli_main for tests. */
int cli_parse(struct cli *c, int argc, char **argv) must_check;
void cli_done(struct cli *c);

const struct verb *verb_find(struct view name); /* NULL */
void verb_usage(const struct verb *v);          /* its help, to stdout */
void verbs_usage(void);                         /* of all */

/* "weft: <text>" to stderr; returns EXIT_FAILED, EXIT_USAGE (with a pointer to help). */
int cli_fail(const struct cli *c, const char *fmt, ...) printf_like(2, 3);
int cli_usage(const struct cli *c, const char *fmt, ...) printf_like(2, 3);

#define VERB(name, arguments, summary, options, fewest, most) int verb_##name(struct cli *c);
#include "cli/verbs.def"
#undef VERB
