/* Records of the ledger as answers, and the notes that exports and verifications leave. */
#include "agent/vault_view.h"

#include "core/parse.h"
#include "ledger/encode.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- records ---- */

static enum kv_code add_record(struct vault *v, uint64_t seq, struct kv_buf *out,
                               struct kv_err *err)
{
    struct kv_buf line;
    kv_buf_init(&line, KV_RECORD_MAX);
    enum kv_code code = kv_log_record(v->log, seq, &line, err);
    if (code == KV_OK) {
        kv_message_text(out, "", kv_buf_bytes(&line));
    }
    kv_buf_clear(&line);
    return code;
}

enum kv_code vault_view_records(struct vault *v, const struct call *call, struct kv_buf *out,
                                struct kv_err *err)
{
    uint64_t size = kv_log_size(v->log);
    uint64_t from = call->field[0].number;
    uint64_t count = call->field[1].type == 0 ? 64 : call->field[1].number;
    if (call->field[0].type == 0 && size > count) {
        from = size - count;
    }
    kv_message_number(out, "size", size);
    kv_message_number(out, "covered", kv_log_covered(v->log));
    kv_message_number(out, "from", from);
    kv_message_begin(out, "records", KV_FIELD_ARRAY);
    for (uint64_t seq = from; seq < size && seq < from + count; seq++) {
        if (add_record(v, seq, out, err) != KV_OK) {
            return err->code;
        }
    }
    kv_message_end(out);
    return KV_OK;
}

/* An integration sees its own records only. */
static bool own_record(struct vault *v, const struct call *call, const struct kv_record *rec)
{
    struct kv_answer answer;
    struct kv_moment moment = vault_moment(v);
    if (call->client == NULL) {
        return false;
    }
    struct kv_caller caller = vault_caller(call->client);
    kv_state_question(v->state, &caller, KV_OP_SESSION_OPEN, "Nip:5265877635", &moment, &answer);
    return answer.integration != NULL && rec->who == KV_WHO_INTEGRATION &&
           answer.code != KV_E_CALLER_UNIT && strcmp(rec->who_id, answer.integration->id) == 0;
}

static void add_docs(struct vault *v, const struct kv_record *rec, struct kv_buf *out)
{
    struct kv_err err;
    kv_message_begin(out, "documents", KV_FIELD_ARRAY);
    for (size_t i = 0; i < rec->doc_count; i++) {
        struct kv_buf blob;
        kv_buf_init(&blob, KV_BLOB_MAX);
        if (kv_log_blob(v->log, &rec->docs[i].hash, rec->docs[i].len, &blob, &err) == KV_OK) {
            kv_message_begin(out, "", KV_FIELD_OBJECT);
            kv_message_str(out, "kind", kv_doc_kind_word(rec->docs[i].kind));
            vault_view_hex(out, "sha256", &rec->docs[i].hash);
            kv_message_octets(out, "base64", kv_buf_bytes(&blob));
            kv_message_end(out);
        }
        kv_buf_clear(&blob);
    }
    kv_message_end(out);
}

enum kv_code vault_view_record(struct vault *v, const struct call *call, struct kv_buf *out,
                               struct kv_err *err)
{
    uint64_t seq;
    struct kv_buf line, proof;
    KV_CLEANUP(kv_record_freep) struct kv_record *rec = NULL;
    struct kv_err ignored;
    if (!kv_parse_u64(call->field[0].value, KV_NUMBER_MAX, &seq) || seq >= kv_log_size(v->log)) {
        return KV_REFUSE(err, KV_E_NOT_FOUND, "there are %llu records",
                         (unsigned long long)kv_log_size(v->log));
    }
    kv_buf_init(&line, KV_RECORD_MAX);
    kv_buf_init(&proof, 16384);
    enum kv_code code = kv_log_record(v->log, seq, &line, err);
    code = code != KV_OK ? code : kv_record_decode(kv_buf_bytes(&line), &rec, err);
    if (code == KV_OK && !vault_is_reader(v, call) && !own_record(v, call, rec)) {
        code = KV_REFUSE(err, KV_E_NOT_ALLOWED, "uid %u may not read this record", call->uid);
    }
    if (code == KV_OK) {
        kv_message_text(out, "record", kv_buf_bytes(&line));
        add_docs(v, rec, out);
        if (kv_log_prove(v->log, seq, &proof, &ignored) == KV_OK) {
            kv_message_text(out, "proof", kv_buf_bytes(&proof));
        }
        kv_message_text(out, "checkpoint", kv_log_checkpoint(v->log));
    }
    kv_buf_clear(&line);
    kv_buf_clear(&proof);
    return code;
}

/* ---- notes of exports and verifications ---- */

static void set_reader(struct kv_record *rec, const struct vault *v, const struct call *call)
{
    char id[KV_ID_LEN], via[KV_VIA_LEN];
    int n = snprintf(via, sizeof via, "uid:%u", call->uid);
    int m = snprintf(id, sizeof id, "uid-%u", call->uid);
    assert(n > 0 && m > 0);
    for (size_t i = 0; i < kv_state_person_count(v->state); i++) {
        const struct kv_person *p = kv_state_person_at(v->state, i);
        if (p->enabled && p->has_uid && p->uid == call->uid) {
            kv_record_set_who(rec, KV_WHO_PERSON, p->id, via);
            return;
        }
    }
    kv_record_set_who(rec, KV_WHO_CALLER, id, via);
}

struct note {
    struct call *call;
    bool private_rows;
    uint64_t seq;
    bool covered;
};

static void on_noted(void *ctx, enum kv_code code, const char *detail)
{
    struct note *note = ctx;
    struct vault *v = note->call->vault;
    struct kv_buf fields;
    (void)detail;
    kv_buf_init(&fields, 2048);
    kv_message_number(&fields, "record", note->seq);
    kv_message_number(&fields, "records", kv_log_size(v->log));
    kv_message_number(&fields, "covered", kv_log_covered(v->log));
    vault_view_checkpoint(v, &fields);
    kv_message_bool(&fields, "signed", code == KV_OK && note->covered);
    vault_reply(note->call, &fields);
    free(note);
}

static void write_export(struct note *note)
{
    struct vault *v = note->call->vault;
    struct kv_err err;
    char root[KV_HASH_BASE64_LEN];
    struct kv_hash hash = kv_log_root(v->log, kv_log_covered(v->log));
    kv_hash_base64(&hash, root);
    struct kv_record *rec = kv_record_new(KV_EV_EXPORT_MADE);
    set_reader(rec, v, note->call);
    kv_record_info_int(rec, "records", (int64_t)kv_log_size(v->log));
    kv_record_info_int(rec, "size", (int64_t)kv_log_covered(v->log));
    kv_record_info_str(rec, "root", root);
    kv_record_info_bool(rec, "private", note->private_rows);
    if (vault_record(v, rec, NULL, &note->seq, &err) != KV_OK) {
        vault_refuse(note->call, err.code, err.msg);
        free(note);
        return;
    }
    vault_after_flush(v, on_noted, note);
}

/* The checkpoint stands, or the signer is down: the tail is then exported as not covered. */
static void on_checkpoint(void *ctx, enum kv_code code, const char *detail)
{
    struct note *note = ctx;
    (void)detail;
    note->covered = code == KV_OK;
    write_export(note);
}

void vault_call_export(struct call *call)
{
    struct vault *v = call->vault;
    struct note *note;
    if (v->log == NULL || kv_log_status(v->log)->state != KV_LOG_GOOD || !v->started) {
        struct kv_buf
            fields; /* safe mode: neither checkpoint nor record, the folder is read as it is */
        if (v->log == NULL || kv_log_status(v->log)->state == KV_LOG_EMPTY) {
            vault_refuse(call, v->log == NULL ? KV_E_STARTING : KV_E_UNFOUNDED,
                         "there is no ledger");
            return;
        }
        kv_buf_init(&fields, 256);
        kv_message_bool(&fields, "signed", false);
        vault_reply(call, &fields);
        return;
    }
    note = calloc(1, sizeof *note);
    if (note == NULL) {
        abort();
    }
    note->call = call;
    note->private_rows = call->field[0].number != 0;
    if (kv_log_covered(v->log) == kv_log_next_seq(v->log)) {
        note->covered = true;
        write_export(note);
    } else if (v->signer_down || v->unsigned_tail) {
        write_export(note);
    } else {
        vault_after_cover(v, kv_log_next_seq(v->log) - 1, on_checkpoint, note);
    }
}

void vault_call_verified(struct call *call)
{
    struct vault *v = call->vault;
    struct kv_err err;
    char root[KV_HASH_BASE64_LEN];
    struct kv_hash hash;
    if (!kv_hash_from_base64(call->field[2].value, &hash) ||
        !kv_field_copy(&call->field[2], root, sizeof root)) {
        vault_refuse(call, KV_E_INPUT_VALUE, "root is 44 characters of base64");
        return;
    }
    struct note *note = calloc(1, sizeof *note);
    if (note == NULL) {
        abort();
    }
    note->call = call;
    struct kv_record *rec = kv_record_new(KV_EV_VERIFY_RUN);
    set_reader(rec, v, call);
    kv_record_info_int(rec, "records", (int64_t)call->field[0].number);
    kv_record_info_int(rec, "size", (int64_t)call->field[1].number);
    kv_record_info_str(rec, "root", root);
    kv_record_info_int(rec, "exit", (int64_t)call->field[3].number);
    if (vault_record(v, rec, NULL, &note->seq, &err) != KV_OK) {
        vault_refuse(call, err.code, err.msg);
        free(note);
        return;
    }
    vault_after_flush(v, on_noted, note);
}
