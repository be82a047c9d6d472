// SPDX-License-Identifier: Apache-2.0
/* The template language: what each construct gives (as Helm's does: test/unit/install/helm.py holds the whole chart against
 * the real one), and that whatever is outside of it is refused with its place. */
#include "install/template.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static const char values[] = "Values:\n"
                             "  name: web\n"
                             "  empty: \"\"\n"
                             "  count: 3\n"
                             "  zero: 0\n"
                             "  sure: true\n"
                             "  never: false\n"
                             "  map: {b: 2, a: one}\n"
                             "  none: {}\n"
                             "  list: [x, w]\n"
                             "  maps: [{k: 1}, {k: 2}]\n"
                             "  with-dash: {q: r}\n"
                             "  quotes: 'say \"hi\"'\n";

static const struct {
    const char *what, *template, *gives;
} rows[] = {
    {"text passes", "a {b} c\n", "a {b} c\n"},
    {"a path", "{{ .Values.name }}", "web"},
    {"$ is the root", "{{ with .Values.map }}{{ $.Values.name }}{{ end }}", "web"},
    {"a number and a boolean", "{{ .Values.count }} {{ .Values.sure }}", "3 true"},
    {"trimming on the left takes all white space", "a \n\n {{- .Values.count }}", "a3"},
    {"trimming on the right too", "{{ .Values.count -}} \n\n b", "3b"},
    {"a minus sign without a space is no trimming", "a {{ -3 }}", NULL},
    {"a comment is nothing", "a{{/* b }} c */}}d", "ad"},
    {"a comment trims", "a\n{{- /* b */ -}}\nd", "ad"},
    {"quote", "{{ .Values.quotes | quote }} {{ .Values.count | quote }}", "\"say \\\"hi\\\"\" \"3\""},
    {"quote of nothing is nothing", "[{{ .Values.absent | quote }}]", "[]"},
    {"default", "{{ default \"d\" .Values.empty }}{{ .Values.name | default \"d\" }}", "dweb"},
    {"if", "{{ if .Values.sure }}y{{ end }}{{ if .Values.never }}n{{ end }}", "y"},
    {"else if", "{{ if .Values.never }}a{{ else if .Values.sure }}b{{ else }}c{{ end }}", "b"},
    {"else", "{{ if .Values.zero }}a{{ else if .Values.empty }}b{{ else }}c{{ end }}", "c"},
    {"an empty map is false", "{{ if .Values.none }}a{{ end }}", ""},
    {"with sets dot", "{{ with .Values.map }}{{ .a }}{{ end }}", "one"},
    {"with nothing takes else", "{{ with .Values.none }}a{{ else }}b{{ end }}", "b"},
    {"range over a list", "{{ range .Values.list }}<{{ . }}>{{ end }}", "<x><w>"},
    {"range over a map goes by its sorted keys", "{{ range $k, $v := .Values.map }}{{ $k }}={{ $v }};{{ end }}",
     "a=one;b=2;"},
    {"range over maps", "{{ range .Values.maps }}{{ .k }}{{ end }}", "12"},
    {"range over nothing takes else", "{{ range .Values.absent }}a{{ else }}b{{ end }}", "b"},
    {"a variable", "{{ $x := .Values.name }}{{ $x }}{{ $x }}", "webweb"},
    {"a variable ends with its block", "{{ if .Values.sure }}{{ $x := 1 }}{{ end }}{{ $x }}", NULL},
    {"toYaml sorts and has no newline at its end", "{{ toYaml .Values.map }}|", "a: one\nb: 2|"},
    {"nindent begins a line", "k:{{ toYaml .Values.map | nindent 2 }}", "k:\n  a: one\n  b: 2"},
    {"indent does not", "{{ toYaml .Values.list | indent 2 }}", "  - x\n  - w"},
    {"toJson", "{{ toJson .Values.map }}{{ toJson .Values.list }}", "{\"a\":\"one\",\"b\":2}[\"x\",\"w\"]"},
    {"fromYaml and a field of it", "{{ (fromYaml \"a: {b: c}\").a.b }}", "c"},
    {"eq, ne, not", "{{ eq .Values.count 3 }}{{ ne .Values.name \"web\" }}{{ not .Values.sure }}", "truefalsefalse"},
    {"eq with several", "{{ eq .Values.name \"a\" \"web\" }}", "true"},
    {"and gives the first that is false, or gives the first that is true",
     "{{ and .Values.count .Values.name }}{{ or .Values.empty .Values.name }}", "webweb"},
    {"and stops early", "{{ if and .Values.absent .Values.absent.more }}a{{ end }}b", "b"},
    {"index", "{{ index .Values \"with-dash\" \"q\" }}", "r"},
    {"printf", "{{ printf \"%s-%d\" .Values.name .Values.count }}", "web-3"},
    {"has", "{{ has \"x\" .Values.list }}{{ has \"z\" .Values.list }}", "truefalse"},
    {"list and dict", "{{ toJson (list 1 \"b\") }}{{ toJson (dict \"k\" .Values.count) }}", "[1,\"b\"]{\"k\":3}"},
    {"merge: the first wins, maps are merged", "{{ toJson (merge (dict \"a\" 1) (deepCopy .Values.map)) }}",
     "{\"a\":1,\"b\":2}"},
    {"merge: what is empty counts as absent", "{{ toJson (merge (dict \"a\" false) (deepCopy .Values.map)) }}",
     "{\"a\":\"one\",\"b\":2}"},
    {"define and include", "{{ define \"x\" }}<{{ .a }}>{{ end }}{{ include \"x\" .Values.map }}", "<one>"},
    {"an include starts anew with variables", "{{ define \"x\" }}{{ $y }}{{ end }}{{ $y := 1 }}{{ include \"x\" . }}",
     NULL},
    {"int, lower", "{{ int .Values.count }}{{ lower \"ABc\" }}", "3abc"},
    {"a pipeline in parentheses", "{{ (.Values.empty | default \"a\") | quote }}", "\"a\""},
    /* refused */
    {"nil does not print", "{{ .Values.absent }}", NULL},
    {"a field of nil", "{{ .Values.absent.more }}", NULL},
    {"a field of a text", "{{ .Values.name.more }}", NULL},
    {"a map does not print", "{{ .Values.map }}", NULL},
    {"a range over a text", "{{ range .Values.name }}{{ end }}", NULL},
    {"an unknown function", "{{ upper .Values.name }}", NULL},
    {"a function of Helm's that we do not have", "{{ lookup \"v1\" \"Pod\" \"\" \"\" }}", NULL},
    {"an include of nothing", "{{ include \"x\" . }}", NULL},
    {"an include of itself", "{{ define \"x\" }}{{ include \"x\" . }}{{ end }}{{ include \"x\" . }}", NULL},
    {"no end", "{{ if .Values.sure }}a", NULL},
    {"too many ends", "{{ end }}", NULL},
    {"else alone", "{{ else }}", NULL},
    {"an open action", "{{ .Values.name", NULL},
    {"an open string", "{{ \"a }}", NULL},
    {"an open parenthesis", "{{ (.Values.name }}", NULL},
    {"something behind", "{{ .Values.name .Values.count }}", NULL},
    {"a template action", "{{ template \"x\" . }}", NULL},
    {"raw strings", "{{ `a` }}", NULL},
    {"break", "{{ range .Values.list }}{{ break }}{{ end }}", NULL},
    {"assignment to a variable that is there", "{{ $x := 1 }}{{ $x = 2 }}", NULL},
    {"too few arguments", "{{ nindent 2 }}", NULL},
    {"too many arguments", "{{ quote 1 2 }}", NULL},
    {"a percent sign that printf does not know", "{{ printf \"%x\" 1 }}", NULL},
    {"fail", "{{ fail \"no\" }}", NULL},
};

/* The text, or NULL with the reason in *why. */
static char *render(struct arena *a, const char *text, struct view *why)
{
    struct template_set set;
    struct node *root;
    struct buf out = {0};
    char *result = NULL;
    template_set_init(&set, a);
    assert_int_equal(node_parse(a, VIEW(values), &root, NULL), 0);
    if (template_add(&set, VIEW("t.yaml"), view_of(text), why) == 0 &&
        template_run(&set, VIEW("t.yaml"), root, &out, why) == 0)
        result = arena_str(a, buf_read(&out));
    buf_done(&out);
    return result;
}

static void each_construct_gives_what_helm_gives_and_others_are_refused(void **state)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct arena a;
        struct view why = VIEW_NONE;
        arena_init(&a, 0);
        char *got = render(&a, rows[i].template, &why);
        if (!rows[i].gives && got)
            fail_msg("%s: gave `%s`", rows[i].what, got);
        if (rows[i].gives && (!got || strcmp(got, rows[i].gives) != 0))
            fail_msg("%s: gave `%s` (%.*s), not `%s`", rows[i].what, got ? got : "nothing", VIEW_ARGS(why),
                     rows[i].gives);
        if (!rows[i].gives && !view_starts(why, VIEW("t.yaml:1: ")))
            fail_msg("%s: the reason has no place: %.*s", rows[i].what, VIEW_ARGS(why));
        arena_done(&a);
    }
}

static void a_mistake_is_named_with_its_line(void **state)
{
    struct arena a;
    struct view why = VIEW_NONE;
    arena_init(&a, 0);
    assert_null(
        render(&a, "one\n{{ if .Values.sure }}\n{{- /* two\nlines */}}\n  {{ .Values.absent }}\n{{ end }}", &why));
    if (!view_starts(why, VIEW("t.yaml:5: ")))
        fail_msg("%.*s", VIEW_ARGS(why));
    assert_null(render(&a, "one\n\n{{ range }}", &why));
    if (!view_starts(why, VIEW("t.yaml:3: ")))
        fail_msg("%.*s", VIEW_ARGS(why));
    arena_done(&a);
}

static void nesting_is_bounded(void **state)
{
    struct arena a;
    struct view why = VIEW_NONE;
    struct buf b = {0};
    arena_init(&a, 0);
    for (int i = 0; i < 10000; i++)
        buf_char(&b, '(');
    assert_null(render(&a, arena_str(&a, arena_printf(&a, "{{ %s 1 }}", buf_cstr(&b))), &why));
    buf_clear(&b);
    for (int i = 0; i < 10000; i++)
        buf_str(&b, "{{ if 1 }}");
    assert_null(render(&a, buf_cstr(&b), &why));
    buf_done(&b);
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_construct_gives_what_helm_gives_and_others_are_refused),
        cmocka_unit_test(a_mistake_is_named_with_its_line),
        cmocka_unit_test(nesting_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
