/* KSeF's public key for tokens: fetched when one is needed, kept for some hours, recorded at its
 * first use. Who could swap it would read the tokens; so the ledger has each key with its
 * certificate, and one that comes unannounced is an exception that somebody must own. */
#include "agent/vault.h"

#include "core/log.h"
#include "core/parse.h"
#include "core/time.h"

#include <openssl/rand.h>
#include <stdlib.h>

#define FRESH_MS   (12 * KV_HOUR_MS) /* KSeF API 2.0: at least every 24 hours */
#define LISTED_MAX 16

struct wanting {
    struct wanting *next;
    vault_ministry_fn *fn;
    void *ctx;
};

struct ministry {
    struct vault *v;
    struct kv_buf certificate; /* empty: none */
    int64_t until_ms;          /* loop clock */
    bool asked;
    struct wanting *wanting;
};

static void tell(struct ministry *m, enum kv_code code, const char *detail)
{
    struct vault_ministry_key key = {kv_buf_bytes(&m->certificate)};
    while (m->wanting != NULL) {
        struct wanting *first = m->wanting;
        m->wanting = first->next;
        first->fn(first->ctx, code, detail, &key);
        free(first);
    }
}

static void open_exception(struct vault *v)
{
    struct kv_err err;
    uint8_t random[10];
    char id[KV_ULID_LEN];
    if (RAND_bytes(random, sizeof random) != 1) {
        kv_log(KV_LOG_ERROR, "exception", "code=%s", kv_code_word(KV_E_INTERNAL));
        return;
    }
    kv_ulid_make(vault_now(v), random, id);
    struct kv_record *rec = kv_record_new(KV_EV_EXCEPTION_OPEN);
    kv_record_set(rec, KV_RK_ERR, kv_code_word(KV_E_KSEF_KEY));
    kv_record_info_str(rec, "id", id);
    kv_record_info_str(rec, "class", "ksef-key");
    kv_log(KV_LOG_WARNING, "exception", "id=%s class=ksef-key", id);
    if (vault_record(v, rec, NULL, NULL, &err) != KV_OK) {
        kv_log_err(KV_LOG_ERROR, "exception", &err);
    }
}

static bool is_listed(struct kv_bytes listed, const struct kv_hash *id)
{
    for (size_t at = 0; at + KV_HASH_LEN <= listed.len; at += KV_HASH_LEN) {
        if (memcmp(listed.ptr + at, id->b, KV_HASH_LEN) == 0) {
            return true;
        }
    }
    return false;
}

/* A key never used before: recorded before anything is encrypted to it. Planned rotations list the
 * old and the new one side by side. */
static enum kv_code note(struct vault *v, struct kv_bytes certificate, struct kv_bytes listed,
                         int64_t from_ms, int64_t to_ms, struct kv_err *err)
{
    struct kv_hash id, former;
    char text[KV_HASH_BASE64_LEN], from[KV_TIME_S_LEN], to[KV_TIME_S_LEN];
    memcpy(id.b, listed.ptr, sizeof id.b); /* the chosen one comes first */
    if (kv_state_ministry_key(v->state, &id)) {
        return KV_OK;
    }
    bool announced = !kv_state_newest_ministry_key(v->state, &former) || is_listed(listed, &former);
    kv_hash_base64(&id, text);
    kv_time_format_s(from_ms, from);
    kv_time_format_s(to_ms, to);
    struct kv_record *rec = kv_record_new(KV_EV_KSEF_KEY);
    kv_record_info_str(rec, "id", text);
    kv_record_info_str(rec, "from", from);
    kv_record_info_str(rec, "to", to);
    kv_record_info_bool(rec, "announced", announced);
    kv_record_add_doc(rec, KV_DOC_CERTIFICATE, certificate);
    kv_log(KV_LOG_INFO, "ksef-key", "id=%s announced=%d", text, announced);
    if (vault_record(v, rec, &certificate, NULL, err) != KV_OK) {
        return err->code;
    }
    if (!announced) {
        open_exception(v);
    }
    return KV_OK;
}

static void on_keys(void *ctx, const struct kv_answer_frame *answer)
{
    static const struct kv_field_spec specs[] = {
        {"http", KV_FIELD_NUMBER, 999, false, NULL},
        {"ksef-code", KV_FIELD_NUMBER, 999999, false, NULL},
        {"retry-after", KV_FIELD_NUMBER, 86400, false, NULL},
        {"sent", KV_FIELD_BOOLEAN, 1, false, NULL},
        {"certificate", KV_FIELD_OCTETS, 8192, false, NULL},
        {"from", KV_FIELD_NUMBER, KV_NUMBER_MAX, false, NULL},
        {"to", KV_FIELD_NUMBER, KV_NUMBER_MAX, false, NULL},
        {"listed", KV_FIELD_OCTETS, LISTED_MAX * KV_HASH_LEN, false, NULL},
        {NULL, KV_FIELD_END, 0, false, NULL}};
    struct ministry *m = ctx;
    struct kv_field field[KV_FIELDS_MAX];
    struct kv_err err = {.msg = ""};
    m->asked = false;
    if (answer->code != KV_OK) {
        tell(m, answer->code, answer->detail);
        return;
    }
    enum kv_code code = kv_message_read(answer->fields, specs, field, &err);
    if (code == KV_OK && (field[4].value.len == 0 || field[7].value.len < KV_HASH_LEN)) {
        code = KV_REFUSE(&err, KV_E_PROTOCOL, "no key in the answer");
    }
    if (code == KV_OK) {
        code = note(m->v, field[4].value, field[7].value, (int64_t)field[5].number,
                    (int64_t)field[6].number, &err);
    }
    if (code == KV_OK) {
        kv_buf_reset(&m->certificate);
        kv_buf_add_bytes(&m->certificate, field[4].value);
        m->until_ms = kv_loop_clock_ms() + FRESH_MS;
    }
    tell(m, code, err.msg);
}

static struct ministry *ministry_of(struct vault *v)
{
    if (v->ministry == NULL) {
        v->ministry = calloc(1, sizeof *v->ministry);
        if (v->ministry == NULL) {
            abort();
        }
        v->ministry->v = v;
        kv_buf_init(&v->ministry->certificate, 8192);
    }
    return v->ministry;
}

void vault_ministry_key(struct vault *v, vault_ministry_fn *fn, void *ctx)
{
    struct ministry *m = ministry_of(v);
    struct kv_err err;
    if (m->certificate.len > 0 && kv_loop_clock_ms() < m->until_ms) {
        struct vault_ministry_key key = {kv_buf_bytes(&m->certificate)};
        fn(ctx, KV_OK, "", &key);
        return;
    }
    struct wanting *wanting = malloc(sizeof *wanting);
    if (wanting == NULL) {
        abort();
    }
    *wanting = (struct wanting){m->wanting, fn, ctx};
    m->wanting = wanting;
    if (m->asked) {
        return;
    }
    m->asked = true;
    enum kv_code code = vault_ask_courier(v, KV_FRAME_KSEF_KEYS, KV_BYTES_NULL, on_keys, m, &err);
    if (code != KV_OK) {
        m->asked = false;
        tell(m, code, err.msg);
    }
}

void vault_ministry_forget(struct vault *v)
{
    ministry_of(v)->until_ms = 0;
}

void vault_ministry_drop(struct vault *v, const void *ctx)
{
    for (struct wanting **at = v->ministry == NULL ? NULL : &v->ministry->wanting;
         at != NULL && *at != NULL;) {
        struct wanting *wanting = *at;
        if (wanting->ctx == ctx) {
            *at = wanting->next;
            free(wanting);
        } else {
            at = &wanting->next;
        }
    }
}

void vault_ministry_clear(struct vault *v)
{
    if (v->ministry != NULL) {
        assert(v->ministry->wanting == NULL); /* logins went before */
        kv_buf_clear(&v->ministry->certificate);
        free(v->ministry);
        v->ministry = NULL;
    }
}
