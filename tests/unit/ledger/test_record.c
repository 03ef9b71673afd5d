#include "tests/unit/ledger/ledger_test.h"

#include "ledger/encode.h"
#include "ledger/tree.h"

#include <jansson.h>

static enum kv_code decode(struct kv_bytes line, struct kv_err *err)
{
    struct kv_record *rec = NULL;
    enum kv_code code = kv_record_decode(line, &rec, err);
    kv_record_free(rec);
    return code;
}

static void expect_round_trip(struct kv_bytes line)
{
    struct kv_err err = {0};
    struct kv_record *rec = NULL;
    struct kv_buf again;
    kv_buf_init(&again, 65536);
    if (kv_record_decode(line, &rec, &err) != KV_OK) {
        fail_msg("%s: %.*s", err.msg, (int)line.len, (const char *)line.ptr);
    }
    assert_int_equal(kv_record_encode(rec, &again, &err), KV_OK);
    assert_int_equal(again.len, line.len);
    assert_memory_equal(again.data, line.ptr, line.len);
    kv_record_free(rec);
    kv_buf_clear(&again);
}

/* The story of a whole vault: every line is read, written back, and hashed as published. */
static void evidence_is_read_and_written_back_byte_for_byte(void **state)
{
    (void)state;
    struct kv_buf file = load(VECTOR("v1/evidence/records.jsonl"));
    struct kv_bytes rest = kv_buf_bytes(&file);
    struct kv_bytes line;
    size_t count = 0;
    while (next_line(&rest, &line)) {
        expect_round_trip(line);
        count++;
    }
    assert_int_equal(count, 77);
    kv_buf_clear(&file);
}

static void every_row_of_events_has_its_shape(void **state)
{
    (void)state;
    struct kv_buf file = load(VECTOR("v1/shapes.jsonl"));
    struct kv_bytes rest = kv_buf_bytes(&file);
    struct kv_bytes line;
    size_t count = 0;
    while (next_line(&rest, &line)) {
        expect_round_trip(line);
        count++;
    }
    assert_int_equal(count, 57);
    kv_buf_clear(&file);
}

/* Our encoder is jansson's JSON_COMPACT, also for what must be escaped. */
static void strings_are_escaped_as_jansson_does(void **state)
{
    (void)state;
    char text[260];
    for (int c = 1; c < 128; c++) {
        text[c - 1] = (char)c;
    }
    memcpy(text + 127, "/za\xc5\xbc\xc3\xb3\xc5\x82\xc4\x87 \xf0\x9f\x94\x91", 17);
    json_t *json = json_string(text);
    char *want = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);
    struct kv_buf got;
    kv_buf_init(&got, 4096);

    kv_json_string(&got, kv_bytes_str(text));

    assert_string_equal(kv_buf_str(&got), want);
    kv_buf_clear(&got);
    free(want);
    json_decref(json);
}

static void lines_that_are_not_records_are_refused(void **state)
{
    (void)state;
    struct kv_buf file = load(VECTOR("v1/bad-shapes.tsv"));
    struct kv_bytes rest = kv_buf_bytes(&file);
    struct kv_bytes line;
    size_t count = 0;
    while (next_line(&rest, &line)) {
        const uint8_t *tab = memchr(line.ptr, '\t', line.len);
        assert_non_null(tab);
        size_t why = (size_t)(tab - line.ptr);
        struct kv_err err = {0};
        enum kv_code code = decode(kv_bytes(tab + 1, line.len - why - 1), &err);
        if (code != KV_E_LEDGER_RECORD) {
            fail_msg("accepted: %.*s", (int)why, (const char *)line.ptr);
        }
        count++;
    }
    assert_int_equal(count, 43);
    kv_buf_clear(&file);
}

static const char base[] =
    "{\"v\":1,\"seq\":26,\"ts\":\"2026-12-02T07:15:03.030Z\",\"boot\":\"d48d8659\",\"mono\":1,"
    "\"prev\":\"Yfj/5beAZQKzKgFZEya74N7oh0rBqCa24RcYjiD3mWk=\",\"ev\":\"use.sign\",\"who\":{"
    "\"kind\":\"integration\",\"id\":\"erp-1\",\"via\":\"uid:61001 unit:erp.service\"},\"grant\":"
    "\"01M8RFVFHRBN52YREPEQW7SFTP\",\"cred\":\"ksef-auth-1\",\"op\":\"csr.sign\",\"ctx\":"
    "\"Nip:5265877635\",\"dig\":\"9i3Kcj6IF0/oX0sSNLNl5GHByue1tzgwFFrb69MLDUw=\"}";

static const struct {
    const char *name;
    enum kv_code want;
    const char *from, *to; /* in `base`; from NULL: as it is */
} edits[] = {
    {"as it is", KV_OK, NULL, NULL},
    {"an exe behind the unit", KV_OK, "erp.service",
     "erp.service exe:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"},
    {"an exe in upper case", KV_E_LEDGER_RECORD, "erp.service",
     "erp.service exe:0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef"},
    {"two units", KV_E_LEDGER_RECORD, "erp.service", "erp.service unit:x"},
    {"a space at the end of via", KV_E_LEDGER_RECORD, "erp.service", "erp.service "},
    {"no uid", KV_E_LEDGER_RECORD, "uid:61001 unit", "unit"},
    {"uid with a leading zero", KV_E_LEDGER_RECORD, "uid:6", "uid:06"},
    {"uid above 32 bits", KV_E_LEDGER_RECORD, "uid:61001", "uid:4294967296"},
    {"NIP with a wrong check digit", KV_E_LEDGER_RECORD, "Nip:5265877635", "Nip:5265877636"},
    {"unknown operation", KV_E_LEDGER_RECORD, "csr.sign", "csr.rign"},
    {"spare bits in base64", KV_E_LEDGER_RECORD, "mWk=", "mWl="},
    {"a day that does not exist", KV_E_LEDGER_RECORD, "2026-12-02", "2026-02-30"},
    {"empty prev behind record 0", KV_E_LEDGER_RECORD,
     "Yfj/5beAZQKzKgFZEya74N7oh0rBqCa24RcYjiD3mWk=", ""},
    {"a prev in record 0", KV_E_LEDGER_RECORD, "\"seq\":26", "\"seq\":0"},
    {"negative seq", KV_E_LEDGER_RECORD, "\"seq\":26", "\"seq\":-26"},
    {"version 0", KV_E_LEDGER_RECORD, "{\"v\":1", "{\"v\":0"},
    {"a newer version", KV_E_LEDGER_NEWER, "{\"v\":1", "{\"v\":2"},
    {"a newer version, with keys unknown to us", KV_E_LEDGER_NEWER, "{\"v\":1,",
     "{\"v\":3,\"x\":[],"},
    {"version beyond 64 bits", KV_E_LEDGER_RECORD, "{\"v\":1", "{\"v\":99999999999999999999"},
    {"boot in upper case", KV_E_LEDGER_RECORD, "d48d8659", "D48D8659"},
    {"an agent with another id", KV_E_LEDGER_RECORD, "\"kind\":\"integration\"",
     "\"kind\":\"agent\""},
    {"raw control character", KV_E_LEDGER_RECORD, "erp-1", "erp\x01"},
};

static void values_follow_their_grammar(void **state)
{
    (void)state;
    for (size_t i = 0; i < KV_COUNT(edits); i++) {
        struct kv_buf line;
        kv_buf_init(&line, 4096);
        const char *at = edits[i].from == NULL ? base : strstr(base, edits[i].from);
        assert_non_null(at);
        kv_buf_add(&line, base, (size_t)(at - base));
        if (edits[i].from != NULL) {
            kv_buf_add_str(&line, edits[i].to);
            at += strlen(edits[i].from);
        }
        kv_buf_add_str(&line, at);
        struct kv_err err = {0};
        enum kv_code code = decode(kv_buf_bytes(&line), &err);
        if (code != edits[i].want) {
            fail_msg("%s: %s (%s)", edits[i].name, kv_code_word(code), err.msg);
        }
        kv_buf_clear(&line);
    }
}

static void a_line_cut_anywhere_is_refused(void **state)
{
    (void)state;
    for (size_t n = 0; n < sizeof base - 1; n++) {
        assert_int_equal(decode(kv_bytes(base, n), NULL), KV_E_LEDGER_RECORD);
    }
}

/* A changed byte either breaks the record or changes what it says: never two ways to say one. */
static void no_changed_byte_reads_as_the_same_record(void **state)
{
    (void)state;
    char line[sizeof base];
    for (size_t i = 0; i < sizeof base - 1; i++) {
        memcpy(line, base, sizeof base);
        line[i] ^= 1;
        struct kv_record *rec = NULL;
        if (kv_record_decode(kv_bytes(line, sizeof base - 1), &rec, NULL) == KV_OK) {
            struct kv_buf again;
            kv_buf_init(&again, 65536);
            assert_int_equal(kv_record_encode(rec, &again, NULL), KV_OK);
            assert_int_equal(again.len, sizeof base - 1);
            assert_memory_equal(again.data, line, again.len);
            kv_buf_clear(&again);
        }
        kv_record_free(rec);
    }
}

static void a_record_that_breaks_its_row_is_not_written(void **state)
{
    (void)state;
    struct kv_record *rec = kv_record_new(KV_EV_GRANT_EXPIRE);
    struct kv_buf out;
    struct kv_err err = {0};
    kv_buf_init(&out, 65536);
    kv_buf_add_str(&out, "before");
    memcpy(rec->boot, "00000000", 9);
    kv_record_set(rec, KV_RK_GRANT, "01M8RFVFHRBN52YREPEQW7SFTP");

    assert_int_equal(kv_record_encode(rec, &out, &err), KV_E_LEDGER_RECORD); /* no why */
    kv_record_info_str(rec, "why", "time");
    assert_int_equal(kv_record_encode(rec, &out, &err), KV_OK);
    assert_memory_equal(out.data, "before{\"v\":1,\"seq\":0,", 20);
    size_t len = out.len;
    kv_record_set_of(rec, 3); /* does not belong */
    assert_int_equal(kv_record_encode(rec, &out, &err), KV_E_LEDGER_RECORD);

    assert_int_equal(out.len, len);
    kv_buf_clear(&out);
    kv_record_free(rec);
}

static void a_newer_record_still_gives_its_chain_and_blobs(void **state)
{
    (void)state;
    const char *line = "{\"v\":2,\"seq\":5,\"ts\":\"2026-12-02T07:15:03.030Z\",\"prev\":"
                       "\"Yfj/5beAZQKzKgFZEya74N7oh0rBqCa24RcYjiD3mWk=\",\"ev\":\"x.y\",\"docs\":[{"
                       "\"k\":\"song\",\"h\":\"Yfj/5beAZQKzKgFZEya74N7oh0rBqCa24RcYjiD3mWk=\","
                       "\"n\":12}]}";
    struct kv_record *rec = NULL;
    struct kv_err err = {0};

    assert_int_equal(decode(kv_bytes_str(line), &err), KV_E_LEDGER_NEWER);
    assert_int_equal(kv_record_peek(kv_bytes_str(line), &rec, &err), KV_OK);

    assert_int_equal(rec->v, 2);
    assert_int_equal(rec->seq, 5);
    assert_true(rec->has_prev);
    assert_int_equal(rec->doc_count, 1);
    assert_int_equal(rec->docs[0].len, 12);
    kv_record_free(rec);
    rec = NULL;
    assert_int_equal(kv_record_peek(kv_bytes_str("{\"v\":2}"), &rec, &err), KV_E_LEDGER_RECORD);
    assert_null(rec);
}

/* The table in core/ is that of events.json, which other programs use. */
static void the_table_of_events_is_the_published_one(void **state)
{
    (void)state;
    json_t *table = json_load_file(VECTOR("v1/events.json"), 0, NULL);
    assert_non_null(table);
    const char *word;
    json_t *row;
    size_t count = 0;
    json_object_foreach(table, word, row)
    {
        enum kv_event ev;
        bool now = strcmp(json_string_value(json_object_get(row, "issue")), "foundation") == 0;
        bool known = kv_event_parse(kv_bytes_str(word), &ev);
        if (!now && !known) {
            continue; /* of a later issue */
        }
        count++;
        if (!known) {
            fail_msg("%s is missing", word);
        }
        bool strict = strcmp(json_string_value(json_object_get(row, "class")), "strict") == 0;
        assert_int_equal(kv_event_row(ev)->class, strict ? KV_STRICT : KV_BOUNDED);
        const json_t *forms = json_object_get(row, "forms");
        for (size_t i = 0; i < json_array_size(forms); i++) {
            const json_t *form = json_array_get(forms, i);
            const struct kv_event_form *ours = &kv_event_row(ev)->forms[i];
            size_t who = json_array_size(json_object_get(form, "who"));
            assert_int_equal(__builtin_popcount(ours->who), who);
            const json_t *keys = json_object_get(form, "keys");
            uint32_t required = 0;
            uint32_t optional = 0;
            for (size_t k = 0; k < json_array_size(keys); k++) {
                const char *name = json_string_value(json_array_get(keys, k));
                bool opt = strchr(name, '?') != NULL;
                for (int r = 0; r < KV_RK_COUNT; r++) {
                    const char *ours_word = kv_record_key_word((enum kv_record_key)r);
                    if (strncmp(name, ours_word, strlen(name) - opt) == 0 &&
                        strlen(ours_word) == strlen(name) - opt) {
                        *(opt ? &optional : &required) |= UINT32_C(1) << r;
                    }
                }
            }
            assert_int_equal(ours->required, required);
            assert_int_equal(ours->optional, optional);
            const json_t *info = json_object_get(form, "info");
            for (size_t k = 0; k < json_array_size(info); k++) {
                const char *name = json_string_value(json_array_get(info, k));
                bool opt = strchr(name, '?') != NULL;
                assert_int_equal(ours->info[k].optional, opt);
                assert_int_equal(strncmp(name, ours->info[k].name, strlen(name) - opt), 0);
            }
            assert_null(ours->info[json_array_size(info)].name);
        }
    }
    assert_int_equal(count, KV_EV_COUNT - 1);
    json_decref(table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(evidence_is_read_and_written_back_byte_for_byte),
        cmocka_unit_test(every_row_of_events_has_its_shape),
        cmocka_unit_test(strings_are_escaped_as_jansson_does),
        cmocka_unit_test(lines_that_are_not_records_are_refused),
        cmocka_unit_test(values_follow_their_grammar),
        cmocka_unit_test(a_line_cut_anywhere_is_refused),
        cmocka_unit_test(no_changed_byte_reads_as_the_same_record),
        cmocka_unit_test(a_record_that_breaks_its_row_is_not_written),
        cmocka_unit_test(a_newer_record_still_gives_its_chain_and_blobs),
        cmocka_unit_test(the_table_of_events_is_the_published_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
