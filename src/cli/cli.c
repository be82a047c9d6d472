// SPDX-License-Identifier: Apache-2.0
/* From argv to a verb (cli.h). Options may stand anywhere before `--`, as -n ns, -nns, --namespace ns, --namespace=ns;
 * switches may be joined (-Aw). What is unknown is answered with the nearest known word, never ignored.
 */
#include "cli/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/diag.h"
#include "cli/cluster.h"
#include "cli/table.h"

static const struct verb verbs[] = {
#define VERB(name, arguments, summary, options, fewest, most)                                                          \
    {#name, arguments, summary, options, fewest, most, verb_##name},
#include "cli/verbs.def"
#undef VERB
};

static const struct option {
    const char *id, *name;
    char letter;
    const char *value, *help;
} options[] = {
#define OPTION(id, name, letter, value, help) {#id, name, letter, value, help},
#include "cli/options.def"
#undef OPTION
};

static const struct {
    const char *name;
    enum output_format format;
} outputs[] = {{"wide", OUTPUT_WIDE}, {"json", OUTPUT_JSON},   {"yaml", OUTPUT_YAML},
               {"name", OUTPUT_NAME}, {"short", OUTPUT_SHORT}, {"table", OUTPUT_TABLE}};

const struct verb *verb_find(struct view name)
{
    for (size_t i = 0; i < COUNT_OF(verbs); i++)
        if (view_is(name, verbs[i].name))
            return &verbs[i];
    return NULL;
}

static bool verb_takes(const struct verb *v, enum option_id id)
{
    struct view rest = view_of(v->options), word;
    while (view_cut(&rest, ' ', &word))
        if (view_is(word, options[id].id))
            return true;
    return id == OPT_HELP;
}

void verb_usage(const struct verb *v)
{
    printf("weft %s %s\n  %s\n\n", v->name, v->arguments, v->summary);
    for (size_t i = 0; i < OPT_COUNT; i++) {
        if (!verb_takes(v, (enum option_id)i))
            continue;
        char left[64];
        snprintf(left, sizeof(left), "%c%c%s --%s%s%s", options[i].letter ? '-' : ' ',
                 options[i].letter ? options[i].letter : ' ', options[i].letter ? "," : " ", options[i].name,
                 options[i].value ? "=" : "", options[i].value ? options[i].value : "");
        printf("  %-36s %s\n", left, options[i].help);
    }
}

void verbs_usage(void)
{
    struct arena a;
    struct table t;
    arena_init(&a, 0);
    table_init(&t, &a, "  VERB\0WHAT IT DOES\0");
    printf("weft %s: a service mesh. Usage: weft VERB …\n\n", WEFT_VERSION);
    for (size_t i = 0; i < COUNT_OF(verbs); i++) {
        table_cell(&t, "  %s %s", verbs[i].name, verbs[i].arguments);
        table_cell(&t, "%s", verbs[i].summary);
    }
    table_print(&t, stdout);
    arena_done(&a);
    printf(
        "\n`weft help VERB` shows a verb's options. Exit codes: 0 done, 1 failed or rejected, 2 wrong command line,\n"
        "3 no sandbox runs, or the cluster cannot be reached; exec exits as its command did.\n");
}

static printf_like(2, 0) void complain(const struct cli *c, const char *fmt, va_list args)
{
    fprintf(stderr, "%sweft:%s ", c->color_err ? "\033[1;31m" : "", c->color_err ? "\033[0m" : "");
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
}

int cli_fail(const struct cli *c, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    complain(c, fmt, args);
    va_end(args);
    return EXIT_FAILED;
}

int cli_usage(const struct cli *c, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    complain(c, fmt, args);
    va_end(args);
    fprintf(stderr, "      see `weft help%s%s`\n", c->verb ? " " : "", c->verb ? c->verb->name : "");
    return EXIT_USAGE;
}

static int unknown_verb(const struct cli *c, const char *word)
{
    struct view names[COUNT_OF(verbs)];
    for (size_t i = 0; i < COUNT_OF(verbs); i++)
        names[i] = view_of(verbs[i].name);
    struct view near = diag_nearest(view_of(word), names, COUNT_OF(verbs));
    if (near.n)
        return cli_usage(c, "no verb `%s`: did you mean `%.*s`?", word, VIEW_ARGS(near));
    return cli_usage(c, "no verb `%s`", word);
}

static int unknown_option(const struct cli *c, const char *word)
{
    struct view names[OPT_COUNT];
    size_t n = 0;
    for (size_t i = 0; i < OPT_COUNT; i++)
        if (verb_takes(c->verb, (enum option_id)i))
            names[n++] = view_of(options[i].name);
    struct view bare = view_of(word);
    while (bare.n && bare.p[0] == '-')
        bare = view_from(bare, 1);
    struct view near = diag_nearest(view_head(bare, view_find(bare, '=')), names, n);
    if (near.n)
        return cli_usage(c, "`weft %s` has no option `%s`: did you mean `--%.*s`?", c->verb->name, word,
                         VIEW_ARGS(near));
    return cli_usage(c, "`weft %s` has no option `%s`", c->verb->name, word);
}

static void set_option(struct cli *c, enum option_id id, const char *value)
{
    c->opt[id] = value;
    if (id == OPT_FILENAME || id == OPT_VALUES)
        *ARENA_PUSH(&c->arena, c->files, c->n_files) = value;
    if (id == OPT_SET)
        *ARENA_PUSH(&c->arena, c->sets, c->n_sets) = value;
}

/* One --long option; *at moves when the value is the next word. */
static int parse_long(struct cli *c, int argc, char **argv, int *at)
{
    struct view word = view_from(view_of(argv[*at]), 2), name = view_head(word, view_find(word, '='));
    for (size_t i = 0; i < OPT_COUNT; i++) {
        if (!view_is(name, options[i].name) || !verb_takes(c->verb, (enum option_id)i))
            continue;
        bool joined = name.n < word.n;
        if (!options[i].value) {
            if (joined)
                return cli_usage(c, "--%s takes no value", options[i].name);
            set_option(c, (enum option_id)i, "");
            return 0;
        }
        if (!joined && *at + 1 >= argc)
            return cli_usage(c, "--%s needs a value: %s", options[i].name, options[i].value);
        set_option(c, (enum option_id)i, joined ? word.p + name.n + 1 : argv[++*at]);
        return 0;
    }
    return unknown_option(c, argv[*at]);
}

/* -A, -Ao json, -nfoo: switches may be joined, the last letter may take a value. */
static int parse_short(struct cli *c, int argc, char **argv, int *at)
{
    const char *word = argv[*at];
    for (const char *p = word + 1; *p; p++) {
        size_t i = 0;
        while (i < OPT_COUNT && !(options[i].letter == *p && verb_takes(c->verb, (enum option_id)i)))
            i++;
        if (i == OPT_COUNT)
            return unknown_option(c, word);
        if (!options[i].value) {
            set_option(c, (enum option_id)i, "");
            continue;
        }
        if (!p[1] && *at + 1 >= argc)
            return cli_usage(c, "-%c needs a value: %s", *p, options[i].value);
        set_option(c, (enum option_id)i, p[1] ? p + 1 + (p[1] == '=') : argv[++*at]);
        return 0;
    }
    return 0;
}

static int parse_words(struct cli *c, int argc, char **argv)
{
    for (int i = 2; i < argc; i++) {
        const char *word = argv[i];
        if (strcmp(word, "--") == 0) {
            c->dashes = true;
            c->command = (const char **)&argv[i + 1];
            c->n_command = (size_t)(argc - i - 1);
            return 0;
        }
        int r = 0;
        if (word[0] == '-' && word[1] == '-')
            r = parse_long(c, argc, argv, &i);
        else if (word[0] == '-' && word[1])
            r = parse_short(c, argc, argv, &i);
        else
            *ARENA_PUSH(&c->arena, c->args, c->n_args) = word;
        if (r)
            return r;
    }
    return 0;
}

static int parse_output(struct cli *c)
{
    const char *text = c->opt[OPT_OUTPUT];
    if (!text)
        return 0;
    for (size_t i = 0; i < COUNT_OF(outputs); i++)
        if (strcmp(text, outputs[i].name) == 0) {
            c->output = outputs[i].format;
            return 0;
        }
    return cli_usage(c, "-o %s is not a format: json, yaml, name or wide", text);
}

static bool wants_color(int fd)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    return isatty(fd) && !(no && *no) && !(term && strcmp(term, "dumb") == 0);
}

int cli_parse(struct cli *c, int argc, char **argv)
{
    *c = (struct cli){.self = argv[0], .color_out = wants_color(1), .color_err = wants_color(2)};
    arena_init(&c->arena, 0);
    const char *word = argc > 1 ? argv[1] : "help";
    if (strcmp(word, "-h") == 0 || strcmp(word, "--help") == 0)
        word = "help";
    if (strcmp(word, "--version") == 0)
        word = "version";
    c->verb = verb_find(view_of(word));
    if (!c->verb)
        return unknown_verb(c, word);
    int r = parse_words(c, argc, argv);
    if (r)
        return r;
    if (c->opt[OPT_HELP])
        return 0;
    r = parse_output(c);
    if (r)
        return r;
    if ((int)c->n_args < c->verb->fewest || (c->verb->most >= 0 && (int)c->n_args > c->verb->most))
        return cli_usage(c, "usage: weft %s %s", c->verb->name, c->verb->arguments);
    const char *named = c->opt[OPT_SANDBOX] ? c->opt[OPT_SANDBOX] : getenv("WEFT_SANDBOX");
    c->sandbox = named && *named ? view_of(named) : VIEW("demo");
    c->ns = c->opt[OPT_NAMESPACE] ? view_of(c->opt[OPT_NAMESPACE]) : VIEW("default");
    return 0;
}

void cli_done(struct cli *c)
{
    arena_done(&c->arena);
}

/* Verbs that work on sandboxes and clusters alike learn here which it is. */
static int run(struct cli *c)
{
    int r = verb_takes(c->verb, OPT_SANDBOX) && verb_takes(c->verb, OPT_KUBECONFIG) ? cluster_choose(c) : EXIT_OK;
    if (r == EXIT_OK)
        r = c->verb->run(c);
    c->cluster = cluster_close(c->cluster);
    return r;
}

int cli_main(int argc, char **argv)
{
    struct cli c;
    int r = cli_parse(&c, argc, argv);
    if (r == 0 && c.opt[OPT_HELP])
        verb_usage(c.verb);
    else if (r == 0)
        r = run(&c);
    cli_done(&c);
    return r;
}
