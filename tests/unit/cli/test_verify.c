/* `ledger verify` as people run it, over the evidence of the vectors and each way in which it was
 * tampered with. */
#include "tests/unit/kv_test.h"

#include "cli/file.h"
#include "cli/out.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define V1 KV_VECTORS "/ledger/v1"

static char folder[] = "/tmp/kv-verify-XXXXXX";

static int set_up(void **state)
{
    (void)state;
    return mkdtemp(folder) == NULL;
}

static void shell(const char *script, const char *argument)
{
    const char *argv[] = {"sh", "-euc", script, "sh", V1, folder, argument, NULL};
    struct kv_buf out;
    struct kv_err err;
    int status = -1;
    kv_buf_init(&out, 65536);
    assert_int_equal(cli_program(argv, KV_BYTES_NULL, &out, &status, &err), KV_OK);
    assert_int_equal(status, 0);
    kv_buf_clear(&out);
}

static int tear_down(void **state)
{
    (void)state;
    shell("rm -rf -- \"$2\"", "");
    return 0;
}

/* The folder of a variant, as the vectors' README says. */
static void expand(const char *name)
{
    shell("rm -rf -- \"$2/x\"; cp -R \"$1/evidence\" \"$2/x\"; chmod -R u+w \"$2/x\"\n"
          "[ \"$3\" != good ] || exit 0\n"
          "cp -R \"$1/tampered/$3/.\" \"$2/x/\"\n"
          "while read -r f; do rm \"$2/x/$f\"; done <\"$1/tampered/$3.remove\"",
          name);
}

/* Run it; *out is owned by the caller. */
static int verify(const char *option, const char *value, bool json, struct kv_buf *out)
{
    char path[64];
    struct kv_err err;
    int status = -1;
    assert_true(snprintf(path, sizeof path, "%s/x", folder) > 0);
    const char *argv[8] = {KV_PROGRAM, "ledger", "verify", path};
    size_t n = 4;
    if (json) {
        argv[n++] = "--json";
    }
    if (option != NULL) {
        argv[n++] = option;
        argv[n++] = value;
    }
    argv[n] = NULL;
    kv_buf_init(out, 1024 * 1024);
    assert_int_equal(cli_program(argv, KV_BYTES_NULL, out, &status, &err), KV_OK);
    return status;
}

/* `FILE` or `FILE:LINE` of the first finding, "" if there is none. */
static void place_of(const json_t *answer, char out[static 256])
{
    const json_t *first = cli_member(answer, "first");
    json_int_t line = json_integer_value(json_object_get(first, "line"));
    int n = line > 0 ? snprintf(out, 256, "%s:%lld", cli_str(first, "file"), (long long)line)
                     : snprintf(out, 256, "%s", cli_str(first, "file"));
    assert_true(n >= 0 && n < 256);
}

static void each_variant_gives_its_exit_and_place(void **state)
{
    (void)state;
    json_t *index = json_load_file(V1 "/index.json", 0, NULL);
    json_t *variant;
    size_t i;
    assert_non_null(index);
    assert_int_equal(json_array_size(json_object_get(index, "variants")), 23);
    json_array_foreach(json_object_get(index, "variants"), i, variant)
    {
        char place[256];
        struct kv_buf out;
        bool expects = cli_str(variant, "arguments")[0] != '\0';
        expand(cli_str(variant, "name"));

        int status = verify(expects ? "--expect" : NULL, V1 "/evidence/checkpoint", true, &out);

        json_t *answer = json_loadb(kv_buf_str(&out), out.len, 0, NULL);
        assert_non_null(answer);
        place_of(answer, place);
        if (status != json_integer_value(json_object_get(variant, "exit")) ||
            json_integer_value(json_object_get(answer, "exit")) != status ||
            strcmp(place, cli_str(variant, "place")) != 0) {
            fail_msg("%s: exit %d at '%s', not %lld at '%s'\n%s", cli_str(variant, "name"), status,
                     place, (long long)json_integer_value(json_object_get(variant, "exit")),
                     cli_str(variant, "place"), kv_buf_str(&out));
        }
        json_decref(answer);
        kv_buf_clear(&out);
    }
    json_decref(index);
}

static void the_good_one_tells_what_it_read(void **state)
{
    (void)state;
    struct kv_buf out;
    expand("good");

    int status = verify("--vkey", V1 "/keys/log.vkey", false, &out);

    assert_int_equal(status, 0);
    assert_string_equal(kv_buf_str(&out),
                        "GOOD nothing found\n"
                        "vault ksef-vault.example.com/nip-5265877635   key de3c461b from --vkey   "
                        "77 of 77 records good, 73 covered\n");
    kv_buf_clear(&out);
}

static void the_first_line_names_the_first_bad_place(void **state)
{
    (void)state;
    struct kv_buf out;
    static const char head[] = "FAIL 10 records.jsonl:27 seq 26";
    expand("record-word");

    int status = verify("--vkey", V1 "/keys/log.vkey", false, &out);

    assert_int_equal(status, 10);
    assert_memory_equal(kv_buf_str(&out), head, sizeof head - 1);
    assert_non_null(strstr(kv_buf_str(&out), "26 of 77 records good"));
    kv_buf_clear(&out);
}

static void another_key_is_seen(void **state)
{
    (void)state;
    struct kv_buf out;
    expand("good");

    int status = verify("--vkey", V1 "/keys/other.vkey", true, &out);

    assert_int_equal(status, 10);
    kv_buf_clear(&out);
}

static void an_expected_state_must_be_one_of_this_log(void **state)
{
    (void)state;
    static const struct {
        const char *expect;
        int status;
    } rows[] = {
        {"73:MnSspV86kWerbwkHVzNMDvUZuFzHcxThWVhSO+Q68fI=", 0},
        {"0:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", 0},
        {"73:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", 11},
        {"7300:MnSspV86kWerbwkHVzNMDvUZuFzHcxThWVhSO+Q68fI=", 11},
        {"73:short", 2},
        {"/nonexistent", 1},
        {V1 "/keys/log.vkey", 1},
    };
    expand("good");
    for (size_t i = 0; i < KV_COUNT(rows); i++) {
        struct kv_buf out;

        int status = verify("--expect", rows[i].expect, true, &out);

        if (status != rows[i].status) {
            fail_msg("%s: %d", rows[i].expect, status);
        }
        kv_buf_clear(&out);
    }
}

static void a_file_that_no_record_names_is_seen(void **state)
{
    (void)state;
    struct kv_buf out;
    char place[256];
    expand("good");
    shell("cd \"$2/x\"; cp approvals/allowed_signers approvals/acts/9999.txt\n"
          "find . -type f ! -name MANIFEST | sed 's,^\\./,,' | LC_ALL=C sort | "
          "xargs -d '\\n' sha256sum >../manifest; mv ../manifest MANIFEST",
          "");

    int status = verify(NULL, NULL, true, &out);

    json_t *answer = json_loadb(kv_buf_str(&out), out.len, 0, NULL);
    place_of(answer, place);
    assert_int_equal(status, 10);
    assert_string_equal(place, "approvals/acts/9999.txt");
    json_decref(answer);
    kv_buf_clear(&out);
}

static void a_copy_that_is_missing_is_seen(void **state)
{
    (void)state;
    struct kv_buf out;
    char place[256];
    expand("good");
    shell("cd \"$2/x\"; rm approvals/acts/28.txt\n"
          "find . -type f ! -name MANIFEST | sed 's,^\\./,,' | LC_ALL=C sort | "
          "xargs -d '\\n' sha256sum >../manifest; mv ../manifest MANIFEST",
          "");

    int status = verify(NULL, NULL, true, &out);

    json_t *answer = json_loadb(kv_buf_str(&out), out.len, 0, NULL);
    place_of(answer, place);
    assert_int_equal(status, 10);
    assert_string_equal(place, "approvals/acts/28.txt");
    json_decref(answer);
    kv_buf_clear(&out);
}

static void a_folder_that_is_no_ledger_is_refused(void **state)
{
    (void)state;
    struct kv_buf out;
    shell("rm -rf -- \"$2/x\"; mkdir \"$2/x\"", "");

    int status = verify(NULL, NULL, true, &out);

    assert_int_equal(status, 1);
    kv_buf_clear(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_variant_gives_its_exit_and_place),
        cmocka_unit_test(the_good_one_tells_what_it_read),
        cmocka_unit_test(the_first_line_names_the_first_bad_place),
        cmocka_unit_test(another_key_is_seen),
        cmocka_unit_test(an_expected_state_must_be_one_of_this_log),
        cmocka_unit_test(a_file_that_no_record_names_is_seen),
        cmocka_unit_test(a_copy_that_is_missing_is_seen),
        cmocka_unit_test(a_folder_that_is_no_ledger_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
